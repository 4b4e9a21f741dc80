"""Who may import whom: the layers of the architecture, read off the import statements."""

from __future__ import annotations

import ast
import functools
import os
import pathlib
import subprocess
import sys

import arraysig

ROOT = pathlib.Path(arraysig.__file__).parent
BACKENDS = {"cupy": "_core/cuda.py", "torch": "_core/torch_bridge.py", "_ckernels": "_core/cpu.py"}
#: First part of a module's path -> what of ours it may import.
ALLOWED = {
    "words.py": {"_core"},
    "_kernels": set(),
    "_core": {"_core", "_ckernels"},
    "_ops": {"_core", "_ops", "words"},
}
PUBLIC = {"_ops", "_core", "words"}
#: Public modules may import those public modules that stand before them.
ORDER = [
    "words",
    "trees",
    "transforms",
    "signature",
    "algebra",
    "logsignature",
    "branched",
    "branched_logsignature",
    "cache",
    "static_kernels",
    "search",
    "user_kernels",
    "kernels",
    "branched_kernels",
    "metrics",
    "files",
    "config",
    "demo",
    "cli",
    "__main__",
]
#: Modules of _core that public modules may use; config also asks the backends for their versions,
#: demo and files move arrays to a GPU, cache drops what the others have made.
VOCABULARY = {"check", "docs", "lie", "namespace", "progress", "sparse", "tables", "tape", "trees"}
REPORTERS = {"cache", "config", "demo", "files"}


def imports(path: pathlib.Path) -> list[str]:
    """Dotted names that a module imports, absolute: ``arraysig._core.check``."""
    package = ["arraysig", *path.relative_to(ROOT).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            found += [".".join([*base, alias.name]) for alias in node.names]
    return found


def modules() -> list[pathlib.Path]:
    """All Python files of the package."""
    return sorted(ROOT.rglob("*.py"))


def test_each_backend_is_imported_in_one_file() -> None:
    seen = set()
    for path in modules():
        where = path.relative_to(ROOT).as_posix()
        for name in imports(path):
            parts = name.split(".")
            top = parts[1] if parts[0] == "arraysig" and len(parts) > 1 else parts[0]
            if top in BACKENDS:
                assert where == BACKENDS[top], f"{where} imports {name}"
                seen.add(top)
    assert seen == set(BACKENDS)  # the test would see an import if there were one


def test_layers() -> None:
    for path in modules():
        where = path.relative_to(ROOT)
        room = where.parts[0]
        stem = where.stem
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "arraysig" or parts == ["arraysig"]:
                continue
            target = parts[1]
            if room in ALLOWED:
                assert target in ALLOWED[room], f"{where} imports {name}"
            elif stem != "__init__" and target in PUBLIC | set(ORDER):
                if target == "_core" and stem not in REPORTERS:
                    assert parts[2] in VOCABULARY, f"{where} imports {name}"
                elif target not in PUBLIC:
                    assert ORDER.index(target) < ORDER.index(stem), f"{where} imports {name}"


def test_rows_know_no_array_library() -> None:
    for path in sorted((ROOT / "_ops").glob("*.py")):
        for name in imports(path):
            assert name.split(".")[0] not in {"numpy", "array_api_compat"}, f"{path.name}: {name}"


def test_shared_headers_hold_leaf_mathematics_only() -> None:
    for path in sorted((ROOT / "_kernels").glob("*.h")):
        text = path.read_text(encoding="utf-8")
        for forbidden in ("threadIdx", "blockIdx", "malloc", "#pragma omp"):
            assert forbidden not in text, f"{path.name} contains {forbidden}"


def test_import_is_light(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import numpy; "
        "middle = time.perf_counter(); import arraysig; end = time.perf_counter(); "
        "print((end - middle) / (middle - start), "
        "*[m for m in ('torch', 'cupy', 'arraysig._ckernels') if m in sys.modules])"
    )
    # As where bytecode is kept, which environments may forbid; the first run writes it.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=True)
    runs = [run([sys.executable, "-c", code], env=environment).stdout.split() for _ in range(4)]
    assert runs[0][1:] == []
    assert min(float(ratio) for ratio, *_ in runs) < 1.3  # of the time that NumPy takes
