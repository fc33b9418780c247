"""Linear models: the translation to scikit-learn, rows that count, classes that are absent, large data."""

from itertools import pairwise

import numpy as np
import pytest
from backend_data import encoded, fit, params, sizes, without
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge

from autoreg.backends import FitFailure, FitJob, get_backend, linear
from autoreg.penalties import PENALTIES
from autoreg.trial import Encoded, Part, Range, Sizes

BACKEND = get_backend("sklearn")
KINDS = [("binary", 2), ("multiclass", 3), ("regression", 0)]
STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0)


def replaced(data, X=None, y=None, weight=None):
    train = data.train
    part = Part(
        train.X if X is None else X, train.y if y is None else y, train.weight if weight is None else weight
    )
    return Encoded(part, data.stop, data.score, data.columns, data.levels, data.task, data.n_classes)


@pytest.mark.parametrize(("task", "k"), KINDS[:2])
def test_the_default_is_logistic_regression_s(task, k):
    data = encoded("dense", task, k)
    done = fit(BACKEND, data)
    reference = LogisticRegression(tol=1e-8, max_iter=1000).fit(data.train.X.astype(float), data.train.y)
    expected = reference.predict_proba(data.score.X.astype(float))
    np.testing.assert_allclose(done.member.predict(data.score.X), expected, atol=1e-4)
    assert done.native["sklearn.C"] == pytest.approx(1.0)
    assert done.native["sklearn.converged"] is True


def test_the_default_is_ridge_s():
    data = encoded("dense", "regression", 0)
    done = fit(BACKEND, data)
    reference = Ridge(alpha=1.0).fit(data.train.X.astype(float), data.train.y)
    np.testing.assert_allclose(done.member.predict(data.score.X), reference.predict(data.score.X), rtol=1e-9)
    assert done.native == {"sklearn.estimator": "Ridge", "sklearn.alpha": pytest.approx(1.0)}


@pytest.mark.parametrize("kind", ["l1", "elasticnet", "none"])
def test_regression_is_the_library_s_on_the_standardised_target(kind):
    weight = np.random.default_rng(1).uniform(0.5, 2.0, 150)
    data = encoded("dense", "regression", 0, weight=weight)
    done = fit(BACKEND, data, penalty=kind, alpha=0.05, l1_ratio=0.3)
    X, y, w = data.train.X.astype(float), data.train.y, data.train.weight
    shift = np.average(y, weights=w)
    scale = np.sqrt(np.average((y - shift) ** 2, weights=w))
    model = {
        "l1": ElasticNet(0.05, l1_ratio=1.0, tol=1e-8),
        "elasticnet": ElasticNet(0.05, l1_ratio=0.3, tol=1e-8),
    }
    reference = model.get(kind, LinearRegression()).fit(X, (y - shift) / scale, sample_weight=w)
    expected = reference.predict(data.score.X.astype(float)) * scale + shift
    np.testing.assert_allclose(done.member.predict(data.score.X), expected, rtol=1e-5)


@pytest.mark.parametrize(("task", "k"), KINDS)
@pytest.mark.parametrize("kind", ["l2", "elasticnet"])
def test_a_stronger_penalty_never_grows_the_weights(task, k, kind):
    data = encoded("dense", task, k)
    given = {"penalty": kind, "l1_ratio": 0.5}
    fits = [fit(BACKEND, data, alpha=alpha, **given) for alpha in STRENGTHS]
    ratio = fits[0].params["l1_ratio"]
    size = [ratio * np.abs(f.member.coef).sum() + (1 - ratio) / 2 * (f.member.coef**2).sum() for f in fits]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(size))
    assert size[-1] < 0.5 * size[0]


@pytest.mark.parametrize(("task", "k"), KINDS)
def test_l1_empties_the_model_in_the_end(task, k):
    data = encoded("dense", task, k)
    counts = [fit(BACKEND, data, penalty="l1", alpha=alpha).complexity for alpha in STRENGTHS]
    assert counts[0] > 0
    assert counts[-1] == 0


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize(("task", "k"), KINDS)
@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_a_weight_of_zero_is_leaving_the_row_out(task, k, kind, solver):
    weight = np.ones(150)
    weight[::7] = 0.0
    data = encoded("dense", task, k, weight=weight)
    fewer = without(data, data.train.weight == 0)
    given = {"penalty": kind, "alpha": 0.01, "solver": solver}
    one, two = (fit(BACKEND, d, **given).member for d in (data, fewer))
    assert np.array_equal(one.coef, two.coef)
    assert np.array_equal(one.intercept, two.intercept)


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize(("task", "k"), KINDS)
def test_a_weight_of_two_is_the_row_twice(task, k, kind):
    data = encoded("dense", task, k)
    times = np.arange(len(data.train)) % 2 + 1
    weighted = replaced(data, weight=times.astype(float))
    twice = replaced(data, X=data.train.X.repeat(times, axis=0), y=data.train.y.repeat(times))
    given = {"penalty": kind, "alpha": 0.02, "l1_ratio": 0.5}
    one, two = (fit(BACKEND, d, **given).member.predict(data.score.X) for d in (weighted, twice))
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_one_class_alone_gives_smoothed_base_rates():
    for k, task in ((2, "binary"), (3, "multiclass")):
        data = encoded("dense", task, k, classes=[1])
        p = fit(BACKEND, data).member.predict(data.score.X)
        n = len(data.train)
        expected = np.full(k, 1.0 / (n + k))
        expected[1] = (n + 1) / (n + k)
        np.testing.assert_allclose(p, np.tile(expected, (len(p), 1)), rtol=1e-9)


