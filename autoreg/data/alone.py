"""How well each column, all alone, tells the target of rows that it was not fitted on."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS = 64
BLOCK = 500_000
CHANCE = 1e-3
ALMOST = {"auc": 0.98, "skill": 0.96, "r2": 0.98}
"""Single columns of 32 real tables reach .93, .92 and .66 (benchmarks/leaks.py)."""
NAMED = {"auc": 0.95, "skill": 0.9, "r2": 0.9}
BANDS = 30
Array = NDArray[Any]


class Told(NamedTuple):
    """What single columns tell.

    Attributes
    ----------
    measure : {"auc", "skill", "r2"}
        Two classes: the area under the ROC curve. More: the share of errors that are avoided, of those made by
        naming the commonest class. Regression: R² of the ranks of the target.
    values : ndarray, shape (columns,)
    certain : ndarray of bool, shape (columns,)
        Chance would do as well in one of ``columns`` columns less than once in 1,000 tables.
    """

    measure: str
    values: Array
    certain: Array


def foretell(X: Array, loose: Array, y: Array, n_classes: int) -> Told:
    """Foretell every row from the other rows, one column at a time.

    A row is foretold by the mean of the other rows with the same value (NaN is one); where there are none, by that of
    its two neighbours on each side, or, in a ``loose`` column, whose values have no order, of all rows.

    Parameters
    ----------
    X : ndarray, shape (n, columns)
    loose : ndarray of bool, shape (columns,)
    y : ndarray, shape (n,)
        Class codes, or values.
    n_classes : int
        0 for a regression.
    """
    step = max(1, BLOCK // max(1, len(X)))
    blocks = [slice(j, j + step) for j in range(0, X.shape[1], step)]
    one = {0: _ranks_told, 2: _order_told}.get(n_classes, _classes_told)
    found = [one(_Near(X[:, b], loose[b]), y, n_classes) for b in blocks]
    values = np.concatenate(found) if found else np.empty(0)
    measure = {0: "r2", 2: "auc"}.get(n_classes, "skill")
    return Told(measure, values, values >= _chance(y, n_classes, max(1, len(values))))


def bands(column: Array, y: Array) -> bool:
    """Whether the values of a column are bands of a regression's target: sorted by it, they hardly change.

    Parameters
    ----------
    column : ndarray, shape (n,)
        NaN is one more value.
    y : ndarray, shape (n,)
    """
    codes = np.unique(column, return_inverse=True)[1]
    counts = np.bincount(codes)
    if not 2 <= len(counts) <= BANDS or np.sort(counts)[-2] < max(5, 0.05 * len(y)):
        return False
    changes = np.diff(codes[np.lexsort((codes, y))]) != 0
    return bool(changes.sum() <= len(counts) - 1 + 0.005 * len(y) * (1 - counts.max() / len(y)))


class _Near:
    """The rows near each row of some columns: positions, and sums over them."""

    def __init__(self, X: Array, loose: Array) -> None:
        n, place = len(X), np.arange(len(X))[:, None]
        self.order = np.argsort(X, axis=0, kind="stable")
        s = np.take_along_axis(X, self.order, axis=0)
        hole = np.isnan(s)
        new = np.ones(s.shape, bool)
        new[1:] = (s[1:] != s[:-1]) & ~(hole[1:] & hole[:-1])
        start = np.maximum.accumulate(np.where(new, place, 0), axis=0)
        last = np.ones(s.shape, bool)
        last[:-1] = new[1:]
        stop = np.minimum.accumulate(np.where(last, place + 1, n)[::-1], axis=0)[::-1]
        single = stop - start == 1
        self.low = np.where(single, np.maximum(place - 2, 0), start)
        self.high = np.where(single, np.minimum(place + 3, n - hole.sum(axis=0)), stop)
        self.blind = single & (loose | hole | (self.high - self.low < 2))

    def means(self, v: Array) -> Array:
        """Mean of v (n,) over the rows near each row, in the order of each column (n, columns)."""
        sums = np.zeros((len(v) + 1, self.order.shape[1]))
        own = v[self.order]
        np.cumsum(own, axis=0, out=sums[1:])
        total = np.take_along_axis(sums, self.high, axis=0) - np.take_along_axis(sums, self.low, axis=0)
        mean = (total - own) / np.maximum(self.high - self.low - 1, 1)
        return np.asarray(np.where(self.blind, v.mean(), mean))


def _order_told(near: _Near, y: Array, _: int) -> Array:
    """Areas under the ROC curve, of foretold shares on 65 levels."""
    p = np.rint(near.means(y.astype(np.float64)) * LEVELS).astype(np.int64)
    columns = p.shape[1]
    cell = p + (LEVELS + 1) * np.arange(columns)
    ones = y[near.order] == 1
    yes, no = (
        np.bincount(cell[m], minlength=columns * (LEVELS + 1)).reshape(columns, -1) for m in (ones, ~ones)
    )
    below = np.cumsum(no, axis=1) - no / 2
    return np.asarray((yes * below).sum(axis=1) / max(1, yes[:1].sum() * no[:1].sum()))


def _classes_told(near: _Near, y: Array, n_classes: int) -> Array:
    """Share of the errors avoided that naming the commonest class makes; a tie is half a hit."""
    true, other = np.zeros(near.order.shape), np.full(near.order.shape, -1.0)
    for code in range(n_classes):
        mine = y == code
        p = near.means(mine.astype(np.float64))
        here = mine[near.order]
        true[here] = p[here]
        np.maximum(other, np.where(here, -1.0, p), out=other)
    hits = ((true > other) + 0.5 * (true == other)).mean(axis=0)
    most = np.bincount(y).max() / len(y)
    return np.asarray((hits - most) / max(1 - most, 1e-9))


def _ranks_told(near: _Near, y: Array, _: int) -> Array:
    """R² of the ranks."""
    _values, which, counts = np.unique(y, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2)[which]
    errors = (ranks[near.order] - near.means(ranks)) ** 2
    return np.asarray(1 - errors.sum(axis=0) / max(float(((ranks - ranks.mean()) ** 2).sum()), 1e-9))


def _chance(y: Array, n_classes: int, columns: int) -> float:
    """What one of so many columns without any meaning reaches once in 1,000 tables, by the normal approximation."""
    n, z = len(y), -NormalDist().inv_cdf(CHANCE / columns)
    if n_classes == 2:
        yes = max(1, int(np.count_nonzero(y)))
        return float(0.5 + z * np.sqrt((n + 1) / (12 * yes * max(1, n - yes))))
    if n_classes:
        most = np.bincount(y).max() / n
        return float(z * np.sqrt(most / max(1 - most, 1e-9) / n))
    return float(np.tanh(z / np.sqrt(max(n - 3, 1))) ** 2)
