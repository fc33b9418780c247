"""Which trial wins, and an honest estimate of how well it will do. Pure: records in, choice and numbers out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import NoTrialCompleted
from autoreg.metrics import Metric
from autoreg.trial import Floats, State, TrialRecord

BOOTSTRAP = 2000
CELLS = 100_000
"""Draws times rows that are scored at once: what a processor's cache holds."""


@dataclass(frozen=True)
class Estimate:
    """How well the winner does, in the user's metric.

    Attributes
    ----------
    metric : str
    holdout, holdout_low, holdout_high : float
        The one look at untouched rows, with its 95 % interval.
    cv : float
        The search's own score of the winner: optimistic, because the winner was chosen by it.
    optimism : float
        How much ``cv`` flatters against the holdout; positive = flattering.
    train, gap : float
        Score on the training rows, and how much it flatters against the holdout; positive = overfit.
    warnings : tuple of str
        Why the interval may mislead.
    """

    metric: str
    holdout: float
    holdout_low: float
    holdout_high: float
    cv: float
    optimism: float
    train: float
    gap: float
    warnings: tuple[str, ...] = ()


def choose(records: Sequence[TrialRecord], ranks: Mapping[str, int]) -> TrialRecord:
    """The complete trial with the smallest cross-validated loss; equal ones go to the simpler.

    Simpler: family first (``ranks``), then effective parameters, then the earlier trial.

    Raises
    ------
    NoTrialCompleted
        Every trial failed; the message gives the first reason.
    """
    complete = [r for r in records if r.result.state is State.COMPLETE and math.isfinite(r.result.loss)]
    if not complete:
        reasons = [r.result.reason for r in records if r.result.reason]
        why = (
            f"; first reason: {reasons[0]}"
            if reasons
            else "; give it more time (--timeout) or trials (--trials)"
        )
        raise NoTrialCompleted(f"none of {len(records)} trials completed{why}")

    def order(r: TrialRecord) -> tuple[float, int, float, int]:
        size = r.result.complexity if math.isfinite(r.result.complexity) else math.inf
        return r.result.loss, ranks[r.backend], size, r.number

    return min(complete, key=order)


def stopping_point(record: TrialRecord) -> int:
    """Mean best stopping point over folds, to refit with on all rows; 0 where the model has none."""
    known = [r for r in record.result.rounds if r > 0]
    return round(float(np.mean(known))) if known else 0


def estimate(
    metric: Metric,
    truth: NDArray[Any],
    predictions: NDArray[Any],
    weight: Floats | None,
    group: NDArray[Any] | None,
    scores: tuple[float, float],
    seed: int,
) -> Estimate:
    """Judge the winner on the holdout, once.

    Parameters
    ----------
    metric : Metric
    truth : ndarray, shape (n,)
    predictions : ndarray, shape (n, K) or (n,)
    weight : ndarray, shape (n,), or None
    group : ndarray, shape (n,), or None
        Rows of one group are resampled together.
    scores : (float, float)
        The winner's cross-validated score and its score on the training rows.
    seed : int
        Seed of the bootstrap.
    """
    value = metric(truth, predictions, weight)
    if metric.name == "accuracy" and weight is None and group is None:
        low, high = wilson(round(value * len(truth)), len(truth))
    else:
        low, high = bootstrap_interval(metric, truth, predictions, weight, group, seed)
    cv, train = scores
    bad = metric.badness
    return Estimate(
        metric.name,
        value,
        low,
        high,
        cv,
        bad(value) - bad(cv),
        train,
        bad(value) - bad(train),
        _cautions(metric, truth, predictions),
    )


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927).

    >>> [round(x, 3) for x in wilson(8, 10)]
    [0.49, 0.943]
    """
    p = hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(
    metric: Metric,
    truth: NDArray[Any],
    predictions: NDArray[Any],
    weight: Floats | None,
    group: NDArray[Any] | None,
    seed: int,
) -> tuple[float, float]:
    """95 % percentile bootstrap over rows, or over groups; stratified only where a metric needs every class.

    A draw in which the metric is undefined, such as one of rows that all weigh 0, does not count.
    """
    draw = _drawer(truth, group, metric.every_class, np.random.default_rng(seed))
    score = metric.scorer(truth, predictions)
    size = max(1, CELLS // len(truth))
    values = []
    for start in range(0, BOOTSTRAP, size):
        counts = np.stack([draw() for _ in range(min(size, BOOTSTRAP - start))]).astype(np.float64)
        values.append(score(counts if weight is None else counts * weight))
    found = np.concatenate(values)
    known = found[np.isfinite(found)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _drawer(
    truth: NDArray[Any], group: NDArray[Any] | None, stratified: bool, rng: np.random.Generator
) -> Callable[[], NDArray[np.int64]]:
    """Draws with replacement, each as how often every row is in it (n,)."""
    n = len(truth)
    if group is not None:
        codes = np.unique(group, return_inverse=True)[1]
        k = int(codes.max()) + 1
        return lambda: np.bincount(rng.integers(k, size=k), minlength=k)[codes]
    if stratified:
        classes = [np.flatnonzero(truth == c) for c in np.unique(truth)]
        return lambda: np.bincount(
            np.concatenate([rng.choice(rows, len(rows)) for rows in classes]), minlength=n
        )
    return lambda: np.bincount(rng.integers(n, size=n), minlength=n)


def _cautions(metric: Metric, truth: NDArray[Any], predictions: NDArray[Any]) -> tuple[str, ...]:
    notes = []
    if len(truth) < 100:
        notes.append(f"the holdout has only {len(truth)} rows: read its interval, not its value")
    if metric.needs != "value":
        rarest = int(np.bincount(truth.astype(np.int64), minlength=predictions.shape[1]).min())
        if rarest < 10:
            notes.append(f"the rarest class has only {rarest} rows in the holdout")
    return tuple(notes)
