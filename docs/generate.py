"""Pages of the documentation that are made of data: support, API, benchmarks."""

from __future__ import annotations

import inspect
import json
import pathlib
from typing import Any

import arraysig
from arraysig._core.op import OPS

GROUPS = {
    "Signatures": [
        "sig",
        "sig_backprop",
        "sig_length",
        "sig_coef",
        "sig_coef_backprop",
        "extract_sig_coef",
    ],
    "Tensor algebra": [
        "sig_combine",
        "sig_combine_backprop",
        "sig_join",
        "sig_join_backprop",
        "linear_sig",
        "linear_sig_backprop",
        "sig_inverse",
        "sig_inverse_backprop",
    ],
    "Log-signatures": [
        "log_sig",
        "log_sig_backprop",
        "log_sig_length",
        "log_sig_basis",
        "sig_to_log_sig",
        "sig_to_log_sig_backprop",
        "logsig_to_sig",
        "logsig_to_sig_backprop",
        "log_sig_combine",
        "log_sig_combine_backprop",
        "log_sig_join",
        "log_sig_join_backprop",
        "linear_log_sig",
        "linear_log_sig_backprop",
    ],
    "Branched signatures": [
        "branched_sig",
        "branched_sig_backprop",
        "branched_sig_length",
        "branched_sig_coef",
        "branched_sig_coef_backprop",
        "extract_branched_sig_coef",
        "branched_sig_combine",
        "branched_sig_combine_backprop",
        "branched_sig_join",
        "branched_sig_join_backprop",
        "linear_branched_sig",
        "linear_branched_sig_backprop",
    ],
    "Branched log-signatures": [
        "branched_log_sig",
        "branched_log_sig_backprop",
        "branched_log_sig_length",
        "branched_sig_to_log_sig",
        "branched_sig_to_log_sig_backprop",
        "branched_log_sig_join",
        "branched_log_sig_join_backprop",
        "linear_branched_log_sig",
        "linear_branched_log_sig_backprop",
    ],
    "Signature kernels": [
        "sig_kernel",
        "sig_kernel_backprop",
        "sig_kernel_gram",
        "sig_kernel_gram_backprop",
    ],
    "Branched signature kernels": [
        "branched_sig_kernel",
        "branched_sig_kernel_backprop",
        "branched_sig_kernel_gram",
        "branched_sig_kernel_gram_backprop",
    ],
    "Metrics": ["sig_score", "expected_sig_score", "sig_mmd"],
    "Static kernels": [
        "StaticKernel",
        "Context",
        "LinearKernel",
        "ScaledLinearKernel",
        "RBFKernel",
        "PolynomialKernel",
        "Matern12Kernel",
        "Matern32Kernel",
        "Matern52Kernel",
        "RationalQuadraticKernel",
    ],
    "Paths": ["transform_path", "transform_path_backprop"],
    "Words": [
        "words",
        "words_of_length",
        "word_to_idx",
        "idx_to_word",
        "lyndon_words",
        "lyndon_words_of_length",
        "is_lyndon",
    ],
    "Trees": ["trees", "trees_of_order", "tree_to_idx", "idx_to_tree"],
    "Tables": [
        "prepare_log_sig",
        "prepare_branched_sig",
        "prepare_branched_log_sig",
        "prepare_branched_sig_coef",
        "set_cache_dir",
        "clear_cache",
    ],
    "Configuration": ["show_config"],
}


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


#: Options that show methods, of classes for static kernels of the user's own.
WRITTEN_BY_USERS = {
    "Context": "   :members:\n",
    "StaticKernel": "   :members:\n   :special-members: __call__\n",
}


