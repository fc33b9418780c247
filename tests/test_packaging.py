"""The wheel: what is in it, that it is the program when it is installed, and that all say the same about versions."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import autoreg

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ABOUT = PROJECT["project"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CHANGELOG.md"]


def floor(specifier):
    """The lower bound of a specifier such as ">=3.11,<4"."""
    (found,) = [each.version for each in SpecifierSet(str(specifier)) if each.operator == ">="]
    return Version(found)


def test_every_library_has_a_lower_bound_and_an_extra_asks_for_no_other():
    extras = [Requirement(line) for extra in ABOUT["optional-dependencies"].values() for line in extra]
    bounds = {}
    for asked in [*map(Requirement, ABOUT["dependencies"]), *extras]:
        assert bounds.setdefault(asked.name, floor(asked.specifier)) == floor(asked.specifier), asked.name


def test_the_oldest_python_is_the_same_for_all():
    oldest = floor(ABOUT["requires-python"])
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.major}{oldest.minor}"
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text(encoding="utf-8"))
    assert environment["python"] in SpecifierSet(ABOUT["requires-python"])
    said = {
        page.name: re.findall(r"Python (3\.\d+) or newer", page.read_text(encoding="utf-8")) for page in PAGES
    }
    assert {"README.md", "tutorial.md"} <= {name for name, found in said.items() if found}
    assert {version for found in said.values() for version in found} == {str(oldest)}


def test_the_pythons_of_the_classifiers_are_those_allowed_and_said():
    start = "Programming Language :: Python :: 3."
    named = [line.rpartition(" ")[2] for line in ABOUT["classifiers"] if line.startswith(start)]
    assert named == sorted(set(named), key=Version)
    assert Version(named[0]) == floor(ABOUT["requires-python"])
    assert all(version in SpecifierSet(ABOUT["requires-python"]) for version in named)
    said = re.search(r"tested on Python ([\d., and]+\d)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert re.findall(r"3\.\d+", said[1]) == named


def test_no_page_asks_for_a_library_older_than_the_bound():
    """Pages may say `scikit-learn>=1.8`, or less: then a reader would install what the package refuses."""
    bounds = {asked.name: asked.specifier for asked in map(Requirement, ABOUT["dependencies"])}
    for page in PAGES:
        for name, version in re.findall(r"([\w-]+)[>=]=(\d[\d.]*\d|\d)", page.read_text(encoding="utf-8")):
            assert name not in bounds or version in bounds[name], f"{page.name}: {name} {version}"


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


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    assert wheel.name == f"autoreg-{autoreg.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "autoreg/py.typed" in names
    mine = {str(path.relative_to(ROOT)) for path in (ROOT / "autoreg").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == mine
    assert {name.split("/")[0] for name in names} == {"autoreg", f"autoreg-{autoreg.__version__}.dist-info"}


@pytest.mark.slow
def test_the_metadata_names_python_extras_and_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = f"autoreg-{autoreg.__version__}.dist-info"
        metadata = archive.read(f"{inside}/METADATA").decode()
        scripts = archive.read(f"{inside}/entry_points.txt").decode()
    for line in (f"Version: {autoreg.__version__}", "Requires-Python: >=3.11", "Provides-Extra: cluster"):
        assert f"\n{line}\n" in metadata
    assert "autoreg = autoreg.__main__:main" in scripts


@pytest.mark.slow
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
