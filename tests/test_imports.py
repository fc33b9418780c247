"""Looking at autoreg costs next to nothing: no heavy library is loaded until a command needs it."""

import subprocess
import sys

import pytest

HEAVY = [
    "tensorflow",
    "keras",
    "xgboost",
    "mlflow",
    "optuna",
    "sklearn",
    "scipy",
    "pandas",
    "pydantic",
    "rich",
    "numpy",
]
CODE = """
import sys
{setup}
heavy = sorted({{name.partition(".")[0] for name in sys.modules}} & set({heavy}))
print("loaded:", *heavy)
"""
RUN = "from autoreg.__main__ import main; assert main({args}) == {code}"


def loaded_by(setup):
    code = CODE.format(setup=setup, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    "setup",
    [
        "import autoreg; autoreg.__version__",
        RUN.format(args=["--help"], code=0),
        RUN.format(args=["tune", "--help"], code=0),
        RUN.format(args=["tune", "--trails", "3"], code=64),
        RUN.format(args=["--version"], code=0),
    ],
)
def test_nothing_heavy_is_loaded(setup):
    assert loaded_by(setup) == []


def test_the_check_sees_what_is_loaded():
    assert loaded_by("import numpy") == ["numpy"]


def test_missing_attribute_of_the_package_is_an_attribute_error():
    import autoreg

    with pytest.raises(AttributeError, match="no attribute 'tuna'"):
        _ = autoreg.tuna
