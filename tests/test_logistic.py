"""The exact solvers against scikit-learn's saga at a tight tolerance, and against each other."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from autoreg.backends import logistic
from autoreg.penalties import effective

ALPHAS = (0.003, 0.03, 0.3)


def problem(k, n=240, p=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.4 * rng.normal(size=(p, p)))
    scores = X @ rng.normal(size=(p, k)) + rng.gumbel(size=(n, k))
    return X, scores.argmax(axis=1), rng.uniform(0.2, 3.0, n)


def one_hot(codes, k):
    return (codes[:, None] == 1).astype(float) if k == 2 else np.eye(k)[codes]


def saga(X, codes, weight, penalty):
    model = LogisticRegression(
        C=1 / (penalty.alpha * weight.sum()),
        l1_ratio=penalty.l1_ratio,
        solver="saga",
        tol=1e-9,
        max_iter=20000,
        random_state=0,
    )
    model.fit(X, codes, sample_weight=weight)
    return model.coef_.T, model.intercept_


def objective(coef, intercept, X, truth, weight, penalty):
    loss, _, _ = logistic._loss(X @ coef + intercept, truth, weight / weight.sum(), X)
    return loss + penalty.l1 * np.abs(coef).sum() + penalty.l2 / 2 * (coef**2).sum()


@pytest.mark.parametrize("kind", ["l1", "elasticnet"])
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("k", [2, 3])
def test_the_optimum_is_saga_s(k, alpha, kind):
    X, codes, weight = problem(k)
    penalty = effective(kind, alpha, 0.5)
    found = logistic.solve(X, codes, k, weight, penalty)
    coef, intercept = saga(X, codes, weight, penalty)
    assert found.converged
    truth = one_hot(codes, k)
    values = [
        objective(*pair, X, truth, weight, penalty)
        for pair in ((found.coef, found.intercept), (coef, intercept))
    ]
    assert values[0] <= values[1] + 1e-8
    np.testing.assert_allclose(found.coef, coef, atol=1e-4 if k == 2 else 1e-3)
    centred = [b - b.mean() if k > 2 else b for b in (found.intercept, intercept)]
    np.testing.assert_allclose(*centred, atol=1e-3)


@pytest.mark.parametrize("kind", ["l1", "elasticnet"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_both_ways_to_two_classes_meet(alpha, kind):
    X, codes, weight = problem(2)
    penalty, weight = effective(kind, alpha, 0.4), weight / weight.sum()
    split = logistic._split(X, one_hot(codes, 2), weight, penalty)
    reweighted = logistic._reweighted(X, codes.astype(float), weight, penalty)
    assert (split.solver, reweighted.solver) == ("lbfgs-b", "irls-cd")
    np.testing.assert_allclose(split.coef, reweighted.coef, atol=3e-4)
    assert np.array_equal(split.coef == 0, reweighted.coef == 0)


@pytest.mark.parametrize("kind", ["l1", "l2", "elasticnet", "none"])
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize(("n", "p"), [(400, 4), (40, 90)])
def test_the_slope_vanishes_at_the_solution(n, p, k, kind):
    X, codes, weight = problem(k, n, p)
    penalty = effective(kind, 0.02, 0.5)
    found = logistic.solve(X, codes, k, weight, penalty)
    w = weight / weight.sum()
    _, slope, slope0 = logistic._loss(X @ found.coef + found.intercept, one_hot(codes, k), w, X)
    rest = logistic._violation(slope + penalty.l2 * found.coef, found.coef, penalty.l1)
    assert max(np.abs(rest).max(), np.abs(slope0).max()) < (2e-4 if kind == "none" else 2e-5)


def test_separated_classes_stay_finite_and_nearly_flat_weights_too():
    X = np.linspace(-1, 1, 60)[:, None]
    codes = (X[:, 0] > 0).astype(int)
    for kind in ("l1", "elasticnet", "l2", "none"):
        found = logistic.solve(X, codes, 2, np.full(60, 1e-6), effective(kind, 1e-5, 0.5))
        assert np.isfinite(found.coef).all()
        assert found.coef[0, 0] > 3


def test_a_limit_that_came_first_is_told(monkeypatch):
    X, codes, weight = problem(3)
    monkeypatch.setattr(logistic, "_iterations", lambda X, outputs: 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        assert not logistic.solve(X, codes, 3, weight, effective("l1", 1e-3, 1.0)).converged
        assert not logistic.solve(X, codes, 3, weight, effective("none", 0.0, 0.0)).converged


def test_newton_is_for_many_rows_and_few_parameters():
    assert logistic.newton_pays(39_000, 108, 1)
    assert not logistic.newton_pays(62, 2000, 1)
    assert not logistic.newton_pays(8_000, 784, 10)
    assert not logistic.newton_pays(300, 100, 1)
