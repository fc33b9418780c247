"""Exact logistic regression for every penalty; the fastest known way for the shape of the data.

Objective: ``sum(w_i loss_i) / sum(w_i) + l1 * sum|W| + l2 / 2 * sum W^2`` with free intercepts, the same as
scikit-learn's ``LogisticRegression`` with ``C = 1 / (alpha * sum(w))``. What is not smooth is solved here,
because saga needs up to a hundred times longer and stops far from the optimum on wide or correlated columns.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgWarning
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LogisticRegression

from autoreg.penalties import Penalty
from autoreg.serving import sigmoid, softmax
from autoreg.trial import Floats

TOLERANCE = 1e-5
"""Largest entry of the (sub)gradient at which a solution counts as found."""


LIBLINEAR = 100
"""Iterations at most of the liblinear solver: scikit-learn's own limit."""
TOGETHER = -1
"""In place of a column's position: it takes more than one."""


@dataclass(frozen=True)
class Solution:
    """Fitted linear scores.

    Attributes
    ----------
    coef : ndarray, shape (columns, outputs)
        One output for two classes, else one per class.
    intercept : ndarray, shape (outputs,)
    solver : str
        What found it.
    converged : bool
        False when the limit of iterations came first.
    """

    coef: Floats
    intercept: Floats
    solver: str
    converged: bool


def solve(X: Floats, codes: NDArray[Any], n_classes: int, weight: Floats, penalty: Penalty) -> Solution:
    """Fit; ``X`` float64 (n, columns), ``codes`` 0..n_classes-1 (each present), ``weight`` (n,) above 0."""
    outputs = 1 if n_classes == 2 else n_classes
    if penalty.l1 == 0:
        return _smooth(X, codes, weight, penalty, outputs)
    if n_classes == 2 and newton_pays(len(X), X.shape[1], 1):
        return _reweighted(X, codes.astype(np.float64), weight / weight.sum(), penalty)
    truth = codes[:, None] == 1 if outputs == 1 else np.eye(n_classes)[codes]
    return _split(X, truth.astype(np.float64), weight / weight.sum(), penalty)


