"""The rows of the fault table in benchmarks/faults.py: in their short forms, and as often as they say (``full``)."""

import sys
from pathlib import Path

import pytest
from fault_tools import Driver, Lab, account, broken, study

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import faults

QUICK = (18, 24)
"""Rows whose short form takes seconds."""
BRIEF = (4,)
"""Rows whose short form takes some seconds, and which no other slow test does."""
ALONE = (23,)
"""Rows that time something: not beside other tests."""


@pytest.fixture(scope="module")
def lab():
    with Lab() as made:
        yield made


def holds(row, lab, short):
    found = faults.run(row, lab, short)
    assert not found.wrong, found.note
    if not found.times:
        pytest.skip(found.note)


@pytest.mark.parametrize("row", QUICK)
def test_quick(row, lab):
    holds(row, lab, True)


def marked(row):
    """Most short forms take a minute and more: they belong to the full run."""
    return pytest.param(row, marks=() if row in BRIEF else pytest.mark.full)


@pytest.mark.slow
@pytest.mark.parametrize("row", [marked(row) for row in sorted(set(faults.ROWS) - {*QUICK, *ALONE})])
def test_short(row, lab):
    holds(row, lab, True)


@pytest.mark.full
@pytest.mark.parametrize("row", sorted(faults.ROWS))
def test_full(row, lab):
    holds(row, lab, False)


def test_what_does_not_hold_is_seen(lab):
    """The checks themselves: a study cut short, a shorter one and another one are not taken for the undisturbed one."""
    text = study(6)
    whole = lab.whole(text)
    folder = lab.folder(text)
    store = lab.local(folder)
    assert "0 trials recorded, 6 expected" in broken(store, whole)
    driver = Driver(folder, "tune", "study.toml", "--quiet", env=store.env, step=("set_terminated", 3, False))
    assert driver.wait() == -9
    wrong = broken(store, whole)
    assert "2 runs RUNNING" in wrong
    assert "3 trials recorded, 6 expected" in wrong
    assert "versions [], alias on ''" in wrong
    driver = Driver(folder, "tune", "study.toml", "--quiet", "--seed", 4, env=store.env)
    assert driver.wait() == 0
    assert "trials differ from the undisturbed study's" in broken(store, whole)
    assert len(account(store).parents) == 2


def test_a_row_that_is_in_the_table_is_not_run_again(tmp_path, capsys, monkeypatch):
    place = tmp_path / "faults.csv"
    cells = ("18", "short", "losses", "6", "I", "1.0", "a | b")
    faults._keep(place, [dict(zip(faults.FIELDS, cells, strict=True))])
    monkeypatch.setattr(sys, "argv", ["faults.py", "--rows", "18", "--short", "--out", str(place)])
    assert faults.main() == 0
    assert capsys.readouterr().out.splitlines()[2] == "| 18 | losses | 6 | I (a \\| b) | 1.0 |"
