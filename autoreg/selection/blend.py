"""Greedy blending with replacement (Caruana et al. 2004), and whether it really beats the best single one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.metrics import EPS
from autoreg.trial import Floats, Rows, Task

STEPS = 25
MOST_ROWS = 20_000
"""Weights are learned on an evenly spaced sample of so many rows."""


def evidence(task: Task, truth: NDArray[Any], predictions: NDArray[Any]) -> Floats:
    """What the internal loss needs of every prediction: the true class's probability, or the value itself.

    Parameters
    ----------
    truth : ndarray, shape (n,)
    predictions : ndarray, shape (F, n, K) or (F, n)

    Returns
    -------
    ndarray, shape (F, n)
    """
    if task == "regression":
        return np.asarray(predictions, np.float64)
    chosen = predictions[:, np.arange(len(truth)), truth.astype(np.int64)]
    return np.asarray(chosen / predictions.sum(axis=-1), np.float64)


def losses(task: Task, truth: NDArray[Any], known: Floats) -> Floats:
    """Internal loss of every row from ``evidence`` (..., n)."""
    if task == "regression":
        return np.asarray((known - truth) ** 2)
    return np.asarray(-np.log(np.clip(known, EPS, 1.0)))


def greedy(
    task: Task, truth: NDArray[Any], known: Floats, weight: Floats | None, steps: int = STEPS
) -> Floats:
    """Weights of a blend: again and again the model is added that lowers the loss of the mean most.

    Parameters
    ----------
    task : Task
    truth : ndarray, shape (n,)
    known : ndarray, shape (F, n)
        ``evidence`` of every model on rows it has not seen.
    weight : ndarray, shape (n,), or None
    steps : int
        Models added at most; the shortest blend with the smallest loss is kept.

    Returns
    -------
    ndarray, shape (F,)
        Non-negative, sum 1.
    """
    n = len(truth)
    if n > MOST_ROWS:
        rows = np.linspace(0, n - 1, MOST_ROWS).round().astype(np.int64)
        truth, known, weight = truth[rows], known[:, rows], None if weight is None else weight[rows]
    w = np.full(len(truth), 1 / len(truth)) if weight is None else weight / weight.sum()
    counts = np.zeros(len(known))
    total = np.zeros(len(truth))
    best, kept = np.inf, counts
    for step in range(1, steps + 1):
        loss = losses(task, truth, (total + known) / step) @ w
        i = int(np.argmin(loss))
        total += known[i]
        counts = counts.copy()
        counts[i] += 1
        if loss[i] < best - 1e-12:
            best, kept = float(loss[i]), counts
    return np.asarray(kept / kept.sum())


def best_single(task: Task, truth: NDArray[Any], known: Floats, weight: Floats | None) -> int:
    """The one model with the smallest loss; arguments as of ``greedy``."""
    return int(np.argmin(np.average(losses(task, truth, known), axis=1, weights=weight)))


def others(cells: Sequence[Rows], k: int) -> Rows:
    """The rows of all cells of one repeat but the k-th."""
    return np.concatenate([rows for i, rows in enumerate(cells) if i != k])