def liblinear(
    X: Floats, codes: NDArray[Any], weight: Floats, penalty: Penalty, strength: float, seed: int
) -> Solution:
    """scikit-learn's estimator with the liblinear solver (Fan et al. 2008), at its own tolerance.

    Its objective is ``C * sum(w_i loss_i) + |(w, b)|_1`` or ``+ |(w, b)|^2 / 2``: the intercept is penalized too.
    """
    model = LogisticRegression(
        C=strength, l1_ratio=penalty.l1_ratio, solver="liblinear", max_iter=LIBLINEAR, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # answered by ``converged``
        model.fit(X, codes, sample_weight=weight)
    return Solution(model.coef_.T, model.intercept_, "liblinear", int(model.n_iter_.max()) < LIBLINEAR)


def separated_by(X: Floats, codes: NDArray[Any], scores: Floats) -> int | None:
    """What lets the weights of a fit without penalty grow for ever, because the loss falls all the while.

    That is so where scores put every row into its class, and where in one column no value of a class lies among those
    of the others, but at most at their edge (complete and quasi-complete separation, Albert & Anderson 1984).

    Parameters
    ----------
    X : ndarray, shape (n, columns)
    codes : ndarray, shape (n,)
        0..n_classes-1, each present.
    scores : ndarray, shape (n, outputs)
        Of the fit.

    Returns
    -------
    int or None
        Position of the column that does it alone; ``TOGETHER`` where it takes several; None where this was not found.
        That several columns part only some of the rows is not looked for: it takes a linear program.
    """
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    low, high = (each.reduceat(X[order], starts, axis=0) for each in (np.minimum, np.maximum))
    apart = np.zeros(X.shape[1], bool)
    for k in range(len(starts)):
        rest_low, rest_high = np.delete(low, k, axis=0).min(axis=0), np.delete(high, k, axis=0).max(axis=0)
        apart |= (high[k] <= rest_low) | (low[k] >= rest_high)
    found = np.flatnonzero(apart & (low.min(axis=0) < high.max(axis=0)))
    if len(found):
        return int(found[0])
    if scores.shape[1] == 1:
        margin = np.where(codes == 1, 1.0, -1.0) * scores[:, 0]
    else:
        others = scores.astype(np.float64)
        others[np.arange(len(codes)), codes] = -np.inf
        margin = scores[np.arange(len(codes)), codes] - others.max(axis=1)
    return TOGETHER if margin.min() > 1e-9 * np.abs(scores).max() else None


def newton_pays(rows: int, columns: int, outputs: int) -> bool:
    """Whether second derivatives are cheap: far more rows than parameters, and few parameters."""
    parameters = columns * outputs
    return parameters <= 400 and rows >= 4 * parameters and rows * parameters**2 <= 2e10


def _smooth(X: Floats, codes: NDArray[Any], weight: Floats, penalty: Penalty, outputs: int) -> Solution:
    """L2 or none by scikit-learn; Newton needs the penalty to make the second derivatives invertible."""
    newton = penalty.l2 > 0 and newton_pays(len(X), X.shape[1], outputs)
    solver, limit = ("newton-cholesky", 100) if newton else ("lbfgs", _iterations(X, outputs))
    strength = 1.0 / (penalty.l2 * weight.sum()) if penalty.l2 > 0 else np.inf
    # Without a penalty the optimum may lie at infinity; the library's own tolerance says when to stop, in proportion to
    # the rarest class, since no slope that it brings about is larger than its share.
    share = np.bincount(codes, weights=weight).min() / weight.sum() * (outputs if outputs > 1 else 2)
    tolerance = TOLERANCE if penalty.l2 > 0 else 1e-4 * float(share)
    model = LogisticRegression(C=strength, solver=solver, tol=tolerance, max_iter=limit)
    with warnings.catch_warnings():
        # Both are answered here: by ``converged``, and by scikit-learn's own fall back to lbfgs.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", LinAlgWarning)
        # scikit-learn 1.8 takes an infinite C for no penalty, as meant, and says so.
        warnings.filterwarnings("ignore", "Setting penalty=None will ignore", UserWarning)
        model.fit(X, codes, sample_weight=weight)
    return Solution(model.coef_.T, model.intercept_, solver, int(model.n_iter_.max()) < limit)


def _iterations(X: Floats, outputs: int) -> int:
    """Limit of full passes, so that a fit on large data stays in proportion."""
    return int(np.clip(2e10 / (X.size * outputs), 100, 2000))


def _split(X: Floats, truth: Floats, weight: Floats, penalty: Penalty) -> Solution:
    """Any elastic net by L-BFGS-B over ``W = U - V`` with ``U, V >= 0``, which makes the L1 part linear."""
    shape = (X.shape[1], truth.shape[1])
    size = shape[0] * shape[1]

    def objective(v: Floats) -> tuple[float, Floats]:
        coef = (v[:size] - v[size : 2 * size]).reshape(shape)
        loss, slope, slope0 = _loss(X @ coef + v[2 * size :], truth, weight, X)
        flat = (slope + penalty.l2 * coef).ravel()
        value = loss + penalty.l1 * float(v[: 2 * size].sum()) + penalty.l2 / 2 * float((coef**2).sum())
        return value, np.concatenate([penalty.l1 + flat, penalty.l1 - flat, slope0])

    start = np.concatenate([np.zeros(2 * size), _base_scores(truth, weight)])
    bounds = [(0.0, None)] * (2 * size) + [(None, None)] * shape[1]
    limit = _iterations(X, shape[1])
    options = {"maxiter": limit, "maxfun": 2 * limit, "maxcor": 20, "gtol": TOLERANCE, "ftol": 0.0}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    coef = (found.x[:size] - found.x[size : 2 * size]).reshape(shape)
    return Solution(coef, found.x[2 * size :], "lbfgs-b", bool(found.success))


def _base_scores(truth: Floats, weight: Floats) -> Floats:
    """Intercepts of the model without columns."""
    rates = weight @ truth
    return np.log(rates / (1.0 - rates)) if len(rates) == 1 else np.log(rates) - np.log(rates).mean()


def _loss(scores: Floats, truth: Floats, weight: Floats, X: Floats) -> tuple[float, Floats, Floats]:
    """Weighted mean log loss with its slopes in the coefficients and in the intercepts."""
    if scores.shape[1] == 1:
        rows = np.logaddexp(0.0, scores[:, 0]) - truth[:, 0] * scores[:, 0]
        residual = sigmoid(scores) - truth
    else:
        top = scores.max(axis=1)
        rows = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top - (truth * scores).sum(axis=1)
        residual = softmax(scores) - truth
    residual = residual * weight[:, None]
    return float(weight @ rows), X.T @ residual, residual.sum(axis=0)


def _reweighted(X: Floats, y: Floats, weight: Floats, penalty: Penalty) -> Solution:
    """Two classes, many rows: glmnet's iteratively reweighted least squares (Friedman et al. 2010).

    Each quadratic problem is a weighted elastic net, which scikit-learn's coordinate descent solves, ever more
    precisely where that is what holds the solution up; a backtracking line search keeps the objective falling.
    """
    descent = ElasticNet(precompute=True, warm_start=True, tol=1e-8, l1_ratio=penalty.l1_ratio)
    coef, intercept = np.zeros(X.shape[1]), float(_base_scores(y[:, None], weight)[0])
    descent.coef_ = coef.copy()
    scores, last = np.full(len(y), intercept), np.inf
    for _ in range(50):
        mean = sigmoid(scores)
        residual = weight * (mean - y)
        slope, slope0 = X.T @ residual + penalty.l2 * coef, float(residual.sum())
        wrong = max(float(np.abs(_violation(slope, coef, penalty.l1)).max()), abs(slope0))
        if wrong < TOLERANCE:
            return Solution(coef[:, None], np.array([intercept]), "irls-cd", True)
        if wrong > last / 2:
            descent.tol = max(descent.tol / 100, 1e-14)
        last = wrong
        curvature = np.maximum(mean * (1.0 - mean), 1e-6)
        descent.alpha = penalty.alpha / float(weight @ curvature)
        with warnings.catch_warnings():
            # A rough inner solution is a good step all the same; the outer test decides.
            warnings.simplefilter("ignore", ConvergenceWarning)
            descent.fit(X, scores + (y - mean) / curvature, sample_weight=weight * curvature)
        step, step0 = descent.coef_ - coef, float(descent.intercept_) - intercept
        along = X @ step + step0
        expected = float(slope @ step) + slope0 * step0 + penalty.l1 * _growth(coef, step)
        t = _backtrack(scores, along, coef, step, expected, y, weight, penalty)
        coef, intercept, scores = coef + t * step, intercept + t * step0, scores + t * along
    return Solution(coef[:, None], np.array([intercept]), "irls-cd", False)


def _growth(coef: Floats, step: Floats) -> float:
    """How much a step adds to the sum of absolute coefficients."""
    return float(np.abs(coef + step).sum() - np.abs(coef).sum())


def _backtrack(
    scores: Floats,
    along: Floats,
    coef: Floats,
    step: Floats,
    expected: float,
    y: Floats,
    weight: Floats,
    penalty: Penalty,
) -> float:
    """The share of the step, halved until the objective falls by a tenth of what the slope promises."""

    def value(t: float) -> float:
        z, w = scores + t * along, coef + t * step
        loss = float(weight @ (np.logaddexp(0.0, z) - y * z))
        return loss + penalty.l1 * float(np.abs(w).sum()) + penalty.l2 / 2 * float(w @ w)

    start, t = value(0.0), 1.0
    while t > 1e-6 and value(t) > start + 0.1 * t * expected:
        t /= 2
    return t


def _violation(slope: Floats, coef: Floats, l1: float) -> Floats:
    """Smallest subgradient per coefficient: all 0 at the optimum."""
    at_zero = np.sign(slope) * np.maximum(np.abs(slope) - l1, 0.0)
    return np.where(coef != 0, slope + l1 * np.sign(coef), at_zero)
