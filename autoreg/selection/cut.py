"""What is fitted on out-of-fold predictions after the choice: a temperature, and a threshold for two classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.metrics import Metric, log_loss_rows
from autoreg.selection.blend import others
from autoreg.selection.compare import corrected_se
from autoreg.serving import sharpened, shifted
from autoreg.trial import Floats, Rows

Array = NDArray[Any]
MOST_ROWS = 5_000
THRESHOLDS = 49
WIDEST = math.log(8.0)
"""Temperatures lie between 1/8 and 8."""


@dataclass(frozen=True)
class Cut:
    """What turns mean probabilities into the ones that are given, and into labels.

    Attributes
    ----------
    temperature : float
        1 where none is worth it.
    threshold : float
        One half where none is worth it.
    """

    temperature: float = 1.0
    threshold: float = 0.5

    def apply(self, p: Array, labels: bool) -> Array:
        """Probabilities (..., K) as they are judged; with ``labels`` so that the most probable class is the label."""
        p = sharpened(p, self.temperature) if self.temperature != 1.0 else p
        return shifted(p, self.threshold) if labels and self.threshold != 0.5 else p


def fit_temperature(y: Array, p: Array, weight: Floats | None) -> float:
    """The temperature with the smallest log loss (Guo et al. 2017) on rows (n,), p (n, K)."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        return float(np.average(log_loss_rows(y, sharpened(p, math.exp(log_t))), weights=weight))

    found = minimize_scalar(loss, bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-3})
    return float(math.exp(found.x))


def fit_threshold(metric: Metric, y: Array, p: Array, weight: Floats | None) -> float:
    """The threshold for the second class with the best score: middle of the best of ``THRESHOLDS`` quantiles of p (n, 2).

    Scores are averaged with their neighbours', because a single row's luck moves the best one far.
    """
    if len(y) > MOST_ROWS:
        rows = np.linspace(0, len(y) - 1, MOST_ROWS).round().astype(np.int64)
        y, p, weight = y[rows], p[rows], None if weight is None else weight[rows]
    grid = np.unique(np.quantile(p[:, 1], np.linspace(0.01, 0.99, THRESHOLDS)))
    grid = np.clip(np.append(grid, 0.5), 0.005, 0.995)
    grid.sort()
    found = np.array([metric.badness(metric(y, shifted(p, t), weight)) for t in grid])
    padded = np.pad(found, 1, mode="edge")
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return float(grid[int(np.argmin(np.where(np.isfinite(smooth), smooth, np.inf)))])


def fit_cut(
    metric: Metric, y: Array, p: Array, weight: Floats | None, cells: Sequence[Rows], ratio: float
) -> Cut:
    """Temperature and threshold, each kept only where it gains more than one standard error on rows it did not see.

    Parameters
    ----------
    metric : Metric
        The user's; a threshold is fitted where it judges labels of two classes.
    y, p : ndarray, shape (n,), (n, K)
        Truth and out-of-fold probabilities, averaged as the shipped model averages.
    weight : ndarray, shape (n,), or None
    cells : sequence of ndarray
        Rows by cell of one repeat, to cross-fit over.
    ratio : float
        Rows that score over rows that fit, in one cell.
    """
    temperature = 1.0

    def log_loss(rows: Rows, t: float) -> float:
        return float(
            np.average(
                log_loss_rows(y[rows], sharpened(p[rows], t)),
                weights=None if weight is None else weight[rows],
            )
        )

    def temperature_on(rows: Rows) -> float:
        return fit_temperature(y[rows], p[rows], None if weight is None else weight[rows])

    if _worth(cells, ratio, temperature_on, log_loss, 1.0):
        temperature = temperature_on(np.concatenate(cells))
    if metric.needs != "label" or p.shape[1] != 2:
        return Cut(temperature)
    q = sharpened(p, temperature) if temperature != 1.0 else p

    def threshold_on(rows: Rows) -> float:
        return fit_threshold(metric, y[rows], q[rows], None if weight is None else weight[rows])

    def badness(rows: Rows, t: float) -> float:
        return metric.badness(metric(y[rows], shifted(q[rows], t), None if weight is None else weight[rows]))

    if _worth(cells, ratio, threshold_on, badness, 0.5):
        return Cut(temperature, threshold_on(np.concatenate(cells)))
    return Cut(temperature)


def _worth(
    cells: Sequence[Rows],
    ratio: float,
    fit: Callable[[Rows], float],
    loss: Callable[[Rows, float], float],
    plain: float,
) -> bool:
    """Whether a value fitted on the other cells beats the plain one by more than one standard error."""
    gains = []
    for k, rows in enumerate(cells):
        gain = loss(rows, plain) - loss(rows, fit(others(cells, k)))
        if math.isfinite(gain):
            gains.append(gain)
    if len(gains) < 2:
        return False
    se = corrected_se(np.asarray(gains), ratio)
    return float(np.mean(gains)) > se
