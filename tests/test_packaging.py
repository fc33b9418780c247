"""The wheel: what is in it, and that it is the program when it is installed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import autoreg

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, built from a copy, so that nothing is left in the working folder."""
    import shutil

    folder = tmp_path_factory.mktemp("wheel")
    kept = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "autoreg", folder / "source" / "autoreg", ignore=kept)
    for folder_beside in ("tests", "benchmarks", "studies"):
        shutil.copytree(ROOT / folder_beside, folder / "source" / folder_beside, ignore=kept)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / "source")
    environment = folder / "builder"
    run(sys.executable, "-m", "venv", environment)
    run(
        environment / "bin" / "python",
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        folder,
        folder / "source",
    )
    return next(folder.glob("*.whl"))


def run(*command, **more):
    """What a command prints, without this process's own import path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
        env=environment, **more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    assert wheel.name == f"autoreg-{autoreg.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "autoreg/py.typed" in names
    mine = {str(path.relative_to(ROOT)) for path in (ROOT / "autoreg").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == mine
    assert {name.split("/")[0] for name in names} == {"autoreg", f"autoreg-{autoreg.__version__}.dist-info"}


def test_the_metadata_names_python_extras_and_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = f"autoreg-{autoreg.__version__}.dist-info"
        metadata = archive.read(f"{inside}/METADATA").decode()
        scripts = archive.read(f"{inside}/entry_points.txt").decode()
    for line in (f"Version: {autoreg.__version__}", "Requires-Python: >=3.11", "Provides-Extra: cluster"):
        assert f"\n{line}\n" in metadata
    assert "autoreg = autoreg.__main__:main" in scripts


def test_installed_alone_it_tells_its_version_and_its_help(wheel, tmp_path):
    """Without its libraries, but for click: looking at it loads no other."""
    import click

    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel)
    place = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (place / "click").symlink_to(Path(click.__file__).parent)
    program = tmp_path / "venv" / "bin" / "autoreg"
    assert run(program, "--version", cwd=tmp_path) == f"autoreg {autoreg.__version__}\n"
    assert "autoreg init" in run(program, "--help", cwd=tmp_path)
    shown = "import autoreg, importlib.metadata as m; assert m.version('autoreg') == autoreg.__version__; print(autoreg.__file__)"
    assert run(python, "-c", shown, cwd=tmp_path).startswith(str(place))
