"""Pure evaluation: configurations and folds in, results out. No MLflow, no Optuna, no files.

In every fold a model trains on the train part, stops on the stop part and is judged on the score part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import Backend, Fit, FitFailure, FitJob, always, fits_abreast
from autoreg.backends.common import calm_algebra
from autoreg.data import encode, is_published
from autoreg.effects import effects
from autoreg.metrics import Metric, loss_rows
from autoreg.serving import Preprocessor
from autoreg.trial import Encoded, Encoding, Floats, Fold, Params, Sizes, Split, State, Table, TrialResult

FIRST_Z, PRUNE_Z = 1.0, 2.33
"""Standard errors by which a trial may be worse than the best one, on the rows that both have predicted, after the first fold and
after more. On eight tables that no comparison uses, searches of 20, 40 and 80 fits have .91 to .95 of the regret
that they have with 2.33 from the second fold on; and where all trials are equal the corrected score stays within a tenth of its
standard error of the truth, while with 1 after every fold it is up to a third too good (`benchmarks/pruning.py`)."""
KEPT_BYTES = 4_000_000
CURVES = ("train_loss", "stop_loss", "train_accuracy", "stop_accuracy")


@dataclass(frozen=True)
class Candidate:
    """A configuration to evaluate, with the seed of its fits."""

    params: Params
    seed: int


@dataclass
class Problem:
    """A table with its split, ready to be fitted: everything a worker needs to know.

    Attributes
    ----------
    table : Table
    split : Split
    metric : Metric
        The user's metric.
    weight : ndarray, shape (n,), or None
        Sample weights times class weights.
    """

    table: Table
    split: Split
    metric: Metric
    weight: Floats | None = None
    _encoded: dict[Encoding, tuple[Encoded, ...]] = field(default_factory=dict)
    _fitted: dict[Encoding, tuple[Preprocessor, ...]] = field(default_factory=dict)

    @property
    def published(self) -> bool:
        """Whether the split is that of a published experiment."""
        return is_published(self.split)

    def job(self, candidate: Candidate, data: Encoded, fold: int) -> FitJob:
        """What is to be fitted on one fold."""
        accuracy = self.metric.name == "accuracy" or candidate.params.get("monitor") == "accuracy"
        seed = fold_seed(candidate.seed, fold)
        return FitJob(candidate.params, data, seed, accuracy=self.published and accuracy)

    def folds(self, encoding: Encoding) -> tuple[Encoded, ...]:
        """The encoded folds; preprocessing is fitted once per study, not once per trial."""
        if self.table.image and encoding not in self._encoded:  # the same for every backend: kept once
            for other, found in list(self._encoded.items())[:1]:
                self._encoded[encoding], self._fitted[encoding] = found, self._fitted[other]
        if encoding not in self._encoded:
            made = [encode(self.table, f, encoding, self.weight) for f in self.split.folds]
            self._encoded[encoding] = tuple(encoded for encoded, _ in made)
            self._fitted[encoding] = tuple(preprocessor for _, preprocessor in made)
        return self._encoded[encoding]

    def preprocessors(self, encoding: Encoding) -> tuple[Preprocessor, ...]:
        """What encodes raw rows as each fold's models expect them."""
        self.folds(encoding)
        return self._fitted[encoding]

    def again(self, split: Split) -> Problem:
        """The same table under another split."""
        return Problem(self.table, split, self.metric, self.weight)

    def sizes(self, encoding: Encoding) -> Sizes:
        """What a backend may know of the data."""
        first = self.folds(encoding)[0]
        rows = int(np.median([len(f.train) for f in self.split.folds]))
        return Sizes(self.table.task, rows, first.train.X.shape[1], self.table.n_classes, self.table.image)

    def kept_rows(self) -> NDArray[np.int64]:
        """The rows that trials see whose predictions are kept: all, or a fixed sample when they would pass 4 MB."""
        width = 4 * max(1, self.table.n_classes)
        rows = self.split.tried
        limit = KEPT_BYTES // width
        if len(rows) <= limit:
            return rows
        order = (rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
        return np.sort(rows[np.argsort(order, kind="stable")[:limit]])

    def row_losses(self, predictions: NDArray[Any]) -> Floats:
        """Internal loss of every table row, NaN where it has no prediction."""
        known = np.isfinite(predictions.reshape(len(predictions), -1)[:, 0])
        losses = np.full(len(predictions), np.nan)
        losses[known] = loss_rows(self.table.task, self.table.target[known], predictions[known])
        return losses


def class_weights(table: Table, rows: NDArray[np.int64], balanced: bool) -> Floats | None:
    """Sample weights, times ``n / (K * n_class)`` over ``rows`` when classes are to weigh alike."""
    if not balanced or table.task == "regression":
        return table.weight
    base = np.ones(len(table.target)) if table.weight is None else np.asarray(table.weight, np.float64)
    totals = np.bincount(table.target[rows], weights=base[rows], minlength=table.n_classes)
    factor = totals.sum() / (table.n_classes * np.where(totals > 0, totals, 1.0))
    return np.asarray(base * factor[table.target])


def evaluate(
    backend: Backend,
    candidates: Sequence[Candidate],
    problem: Problem,
    incumbent: NDArray[np.float32] | None = None,
    in_time: Callable[[], bool] = always,
) -> list[TrialResult]:
    """Evaluate configurations over all folds.

    Parameters
    ----------
    backend : Backend
    candidates : sequence of Candidate
        One, or a whole block for a batched backend.
    problem : Problem
    incumbent : ndarray, optional
        Out-of-fold predictions of the configuration to beat; enables pruning between folds.
    in_time : callable
        False when the deadline has passed; asked before every fit, and inside a block between epochs.

    Raises
    ------
    OutOfTime
        The deadline passed before the results were whole.
    """
    if backend.batched:
        return _evaluate_block(backend, candidates, problem, in_time)
    return [_evaluate_one(backend, c, problem, incumbent, in_time) for c in candidates]


def fit_folds(
    backend: Backend, candidates: Sequence[Candidate], problem: Problem, in_time: Callable[[], bool] = always
) -> list[list[Fit] | FitFailure]:
    """Fit configurations over all folds and keep the fitted models; of one that fails anywhere, its first failure.

    Raises
    ------
    OutOfTime
        The deadline passed before all were fitted.
    """
    folds = problem.folds(backend.encoding)
    jobs = [problem.job(c, data, k) for c in candidates for k, data in enumerate(folds)]
    outcomes = backend.fit(jobs, in_time)
    found: list[list[Fit] | FitFailure] = []
    for i in range(len(candidates)):
        mine = outcomes[i * len(folds) : (i + 1) * len(folds)]
        failed = [o for o in mine if isinstance(o, FitFailure)]
        found.append(failed[0] if failed else [o for o in mine if isinstance(o, Fit)])
    return found


def fold_seed(seed: int, fold: int) -> int:
    """Seed of one fold's fit."""
    return (seed + 7919 * fold) % 2**31


def _evaluate_block(
    backend: Backend, candidates: Sequence[Candidate], problem: Problem, in_time: Callable[[], bool]
) -> list[TrialResult]:
    folds = problem.folds(backend.encoding)
    jobs = [problem.job(c, data, k) for c in candidates for k, data in enumerate(folds)]
    outcomes = backend.fit(jobs, in_time)
    results = []
    for i, candidate in enumerate(candidates):
        tally = _Tally(problem, candidate.params)
        for k, outcome in enumerate(outcomes[i * len(folds) : (i + 1) * len(folds)]):
            if not tally.add(k, folds[k], outcome):
                break
        results.append(tally.result())
    return results


def _evaluate_one(
    backend: Backend,
    candidate: Candidate,
    problem: Problem,
    incumbent: NDArray[np.float32] | None,
    in_time: Callable[[], bool],
) -> TrialResult:
    tally = _Tally(problem, candidate.params)
    reference = None if incumbent is None else problem.row_losses(incumbent)
    folds = problem.folds(backend.encoding)
    jobs = [problem.job(candidate, data, k) for k, data in enumerate(folds)]
    outcomes: list[Fit | FitFailure] = []
    for k, data in enumerate(folds):
        if k == len(outcomes):  # those that are fitted side by side are judged in turn all the same
            outcomes += backend.fit(jobs[k : k + fits_abreast(backend, jobs[k])], in_time)
        if not tally.add(k, data, outcomes[k]):
            break
        if reference is not None and k + 1 < len(folds):
            z = paired_z(problem.row_losses(tally.predictions), reference, problem.weight)
            if z > (PRUNE_Z if k else FIRST_Z):
                return tally.result(f"worse than the best after {k + 1} fold{'s' if k else ''} (z = {z:.1f})")
    return tally.result()


def paired_z(losses: Floats, reference: Floats, weight: Floats | None = None) -> float:
    """Weighted mean paired difference of row losses over its standard error; positive when worse; rows both have."""
    both = np.isfinite(losses) & np.isfinite(reference)
    difference = (losses - reference)[both]
    mean, se = mean_and_se(difference, None if weight is None else weight[both])
    return mean / se if se > 0 else 0.0


def mean_and_se(values: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Weighted mean of row values and its standard error, ``sqrt(sum w^2 (v - mean)^2) / sum w`` (ratio estimator)."""
    n = len(values)
    w = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    if n < 2 or w.sum() <= 0:
        return float("nan"), float("nan")
    mean = float(np.average(values, weights=w))
    return mean, float(np.sqrt(n / (n - 1) * np.sum((w * (values - mean)) ** 2)) / w.sum())


class _Tally:
    """Gathers one configuration's folds into a TrialResult."""

    def __init__(self, problem: Problem, params: Params) -> None:
        self.problem, self.params = problem, dict(params)
        n, k = len(problem.table.target), problem.table.n_classes
        self.predictions = np.full((n, k) if k else n, np.nan, np.float32)
        self.fits: list[Fit] = []
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.train_scores: list[float] = []
        self.row_scores: list[tuple[Floats, Floats | None]] = []
        self.seconds = 0.0
        self.failure = ""
        self.details: dict[str, Any] = {}

    def add(self, k: int, data: Encoded, outcome: Fit | FitFailure) -> bool:
        """Take one fold's outcome in; False when the configuration has failed."""
        self.seconds += outcome.seconds
        if isinstance(outcome, FitFailure):
            self.failure = f"fold {k + 1}: {outcome.reason}"
            self.params |= outcome.params
            return False
        if data.score is None:
            raise ValueError("a fold without a score part cannot be evaluated")
        started = time.perf_counter()
        with calm_algebra():
            predictions = outcome.member.predict(data.score.X)
            fitted = outcome.member.predict(data.train.X)
        if not np.isfinite(predictions).all():
            self.failure = f"fold {k + 1}: predictions are not finite"
            return False
        metric, fold = self.problem.metric, self.problem.split.folds[k]
        self._score(data, fold, predictions, metric)
        if self.problem.published:
            classes = self.problem.table.classes
            self.details |= effects(data, outcome.member, predictions, fitted, classes)
        self.train_scores.append(metric(data.train.y, fitted, _plain(self.problem, fold.train)))
        # The member itself is not kept: a study holds hundreds of trials.
        self.fits.append(replace(outcome, member=None))  # type: ignore[arg-type]
        self.seconds += time.perf_counter() - started
        return True

    def _score(self, data: Encoded, fold: Fold, predictions: NDArray[Any], metric: Metric) -> None:
        self.predictions[fold.score] = predictions
        y = self.problem.table.target[fold.score]
        weight = None if self.problem.weight is None else self.problem.weight[fold.score]
        self.losses.append(float(np.average(loss_rows(data.task, y, predictions), weights=weight)))
        self.scores.append(metric(y, predictions, _plain(self.problem, fold.score)))
        values = metric.row_values(y, predictions)
        if values is not None:
            self.row_scores.append((values, _plain(self.problem, fold.score)))

    def result(self, pruned: str = "") -> TrialResult:
        """The configuration's result over the folds it went through."""
        if self.failure:
            return TrialResult(State.FAILED, self.params, seconds=self.seconds, reason=self.failure)
        if not np.isfinite(self.losses).all():
            reason = "the loss is not finite"
            return TrialResult(State.FAILED, self.params, seconds=self.seconds, reason=reason)
        losses = self.problem.row_losses(self.predictions)
        known = np.isfinite(losses)
        weight = None if self.problem.weight is None else self.problem.weight[known]
        loss_se = mean_and_se(losses[known], weight)[1]
        hidden = np.setdiff1d(self.problem.split.tried, self.problem.kept_rows())
        self.predictions[hidden] = np.nan
        return TrialResult(
            State.PRUNED if pruned else State.COMPLETE,
            {**self.params, **self.fits[0].params},
            self.fits[0].native,
            loss=float(np.mean(self.losses)),
            loss_se=loss_se,
            fold_losses=tuple(self.losses),
            cv=_mean(self.scores),
            cv_se=self._score_se(),
            train=_mean(self.train_scores),
            rounds=tuple(f.rounds for f in self.fits),
            complexity=float(np.mean([f.complexity for f in self.fits])),
            predictions=self.predictions,
            curves=mean_curves(self.fits),
            seconds=self.seconds,
            reason=pruned,
            details=self.details,
        )

    def _score_se(self) -> float:
        """Standard error over rows where the metric is a mean over rows, else over folds."""
        if not self.row_scores:
            return mean_and_se(np.asarray([v for v in self.scores if np.isfinite(v)]))[1]
        values = np.concatenate([v for v, _ in self.row_scores])
        plain = self.problem.table.weight is None
        return mean_and_se(
            values, None if plain else np.concatenate([w for _, w in self.row_scores if w is not None])
        )[1]


def _mean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _plain(problem: Problem, rows: NDArray[np.int64]) -> Floats | None:
    """The user's own sample weights: class weights shape the fit, not the score the user asked for."""
    return None if problem.table.weight is None else problem.table.weight[rows]


def mean_curves(fits: Sequence[Fit], reach: float = 1.0) -> dict[str, Floats]:
    """Mean over the fits that trained so long, up to the step that a share ``reach`` of them got to."""
    curves = {}
    for name in CURVES:
        found = [np.asarray(f.curves[name]) for f in fits if name in f.curves and len(f.curves[name])]
        if found and len(found) == len(fits):
            lengths = sorted(map(len, found), reverse=True)
            padded = np.full((len(found), lengths[int(np.ceil(reach * len(found))) - 1]), np.nan)
            for row, curve in zip(padded, found, strict=True):
                row[: len(curve)] = curve[: len(row)]
            curves[name] = np.nanmean(padded, axis=0)
    return curves