def api() -> str:
    """All public functions, from their docstrings."""
    named = {name for names in GROUPS.values() for name in names}
    missing = set(arraysig.__all__) - named - {"signature"}
    if missing:
        raise ValueError(f"docs/generate.py: no group has {sorted(missing)}")
    parts = ["API\n===\n", "``signature`` is another name of ``sig``.\n"]
    for group, names in GROUPS.items():
        parts.append(f"{group}\n{'-' * len(group)}\n")
        for name in names:
            kind = "function" if inspect.isfunction(getattr(arraysig, name)) else "class"
            parts.append(f".. auto{kind}:: arraysig.{name}\n{WRITTEN_BY_USERS.get(name, '')}")
    return "\n".join(parts)


def support() -> str:
    """Which operation runs where, and which derivatives it has: read off the rows."""
    rows = []
    for name, op in sorted(OPS.items()):
        gradient = "yes" if op.vjp else "-"
        forward = "yes" if op.jvp else "-"
        rows.append([f"`{name}`", "C", "C", "CUDA", "CUDA", gradient, forward])
    head = ["operation", "NumPy", "Torch, processor", "CuPy", "Torch, CUDA", "reverse", "forward"]
    functions = []
    for names in GROUPS.values():
        for name in names:
            parameters = inspect.signature(getattr(arraysig, name)).parameters
            if "n_jobs" not in parameters or name.endswith("_backprop"):
                continue
            back = name + "_backprop"
            functions.append([f"`{name}`", f"`{back}`" if hasattr(arraysig, back) else "-"])
    return (
        "# Support\n\n"
        "Functions take arrays of every library; these have a gradient for NumPy and CuPy, and\n"
        "are differentiable in Torch:\n\n"
        + table(["function", "gradient for NumPy and CuPy"], functions)
        + "\nThey are made of the following operations. Derivatives are those that Torch can ask"
        " for,\nin reverse mode (`backward`, `torch.func.grad`) and in forward mode"
        " (`torch.func.jvp`); an\noperation that lacked one would raise NotImplementedError.\n\n"
        + table(head, rows)
    )


def _row(cell: dict[str, Any]) -> list[str]:
    shape = ", ".join(f"{name} {n}" for name, n in cell["cell"].items())
    keys = ("ours_ms", "peer_ms", "ratio", "moves_ratio")
    times = ["" if cell[k] is None else f"{cell[k]:.3g}" for k in keys]
    return [f"`{cell['op']}`", cell["dtype"], shape, *times]


def benchmarks(folder: pathlib.Path) -> str:
    """The tables of all reports in `folder`."""
    parts = [
        "# Benchmarks\n",
        "Made by `python -m tests.bench`: both libraries on the same inputs in one process, "
        "alternating; results are compared before they are timed. Quote ratios, not milliseconds: "
        "machines differ, and drift.\n",
    ]
    for path in sorted(folder.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        versions, peer = report["versions"], report["peer"]
        parts += [
            f"## {report.get('topic', 'signatures').capitalize()}: {report['device']}, "
            f"{report['isa']}, {peer}\n",
            f"{report['machine']['cpu']}, {report['threads']} threads, {report['date'][:10]}; "
            f"{peer} {versions[peer]}, NumPy {versions['numpy']}, "
            f"{versions['compiler']}.\n",
            table(
                ["operation", "dtype", "geometric mean of the ratios", "least", "at"],
                [
                    [
                        f"`{s['op']}`",
                        s["dtype"],
                        f"{s['geometric_mean']:.3g}",
                        f"{s['least']:.3g}",
                        ", ".join(f"{name} {n}" for name, n in s["least_cell"].items()),
                    ]
                    for s in report["summaries"]
                ],
            ),
            table(
                [
                    "operation",
                    "dtype",
                    "shape",
                    "arraysig, ms",
                    f"{peer}, ms",
                    "ratio",
                    "times its moves",
                ],
                [_row(cell) for cell in report["cells"]],
            ),
        ]
    return "\n".join(parts)


def write(to: pathlib.Path, reports: pathlib.Path) -> None:
    """Write all pages."""
    for name, text in (
        ("api.rst", api()),
        ("support.md", support()),
        ("benchmarks.md", benchmarks(reports)),
    ):
        (to / name).write_text(text, encoding="utf-8")
