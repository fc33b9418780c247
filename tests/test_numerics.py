"""Hard tables: huge and tiny scales, collinear and constant columns, separable, rare and many classes, few rows.

Solutions are compared with independent references (``numeric_cases``); boosters and networks, which have none, with the
library itself or with what a sane model must do.
"""

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from numeric_cases import CASES, hundred, newton, noisy, ours, predicted, rare, single, spread, table

from autoreg import tune
from autoreg.backends import logistic
from autoreg.data import encode, load_table
from autoreg.metrics import loss_rows
from autoreg.spec import DataSpec, parse_study
from autoreg.trial import Fold

NONE = np.empty(0, np.int64)


@pytest.mark.parametrize("name", CASES)
def test_the_linear_models_are_at_the_reference(name):
    case = CASES[name]
    if case.file is not None and not case.file.exists():
        pytest.skip("set AUTOREG_TEST_DATA to a folder with the tables of gene data")
    assert case.difference() <= case.bound


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
@pytest.mark.parametrize("often", [False, True])
def test_a_descent_is_near_the_reference(alpha, often):
    X, y = rare()
    y = (table(*X.shape)[1] > 0).astype(np.int64) if often else noisy(X, y)
    found, best = predicted(X, y, 2, penalty="l2", alpha=alpha, solver="sgd"), newton(X, y, alpha)
    losses = [float(np.mean(-np.log(np.where(y == 1, p, 1 - p)))) for p in (found, best)]
    assert losses[0] == pytest.approx(losses[1], rel=0.03)


# --- scales, through the preprocessing ----------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["dense", "tree"])
@pytest.mark.parametrize("power", [-400, -60, 60, 400])
def test_the_unit_of_a_column_does_not_matter(encoding, power):
    rng = np.random.default_rng(0)
    plain = pd.DataFrame(
        {"a": rng.normal(size=200), "b": np.exp(rng.normal(size=200)), "y": np.arange(200) % 2}
    )
    far = plain.assign(a=np.ldexp(plain["a"], power), b=np.ldexp(plain["b"], -power))
    rows = np.arange(200)
    one, two = (
        encode(
            load_table(DataSpec(source="frame", target="y"), "test", ".", t),
            Fold(rows, NONE, NONE),
            encoding,
            None,
        )[0]
        for t in (plain, far)
    )
    if encoding == "dense":
        assert np.array_equal(one.train.X, two.train.X)
        return
    given = {"rounds": 5, "max_depth": 3}
    y = (plain["a"] * plain["b"] > 0.2).astype(np.int64).to_numpy()
    found = [ours(e.train.X, y, 2, backend="xgboost", **given).member.predict(e.train.X) for e in (one, two)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_an_outlier_does_not_make_a_column_far():
    values = np.append(np.arange(1.0, 200.0), 1e150)
    table = load_table(
        DataSpec(source="frame", target="y"),
        "test",
        ".",
        pd.DataFrame({"x": values, "y": np.arange(200) % 2}),
    )
    X = encode(table, Fold(np.arange(200), NONE, NONE), "tree", None)[0].train.X
    assert X[:199, 0].tolist() == values[:199].tolist()


@pytest.mark.parametrize("backend", ["xgboost", pytest.param("keras", marks=pytest.mark.slow)])
def test_the_unit_of_the_target_does_not_matter(backend):
    X, y = table(200, 5)
    few = {"epochs": 15} if backend == "keras" else {}
    plain, *far = (
        ours(X, np.ldexp(y, power), backend=backend, **few).member.predict(np.asarray(X, np.float32))
        for power in (0, 50, -50)
    )
    assert np.var(plain - y) < 0.5 * np.var(y)
    for found, power in zip(far, (50, -50), strict=True):
        np.testing.assert_allclose(*spread(np.ldexp(found, -power), plain, y), atol=1e-5)


# --- boosters, which have no reference but the library itself -----------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"max_depth": 2, "eta": 0.1}])
def test_boosters_of_a_hundred_and_of_rare_classes_are_the_library_s(given):
    for (X, y), k in ((hundred(), 100), (rare(4000), 2)):
        found = ours(X, y, k, backend="xgboost", rounds=8, **given).member.predict(np.asarray(X, np.float32))
        words = {"learning_rate" if name == "eta" else name: value for name, value in given.items()}
        reference = xgb.XGBClassifier(n_jobs=1, n_estimators=8, **words).fit(X, y).predict_proba(X)
        np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-6)


def test_boosters_of_a_target_with_outliers_are_the_library_s():
    X, y = table(200, 5)
    y[[3, 77]] = 1e6, -1e7
    mean, deviation = y.mean(), y.std()
    found = ours(X, y, backend="xgboost", rounds=20).member.predict(np.asarray(X, np.float32))
    model = xgb.XGBRegressor(n_jobs=1, n_estimators=20, base_score=0.0).fit(X, (y - mean) / deviation)
    expected = np.asarray(model.predict(X), np.float64) * deviation + mean
    np.testing.assert_allclose(*spread(found, expected, y), atol=1e-5)


SANE = {
    "1 : 1,000": lambda: (*rare(4000), 2),
    "100 classes": lambda: (*hundred(), 100),
    "outliers": lambda: (table(200, 5)[0], np.where(np.arange(200) == 7, 1e9, table(200, 5)[1]), 0),
    "a target of one value but for a row": lambda: (table(200, 5)[0], (np.arange(200) == 7) * 1e-9 + 1e-3, 0),
    "more columns than rows": lambda: (*(lambda X, y: (X, (y > 0).astype(np.int64)))(*table(40, 300)), 2),
}


