"""The command line, `show_config` and the demonstration, as processes of their own."""

from __future__ import annotations

import ast
import importlib.util
import os
import pathlib
import re
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig import cli, files
from arraysig._core import cuda

LINES = ["arraysig", "Python", "NumPy", "platform", "instruction set", "OpenMP", "processors"]
EXTRAS = ("matplotlib", "sklearn", "sktime")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the interpreter of the tests; what it prints is the result."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m arraysig``; a warning would be an error."""
    return python("-W", "error", "-m", "arraysig", *arguments, **environment)


def without(modules: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` where `modules` can be neither found nor imported."""
    return python("-c", f"import sys; sys.modules.update(dict.fromkeys({modules})); {code}")


def values(text: str) -> dict[str, str]:
    """Lines of `show_config` by name."""
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in text.splitlines())


def test_info_prints_every_line() -> None:
    done = command("info")
    assert done.returncode == 0
    assert done.stderr == ""
    found = values(done.stdout)
    assert list(found)[: len(LINES)] == LINES
    assert {"CuPy", "torch"} <= set(found)
    assert found["arraysig"] == arraysig.__version__
    assert found["Python"].startswith(sys.version.split()[0])
    assert not [value for value in found.values() if "broken" in value]


def test_info_shows_the_forced_instruction_set() -> None:
    found = values(command("info", ARRAYSIG_ISA="base").stdout)
    assert found["instruction set"].startswith("base (available: base")


def test_show_config_survives_what_is_broken() -> None:
    done = command("info", ARRAYSIG_ISA="abacus")
    assert done.returncode == 0
    assert "broken" in values(done.stdout)["instruction set"]
    assert "'abacus' is not an instruction set" in values(done.stdout)["instruction set"]


def test_show_config_without_cupy_and_torch() -> None:
    done = without(("cupy", "torch"), "import arraysig; arraysig.show_config()")
    assert done.returncode == 0
    found = values(done.stdout)
    assert list(found) == [*LINES, "CuPy", "torch"]
    assert found["CuPy"] == found["torch"] == "not installed"


@pytest.mark.parametrize("fault", ["import", "driver"])
def test_show_config_with_a_broken_cupy(tmp_path: pathlib.Path, fault: str) -> None:
    (tmp_path / "cupy").mkdir()
    text = "raise OSError('libcudart.so: no such\\nfile')" if fault == "import" else FAKE_CUPY
    (tmp_path / "cupy" / "__init__.py").write_text(text)
    found = values(command("info", PYTHONPATH=python_path(tmp_path)).stdout)
    if fault == "import":
        assert found["CuPy"] == "CuPy does not import, OSError: libcudart.so: no such file"
    else:
        assert found["CuPy"] == "99.0"
        assert found["CUDA runtime"] == "13.2"
        assert found["CUDA driver"] == "none"
        assert found["CUDA compiler"] == "broken (RuntimeError: no NVRTC)"
        assert found["CUDA devices"] == "no usable GPU, no driver"


def test_show_config_lists_the_devices(tmp_path: pathlib.Path) -> None:
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text(FAKE_CUPY)
    found = values(command("info", PYTHONPATH=python_path(tmp_path), FAKE_DEVICES="2").stdout)
    assert found["CUDA devices"] == "0: Model A (sm_90, 80.0 GiB), 1: Model A (sm_90, 80.0 GiB)"
    found = values(command("info", PYTHONPATH=python_path(tmp_path), FAKE_DEVICES="0").stdout)
    assert found["CUDA devices"] == "no GPU"


FAKE_CUPY = """
import os
__version__ = "99.0"
def _raise(text):
    raise RuntimeError(text)
class cuda:
    class nvrtc:
        getVersion = staticmethod(lambda: _raise("no NVRTC"))
    class runtime:
        runtimeGetVersion = staticmethod(lambda: 13020)
        driverGetVersion = staticmethod(lambda: 0)
        @staticmethod
        def getDeviceCount():
            return int(os.environ.get("FAKE_DEVICES") or _raise("no driver"))
        @staticmethod
        def getDeviceProperties(ordinal):
            return {"name": b"Model A", "major": 9, "minor": 0, "totalGlobalMem": 80 * 2**30}
"""


def python_path(first: pathlib.Path) -> str:
    """The path of modules with `first` in front."""
    return os.pathsep.join([str(first), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "required: command"),
        (("compute",), "invalid choice: 'compute'"),
        (("info", "--all"), "unrecognized arguments: --all"),
        (("demo", "--degree", "0"), "--degree"),
        (("demo", "--degree", "60"), "--degree"),
        (("demo", "--degree", "three"), "'three'"),
        (("demo", "--n-jobs", "0"), "got 0"),
        (("demo", "--n-jobs", "many"), "'many'"),
        (("demo", "--device", "tpu"), "'tpu'"),
        (("demo", "--out", "figure.txt"), "'figure.txt'"),
        (("demo", "--out", "no/such/folder/figure.png"), "'no/such/folder/figure.png'"),
    ],
)
def test_bad_options_get_one_line(arguments: tuple[str, ...], reason: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("python -m arraysig")
    assert reason in done.stderr


def gram(*arguments: object) -> subprocess.CompletedProcess[str]:
    """``python -m arraysig gram``, on the processor."""
    return command("gram", *map(str, arguments), "--device", "cpu", "--n-jobs", "1")


def test_gram(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 3, 5, 2)) / 4, rng.normal(size=(4, 6, 2)) / 4
    one, two, out = (tmp_path / f"{name}.npy" for name in ("one", "two", "out"))
    np.save(one, x)
    np.save(two, y.astype("float32"))
    done = gram(one, two, out, "--dyadic-order", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{out}: signature kernels of shape (2, 3, 4)\n"
    expected = arraysig.sig_kernel_gram(x, y.astype("float32").astype(float), 1)
    np.testing.assert_array_equal(np.load(out), expected)
    options = ("--time-aug", "--lead-lag", "--end-time", "-0.5", "--normalize", "--force")
    done = gram("--dyadic-order", 0, *options, "--static-kernel", "matern32:0.8", two, out)
    assert (done.returncode, done.stderr) == (0, "")
    expected = arraysig.sig_kernel_gram(
        *[y.astype("float32")] * 2,
        0,
        static_kernel=arraysig.Matern32Kernel(0.8),
        time_aug=True,
        lead_lag=True,
        end_time=-0.5,
        normalize=True,
    )
    np.testing.assert_array_equal(np.load(out), expected)
    assert expected.dtype == np.load(out).dtype == np.float32
    assert sorted(os.listdir(tmp_path)) == ["one.npy", "out.npy", "two.npy"]


SCHEMES: list[tuple[str, dict[str, Any]]] = [
    ("--dyadic-order 2", {"dyadic_order": 2}),
    ("--dyadic-order 2,0", {"dyadic_order": (2, 0)}),
    ("--order 5", {"order": 5}),
    ("--order 2 --fold 2", {"order": 2, "fold": 2}),
    ("--tol 1e-2", {"tol": 1e-2}),
    ("", {"tol": 1e-6}),
]


@pytest.mark.parametrize(("options", "scheme"), SCHEMES)
def test_schemes_of_gram(
    tmp_path: pathlib.Path,
    options: str,
    scheme: dict[str, Any],
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    x, y = rng.normal(size=(3, 9, 2)) / 2, rng.normal(size=(4, 6, 2)) / 2
    one, two, out = (str(tmp_path / f"{name}.npy") for name in ("one", "two", "out"))
    np.save(one, x)
    np.save(two, y)
    on = ("--device", "cpu", "--n-jobs", "1")
    assert cli.main(["gram", one, two, out, *options.split(), *on]) == 0
    printed = capsys.readouterr().out
    estimate = ""
    if "tol" in scheme:
        expected, error = arraysig.sig_kernel_gram(x, y, **scheme, return_error=True)
        estimate = f", estimated error {error:.1e}"
        assert 0 < error <= scheme["tol"]
    else:
        expected = arraysig.sig_kernel_gram(x, y, **scheme)
    np.testing.assert_array_equal(np.load(out), expected)
    assert printed == f"{out}: signature kernels of shape (3, 4){estimate}\n"


def test_schemes_differ(rng: np.random.Generator) -> None:
    # so that no option of those above can be lost
    x, y = rng.normal(size=(3, 9, 2)) / 2, rng.normal(size=(4, 6, 2)) / 2
    found = [arraysig.sig_kernel_gram(x, y, **scheme) for _, scheme in SCHEMES]
    assert len({gram.tobytes() for gram in found}) == len(SCHEMES)


def test_gram_tells_of_numbers_that_are_not_finite(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = np.array([[0.0], [1e200], [0.0]])
    np.save(tmp_path / "in.npy", np.stack([path, path / 1e200]))
    out = str(tmp_path / "out.npy")
    options = ("--dyadic-order", "0", "--device", "cpu")
    assert cli.main(["gram", str(tmp_path / "in.npy"), out, *options]) == 0
    count = np.count_nonzero(~np.isfinite(np.load(out)))
    assert count > 0
    assert capsys.readouterr().out.endswith(f"of shape (2, 2), {count} of them not finite\n")


def test_gram_refuses_a_tolerance_that_is_not_met(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "in.npy", np.array([[0.0], [40.0], [0.0]]))
    names = str(tmp_path / "in.npy"), str(tmp_path / "out.npy")
    assert cli.main(["gram", *names, "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"python -m arraysig gram: --tol: must be at least .*, got 1e-06.*\n", error
    )
    assert os.listdir(tmp_path) == ["in.npy"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
@pytest.mark.parametrize("name", ["gram", "sig"])
def test_progress_on_a_terminal(tmp_path: pathlib.Path, name: str) -> None:
    import fcntl
    import termios

    np.save(tmp_path / "in.npy", np.zeros((3, 4, 2)))
    option = {"gram": ("--order", "3"), "sig": ("--degree", "2")}[name]
    arguments = (name, str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), *option)
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    done = subprocess.run(
        [sys.executable, "-m", "arraysig", *arguments],
        stdout=subprocess.PIPE,
        stderr=end,
        check=True,
        timeout=300,
    )
    os.close(end)
    shown = os.read(terminal, 2**16).decode()  # an OSError where there is nothing
    os.close(terminal)
    assert {"gram": "9/9", "sig": "3/3"}[name] in shown
    assert b"of shape (3, " in done.stdout


def test_gram_as_text(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    paths, path = rng.normal(size=(3, 5, 2)) / 4, np.array([[0.0, 0.0], [0.5, 0.25]])
    np.save(tmp_path / "paths.npy", paths)
    (tmp_path / "path.csv").write_text("a,b\n0,0\n0.5,0.25\n")
    out = tmp_path / "out.csv"
    for source, other in (("paths.npy", path), ("path.csv", path)):
        files.gram_of_files(
            [str(tmp_path / f) for f in (source, "path.csv")], str(out), 2, force=True
        )
        x = paths if source == "paths.npy" else path[None]
        expected = arraysig.sig_kernel_gram(x, other[None], 2)
        np.testing.assert_array_equal(np.loadtxt(out, delimiter=",", ndmin=2), expected)


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("linear", arraysig.LinearKernel()),
        ("scaled-linear", arraysig.ScaledLinearKernel()),
        ("scaled-linear:0.5", arraysig.ScaledLinearKernel(0.5)),
        ("rbf:2", arraysig.RBFKernel(2.0)),
        ("polynomial", arraysig.PolynomialKernel()),
        ("polynomial:2,0.5,-0.0", arraysig.PolynomialKernel(2.0, 0.5, 0.0)),
        ("matern12:1e-1", arraysig.Matern12Kernel(0.1)),
        ("matern32:1", arraysig.Matern32Kernel(1.0)),
        ("matern52:1", arraysig.Matern52Kernel(1.0)),
        ("rational-quadratic:1,2", arraysig.RationalQuadraticKernel(1.0, 2.0)),
    ],
)
def test_static_kernels_by_name(text: str, kernel: object) -> None:
    assert cli._static_kernel(text) == kernel


BAD_GRAMS: list[tuple[tuple[str, ...], str]] = [
    (("one.npy",), "required: OUT"),
    (("one.npy", "one.npy", "one.npy", "out.npy"), "unrecognized arguments: out.npy"),
    (("one.npy", "none.npy", "out.npy"), "none.npy: No such file"),
    (("one.npy", "wide.npy", "out.npy"), "wide.npy: must hold paths of 2 channels, as .* has 3"),
    (("one.txt", "out.npy"), "one.txt: must end in .npy or .csv"),
    (("one.npy", "out.txt"), "out.txt: must end in .npy or .csv"),
    (("one.npy", "wide.npy"), r"wide.npy: OUT exists; --force overwrites it"),
    (("one.npy", "link.npy"), r"link.npy: OUT exists; --force overwrites it"),
    (("one.npy", "wide.npy", "wide.npy"), "wide.npy: is the file that is read"),
    (("one.npy", "wide.npy", "wide.npy", "--force"), "wide.npy: is the file that is read"),
    (("one.npy", "folder.npy", "--force"), "folder.npy: is a folder"),
    (("one.npy", "no/out.npy"), "no/out.npy: No such file"),
    (("one.npy", "out.npy", "--dyadic-order", "-1"), "--dyadic-order: must be a non-negative"),
    (("one.npy", "out.npy", "--dyadic-order", "1,"), "--dyadic-order: .*, or two .*, got '1,'"),
    (("one.npy", "out.npy", "--dyadic-order", "1,2,3"), "--dyadic-order: .*, got '1,2,3'"),
    (("one.npy", "out.npy", "--dyadic-order", "61"), " --dyadic-order: must be at most 30, got 61"),
    (("one.npy", "out.npy", "--dyadic-order", "30"), " --dyadic-order: must leave fewer"),
    (("one.npy", "out.npy", "--order", "1"), " --order: must be between 2 and 64, got 1"),
    (("one.npy", "out.npy", "--order", "x"), "--order: must be a non-negative integer, got 'x'"),
    (("one.npy", "out.npy", "--order", "3", "--fold", "3"), " --fold: must be 0, 1 or 2, .*got 3"),
    (("one.npy", "out.npy", "--fold", "1"), " --fold: only together with --order, got 1"),
    (
        ("one.npy", "out.npy", "--order", "0", "--dyadic-order", "0"),
        " --order: not together with --dyadic-order, got 0",
    ),
    (("one.npy", "out.npy", "--order", "3", "--tol", "0.1"), " --tol: not together .*, got 0.1"),
    (("one.npy", "out.npy", "--dyadic-order", "0", "--tol", "0.1"), " --tol: not together"),
    (("one.npy", "out.npy", "--tol", "0"), "--tol: must be a positive number, got '0'"),
    (("one.npy", "out.npy", "--tol", "nan"), "--tol: must be a positive number, got 'nan'"),
    (("one.npy", "out.npy", "--end-time", "nan"), "--end-time: must be a finite number"),
    (("one.npy", "out.npy", "--static-kernel", "gauss"), "must be one of linear, .*, got 'gauss'"),
    (("one.npy", "out.npy", "--static-kernel", "rbf"), "rbf takes sigma, got 'rbf'"),
    (("one.npy", "out.npy", "--static-kernel", "rbf:1,2"), "rbf takes sigma, got 'rbf:1,2'"),
    (("one.npy", "out.npy", "--static-kernel", "linear:1"), "linear takes no numbers, got"),
    (("one.npy", "out.npy", "--static-kernel", "rbf:x"), "must have numbers .*, got 'rbf:x'"),
    (("one.npy", "out.npy", "--static-kernel", "rbf:"), "must have numbers .*, got 'rbf:'"),
    (("one.npy", "out.npy", "--static-kernel", "rbf:0"), "`sigma` must be greater than 0, got 0"),
    (
        ("one.npy", "out.npy", "--static-kernel", "rational-quadratic:1e-200"),
        "`sigma` and `alpha` must give a factor that float64 can hold",
    ),
    (("deep.npy", "out.npy"), "out.npy: would have 66 axes, arrays have 64 at most"),
    (("many.npy", "out.npy"), "GiB"),
    (("many.npy", "out.npy", "--dyadic-order", "1"), "GiB"),
]


@pytest.mark.parametrize(("arguments", "reason"), BAD_GRAMS)
def test_bad_grams_get_one_line(
    tmp_path: pathlib.Path,
    arguments: tuple[str, ...],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("one.npy", np.ones((2, 3, 2)))
    np.save("wide.npy", np.ones((2, 3, 3)))
    np.save("deep.npy", np.ones((1,) * 35))
    os.mkdir("folder.npy")
    os.symlink("nowhere", "link.npy")
    if "many.npy" in arguments:  # 16 MB, of which the matrix would have 32 TB
        np.save("many.npy", np.zeros((2_000_000, 1, 1)))
    before = sorted(os.listdir())
    try:
        status: object = cli.main(["gram", *arguments, "--device", "cpu"])
    except SystemExit as ended:  # argparse's way
        status = ended.code
    out, error = capsys.readouterr()
    assert (status, out) == (2, "")
    assert error.count("\n") == 1
    assert error.startswith("python -m arraysig")
    assert re.search(reason, error), error
    assert sorted(os.listdir()) == before
    np.testing.assert_array_equal(np.load("wide.npy"), np.ones((2, 3, 3)))


def test_gram_by_way_of_the_gpu(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    # The lines that a GPU would take, with transfers that go nowhere.
    moved = []
    monkeypatch.setattr(cuda, "upload", lambda array: moved.append(array.shape) or array)
    monkeypatch.setattr(cuda, "download", lambda array: moved.append(array.shape) or array)
    np.save(tmp_path / "in.npy", rng.normal(size=(3, 4, 2)))
    files.gram_of_files([str(tmp_path / "in.npy")], str(tmp_path / "out.npy"), on_gpu=True)
    assert moved == [(3, 4, 2), (3, 3)]


@pytest.mark.parametrize(
    ("device", "reason", "on_gpu"),
    [("auto", "", True), ("auto", "no GPU", False), ("cpu", "", False), ("cuda", "", True)],
)
def test_where_gram_computes(
    device: str, reason: str, on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def gram_of_files(*args: Any, on_gpu: bool, **options: Any) -> files.Gram:
        asked.append(on_gpu)
        return files.Gram((1, 1), None, 0)

    monkeypatch.setattr(cli, "no_gpu", lambda: reason)
    monkeypatch.setattr(files, "gram_of_files", gram_of_files)
    assert cli.main(["gram", "in.npy", "out.npy", "--device", device]) == 0
    assert asked == [on_gpu]


def test_no_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def signatures_of_file(*args: Any, **options: Any) -> None:
        raise MemoryError  # as Python itself does, without a word

    monkeypatch.setattr(files, "signatures_of_file", signatures_of_file)
    assert cli.main(["sig", "in.npy", "out.npy", "--degree", "2"]) == 2
    assert capsys.readouterr().err == "python -m arraysig sig: not enough memory\n"


def test_gram_names_the_missing_cupy() -> None:
    run = (
        "from arraysig.cli import main; "
        "sys.exit(main(['gram', 'in.npy', 'out.npy', '--dyadic-order', '0', '--device', 'cuda']))"
    )
    done = without(("cupy",), run)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "CuPy is not installed" in done.stderr


@pytest.mark.gpu
def test_gram_on_the_gpu(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    from arraysig.config import no_gpu

    if no_gpu():
        pytest.skip(no_gpu())
    paths = rng.normal(size=(3, 5, 2)) / 4
    np.save(tmp_path / "in.npy", paths)
    arguments = (str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), "--dyadic-order", "1")
    done = command("gram", *arguments, "--device", "cuda")
    assert done.returncode == 0, done.stderr
    expected = arraysig.sig_kernel_gram(paths, paths, 1)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-12)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_nobody_reads(unbuffered: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "arraysig", "info"],
        stdout=write,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        timeout=300,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_version() -> None:
    assert command("--version").stdout == arraysig.__version__ + "\n"


def test_demo_names_the_extra_that_is_missing() -> None:
    done = without(("sktime",), "from arraysig.cli import main; sys.exit(main(['demo']))")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "sktime" in done.stderr
    assert "python -m pip install 'arraysig[examples]'" in done.stderr


@pytest.fixture
def extras() -> None:
    """Skip where the demonstration can not run."""
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (extra `examples`)")


@pytest.mark.usefixtures("extras")
def test_demo_names_the_missing_cupy() -> None:
    run = "from arraysig.cli import main; sys.exit(main(['demo', '--device', 'cuda']))"
    done = without(("cupy",), run)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "CuPy is not installed" in done.stderr
    assert "python -m pip install 'arraysig[cuda13]'" in done.stderr


def check_accuracies(printed: str) -> None:
    """Both classifiers are right about 38 of 40 recordings at least."""
    found = re.findall(r"^accuracy +(\S+) on the test recordings, by (.+)$", printed, re.M)
    assert [name for _, name in found] == ["features", "kernels"]
    assert min(float(accuracy) for accuracy, _ in found) >= 0.95


@pytest.mark.usefixtures("extras")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_demo(tmp_path: pathlib.Path, suffix: str) -> None:
    out = tmp_path / f"figure.{suffix}"
    done = command("demo", "--out", str(out), "--device", "cpu", "--n-jobs", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "40 to train on, 40 to test on" in done.stdout
    assert "399 numbers per recording" in done.stdout
    check_accuracies(done.stdout)
    rate = re.search(r"([\d,]+) paths per second", done.stdout)
    assert rate is not None
    assert int(rate[1].replace(",", "")) > 0
    assert re.search(r"^kernels +Gram matrix of 80 x 80 paths: [\d.]+ ms$", done.stdout, re.M)
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[suffix]
    assert out.read_bytes().startswith(start)
    assert out.stat().st_size > 20_000


@pytest.mark.usefixtures("extras")
def test_figure_that_can_not_be_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from arraysig import demo

    def run(out: pathlib.Path, *rest: Any) -> None:
        labels = np.array(["a", "b", "c", "d"])
        outcome = demo.Outcome("", np.eye(8), labels, 1.0)
        demo.draw(out, np.zeros((8, 3, 6)), labels, labels, (outcome, outcome))

    monkeypatch.setattr(demo, "run", run)
    out = tmp_path / "folder.png"
    out.mkdir()
    assert cli.main(["demo", "--out", str(out), "--device", "cpu"]) == 2
    error = f"python -m arraysig demo: {out}: Is a directory\n"
    assert capsys.readouterr() == ("", error)
    assert os.listdir(tmp_path) == ["folder.png"]


@pytest.mark.usefixtures("extras")
def test_demo_by_way_of_the_gpu(tmp_path: pathlib.Path) -> None:
    # The lines that a GPU would take, with transfers that go nowhere.
    code = (
        "import pathlib; from arraysig import demo; from arraysig._core import cuda; moved = []; "
        "cuda.upload = lambda array: moved.append('to') or array; "
        "cuda.download = lambda array: moved.append(f'{array.shape} back') or array; "
        f"demo.run(pathlib.Path({str(tmp_path / 'figure.png')!r}), 2, 1, ''); print(set(moved))"
    )
    done = python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    assert re.search(r"device +GPU", done.stdout)
    moved = ast.literal_eval(done.stdout.splitlines()[-1])
    assert moved == {"to", "(80, 56) back", "(80, 80) back"}


@pytest.mark.usefixtures("extras")
def test_figure_of_the_demo(tmp_path: pathlib.Path) -> None:
    # SVG keeps the text of a figure if told so.
    code = (
        "import matplotlib, pathlib; matplotlib.rcParams['svg.fonttype'] = 'none'; "
        "from arraysig import demo; "
        f"demo.run(pathlib.Path({str(tmp_path / 'figure.svg')!r}), 1, 1, 'asked')"
    )
    done = python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "figure.svg").read_text()
    features, kernels = re.findall(r"^accuracy +(\S+)", done.stdout, re.M)
    assert features != kernels
    assert f"Signatures to degree 1: test accuracy {features}" in text
    assert f"Signature kernels: test accuracy {kernels}" in text
    for name in ("badminton", "running", "standing", "walking"):
        assert text.count(f">{name}<") == 2  # a title, and in the legend of both panels


@pytest.mark.usefixtures("extras")
def test_kernel_classifier_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    from arraysig import demo

    known, unseen = np.repeat(["a", "b"], 10), np.repeat(["b", "a"], [3, 4])
    labels = np.concatenate([known, unseen])
    telling = np.where(labels[:, None] == labels, 0.9, 0.1) + 0.1 * np.eye(27)
    outcome = demo.by_kernel(
        lambda bandwidth: telling if bandwidth == 4 * 0.5 else np.eye(27), 0.5, known, unseen
    )
    assert outcome.accuracy == 1.0
    np.testing.assert_array_equal(outcome.predicted, unseen)
    assert "RBFKernel(2)\n" in capsys.readouterr().out


@pytest.mark.usefixtures("extras")
def test_demo_needs_no_network(tmp_path: pathlib.Path) -> None:
    blocked = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('the network was used')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse\n"
        "from arraysig.cli import main\n"
        f"sys.exit(main(['demo', '--out', {str(tmp_path / 'figure.png')!r}]))"
    )
    done = python("-c", blocked)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.usefixtures("extras")
def test_demo_on_the_gpu(tmp_path: pathlib.Path) -> None:
    from arraysig.config import no_gpu

    if no_gpu():
        pytest.skip(no_gpu())
    done = command("demo", "--out", str(tmp_path / "figure.png"), "--device", "cuda")
    assert done.returncode == 0, done.stderr
    assert re.search(r"device +GPU", done.stdout)
    check_accuracies(done.stdout)
