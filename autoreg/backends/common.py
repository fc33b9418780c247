"""What the backends share: rows that count, base rates, target scale, threads."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.interpreter import cores
from autoreg.trial import Floats, Part

NO_ROW = "every row of the train part has weight 0"
"""Why a fit fails that has nothing to learn from."""


def counted(part: Part) -> Part:
    """The part without its rows of weight 0, so that weighing a row with 0 is exactly leaving it out."""
    if part.weight is None or (part.weight > 0).all():
        return part
    keep = part.weight > 0
    return Part(part.X[keep], part.y[keep], part.weight[keep])


def unit_weights(part: Part, mean: float) -> Part:
    """The part with its weights divided by ``mean``, so that what a fit sees does not hang on their unit."""
    return part if part.weight is None else Part(part.X, part.y, part.weight / mean)


def mean_weight(part: Part) -> float:
    """Mean of the weights; 1 where there are none."""
    return total_weight(part) / len(part)


def total_weight(part: Part) -> float:
    """Sum of the weights; the number of rows where there are none."""
    return float(len(part)) if part.weight is None else float(part.weight.sum())


def class_totals(part: Part, n_classes: int) -> Floats:
    """Total weight of every class, shape (n_classes,)."""
    return np.bincount(part.y.astype(np.int64), weights=part.weight, minlength=n_classes).astype(np.float64)


def smooth_rates(part: Part, n_classes: int) -> Floats:
    """Class probabilities by Laplace's rule, (weight of the class + 1) / (total + K) for weights of mean 1: never 0."""
    totals = class_totals(part, n_classes) / mean_weight(part) + 1.0
    return np.asarray(totals / totals.sum())


def target_scale(part: Part) -> tuple[float, float]:
    """Weighted mean of the target, and its standard deviation (1 where the target is constant)."""
    shift = float(np.average(part.y, weights=part.weight))
    far = float(np.abs(part.y - shift).max())
    if not far > 1e-12 * abs(shift):  # a mean is right to some 16 digits
        return shift, 1.0
    return shift, far * float(np.sqrt(np.average(((part.y - shift) / far) ** 2, weights=part.weight)))


def standardised(part: Part, shift: float, scale: float) -> NDArray[Any]:
    """The target as the fit sees it."""
    return np.asarray((part.y - shift) / scale)


def threads(work: float) -> int:
    """Threads for a fit of so many cells (rows * columns * outputs): one where more would only wait."""
    return max(1, min(granted_threads(), int(work // 500_000)))


def granted_threads() -> int:
    """Threads that all fits of this process may use together: what OMP_NUM_THREADS grants, else the cores open to it."""
    granted = os.environ.get("OMP_NUM_THREADS", "")
    if granted.isdigit() and int(granted) > 0:
        return int(granted)
    return cores()


def calm_algebra() -> AbstractContextManager[Any]:
    """One thread for linear algebra in the block.

    A product's last bits depend on the number of threads, and a trial is to be the same beside other workers as alone.
    Threads that spin for tiny products also cost ten times what they save, the more so beside other processes; and one product
    that uses them keeps them spinning, a core each, long after it: so a whole study is such a block.
    """
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited


@cache
def _controller() -> Any:
    """The loaded linear algebra libraries; finding them takes milliseconds, so once."""
    import scipy.linalg  # noqa: F401, so that its own library is among them
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()
