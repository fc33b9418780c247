from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoreg.data.alone import foretell
from autoreg.data.leaks import find_leaks
from autoreg.data.load import load_table
from autoreg.spec import DataSpec

N = 1000


def load(frame, **options):
    return load_table(DataSpec(source="x.csv", target="y", **options), "t", Path("."), frame=frame)


def told(table):
    return [note for note in table.notes if "alone tell" in note]


def test_columns_that_tell_the_target_are_pointed_out():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    frame = pd.DataFrame({"x": rng.normal(size=N), "bit": rng.integers(0, 2, N), "y": y})
    frame["score"] = y * 10 + rng.random(N)
    frame["label"] = np.array(["lo", "mid", "hi"])[y]
    frame["weak"] = y + rng.normal(size=N)
    frame["holes"] = np.where(rng.random(N) < 0.95, np.nan, frame["x"])
    frame["row"] = [f"r{i} {y[i]}" for i in range(N)]
    table = load(frame)
    assert table.suspects == ("score", "label", "row")
    assert "column 'row' by its last word alone tells the target (errors avoided 1.000 on rows" in "".join(
        told(table)
    )
    frame["y"] = np.exp(frame["x"])
    assert load(frame).suspects == ("x",)
    assert load(frame.assign(x=frame["x"] + rng.normal(size=N) * 0.2)).suspects == ()


def two(n=N, share=0.5, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return rng, y, pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n), "y": y})


KINDS = {
    "copy": lambda rng, y: y,
    "other name": lambda rng, y: np.where(y == 1, "yes", "no"),
    "one word each": lambda rng, y: [f"{'ab'[v]}{k}" for v, k in zip(y, rng.integers(0, 40, len(y)), strict=True)],
    "turned over": lambda rng, y: -3.0 * y + rng.random(len(y)),
    "not monotone": lambda rng, y: np.where(y == 1, rng.choice([-1.0, 1.0], len(y)), 0) + rng.normal(size=len(y)) / 9,
    "1 % wrong": lambda rng, y: np.where(rng.random(len(y)) < 0.01, 1 - y, y),
    "missing where": lambda rng, y: np.where(y == 1, rng.normal(size=len(y)), np.nan),
    "known after": lambda rng, y: np.where(y == 1, rng.integers(1, 900, len(y)), 0),
    "row order": lambda rng, y: np.argsort(np.argsort(y, kind="stable")),
    "a date": lambda rng, y: pd.Timestamp("2020-01-01") + pd.to_timedelta(y * 400 + rng.integers(0, 300, len(y)), "D"),
    "truth": lambda rng, y: pd.Series(y == 1).where(rng.random(len(y)) < 0.99).astype(object),
    "numbers as words": lambda rng, y: [str(v) if v else "?" for v in y * rng.integers(1, 99, len(y))],
}  # fmt: skip


@pytest.mark.parametrize("share", [0.5, 0.06])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_leak_is_found(kind, share):
    rng, y, frame = two(share=share)
    frame["given"] = KINDS[kind](rng, y)
    table = load(frame)
    assert table.suspects == ("given",)
    (note,) = told(table)
    assert note.startswith("warning: column 'given' ")
    assert "drop it, or name it in data.trusted" in note
    assert ("by where it is missing" in note) == (kind in ("missing where", "numbers as words"))


def test_the_order_of_rows_is_named_where_it_is_the_reason():
    frame = two()[2]
    frame = frame.sort_values("y").reset_index(drop=True)
    frame["ticket"] = np.arange(N) * 3 + 7
    assert "it goes with the order of the rows" in told(load(frame))[0]
    assert "order" not in told(load(frame.sample(frac=1, random_state=0)))[0]


def test_bands_of_a_number_give_it_away():
    rng = np.random.default_rng(0)
    y = rng.gamma(2, 100, N)
    frame = pd.DataFrame({"x": rng.normal(size=N), "y": y, "band": pd.qcut(y, 5, labels=False)})
    frame["dear"] = np.where(y > 200, "dear", "cheap")
    frame["near"] = np.where(y * rng.lognormal(0, 0.2, N) > 200, "dear", "cheap")
    frame["rare"] = (y > np.quantile(y, 0.98)).astype(int)
    table = load(frame)
    assert table.suspects == ("band", "dear")
    assert "its values are bands of it" in told(table)[0]


