"""The command line, `show_config` and the demonstration, as processes of their own."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

import arraysig

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


@pytest.mark.usefixtures("extras")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_demo(tmp_path: pathlib.Path, suffix: str) -> None:
    out = tmp_path / f"figure.{suffix}"
    done = command("demo", "--out", str(out), "--device", "cpu", "--n-jobs", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "40 to train on, 40 to test on" in done.stdout
    assert "399 numbers per recording" in done.stdout
    accuracy = re.search(r"accuracy +(\S+)", done.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.95
    rate = re.search(r"([\d,]+) paths per second", done.stdout)
    assert rate is not None
    assert int(rate[1].replace(",", "")) > 0
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[suffix]
    assert out.read_bytes().startswith(start)
    assert out.stat().st_size > 20_000


@pytest.mark.usefixtures("extras")
def test_demo_by_way_of_the_gpu(tmp_path: pathlib.Path) -> None:
    # The lines that a GPU would take, with transfers that go nowhere.
    code = (
        "import pathlib; from arraysig import demo; from arraysig._core import cuda; "
        "cuda.upload = cuda.download = lambda array: array; "
        f"demo.run(pathlib.Path({str(tmp_path / 'figure.png')!r}), 2, 1, '')"
    )
    done = python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    assert re.search(r"device +GPU", done.stdout)


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
    accuracy = re.search(r"accuracy +(\S+)", done.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.95