@pytest.mark.parametrize("name", SANE)
@pytest.mark.parametrize("backend", ["sklearn", "xgboost", pytest.param("keras", marks=pytest.mark.slow)])
def test_no_fit_is_worse_than_saying_the_mean(name, backend):
    X, y, k = SANE[name]()
    X = X / X.std(axis=0)
    task = "multiclass" if k > 2 else "binary" if k else "regression"
    few = {"epochs": 15} if backend == "keras" else {}
    found = ours(X, y, k, backend=backend, **few).member.predict(np.asarray(X, np.float32))
    flat = np.tile(np.bincount(y, minlength=k) / len(y), (len(y), 1)) if k else np.full(len(y), y.mean())
    assert np.isfinite(found).all()
    assert loss_rows(task, y, found).mean() <= 1.01 * loss_rows(task, y, flat).mean()


# --- classes that can be separated --------------------------------------------------------------------------------


def separable(X, y):
    """Whether some direction parts rows of two classes without error: (all of them, any of them), by linear programs."""
    from scipy.optimize import linprog

    S = np.where(y == 1, 1.0, -1.0)[:, None] * np.column_stack([X, np.ones(len(y))])
    box = [(-1.0, 1.0)] * S.shape[1]
    some = -linprog(-S.sum(axis=0), A_ub=-S, b_ub=np.zeros(len(S)), bounds=box).fun
    narrowest = np.zeros(S.shape[1] + 1)
    narrowest[-1] = -1.0
    every = -linprog(
        narrowest,
        A_ub=np.column_stack([-S, np.ones(len(S))]),
        b_ub=np.zeros(len(S)),
        bounds=[*box, (None, 1.0)],
    ).fun
    return every > 1e-7, some > 1e-7


def told(X, y, **given):
    native = ours(X, y, 2, penalty="none", **given).native
    return native.get("sklearn.separated_by"), native["sklearn.converged"]


def test_what_is_told_of_separable_classes_is_what_a_linear_program_finds():
    rng, seen = np.random.default_rng(0), []
    for n, p in [(8, 2), (12, 2), (12, 3), (20, 2), (30, 3)] * 12:
        X, y = rng.integers(-3, 4, (n, p)).astype(float), (np.arange(n) % 2).astype(np.int64)
        X[:, 0] += rng.choice([0, 2, 5]) * y
        (by, converged), (every, some) = told(X, y), separable(X, y)
        seen.append((by is not None, every, some))
        assert some or by is None
        assert by is not None or not every
        assert converged == (by is None)
    assert {(True, True, True), (False, False, False)} <= set(seen)


def test_a_column_that_parts_the_classes_alone_is_named():
    X, signal = table(100, 3)
    y = (signal > 0).astype(np.int64)
    assert told(X, y) == (None, True)
    assert told(np.column_stack([X, y]), y) == ("column 'c3'", False)
    some = np.where(np.arange(100) % 3 == 0, y, 0.0)  # a level that one class alone has
    assert told(np.column_stack([X, some]), y) == ("column 'c3'", False)
    assert told(X, (X[:, 0] + X[:, 1] - X[:, 2] > 0).astype(np.int64)) == ("all columns together", False)


def test_separable_classes_of_three_are_told_too():
    X, y = single(np.random.default_rng(0).normal(size=(90, 2))), np.arange(90) % 3
    native = [ours(X + far * np.eye(3)[y][:, :2], y, 3, penalty="none").native for far in (0.0, 100.0)]
    assert ["sklearn.separated_by" in each for each in native] == [False, True]
    assert logistic.separated_by(np.eye(3)[y], y, np.zeros((90, 3))) == 0


def test_with_a_penalty_there_is_nothing_to_tell():
    X, _ = table(100, 3)
    y = (X[:, 0] > 0).astype(np.int64)
    for kind in ("l1", "l2", "elasticnet"):
        native = ours(X, y, 2, penalty=kind, alpha=1e-4, l1_ratio=0.5).native
        assert "sklearn.separated_by" not in native
        assert native["sklearn.converged"] is True


class Hearing:
    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)

    def planned(self, trials, seconds): ...
    def trial(self, record, replayed): ...
    def stage(self, name): ...


@pytest.mark.parametrize(
    ("penalty", "gap", "warned"), [("none", 0.2, True), ("none", -0.2, False), ("l2", 0.2, False)]
)
def test_a_study_without_penalty_says_that_its_weights_have_no_end(penalty, gap, warned):
    X = np.random.default_rng(0).normal(size=(120, 2))
    y = (X[:, 0] > X[:, 1]).astype(int)
    X[:, 0] += gap * np.where(y, 1.0, -1.0)
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=y)
    watch = Hearing()
    search = {"backends": ["sklearn"], "trials": 1, "sklearn": {"penalty": penalty}}
    raw = {"name": "x", "data": {"source": "frame", "target": "y"}, "split": {"folds": 3}, "search": search}
    result = tune(parse_study(raw), frame, tracking="off", watch=watch, explain=False)
    lines = [line for line in watch.said if "no best value" in line]
    assert lines == [f"warning: {c}" for c in result.record.cautions if "no best value" in c]
    assert bool(lines) == warned
    if warned:
        assert len(lines) == 1
        assert "sklearn #0: there is no penalty and all columns together can tell classes apart" in lines[0]
        assert "search.sklearn.penalty should be l2, l1 or elasticnet" in lines[0]
