"""Encodings fitted on the train part alone, kept as plain data, and the same for equal values wherever they come from."""

import datetime
import decimal
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg import serving
from autoreg.data import encode, fit_preprocessor, load_table, make_split
from autoreg.errors import DataError
from autoreg.serving import LinearMember, Package, Preprocessor
from autoreg.spec import DataSpec, SplitSpec
from autoreg.trial import Fold

N = 200
NONE = np.empty(0, np.int64)


def load(frame, target="y", **options):
    return load_table(DataSpec(source="frame", target=target, **options), "test", Path("."), frame)


def mixed(n=N, seed=0):
    """Every kind of column, all with missing values."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n).astype(float),
            "income": np.exp(rng.normal(8, 3, n)),
            "member": rng.choice([True, False, None], n, p=[0.5, 0.4, 0.1]),
            "city": rng.choice(["Bern", "Basel", "Chur", None], n),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 30_000, n), "h"),
            "note": [
                f"sent {i} letters on {rng.choice(['monday', 'friday'])} number {i * 7}" for i in range(n)
            ],
        }
    )
    for column in ("age", "since", "note"):
        frame.loc[rng.random(n) < 0.1, column] = None
    return frame.assign(y=np.arange(n) % 2)


def column(table, encoding, name, rows=None):
    """One encoded column over all rows of a table, by its name."""
    rows = np.arange(len(table.target)) if rows is None else rows
    fitted = fit_preprocessor(table, rows, encoding)
    return fitted.transform(table.features)[:, fitted.state["columns"].index(name)]


def names(table, encoding="dense", rows=None):
    rows = np.arange(len(table.target)) if rows is None else rows
    return fit_preprocessor(table, rows, encoding).state["columns"]


# --- dense --------------------------------------------------------------------------------------------------------


def test_numbers_are_filled_and_standardised():
    values = np.array([1.0, 2.0, 3.0, 10.0] * 50)
    holed = np.where(np.arange(N) % 8 == 0, np.nan, values)
    table = load(pd.DataFrame({"whole": values, "holed": holed, "y": np.arange(N) % 2}))
    assert names(table) == ["whole", "holed", "holed missing"]
    np.testing.assert_allclose(column(table, "dense", "whole"), (values - 4) / values.std(), rtol=1e-6)
    filled = np.where(np.isnan(holed), 3.0, holed)
    np.testing.assert_allclose(
        column(table, "dense", "holed"), (filled - filled.mean()) / filled.std(), rtol=1e-6
    )
    np.testing.assert_array_equal(column(table, "dense", "holed missing"), np.isnan(holed))


def test_a_column_constant_in_its_fold_is_zero_for_every_row():
    frame = pd.DataFrame({"x": np.r_[np.full(100, 7.0), np.arange(100)], "z": np.arange(N) * 1.0})
    frame["flag"] = np.arange(N) < 100
    table = load(frame.assign(y=np.arange(N) % 2))
    first = np.arange(100)
    assert not column(table, "dense", "x", first).any()
    assert not column(table, "dense", "flag", first).any()
    tiny = load(pd.DataFrame({"x": 1e9 + np.arange(N) * 1e-9, "z": frame["z"], "y": np.arange(N) % 2}))
    assert np.abs(column(tiny, "dense", "x")).max() <= 10


def test_missing_values_that_the_train_part_did_not_have_take_its_median():
    values = np.where(np.arange(N) < 150, np.arange(N) % 7, np.nan)
    table = load(pd.DataFrame({"x": values, "y": np.arange(N) % 2}))
    rows = np.arange(150)
    assert names(table, rows=rows) == ["x"]
    late = column(table, "dense", "x", rows)[150:]
    np.testing.assert_allclose(late, column(table, "dense", "x", rows)[3], rtol=1e-6)
    assert names(table, rows=np.arange(150, N)) == ["x"]  # no indicator either: it would be constant
    empty = column(table, "dense", "x", np.arange(150, N))
    assert not empty.any()


def test_heavy_tails_are_clipped_and_the_largest_numbers_stay_finite():
    values = np.r_[np.zeros(N - 2) + np.arange(N - 2) % 3, 1e300, -1.7e308]
    table = load(pd.DataFrame({"x": values, "big": values[::-1] * 1e-3, "y": np.arange(N) % 2}))
    fitted = fit_preprocessor(table, np.arange(N - 2), "dense")
    dense = fitted.transform(table.features)
    assert np.abs(dense).max() == 10
    assert dense[-1, 0] == -10
    everything = fit_preprocessor(table, np.arange(N), "dense").transform(table.features)
    assert np.isfinite(everything).all()
    tree = fit_preprocessor(table, np.arange(N), "tree").transform(table.features)
    assert np.isfinite(tree).all()


def test_booleans_are_zero_and_one_and_filled_with_the_commoner():
    flags = [True, True, None, False] * 50
    table = load(pd.DataFrame({"flag": flags, "y": np.arange(N) % 2}))
    assert names(table) == ["flag", "flag missing"]
    assert column(table, "dense", "flag")[:4].tolist() == [1, 1, 1, 0]
    assert column(table, "dense", "flag missing")[:4].tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(column(table, "tree", "flag")[:4], [1, 1, np.nan, 0])
    even = load(pd.DataFrame({"flag": [True, None, False, None] * 50, "y": np.arange(N) % 2}))
    assert set(column(even, "dense", "flag")) == {0, 1}


def test_levels_rare_levels_and_missing_ones():
    words = ["a"] * 90 + ["b"] * 60 + ["c"] * 40 + ["once"] + [None] * 9
    table = load(pd.DataFrame({"w": words, "y": np.arange(N) % 2}))
    assert names(table) == ["w=a", "w=b", "w=c", "w=missing", "w=rare"]
    fitted = fit_preprocessor(table, np.arange(N), "dense")
    serve = pd.DataFrame({"w": ["a", "once", None, "never seen", np.nan, pd.NA, "  ", "b"]})
    where = fitted.transform(serve).argmax(axis=1).tolist()
    assert where == [0, 4, 3, 4, 3, 3, 3, 1]
    assert (fitted.transform(serve).sum(axis=1) == 1).all()
    tree = fit_preprocessor(table, np.arange(N), "tree")
    assert tree.state["levels"] == [4]
    codes = tree.transform(serve)[:, 0]
    np.testing.assert_array_equal(codes, [0, 3, np.nan, 3, np.nan, np.nan, np.nan, 1])


def test_unseen_levels_without_a_rare_one():
    table = load(
        pd.DataFrame(
            {"w": ["a", "b", "c", "a"] * 50, "two": ["p", "q", "q", "q"] * 50, "y": np.arange(N) % 2}
        )
    )
    assert names(table) == ["w=a", "w=b", "w=c", "two=p"]
    serve = pd.DataFrame({"w": ["z", None], "two": ["z", "p"]})
    dense = fit_preprocessor(table, np.arange(N), "dense").transform(serve)
    assert dense.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]
    assert np.isnan(fit_preprocessor(table, np.arange(N), "tree").transform(serve)[0]).all()


def test_many_levels_are_cut_at_sixty():
    words = [f"w{i % 80}" for i in range(1600)]
    table = load(pd.DataFrame({"w": words, "x": np.arange(1600) % 7, "y": np.arange(1600) % 2}))
    tree = fit_preprocessor(table, np.arange(1600), "tree")
    assert tree.state["levels"] == [0, 61]
    assert tree.transform(table.features)[:, 1].max() == 60
    assert len(names(table)) == 1 + 61


def test_equal_values_are_one_level_however_they_are_written():
    table = load(pd.DataFrame({"w": pd.Categorical([1, 2, 3, 1] * 50), "y": np.arange(N) % 2}))
    for encoding in ("dense", "tree"):
        fitted = fit_preprocessor(table, np.arange(N), encoding)
        ones = [1, 1.0, "1", " 1 ", "1.0", np.int64(1), np.float32(1), np.uint8(1)]
        got = fitted.transform(pd.DataFrame({"w": pd.Series(ones, dtype=object)}))
        assert (got == got[0]).all()
        for dtype in ("int8", "float32", "Int64", "string", "category"):
            assert (fitted.transform(pd.DataFrame({"w": pd.Series([1, 1]).astype(dtype)})) == got[0]).all()
    flags = load(pd.DataFrame({"w": pd.Categorical([True, False, True, "x"] * 50), "y": np.arange(N) % 2}))
    fitted = fit_preprocessor(flags, np.arange(N), "dense")
    got = fitted.transform(pd.DataFrame({"w": [True, "True", "true", "TRUE", np.bool_(True)]}))
    assert (got == got[0]).all()
    assert got[0].sum() == 1


def test_dates_become_days_and_points_on_circles_where_these_vary():
    hours = pd.date_range("2023-12-01T00:00", periods=N, freq="37h")
    days = pd.date_range("2024-01-01", periods=N, freq="7D")
    table = load(pd.DataFrame({"h": hours, "d": days.astype(str), "y": np.arange(N) % 2}))
    found = names(table)
    circles = ["month sin", "month cos", "weekday sin", "weekday cos", "hour sin", "hour cos"]
    assert found == ["h", *(f"h {c}" for c in circles), "d", "d month sin", "d month cos"]
    np.testing.assert_allclose(
        column(table, "dense", "h hour sin"), np.sin(2 * np.pi * hours.hour / 24), atol=1e-5
    )
    np.testing.assert_allclose(
        column(table, "dense", "h weekday cos"), np.cos(2 * np.pi * hours.day_of_week / 7), atol=1e-6
    )
    assert names(table, "tree") == ["h", "h month", "h weekday", "h hour", "d", "d month"]
    np.testing.assert_array_equal(column(table, "tree", "h weekday"), hours.day_of_week)
    np.testing.assert_array_equal(column(table, "tree", "d month"), days.month - 1)
    np.testing.assert_allclose(column(table, "tree", "d"), (days - pd.Timestamp(0)).days)
    missing = fit_preprocessor(table, np.arange(N), "tree").transform(
        pd.DataFrame({"h": [None], "d": [pd.NaT]})
    )
    assert np.isnan(missing).all()


@pytest.mark.parametrize("encoding", ["dense", "tree"])
def test_a_date_is_the_same_however_it_is_written(encoding):
    moments = pd.date_range("2024-01-01", periods=N, freq="31h")
    table = load(pd.DataFrame({"d": moments, "y": np.arange(N) % 2}))
    fitted = fit_preprocessor(table, np.arange(N), encoding)
    want = fitted.transform(table.features)
    for other in (
        moments.tz_localize("UTC").tz_convert("Asia/Tokyo"),
        moments.strftime("%Y-%m-%dT%H:%M:%SZ"),
        moments.strftime("%Y-%m-%d %H:%M"),
        moments.to_pydatetime(),
        moments.as_unit("s"),
    ):
        np.testing.assert_allclose(fitted.transform(pd.DataFrame({"d": other})), want, atol=1e-5)


def test_text_of_a_package_made_before_words_were_weighed_is_a_signed_bag_of_words_of_length_one():
    state = {
        "dense": False, "numeric": [], "booleans": 0, "void": {}, "date": [], "category": [],
        "text": [{"name": "note", "dims": 64, "hole": 1}],
    }  # fmt: skip
    fitted = Preprocessor(state)
    serve = pd.DataFrame({"note": ["A letter, on MONDAY!", "monday on letter a", "a b", None, "", "..."]})
    got = fitted.transform(serve)
    np.testing.assert_array_equal(got[0], got[1])
    np.testing.assert_allclose(np.linalg.norm(got[:3, :64], axis=1), 1, rtol=1e-6)
    assert not got[3:, :64].any()
    assert got[:, 64].tolist() == [0, 0, 0, 1, 1, 0]
    words = [f"word{i}" for i in range(2000)]
    sums = serving.hashed(pd.Series(words), 64)[:, :64].sum(axis=0)
    assert np.abs(sums).max() < 4.5 * np.sqrt(2000 / 64)


# --- fitted on the train part alone -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["dense", "tree"])
def test_nothing_is_learned_from_other_rows(encoding):
    frame = mixed()
    rows = np.arange(0, N, 2)
    other = frame.copy()
    strange = np.arange(1, N, 2)
    other.loc[strange, "age"] = 1e6
    other.loc[strange, "city"] = "Atlantis"
    other.loc[strange, "since"] = pd.Timestamp("1900-01-01T07:00")
    other.loc[strange, "member"] = None
    other.loc[strange, "note"] = "words of other rows"
    one, two = (fit_preprocessor(load(f), rows, encoding) for f in (frame, other))
    assert one.state == two.state


def test_the_preprocessing_of_a_fold_can_be_had_with_it():
    table = load(mixed())
    fold = make_split(table, SplitSpec(), 0).folds[0]
    encoded, fitted = encode(table, fold, "dense", None)
    assert np.array_equal(fitted.transform(table.features.iloc[fold.score]), encoded.score.X)
    assert tuple(fitted.state["columns"]) == encoded.columns


def test_encode_gives_the_parts_of_a_fold():
    table = load(mixed(400))
    split = make_split(table, SplitSpec(), 0)
    weight = np.arange(400) * 0.5
    fold = split.folds[0]
    for encoding in ("dense", "tree"):
        data = encode(table, fold, encoding, weight)[0]
        for part, rows in ((data.train, fold.train), (data.stop, fold.stop), (data.score, fold.score)):
            assert part.X.dtype == np.float32
            assert part.X.shape == (len(rows), len(data.columns))
            np.testing.assert_array_equal(part.y, table.target[rows])
            np.testing.assert_array_equal(part.weight, weight[rows])
        assert len(data.levels) == len(data.columns) == len(set(data.columns))
        assert (data.task, data.n_classes) == ("binary", 2)
        if encoding == "dense":
            assert np.isfinite(data.train.X).all()
            assert not any(data.levels)
            ordinary = [i for i, c in enumerate(data.columns) if c in ("age", "since")]
            np.testing.assert_allclose(data.train.X[:, ordinary].mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(data.train.X[:, ordinary].std(axis=0), 1, atol=1e-5)
        else:
            assert [data.columns[i] for i, k in enumerate(data.levels) if k] == ["city"]
    bare = encode(table, Fold(fold.train, NONE, NONE), "dense", None)[0]
    assert bare.stop is None
    assert bare.score is None
    assert bare.train.weight is None


# --- serving ------------------------------------------------------------------------------------------------------

CELLS = {
    "number": st.one_of(st.none(), st.floats(width=32), st.integers(-(2**40), 2**40)),
    "flag": st.sampled_from([True, False, None]),
    "word": st.one_of(st.none(), st.sampled_from(["a", "b", "7", "7.0", "NA", " "]), st.text(max_size=6)),
    "day": st.one_of(st.none(), st.datetimes(pd.Timestamp(1800, 1, 1), pd.Timestamp(2200, 1, 1))),
}


@given(st.lists(st.fixed_dictionaries(CELLS), min_size=12, max_size=40), st.sampled_from(["dense", "tree"]))
@settings(max_examples=80, deadline=None)
def test_the_state_is_json_and_gives_the_same_matrix_again(rows, encoding):
    frame = pd.DataFrame({k: pd.Series([row[k] for row in rows], dtype=object) for k in CELLS})
    frame = frame.assign(x=np.arange(len(rows)) % 5, y=np.arange(len(rows)) % 2)
    table = load(frame)
    fitted = fit_preprocessor(table, np.arange(0, len(rows), 2), encoding)
    again = Preprocessor(json.loads(json.dumps(fitted.state, allow_nan=False)))
    matrix = fitted.transform(table.features)
    assert matrix.shape == (len(rows), len(fitted.state["columns"]))
    np.testing.assert_array_equal(again.transform(table.features), matrix)
    # the raw values that the table was made of give what their cleaned forms give
    np.testing.assert_allclose(again.transform(frame), matrix, rtol=1e-5, atol=1e-5)
    if encoding == "dense":
        assert np.isfinite(matrix).all()


@pytest.mark.parametrize("encoding", ["dense", "tree"])
def test_equal_rows_are_encoded_alike_in_every_form(encoding, tmp_path):
    frame = mixed()
    frame["age"] = frame["age"].round()
    table = load(frame)
    fitted = fit_preprocessor(table, np.arange(0, N, 2), encoding)
    want = fitted.transform(table.features)
    raw = frame.drop(columns="y")
    before = raw.copy(deep=True)
    csv = tmp_path / "t.csv"
    raw.to_csv(csv, index=False)
    forms = {
        "raw": raw,
        "other order, more columns": raw.iloc[:, ::-1].assign(extra="x", y=0),
        "objects": raw.astype(object),
        "csv": pd.read_csv(csv),
        "csv as text": pd.read_csv(csv, dtype=str),
        "json": pd.DataFrame(json.loads(raw.to_json(orient="records", date_format="iso"))),
        "nullable": raw.convert_dtypes(),
        "float32": raw.astype({"age": "float32", "income": "float32"}),
        "arrow": raw.convert_dtypes(dtype_backend="pyarrow"),
        "other index": raw.set_index(np.arange(N)[::-1]),
        "row by row": None,
    }
    for name, form in forms.items():
        if form is None:
            got = np.concatenate([fitted.transform(raw.iloc[i : i + 1]) for i in range(N)])
        else:
            got = fitted.transform(form)
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6, err_msg=name)
    pd.testing.assert_frame_equal(raw, before)


def test_text_in_a_numeric_column_names_the_column_and_the_value():
    table = load(mixed())
    fitted = fit_preprocessor(table, np.arange(N), "dense")
    good = mixed().iloc[:3]
    for name, value, told in (
        ("age", "forty", "column 'age': expected a number, found 'forty'"),
        ("member", "perhaps", "column 'member': expected a number, found 'perhaps'"),
        ("since", "yesterday", "column 'since': expected an ISO date, found 'yesterday'"),
        ("since", 20240131, "column 'since': expected an ISO date, found '20240131'"),
        ("age", "1,234", "column 'age': expected a number, found '1,234'"),
    ):
        bad = good.astype({name: object})
        bad.iloc[1, bad.columns.get_loc(name)] = value
        with pytest.raises(ValueError, match="^column") as caught:
            fitted.transform(bad)
        assert str(caught.value) == told


def test_words_that_meant_missing_in_training_mean_it_in_serving():
    costs = ["unknown", "free"] + [str(i % 30) for i in range(N - 2)]
    days = ["soon"] + ["2024-02-03", "2024-05-06"] * 99 + ["2024-07-08"]
    table = load(pd.DataFrame({"cost": costs, "day": days, "y": np.arange(N) % 2}))
    for encoding in ("dense", "tree"):
        fitted = fit_preprocessor(table, np.arange(2, N), encoding)
        known = fitted.transform(
            pd.DataFrame({"cost": ["unknown", "free", None], "day": ["soon", None, "NA"]})
        )
        np.testing.assert_array_equal(known[0], known[1])
        np.testing.assert_array_equal(known[0], known[2])
        with pytest.raises(ValueError, match="found 'cheap'"):
            fitted.transform(pd.DataFrame({"cost": ["cheap"], "day": [None]}))


def test_no_rows_and_many_rows():
    table = load(mixed())
    for encoding in ("dense", "tree"):
        fitted = fit_preprocessor(table, np.arange(N), encoding)
        width = len(fitted.state["columns"])
        assert fitted.transform(table.features.iloc[:0]).shape == (0, width)
        assert fitted.transform(pd.DataFrame(columns=list(table.kinds))).shape == (0, width)
        many = pd.concat([mixed().drop(columns="y")] * 500, ignore_index=True)
        got = fitted.transform(many)
        assert got.shape == (100_000, width)
        np.testing.assert_array_equal(got[:N], got[-N:])


def test_a_package_takes_raw_rows_and_comes_back_from_disk(tmp_path):
    table = load(mixed())
    fitted = fit_preprocessor(table, np.arange(N), "dense")
    width = len(fitted.state["columns"])
    member = LinearMember(np.random.default_rng(0).normal(size=(width, 1)), np.zeros(1), "binary")
    package = Package([(fitted, member, 1.0)], "binary", (False, True), list(table.kinds))
    package.save(tmp_path)
    raw = mixed().iloc[:, ::-1]
    want = package.predict(raw)
    pd.testing.assert_frame_equal(Package.load(tmp_path).predict(raw), want)
    assert list(want.columns) == ["prediction", "probability_False", "probability_True"]
    assert list(package.predict(raw.iloc[:0]).columns) == list(want.columns)
    with pytest.raises(ValueError, match="missing column\\(s\\) 'age'"):
        package.predict(raw.drop(columns="age"))


def test_columns_are_known_by_their_names_as_text_and_must_differ():
    raw = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)))
    table = load(raw.assign(y=[0, 1] * 15))
    fitted = fit_preprocessor(table, np.arange(30), "dense")
    member = LinearMember(np.ones((3, 1)), np.zeros(1), "binary")
    package = Package([(fitted, member, 1.0)], "binary", (0, 1), list(table.kinds))
    want = package.predict_raw(raw.rename(columns=str))
    assert np.array_equal(package.predict_raw(raw), want)
    assert list(raw.columns) == [0, 1, 2]
    twice = pd.concat([raw, raw[[1]].rename(columns=str)], axis=1)
    with pytest.raises(ValueError, match="'1' given more than once"):
        package.predict_raw(twice)
    with pytest.raises(ValueError, match="missing column.*'1', '2': the model needs 3 columns"):
        package.predict_raw(raw[[0]])
    extra = pd.concat([raw, raw[[0]].set_axis(["z"], axis=1), raw[[0]].set_axis(["z"], axis=1)], axis=1)
    assert np.array_equal(package.predict_raw(extra), want)


def test_serving_needs_nothing_of_autoreg(tmp_path):
    table = load(mixed())
    fitted = fit_preprocessor(table, np.arange(N), "dense")
    (tmp_path / "state.json").write_text(json.dumps(fitted.state))
    mixed().to_csv(tmp_path / "rows.csv", index=False)
    shutil.copytree(Path(serving.__file__).parent, tmp_path / "alone")
    code = (
        "import json, sys; sys.path.insert(0, '.'); import alone, numpy, pandas; "
        "m = alone.Preprocessor(json.load(open('state.json'))).transform(pandas.read_csv('rows.csv')); "
        "numpy.save('out.npy', m); "
        "print([n for n in ('autoreg', 'sklearn', 'scipy', 'xgboost', 'tensorflow') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), fitted.transform(table.features), rtol=1e-6, atol=1e-6
    )


# --- any table ----------------------------------------------------------------------------------------------------


def strange_column(rng, n):
    """A column of one of the kinds that tables in the wild hold."""
    makers = [
        lambda: rng.normal(size=n),
        lambda: rng.integers(0, 3, n),
        lambda: rng.choice([np.nan, np.inf, -np.inf, 1.0, 1e308, -1e308, 5e-324], n),
        lambda: np.full(n, np.nan),
        lambda: rng.choice(["a", "b", "", None, " ", "NA", "?"], n),
        lambda: [f"w{i} {rng.integers(9)}" for i in range(n)],
        lambda: [str(x) for x in rng.normal(size=n)],
        lambda: pd.to_datetime(rng.integers(-(10**18), 10**18, n)),
        lambda: pd.Series(pd.to_datetime(rng.integers(0, 10**9, n), unit="s")).where(rng.random(n) < 0.5),
        lambda: pd.array(rng.choice([True, False], n), dtype="boolean"),
        lambda: pd.array(rng.integers(0, 9, n), dtype="Int8"),
        lambda: rng.integers(0, 2**64 - 1, n, dtype=np.uint64),
        lambda: [2 ** int(x) for x in rng.integers(0, 200, n)],
        lambda: [decimal.Decimal(int(x)) / 3 for x in rng.integers(0, 99, n)],
        lambda: pd.Categorical(rng.choice(["p", "q", None], n)),
        lambda: [
            [1, "a", None, 2.5, True, datetime.date(2024, 1, 1), b"x"][i] for i in rng.integers(0, 7, n)
        ],
        lambda: rng.normal(size=n).astype(rng.choice(["float16", "float32", "float64"])),
        lambda: pd.period_range("2020-01", periods=n, freq="M"),
    ]
    return makers[rng.integers(len(makers))]()


def encode_strange(seed):
    """Load, split and encode a random table; True when it was refused in one line."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([0, 1, 10, 15, 25, 60, 150]))
    frame = pd.DataFrame({f"c{j}": strange_column(rng, n) for j in range(rng.integers(1, 6))})
    frame["y"] = strange_column(rng, n) if rng.random() < 0.3 else rng.integers(0, rng.integers(1, 5), n)
    roles = {role: "c0" for role in ("id", "group", "time", "weight") if rng.random() < 0.1}
    try:
        table = load(frame, task=str(rng.choice(["auto", "auto", "regression", "multiclass"])), **roles)
        split = make_split(table, SplitSpec(folds=int(rng.integers(2, 6))), seed)
    except DataError as error:
        assert "\n" not in str(error)
        return True
    for encoding in ("dense", "tree"):
        data = encode(table, split.folds[0], encoding, table.weight)[0]
        assert data.train.X.shape[1] == len(data.columns) == len(data.levels) > 0
        assert not np.isinf(data.train.X).any()
        assert encoding == "tree" or not np.isnan(np.concatenate([data.train.X, data.score.X])).any()
        fitted = fit_preprocessor(table, split.folds[0].train, encoding)
        if len(frame) == len(table.target):
            got = fitted.transform(frame[list(table.kinds)])
            np.testing.assert_allclose(got, fitted.transform(table.features), rtol=1e-4, atol=1e-4)
    return False


def test_any_table_is_encoded_or_refused_in_one_line():
    refused = sum(encode_strange(seed) for seed in range(300))
    assert 50 < refused < 280


@pytest.mark.full
def test_any_of_ten_thousand_tables_is_encoded_or_refused_in_one_line():
    for seed in range(300, 10_300):
        encode_strange(seed)
