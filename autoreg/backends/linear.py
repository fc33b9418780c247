"""Linear and logistic regression: exact solvers, and stochastic gradient descent where the data are large."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgWarning
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LinearRegression, Ridge

from autoreg.backends import NOTHING_GIVEN, Fit, FitFailure, FitJob, always, each_in_time, logistic
from autoreg.backends.checks import Limit, check_native, check_space
from autoreg.backends.common import (
    NO_ROW,
    calm_algebra,
    counted,
    smooth_rates,
    standardised,
    target_scale,
    total_weight,
)
from autoreg.backends.sgd import Descent, Rows, descend
from autoreg.penalties import PENALTIES, SEPARATED, Penalty, effective
from autoreg.serving import LinearMember
from autoreg.trial import Choice, Dimension, Encoding, Floats, Part, Range, Scalar, Sizes, Task

LIMITS = {
    "penalty": Limit(choices=PENALTIES),
    "alpha": Limit(low=0.0),
    "l1_ratio": Limit(low=0.0, high=1.0),
    "C": Limit(low=0.0),
    "solver": Limit(choices=("auto", "exact", "sgd", "liblinear")),
    "patience": Limit(low=0, integer=True),
}
LARGE = 3e7
"""rows * columns * outputs above which ``auto`` leaves the exact solvers, unless Newton's method is cheap."""


class LinearBackend:
    """Linear models behind the backend contract; see ``autoreg.backends.Backend``.

    The objective is ``mean loss + alpha * (l1_ratio * |w|_1 + (1 - l1_ratio) / 2 * |w|^2)`` with free
    intercepts; the loss is log loss, or half the squared error of the standardised target. So
    ``C = 1 / (alpha * n)`` in ``LogisticRegression``, ``alpha * n`` in ``Ridge``, ``alpha`` itself in
    ``ElasticNet``. A ``C`` that is given replaces ``alpha``; 0 says that there is none. ``solver = "liblinear"`` is
    scikit-learn's own estimator with that solver, which penalizes the intercept too. ``patience`` is for the stochastic solver alone, and searched where ``auto`` takes it.
    """

    name = "sklearn"
    encoding: Encoding = "dense"
    batched = False
    shared: tuple[str, ...] = ()
    rank = 0

    def space(self, sizes: Sizes, given: Mapping[str, Dimension] = NOTHING_GIVEN) -> dict[str, Dimension]:
        """Every name with its dimension; the weakest penalty follows the number of rows."""
        return {
            "penalty": Choice(("l2", "l1", "elasticnet", "none")),
            "alpha": Range(float(np.clip(0.01 / max(1, sizes.rows), 1e-6, 1e-5)), 3.0, log=True),
            "l1_ratio": Range(0.05, 0.95),
            "C": 0.0,
            "solver": "auto",
            "patience": Range(3, 20, log=True, integer=True) if large(sizes) else 5,
        }

    def default(
        self, sizes: Sizes, given: Mapping[str, Dimension] = NOTHING_GIVEN
    ) -> dict[str, str | int | float | bool]:
        """scikit-learn's own: ``LogisticRegression(C=1)`` or ``Ridge(alpha=1)``, both ``alpha = 1 / n`` here."""
        alpha = 1.0 / max(1, sizes.rows)
        return {"penalty": "l2", "alpha": alpha, "C": 0.0, "solver": "auto", "patience": 5}

    def check(self, space: Mapping[str, Dimension], task: Task, image: tuple[int, ...] | None = None) -> None:
        """Refuse before trial 0 what the linear models cannot do; raises ``StudyError``."""
        check_space(self.name, space, LIMITS)
        check_native(space, task)

    def fit(self, jobs: Sequence[FitJob], in_time: Callable[[], bool] = always) -> list[Fit | FitFailure]:
        """Fit every job in turn."""
        return each_in_time(_fit, jobs, in_time)


@dataclass(frozen=True)
class _Found:
    """What a solver gave, in the units of the target."""

    coef: Floats
    intercept: Floats
    native: dict[str, Scalar]
    rounds: int = 0
    curves: dict[str, Floats] = field(default_factory=dict)