@pytest.mark.parametrize("present", [(0, 2), (1, 2), (0, 1, 3)])
@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_an_absent_class_is_rare_but_possible(present, kind):
    data = encoded("dense", "multiclass", 4, n=300, classes=present)
    p = fit(BACKEND, data, penalty=kind, alpha=0.01).member.predict(np.zeros((1, 5), np.float32))[0]
    absent = [c for c in range(4) if c not in present]
    # Sum over the absent classes at the mean row: about one pseudo-count each.
    np.testing.assert_allclose(p[absent], 1.0 / (len(data.train) + 4), rtol=0.05)


def test_two_of_three_classes_are_told_apart_as_a_binary_model_would():
    data = encoded("dense", "multiclass", 3, n=300, classes=[0, 2])
    binary = Part(data.train.X, (data.train.y == 2).astype(np.int64))
    other = Encoded(binary, None, data.score, data.columns, data.levels, "binary", 2)
    three, two = (fit(BACKEND, d, alpha=0.01).member.predict(data.score.X) for d in (data, other))
    np.testing.assert_allclose(three[:, 2] / (three[:, 0] + three[:, 2]), two[:, 1], rtol=1e-6)


@pytest.mark.parametrize(("task", "k"), KINDS)
def test_large_data_are_descended(task, k, monkeypatch):
    data = encoded("dense", task, k)
    assert fit(BACKEND, data).params["solver"] == "exact"
    monkeypatch.setattr(linear, "LARGE", 1e-4)
    monkeypatch.setattr(linear.logistic, "newton_pays", lambda *sizes: False)
    done = fit(BACKEND, data)
    assert done.params["solver"] == "sgd"
    assert done.params["patience"] == 5
    assert done.rounds > 0
    assert fit(BACKEND, data, solver="exact").params["solver"] == "exact"


@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_a_refit_is_solved_as_its_folds_were(solver, monkeypatch):
    data = encoded("dense", "multiclass", 3)
    whole = encoded("dense", "multiclass", 3, n=220, stop=False)
    fold, more = len(data.train) * 15, len(whole.train) * 15
    monkeypatch.setattr(linear.logistic, "newton_pays", lambda *sizes: False)
    monkeypatch.setattr(linear, "LARGE", (fold + more) / 2 if solver == "exact" else fold - 1)
    done = fit(BACKEND, data)
    assert done.params["solver"] == solver
    assert fit(BACKEND, whole, exactly=done.rounds).params["solver"] == solver


@pytest.mark.parametrize("fault", [np.nan, np.inf])
@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_what_cannot_be_fitted_is_a_failure_not_a_number(fault, solver):
    data = encoded("dense")
    X = data.train.X.copy()
    X[3, 2] = fault
    done = fit(BACKEND, replaced(data, X=X), solver=solver)
    assert isinstance(done, FitFailure)
    assert "NaN or infinite" in done.reason
    assert done.params["penalty"] == "l2"


def test_a_descent_that_diverges_is_a_failure():
    data = encoded("dense", "regression", 0)
    y = data.train.y.copy()
    y[0] = np.inf
    with np.errstate(invalid="ignore"):
        done = fit(BACKEND, replaced(data, y=y), solver="sgd")
    assert isinstance(done, FitFailure)


def test_a_constant_target_and_constant_columns_are_fitted():
    data = encoded("dense", "regression", 0)
    flat = replaced(data, y=np.full(len(data.train), 7.0))
    for kind in PENALTIES:
        values = fit(BACKEND, flat, penalty=kind, alpha=0.01).member.predict(data.score.X)
        np.testing.assert_allclose(values, 7.0)
    still = replaced(data, X=np.zeros_like(data.train.X))
    for kind in PENALTIES:
        values = fit(BACKEND, still, penalty=kind, alpha=0.01).member.predict(np.zeros((1, 5), np.float32))
        np.testing.assert_allclose(values, still.train.y.mean())


def test_the_built_in_space_reaches_weaker_than_the_default():
    for n in (100, 10_000, 1_000_000):
        data = sizes(encoded("dense"))
        of_n = type(data)(data.task, n, data.columns, data.n_classes)
        alpha = BACKEND.space(of_n)["alpha"]
        assert alpha.low <= BACKEND.default(of_n)["alpha"] <= alpha.high or n == 1_000_000


def test_patience_is_searched_where_large_data_make_it_count():
    of = BACKEND.space
    assert of(Sizes("binary", 40_000, 108, 2))["patience"] == 5
    assert of(Sizes("multiclass", 8_000, 784, 10))["patience"] == Range(3, 20, log=True, integer=True)
    assert of(Sizes("regression", 20_000, 100, 0))["patience"] == 5
    assert isinstance(of(Sizes("regression", 20_000, 9_000, 0))["patience"], Range)


def test_patience_is_told_only_where_it_means_something():
    data = encoded("dense")
    assert "patience" not in fit(BACKEND, data).params
    job = FitJob(params(BACKEND, data, solver="sgd", patience=3), data, 0)
    assert BACKEND.fit([job])[0].params["patience"] == 3


@pytest.mark.parametrize(("task", "k"), KINDS)
@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_a_train_part_of_no_weight_is_a_failed_fit(task, k, solver):
    failed = fit(BACKEND, encoded("dense", task, k, weight=np.zeros(150)), solver=solver)
    assert isinstance(failed, FitFailure)
    assert failed.reason == "every row of the train part has weight 0"
    assert failed.params["solver"] == solver


def test_the_unit_of_the_weights_does_not_matter_to_base_rates():
    plain, heavy = (
        fit(BACKEND, encoded("dense", "multiclass", 3, weight=w, classes=[1]))
        for w in (None, np.full(150, 7.0))
    )
    assert np.array_equal(*(done.member.predict(np.zeros((1, 5))) for done in (plain, heavy)))
