"""How well the winner will do on new rows: its score on the holdout, with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.metrics import Metric
from autoreg.record import REPRODUCED
from autoreg.trial import Floats

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
        The one look at untouched rows, with its 95 % interval; NaN where no rows were held out.
    cv : float
        The search's own score of the winner: optimistic, because the winner was chosen by it.
    optimism : float
        How much ``cv`` flatters against the holdout (at one half, where a threshold was fitted); positive = flattering.
    train, gap : float
        Score on the training rows, and how much it flatters against the holdout; positive = overfit.
    warnings : tuple of str
        Why the interval may mislead.
    kind : {"holdout", "nested", "none", "reproduced"}
        What ``optimism`` and ``gap`` are measured against; "none": they are NaN; "reproduced": ``gap`` alone, against ``cv``.
    nested, nested_low, nested_high : float
        Mean score of the study repeated in outer folds, with its 95 % interval; NaN where that was not asked for.
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
    kind: str = "holdout"
    nested: float = math.nan
    nested_low: float = math.nan
    nested_high: float = math.nan

    @property
    def headline(self) -> tuple[float, float, float]:
        """The honest score with its interval, whichever kind it is."""
        if self.kind == "nested":
            return self.nested, self.nested_low, self.nested_high
        return self.holdout, self.holdout_low, self.holdout_high


def nested_estimated(
    metric: Metric, interval: tuple[float, float, float], scores: tuple[float, float]
) -> Estimate:
    """An estimate from outer folds: (mean, low, high) and the winner's scores in cross-validation and in training."""
    (value, low, high), (cv, train), bad = interval, scores, metric.badness
    nan = math.nan
    return Estimate(
        metric.name,
        nan,
        nan,
        nan,
        cv,
        bad(value) - bad(cv),
        train,
        bad(value) - bad(train),
        ("outer folds see fewer rows than the shipped model did: the estimate is a little pessimistic",),
        "nested",
        value,
        low,
        high,
    )


def reproduced_estimated(metric: Metric, scores: tuple[float, float]) -> Estimate:
    """No estimate: a published experiment's scores (on the scored rows and in training), and what they are worth."""
    (cv, train), nan = scores, math.nan
    gap = metric.badness(cv) - metric.badness(train)
    return Estimate(metric.name, nan, nan, nan, cv, nan, train, gap, (REPRODUCED,), "reproduced")


def unjudged(metric: Metric, scores: tuple[float, float]) -> Estimate:
    """No estimate from rows that the search did not see: the winner's scores in cross-validation and in training."""
    (cv, train), nan = scores, math.nan
    return Estimate(metric.name, nan, nan, nan, cv, nan, train, nan, kind="none")


def estimate(
    metric: Metric,
    truth: NDArray[Any],
    predictions: NDArray[Any],
    weight: Floats | None,
    group: NDArray[Any] | None,
    scores: tuple[float, float],
    seed: int,
    like: float | None = None,
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
    like : float, optional
        The score on the same rows that compares with ``scores``, where it is not that of ``predictions``: scores
        of the search know no fitted threshold.
    """
    value = metric(truth, predictions, weight)
    if metric.name == "accuracy" and weight is None and group is None:
        low, high = wilson(round(value * len(truth)), len(truth))
    else:
        low, high = bootstrap_interval(metric, truth, predictions, weight, group, seed)
    cv, train = scores
    bad, compared = metric.badness, value if like is None else like
    return Estimate(
        metric.name,
        value,
        low,
        high,
        cv,
        bad(compared) - bad(cv),
        train,
        bad(compared) - bad(train),
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
    draw = drawer(truth, group, metric.every_class, np.random.default_rng(seed))
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


def drawer(
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


def time_blocks(time: NDArray[Any]) -> NDArray[np.int64]:
    """Block of every row (n,): runs of about ``n^(1/3)`` rows in order of time, resampled as one (Kuensch 1989)."""
    n = len(time)
    place = np.empty(n, np.int64)
    place[np.argsort(time, kind="stable")] = np.arange(n)
    return np.asarray(place // max(1, round(n ** (1 / 3))))


def _cautions(metric: Metric, truth: NDArray[Any], predictions: NDArray[Any]) -> tuple[str, ...]:
    notes = []
    if len(truth) < 100:
        notes.append(f"the holdout has only {len(truth)} rows: read its interval, not its value")
    if metric.needs != "value":
        rarest = int(np.bincount(truth.astype(np.int64), minlength=predictions.shape[1]).min())
        if rarest < 10:
            notes.append(f"the rarest class has only {rarest} rows in the holdout")
    return tuple(notes)
