"""Builds arraysig._ckernels: cffi API mode, objects per instruction set and type, OpenMP if any."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import sys
from concurrent.futures import ThreadPoolExecutor

from cffi import FFI
from setuptools import Extension
from setuptools.command.build_ext import build_ext

HERE = pathlib.Path(__file__).parent
SHARED = HERE.parent / "arraysig" / "_kernels"

#: Flags per instruction set; "base" is what every processor of the architecture has: of x86, only
#: those of before 2013 have nothing better, and -O1 saves a quarter of the time of compiling.
X86 = {
    "base": ["-O1"],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [
        "-mavx512f",
        "-mavx512dq",
        "-mavx512vl",
        "-mavx512bw",
        "-mfma",
        "-mprefer-vector-width=512",
    ],
}
#: gnu11, not c11: with c11 GCC does not contract a * b + c to one instruction. -g0: many a Python
#: asks for -g, which makes the extension six times as large.
CFLAGS = ["-O3", "-g0", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-Wall", "-Wextra"]


def instruction_sets() -> dict[str, list[str]]:
    """Name and flags of every instruction set that is compiled on this architecture.

    Those in ARRAYSIG_ISAS, if there are any in it; "base" always is.
    """
    known = X86 if platform.machine().lower() in ("x86_64", "amd64") else {"base": []}
    wanted = os.environ.get("ARRAYSIG_ISAS", "").split() or [*known]
    if not known.keys() >= set(wanted):
        raise SystemExit(f"ARRAYSIG_ISAS={' '.join(wanted)}: there are {' '.join(known)}")
    return {isa: flags for isa, flags in known.items() if isa in ("base", *wanted)}


def cdef() -> str:
    """C declarations for cffi, two per entry of entries.h."""
    text = re.sub(r"/\*.*?\*/", "", (HERE / "entries.h").read_text(), flags=re.S)
    out = [
        "int as_select_isa(const char *name);",
        "const char *as_isa(void);",
        "const char *as_supported_isas(void);",
        "int as_openmp(void);",
    ]
    for name, params in re.findall(r"AS_ENTRY\(\s*(\w+),\s*(\([^()]*\)),", text):
        for real, suffix in (("float", "f32"), ("double", "f64")):
            typed = re.sub(r"\bi64\b", "int64_t", re.sub(r"\bREAL\b", real, params))
            out.append(f"int as_{name}_{suffix}{typed};")
    return "\n".join(out)


def openmp() -> tuple[list[str], list[str]]:
    """Compiler and linker flags; none with ARRAYSIG_NO_OPENMP=1."""
    if os.environ.get("ARRAYSIG_NO_OPENMP") == "1":
        return [], []
    if sys.platform == "darwin":
        return ["-Xpreprocessor", "-fopenmp"], ["-lomp"]
    return ["-fopenmp"], ["-fopenmp"]


class BuildExt(build_ext):
    """Compiles kernels.c per instruction set and type, then the cffi module around it."""

    def get_source_files(self) -> list[str]:
        """What the source distribution must carry."""
        kinds = {".c", ".h", ".py"}
        return [
            str(p.relative_to(HERE.parent)) for p in sorted(HERE.iterdir()) if p.suffix in kinds
        ]

    def run(self) -> None:
        """Build, and leave the extension in the source tree too.

        ``python -m arraysig`` in a clone imports the clone, whatever is installed.
        """
        super().run()
        self.copy_extensions_to_source()

    def build_extension(self, ext: Extension) -> None:
        """Build one extension (there is one)."""
        isas = instruction_sets()
        omp_compile, omp_link = openmp()
        include = [str(HERE), str(SHARED)]
        extra = os.environ.get("ARRAYSIG_CFLAGS", "").split()
        flags = [*CFLAGS, *omp_compile, *extra]
        kernels = os.path.relpath(HERE / "kernels.c")

        def compile_for(isa: str, bits: str) -> list[str]:
            objects: list[str] = self.compiler.compile(
                [kernels],
                output_dir=f"{self.build_temp}/{isa}-{bits}",
                include_dirs=include,
                macros=[("AS_ISA", isa), ("AS_BITS", bits)],
                extra_postargs=[*flags, *isas[isa]],
            )
            return objects

        units = [(isa, bits) for isa in reversed(isas) for bits in ("64", "32")]  # longest first
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for objects in pool.map(compile_for, *zip(*units, strict=True)):
                ext.extra_objects += objects
        generated = pathlib.Path(self.build_temp) / "_ckernels.c"
        generated.parent.mkdir(parents=True, exist_ok=True)
        ffi = FFI()
        ffi.cdef(cdef())
        ffi.set_source(ext.name, cdef())
        ffi.emit_c_code(str(generated))
        ext.sources = [str(generated), os.path.relpath(HERE / "dispatch.c")]
        ext.include_dirs += include
        ext.define_macros += [(f"AS_{isa.upper()}", "1") for isa in isas if isa != "base"]
        ext.extra_compile_args += [*flags, "-Wno-unused-parameter", "-Wno-unused-function"]
        ext.extra_link_args += omp_link
        # setuptools relinks only when one of these is newer than the extension
        ext.depends += [str(p) for folder in include for p in pathlib.Path(folder).glob("*.[ch]")]
        super().build_extension(ext)
