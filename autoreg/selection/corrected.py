"""Cross-validation corrected for having chosen the best of many: bootstrap bias-corrected CV.

Tsamardinos, Greasidou and Borboudakis 2018. It describes the rule "smallest cross-validated loss" and not the
sampler's adaptation: selection-corrected, not honest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.metrics import Metric
from autoreg.selection.estimate import drawer
from autoreg.trial import Floats

DRAWS = 1000
CELLS = 4_000_000
"""Draws times rows that are held at once."""


@dataclass(frozen=True)
class Corrected:
    """Selection-corrected score in the user's metric, its 95 % percentile interval, and what it rests on."""

    value: float
    low: float
    high: float
    draws: int
    trials: int


def corrected_cv(
    metric: Metric,
    truth: NDArray[Any],
    losses: Floats,
    predictions: Callable[[int], NDArray[Any]],
    folds: NDArray[np.int64],
    weight: Floats | None,
    group: NDArray[Any] | None,
    seed: int,
    draws: int = DRAWS,
) -> Corrected:
    """Choose the best trial on drawn rows, score it on the rows not drawn, many times.

    Parameters
    ----------
    metric : Metric
        Where it is no mean over rows it is computed within folds.
    truth : ndarray, shape (n,)
    losses : ndarray, shape (T, n)
        Internal loss of every complete trial on every row, out of fold.
    predictions : callable
        Out-of-fold predictions of a trial by its row in ``losses``, (n, K) or (n,); asked once per trial chosen.
    folds : ndarray, shape (n,)
        The fold in which each row was scored.
    weight : ndarray, shape (n,), or None
    group : ndarray, shape (n,), or None
        Rows of one group are drawn together.
    seed, draws : int

    Returns
    -------
    Corrected
        NaN where no draw leaves rows to score.
    """
    n = len(truth)
    draw = drawer(truth, group, False, np.random.default_rng(seed))
    size = max(1, CELLS // n)
    values: list[float] = []
    scorers: dict[int, Callable[[Floats], Floats]] = {}
    for start in range(0, draws, size):
        counts = np.stack([draw() for _ in range(min(size, draws - start))]).astype(np.float32)
        inside = counts if weight is None else counts * np.asarray(weight, np.float32)
        chosen = np.argmin(inside @ losses.T / np.maximum(inside.sum(axis=1, keepdims=True), 1e-30), axis=1)
        outside = (counts == 0).astype(np.float64)
        outside = outside if weight is None else outside * weight
        for trial in np.unique(chosen):
            i = int(trial)
            if i not in scorers:
                scorers[i] = _within_folds(metric, truth, predictions(i), folds)
            values += scorers[i](outside[chosen == trial]).tolist()
    found = np.asarray(values)
    found = found[np.isfinite(found)]
    if not len(found):
        return Corrected(np.nan, np.nan, np.nan, 0, len(losses))
    low, high = np.quantile(found, [0.025, 0.975])
    return Corrected(float(found.mean()), float(low), float(high), len(found), len(losses))


def _within_folds(
    metric: Metric, truth: NDArray[Any], predictions: NDArray[Any], folds: NDArray[np.int64]
) -> Callable[[Floats], Floats]:
    """A scorer of row weights (draws, n): the metric as a mean over rows, else its mean over folds."""
    if metric.rows is not None:
        return metric.scorer(truth, predictions)
    parts = [np.flatnonzero(folds == k) for k in np.unique(folds)]
    scorers = [metric.scorer(truth[rows], predictions[rows]) for rows in parts]

    def score(weights: Floats) -> Floats:
        found = np.stack([s(weights[:, rows]) for s, rows in zip(scorers, parts, strict=True)])
        known = np.isfinite(found)
        total = np.where(known, found, 0.0).sum(axis=0)
        return np.asarray(np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan))

    return score