def _fit(job: FitJob) -> Fit | FitFailure:
    started = time.perf_counter()
    train, p = counted(job.data.train), job.params
    inverse = float(p.get("C", 0.0)) * total_weight(train)
    alpha = 1.0 / inverse if inverse else float(p["alpha"])
    penalty = effective(str(p["penalty"]), alpha, float(p["l1_ratio"]))
    params = dict(p) | {"penalty": penalty.kind, "alpha": penalty.alpha, "l1_ratio": penalty.l1_ratio}
    if not inverse:
        params.pop("C", None)
    rows, columns = train.X.shape
    stochastic = _stochastic(job, rows, columns) if p["solver"] == "auto" else p["solver"] == "sgd"
    if p["solver"] != "liblinear":
        params["solver"] = "sgd" if stochastic else "exact"
    if not stochastic:
        params.pop("patience")
    if not rows:
        return FitFailure(NO_ROW, params)
    if not np.isfinite(train.X).all():
        return FitFailure("the encoded rows hold NaN or infinite values", params)
    with calm_algebra():
        if job.data.task == "regression":
            found = _sgd_values(job, train, penalty) if stochastic else _values(train, penalty)
        else:
            found = _classes(job, train, penalty, stochastic)
    seconds = time.perf_counter() - started
    if not (np.isfinite(found.coef).all() and np.isfinite(found.intercept).all()):
        return FitFailure("coefficients became NaN or infinite", params, seconds)
    member = LinearMember(found.coef, found.intercept, job.data.task)
    native = {f"sklearn.{k}": v for k, v in found.native.items()}
    complexity = float(np.count_nonzero(found.coef))
    return Fit(member, params, native, found.rounds, complexity, found.curves, seconds)


def _stochastic(job: FitJob, rows: int, columns: int) -> bool:
    """What ``auto`` does; a refit, which has more rows and no stop part, does as its folds did."""
    if job.rounds:
        return True
    fold = rows if job.data.stop is not None else int(rows / 2.5)
    return large(Sizes(job.data.task, fold, columns, job.data.n_classes))


def large(sizes: Sizes) -> bool:
    """Whether an exact solution would take long, so that ``auto`` descends stochastically."""
    if sizes.task == "regression":
        return sizes.rows * sizes.columns * min(sizes.rows, sizes.columns) > 1e4 * LARGE
    newton = logistic.newton_pays(sizes.rows, sizes.columns, sizes.outputs)
    return sizes.rows * sizes.columns * sizes.outputs > LARGE and not newton


def _classes(job: FitJob, train: Part, penalty: Penalty, stochastic: bool) -> _Found:
    """Fit the classes that are there, then give the absent ones a low but finite score."""
    k = job.data.n_classes
    present, codes = np.unique(train.y.astype(np.int64), return_inverse=True)
    if len(present) == 1:
        rates = smooth_rates(train, k)
        scores = np.log(rates[1:2] / rates[:1]) if k == 2 else np.log(rates)
        return _Found(np.zeros((train.X.shape[1], len(scores))), scores, {"estimator": "DummyClassifier"})
    native: dict[str, Scalar] = {
        "estimator": "LogisticRegression",
        "C": 1.0 / (penalty.alpha * total_weight(train)) if penalty.alpha > 0 else float("inf"),
        "l1_ratio": penalty.l1_ratio,
    }
    if stochastic:
        descent, rounds = _descend(job, train, penalty)
        native |= {"solver": "proximal-sgd", "max_iter": rounds}
        curves = {"train_loss": descent.train_loss, "stop_loss": descent.stop_loss}
        curves = {name: curve for name, curve in curves.items() if len(curve)}
        return _Found(descent.coef, descent.intercept, native, descent.epochs, curves)
    weight = np.ones(len(train)) if train.weight is None else np.asarray(train.weight, np.float64)
    X = train.X.astype(np.float64)
    if job.params["solver"] == "liblinear":
        native["C"] = float(job.params["C"]) or native["C"]
        solution = logistic.liblinear(X, codes, weight, penalty, float(native["C"]), job.seed)
    else:
        solution = logistic.solve(X, codes, len(present), weight, penalty)
    native |= {"solver": solution.solver, "converged": solution.converged}
    if penalty.alpha == 0:
        native |= _endless(job, X, codes, solution)
    coef, intercept = _widen(solution, present, k, len(train))
    return _Found(coef, intercept, native)


def _endless(job: FitJob, X: Floats, codes: NDArray[Any], solution: logistic.Solution) -> dict[str, Scalar]:
    """What to tell of weights that have no best value: they would grow for ever, and are where the solver stopped."""
    column = logistic.separated_by(X, codes, X @ solution.coef + solution.intercept)
    if column is None:
        return {}
    told = "all columns together" if column == logistic.TOGETHER else f"column {job.data.columns[column]!r}"
    return {SEPARATED: told, "converged": False}


