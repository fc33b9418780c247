"""The holdout by a stable hash, folds and their stop parts: disjoint, covering, balanced, and the same for ever."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.data import load_table, make_split
from autoreg.data.hashing import row_hashes
from autoreg.data.holdout import hold_out
from autoreg.errors import DataError
from autoreg.spec import DataSpec, SplitSpec

SPEC = SplitSpec()


def load(frame, target="y", **options):
    return load_table(DataSpec(source="frame", target=target, **options), "test", Path("."), frame)


def normal(n, seed=0, **columns):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "y": np.arange(n) % 2, **columns})


def check(table, split, expanding=False):
    """What holds for every split."""
    n = len(table.target)
    assert np.array_equal(np.sort(np.concatenate([split.search, split.holdout])), np.arange(n))
    assert len(split.search)
    assert len(split.holdout)
    scored = np.concatenate([fold.score for fold in split.folds])
    assert len(np.unique(scored)) == len(scored)
    for fold in split.folds:
        parts = np.concatenate([fold.train, fold.stop, fold.score])
        assert len(np.unique(parts)) == len(parts)
        assert set(parts) <= set(split.search)
        assert len(fold.train)
        assert len(fold.score)
        assert all(part.dtype == np.int64 for part in (fold.train, fold.stop, fold.score))
        if not expanding:
            assert len(parts) == len(split.search)
        if table.task != "regression":
            assert len(np.unique(table.target[fold.train])) > 1
    if not expanding:
        assert np.array_equal(np.sort(scored), split.search)
    assert json.loads(json.dumps(dict(split.rule))) == split.rule


@given(
    n=st.integers(20, 300),
    classes=st.integers(0, 4),
    folds=st.integers(2, 6),
    holdout=st.sampled_from([0.1, 0.2, 0.4]),
    seed=st.integers(0, 2**31 - 1),
    keyed=st.sampled_from(["content", "id", "group"]),
)
@settings(max_examples=60, deadline=None)
def test_parts_are_disjoint_and_cover(n, classes, folds, holdout, seed, keyed):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n) if classes < 2 else np.arange(n) % classes
    frame = pd.DataFrame({"a": rng.normal(size=n), "y": y, "k": np.arange(n), "g": np.arange(n) // 2})
    roles = {"id": {"id": "k"}, "group": {"group": "g"}, "content": {}}[keyed]
    table = load(frame, task="regression" if classes < 2 else "multiclass", **roles)
    spec = SplitSpec(folds=folds, holdout=holdout)
    try:
        split = make_split(table, spec, seed)
    except DataError as error:
        assert n < 60 and any(key in str(error) for key in ("split.folds", "fold"))  # noqa: PT018
        return
    check(table, split)
    again = make_split(table, spec, seed)
    assert split.rule == again.rule
    for one, other in zip(split.folds, again.folds, strict=True):
        for part in ("train", "stop", "score"):
            assert np.array_equal(getattr(one, part), getattr(other, part))


@given(n=st.integers(40, 200), more=st.integers(1, 100), seed=st.integers(0, 1000), equal=st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_row_never_changes_sides_when_rows_are_added(n, more, seed, equal):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"a": rng.normal(size=n), "c": rng.choice(["u", "v", None], n), "y": np.arange(n) % 2}
    )
    frame.loc[rng.permutation(n)[: min(equal, n // 3)], ["a", "c"]] = [0.5, "u"]
    table = load(frame)
    split = make_split(table, SPEC, seed)
    added = pd.DataFrame({"a": rng.normal(size=more), "c": "a new one", "y": np.arange(more) % 2})
    larger = load(pd.concat([frame, added, frame.iloc[:5]], ignore_index=True))
    later = make_split(larger, SPEC, seed + 1, rule=split.rule)
    assert later.rule == split.rule
    assert np.array_equal(later.holdout[later.holdout < n], split.holdout)


def test_sides_follow_the_content_whatever_the_order_kind_and_dtype_of_columns():
    n = 400
    frame = normal(
        n, code=np.arange(n) % 11, word=["x", "y", None, "z"] * (n // 4), flag=np.arange(n) % 3 == 0
    )
    frame["day"] = pd.date_range("2020-01-01", periods=n).astype(str)
    table = load(frame)
    split = make_split(table, SPEC, 0)
    shuffled = np.random.default_rng(1).permutation(n)
    other = frame.iloc[shuffled, ::-1].astype({"code": "float64", "word": "category"})
    other["day"] = pd.to_datetime(other["day"])
    other["code"] = other["code"].astype(object)
    moved = make_split(load(other), SPEC, 0, rule=split.rule)
    assert np.array_equal(np.sort(shuffled[moved.holdout]), split.holdout)
    odd = frame.astype({"code": object})
    odd.loc[7, "code"] = "seven"  # a number column that turns into words
    later = make_split(load(odd), SPEC, 0, rule=split.rule)
    assert set(later.holdout) ^ set(split.holdout) <= {7}


def test_the_target_never_decides_a_side():
    frame = normal(300)
    split = make_split(load(frame), SPEC, 0)
    flipped = make_split(load(frame.assign(y=1 - frame["y"])), SPEC, 0, rule=split.rule)
    assert np.array_equal(split.holdout, flipped.holdout)


def test_the_holdout_does_not_depend_on_the_seed_but_the_folds_do():
    table = load(normal(300))
    one, other = make_split(table, SPEC, 0), make_split(table, SPEC, 1)
    assert np.array_equal(one.holdout, other.holdout)
    assert any(not np.array_equal(a.score, b.score) for a, b in zip(one.folds, other.folds, strict=True))


def test_equal_rows_stay_on_one_side_unless_they_are_common():
    frame = normal(1000)
    frame.loc[500:504, ["a", "b"]] = 7.0  # .5 % of the rows
    frame.loc[600:999, ["a", "b"]] = 8.0  # 40 %: alone they would make the holdout far too small or large
    split = make_split(load(frame), SPEC, 0)
    few = np.isin(np.arange(500, 505), split.holdout)
    assert few.all() or not few.any()
    many = np.isin(np.arange(600, 1000), split.holdout).mean()
    assert 0.14 < many < 0.26
    assert 0.17 < len(split.holdout) / 1000 < 0.23
    assert len(split.rule["common"]) == 1


@pytest.mark.parametrize("n", [60, 300, 2000])
@pytest.mark.parametrize("classes", [2, 5])
def test_shares_are_within_one_standard_deviation(n, classes):
    for seed in range(5):
        frame = normal(n, seed)
        frame["y"] = np.sqrt(np.arange(n) * classes**2 / n).astype(int)
        table = load(frame, task="multiclass")
        split = make_split(table, SPEC, 0)
        for count, total in [(len(split.holdout), n)] + [
            ((table.target[split.holdout] == k).sum(), (table.target == k).sum())
            for k in range(table.n_classes)
        ]:
            assert abs(count - 0.2 * total) <= max(1, np.sqrt(0.16 * total))


def test_the_hash_is_uniform_and_independent_between_salts():
    keys = row_hashes(pd.DataFrame({"a": np.arange(20_000)}), {"a": "numeric"}, ["a"])
    table = load(normal(20_000, a=np.arange(20_000)))
    held = [
        hold_out(
            table,
            SPEC,
            table.target,
            {"mode": "content", "holdout": 0.2, "columns": ["a"], "common": [], "salt": s},
        )[1]
        for s in range(20)
    ]
    shares = np.array([h.mean() for h in held])
    assert len(np.unique(keys)) == 20_000
    assert np.abs(shares - 0.2).max() < 4 * np.sqrt(0.16 / 20_000)
    together = np.mean([(held[i] & held[i + 1]).mean() for i in range(19)])
    assert abs(together - 0.04) < 0.002


def test_the_hash_is_the_same_on_every_machine():
    frame = pd.DataFrame({"n": [1.5, -0.0, np.nan], "c": ["a", "\u00e9", None]})
    found = row_hashes(frame, {"n": "numeric", "c": "category"}, ["n", "c"])
    assert [f"{value:016x}" for value in found.tolist()] == [
        "1338ef32f2664bc0",
        "a2ce5cfb38f42ada",
        "6a16ea7ed979eaa2",
    ]


def test_folds_are_stratified_by_class():
    frame = normal(500)
    frame["y"] = (np.arange(500) % 10 == 0).astype(int)
    table = load(frame)
    split = make_split(table, SPEC, 3)
    counts = [(table.target[fold.score] == 1).sum() for fold in split.folds]
    assert max(counts) - min(counts) <= 1
    sizes = [len(fold.score) for fold in split.folds]
    assert max(sizes) - min(sizes) <= 1
    for fold in split.folds:
        assert (
            abs(
                (table.target[fold.stop] == 1).sum()
                - 0.15 * (table.target[np.r_[fold.stop, fold.train]] == 1).sum()
            )
            <= 1
        )
        assert abs(len(fold.stop) - 0.15 * (len(fold.stop) + len(fold.train))) <= 1


def test_folds_of_a_regression_are_stratified_by_the_target():
    rng = np.random.default_rng(0)
    table = load(normal(500, y=np.exp(rng.normal(size=500) * 2)))
    split = make_split(table, SPEC, 0)
    means = [np.log(table.target[part]).mean() for fold in split.folds for part in (fold.score, fold.stop)]
    assert np.ptp(means) < 0.45  # plain chance would give about .9 between ten parts of 80 and 48 rows
    assert abs(np.log(table.target[split.holdout]).mean() - np.log(table.target).mean()) < 0.3


def test_groups_never_part():
    rng = np.random.default_rng(0)
    n = 600
    table = load(normal(n, g=rng.integers(0, 60, n), k=np.arange(n)), group="g", id="k")
    split = make_split(table, SPEC, 0)
    check(table, split)
    parts = [split.search, split.holdout]
    assert not set(table.group[parts[0]]) & set(table.group[parts[1]])
    for fold in split.folds:
        train, stop, score = (set(table.group[p]) for p in (fold.train, fold.stop, fold.score))
        assert not train & stop
        assert not train & score
        assert not stop & score
        assert len(stop)
    assert split.rule["mode"] == "group"


def test_group_folds_are_balanced_in_size_and_class():
    rng = np.random.default_rng(1)
    n = 2000
    group = rng.integers(0, 40, n) ** 2 // 8
    frame = normal(n, g=group)
    frame["y"] = (rng.random(n) < 0.05 + 0.4 * (group % 5 == 0)).astype(int)
    table = load(frame, group="g")
    split = make_split(table, SPEC, 0)
    largest = np.bincount(pd.factorize(table.group[split.search])[0]).max()
    sizes = np.array([len(fold.score) for fold in split.folds])
    assert sizes.max() - sizes.min() <= max(largest, 0.05 * len(split.search))
    shares = [table.target[fold.score].mean() for fold in split.folds]
    assert np.ptp(shares) < 0.1


@pytest.mark.parametrize("dated", [True, False])
def test_time_trains_on_earlier_rows_and_scores_later_ones(dated):
    n = 500
    when = np.arange(n) // 3
    shuffled = np.random.default_rng(0).permutation(n)
    values = pd.Timestamp("2024-01-01") + pd.to_timedelta(when, "h") if dated else when.astype(float)
    frame = normal(n, t=values).iloc[shuffled].reset_index(drop=True)
    table = load(frame, time="t")
    split = make_split(table, SPEC, 0)
    check(table, split, expanding=True)
    time = table.time
    assert time[split.search].max() < time[split.holdout].min()
    assert abs(len(split.holdout) / n - 0.2) < 0.01
    ends = []
    for fold in split.folds:
        assert time[fold.train].max() < time[fold.stop].min() if len(fold.stop) else True
        assert time[np.r_[fold.train, fold.stop]].max() < time[fold.score].min()
        wanted = round(0.15 * (len(fold.stop) + len(fold.train)))
        assert not len(fold.stop) or wanted - 3 < len(fold.stop) <= wanted
        ends.append(time[fold.score].max())
    assert ends == sorted(ends)
    assert ends[-1] == time[split.search].max()
    assert [len(f.train) + len(f.stop) for f in split.folds] == sorted(
        len(f.train) + len(f.stop) for f in split.folds
    )
    shifted = make_split(table, SPEC, 1)
    assert np.array_equal(shifted.holdout, split.holdout)
    assert any(len(a.train) != len(b.train) for a, b in zip(split.folds, shifted.folds, strict=True))
    later = make_split(
        load(frame.iloc[:-20], time="t"), SPEC, 0, rule=json.loads(json.dumps(dict(split.rule)))
    )
    assert set(later.holdout) == {i for i in split.holdout if i < n - 20}


def test_few_rows_or_rare_classes_have_no_stop_part():
    few = make_split(load(normal(60)), SPEC, 0)
    assert all(len(fold.stop) == 0 for fold in few.folds)
    many = make_split(load(normal(300)), SPEC, 0)
    assert all(len(fold.stop) >= 20 for fold in many.folds)
    rare = make_split(load(normal(300, y=[1] * 8 + [0] * 292)), SPEC, 0)
    assert all(len(fold.stop) == 0 for fold in rare.folds)
    off = make_split(load(normal(300)), SplitSpec(stop=0.0), 0)
    assert all(len(fold.stop) == 0 for fold in off.folds)


def test_a_class_of_two_rows_is_kept():
    frame = normal(300, y=["rare"] * 2 + ["a", "b"] * 149)
    table = load(frame)
    split = make_split(table, SPEC, 0)
    check(table, split)
    rare = table.classes.index("rare")
    assert (table.target[split.search] == rare).any()


@pytest.mark.parametrize("n", [10, 12, 20])
def test_very_small_tables_work_or_say_why(n):
    table = load(normal(n))
    split = make_split(table, SplitSpec(folds=2), 0)
    check(table, split)


@pytest.mark.parametrize(
    ("columns", "roles", "spec", "told"),
    [
        (
            {"g": np.arange(100) % 4},
            {"group": "g"},
            SPEC,
            "4 groups cannot fill a holdout and split.folds = 5",
        ),
        ({"g": np.arange(100) % 2}, {"group": "g"}, SplitSpec(folds=2), "2 groups cannot fill"),
        ({"g": np.zeros(100)}, {"group": "g"}, SPEC, "1 groups cannot fill"),
        ({"t": np.arange(100) // 50}, {"time": "t"}, SPEC, "2 different times, at least 3 are needed"),
        (
            {"t": np.arange(100) // 25},
            {"time": "t"},
            SPEC,
            "too few for split.folds = 5; lower split.folds to 2",
        ),
        ({"t": np.arange(100), "g": np.arange(100)}, {"time": "t", "group": "g"}, SPEC, "cannot be combined"),
        (
            {"t": np.arange(100), "y": [0] * 60 + [1] * 40},
            {"time": "t"},
            SPEC,
            "would train on class 0 alone",
        ),
        (
            {"g": np.arange(100) // 5, "y": [1] * 5 + [0] * 95},
            {"group": "g"},
            SPEC,
            "would train on class 0 alone",
        ),
        ({"y": [1] * 2 + [0] * 98}, {}, SplitSpec(folds=10), ""),
        ({"a": 1.0, "b": np.arange(100) % 2}, {}, SPEC, ""),
        ({}, {}, SplitSpec(folds=20), ""),
    ],
)
def test_refusals_are_one_line(columns, roles, spec, told):
    table = load(normal(100, **columns), **roles)
    if not told:
        check(table, make_split(table, spec, 0))
        return
    with pytest.raises(DataError, match=r"^[^\n]*$") as caught:
        make_split(table, spec, 0)
    assert told in str(caught.value)


def test_too_few_rows_for_the_folds():
    with pytest.raises(DataError, match="split.folds = 12 needs at least 24 rows outside the holdout, found"):
        make_split(load(normal(25)), SplitSpec(folds=12), 0)


def test_a_rule_that_does_not_fit_the_table():
    table = load(normal(100, k=np.arange(100)), id="k")
    split = make_split(table, SPEC, 0)
    bare = replace(table, id=None)
    with pytest.raises(DataError, match="data.id: the split goes by it"):
        make_split(bare, SPEC, 0, rule=split.rule)
    with pytest.raises(DataError, match="data.time: the split goes by time"):
        make_split(bare, SPEC, 0, rule={"mode": "time", "holdout": 0.2, "cutoff": 3.0})
    content = make_split(bare, SPEC, 0).rule
    with pytest.raises(DataError, match="column 'b' decides the side of a row"):
        make_split(load(normal(100).drop(columns="b")), SPEC, 0, rule=content)


def weighted(weight, **roles):
    """The message when a table of these weights is divided."""
    columns = {"w": weight} | ({"t": np.arange(len(weight))} if "time" in roles else {})
    with pytest.raises(DataError) as caught:
        make_split(load(normal(len(weight), **columns), weight="w", **roles), SPEC, 0)
    return str(caught.value)


def test_a_part_in_which_every_row_weighs_nothing_is_refused():
    late = np.arange(600)
    told = weighted((late >= 240) * 1.0, time="t")
    assert re.match("data.weight: all \\d+ rows of the train part of fold 0 have weight 0; leave rows", told)
    assert "\n" not in told
    assert "the holdout have weight 0" in weighted((late < 300) * 1.0, time="t")
    assert "part of fold" in weighted((late % 100 == 0) * 1.0)


def test_few_rows_that_count_are_divided():
    weight = np.zeros(600)
    weight[np.random.default_rng(0).choice(600, 60, replace=False)] = 1.0
    split = make_split(load(normal(600, w=weight), weight="w"), SPEC, 0)
    parts = [split.holdout] + [rows for f in split.folds for rows in (f.train, f.stop, f.score)]
    assert all(weight[rows].sum() > 0 for rows in parts if len(rows))