def test_a_name_like_the_target_is_a_hint_where_the_column_tells_much():
    rng, y, frame = two()
    frame["y_flag"] = frame["other"] = np.where(rng.random(N) < 0.035, 1 - y, y)
    frame["churn_flag"], frame["churn_rank"] = frame["other"], rng.normal(size=N)
    kinds = dict.fromkeys(["other", "churn_flag", "churn_rank"], "numeric")
    found = find_leaks(frame[list(kinds)], kinds, y, 2, name="Churn")
    assert found.suspects == ("churn_flag",)
    assert load(frame).suspects == ()  # "y" is too short a name to find in another


def test_a_trusted_column_is_not_told():
    _, y, frame = two()
    kinds = {"x": "numeric", "a": "numeric", "b": "numeric"}
    frame = frame.assign(a=y, b=y)
    assert find_leaks(frame[list(kinds)], kinds, y, 2).suspects == ("a", "b")
    assert find_leaks(frame[list(kinds)], kinds, y, 2, trusted=("a",)).suspects == ("b",)


def test_many_columns_are_one_line():
    _, y, frame = two()
    notes = told(load(frame.assign(**{f"c{i}": y * (i + 1) for i in range(40)})))
    assert len(notes) == 6
    assert notes[-1].startswith("warning: 35 more columns each alone tell the target: 'c5', 'c6'")


def test_what_rows_lack_is_told_where_no_column_does():
    rng, y, frame = two()
    gaps = rng.integers(0, 4, N)
    for i in range(4):
        frame[f"g{i}"] = np.where((gaps == i) & (y == 1), np.nan, rng.normal(size=N))
    table = load(frame)
    assert table.suspects == ()
    assert "warning: how many values a row lacks alone tells the target (AUC 1.000" in table.notes[-1]


def test_chance_is_no_leak():
    rng = np.random.default_rng(0)
    for n, p in ((20, 3000), (30, 3000), (62, 2000), (500, 300)):
        X = rng.normal(size=(n, p)).round(1)
        for y, k in ((np.arange(n) % 2, 2), ((np.arange(n) < 3).astype(int), 2), (np.arange(n) % 3, 3)):
            kinds = dict.fromkeys(map(str, range(p)), "numeric")
            frame = pd.DataFrame(X, columns=list(kinds))
            assert find_leaks(frame, kinds, y, k).suspects == ()
        assert find_leaks(frame, kinds, rng.normal(size=n), 0).suspects == ()


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "wine", "digits", "diabetes"])
def test_ordinary_data_are_not_called_leaking(name):
    spec = DataSpec(source=f"sklearn:{name}", target="target")
    assert load_table(spec, "t", Path(".")).suspects == ()


def test_copies_and_groups_do_not_make_a_column_look_good():
    frame = two()[2]
    twice = pd.concat([frame, frame], ignore_index=True)  # every value of x is there twice, with its answer
    table = load(twice)
    assert table.suspects == ()
    assert any("1000 rows (50.0%) are exact copies of others" in note for note in table.notes)
    assert not any("copies" in note for note in load(frame).notes)
    frame["patient"] = np.arange(N) // 4
    frame["y"] = frame.groupby("patient")["y"].transform("first")
    frame["height"] = frame.groupby("patient")["x"].transform("first")
    assert load(frame, group="patient").suspects == ()
    assert load(frame.drop(columns="patient")).suspects == ("height",)


def test_a_column_is_foretold_from_other_rows_alone():
    y = np.arange(200) % 2
    own = np.arange(200.0)[:, None]  # a value of its own for every row, in the order of a coin's tosses
    assert foretell(own, np.array([True]), y, 2).values[0] == pytest.approx(0.5)
    pairs = foretell(np.repeat(np.arange(100.0), 2)[:, None], np.array([False]), y, 2)
    assert pairs.values[0] == 0  # the other one of each pair always has the other class
    assert foretell(np.empty((5, 0)), np.empty(0, bool), y[:5], 2).values.shape == (0,)


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_nothing_to_look_at_is_no_trouble(n_classes):
    empty = pd.DataFrame({"x": np.full(40, np.nan), "w": pd.Series([None] * 40, dtype=object)})
    y = np.arange(40) % n_classes if n_classes else np.arange(40.0)
    kinds = {"x": "numeric", "w": "text"}
    assert find_leaks(empty, kinds, y, n_classes, trusted=("x", "w")).suspects == ()
    assert find_leaks(empty, kinds, y, n_classes).suspects == ()
    assert find_leaks(empty.iloc[:10], kinds, y[:10], n_classes).suspects == ()