def _widen(solution: logistic.Solution, present: NDArray[Any], k: int, n: int) -> tuple[Floats, Floats]:
    """Scores of all ``k`` classes from those of the classes present.

    An absent class gets no coefficients and, at the mean row, a probability of about 1 / (n + k).
    """
    coef, intercept = solution.coef, solution.intercept
    if k == 2:
        return coef, intercept
    if len(present) == 2:
        coef, intercept = np.hstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    if len(present) == k:
        return coef, intercept
    wide, scores = np.zeros((len(coef), k)), np.empty(k)
    scores[:] = np.log(np.exp(intercept - intercept.max()).sum()) + intercept.max() - np.log(n + k)
    wide[:, present], scores[present] = coef, intercept
    return wide, scores


def _values(train: Part, penalty: Penalty) -> _Found:
    """Least squares on the standardised target, exactly."""
    shift, scale = target_scale(train)
    X, y = np.array(train.X, np.float64, order="F"), standardised(train, shift, scale)
    native: dict[str, Scalar]
    model: Any
    if penalty.l1 > 0:
        tall = len(X) > X.shape[1]
        model = ElasticNet(
            alpha=penalty.alpha,
            l1_ratio=penalty.l1_ratio,
            precompute=tall,
            copy_X=False,
            max_iter=5000,
            tol=1e-6,
        )
        native = {"estimator": "ElasticNet", "alpha": penalty.alpha, "l1_ratio": penalty.l1_ratio}
    elif penalty.l2 > 0:
        model = Ridge(alpha=penalty.l2 * total_weight(train))
        native = {"estimator": "Ridge", "alpha": model.alpha}
    else:
        model, native = LinearRegression(), {"estimator": "LinearRegression"}
    with warnings.catch_warnings():
        # Both are answered: by ``converged``, and by scikit-learn's own fall back to an SVD.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", LinAlgWarning)
        model.fit(X, y, sample_weight=train.weight)
    if penalty.l1 > 0:
        native["converged"] = bool(model.n_iter_ < model.max_iter)
    coef = np.asarray(model.coef_, np.float64)[:, None] * scale
    return _Found(coef, np.array([float(model.intercept_) * scale + shift]), native)


def _sgd_values(job: FitJob, train: Part, penalty: Penalty) -> _Found:
    """Least squares on the standardised target, by descent."""
    shift, scale = target_scale(train)
    descent, rounds = _descend(job, train, penalty, shift, scale)
    native: dict[str, Scalar] = {
        "estimator": "SGDRegressor",
        "alpha": penalty.alpha,
        "l1_ratio": penalty.l1_ratio,
        "solver": "proximal-sgd",
        "max_iter": rounds,
    }
    curves = {"train_loss": descent.train_loss * scale**2, "stop_loss": descent.stop_loss * scale**2}
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    return _Found(descent.coef * scale, descent.intercept * scale + shift, native, descent.epochs, curves)


def _descend(
    job: FitJob, train: Part, penalty: Penalty, shift: float = 0.0, scale: float = 1.0
) -> tuple[Descent, int]:
    """Run the descent; the cap on epochs shrinks with the data."""
    link = {"regression": "identity", "binary": "logistic", "multiclass": "softmax"}[job.data.task]
    stop = None if job.rounds or job.data.stop is None else counted(job.data.stop)
    outputs = job.data.n_classes if link == "softmax" else 1
    cap = int(np.clip(3e10 / max(1, train.X.size * outputs), 10, 200))

    def rows(part: Part) -> Rows:
        y = part.y.astype(np.int64)
        truth = np.eye(outputs)[y] if link == "softmax" else part.y[:, None]
        if link == "identity":
            truth = standardised(part, shift, scale)[:, None]
        weight = np.ones(len(part)) if part.weight is None else part.weight / part.weight.mean()
        return Rows(part.X, truth.astype(np.float32), weight.astype(np.float32))

    held = rows(stop) if stop is not None and len(stop) else None
    epochs = job.rounds or (cap if held is not None else min(cap, 30))
    patience = int(job.params["patience"])
    return descend(rows(train), held, penalty, link, job.seed, epochs, patience), epochs
