"""Columns that tell the target all alone: mostly the target itself under another name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.serving import numbers, texts

MOST_ROWS = 2_000
FEWEST_ROWS = 50
ROWS_PER_LEVEL = 5
SLACK = 0.002
CORRELATED = 0.9999
Array = NDArray[Any]


def leak_notes(features: Any, kinds: Mapping[str, str], target: Array, n_classes: int) -> list[str]:
    """Warn of features that give the target away.

    A number does when, sorted by it, the classes change hardly more often than they must (or, for a regression,
    when its rank correlation with the target is above .9999); words do when every word has one class. At most
    2,000 evenly spaced rows are looked at, at least 50 are needed.

    Parameters
    ----------
    features : pandas.DataFrame, n rows
    kinds : mapping of str to Kind
    target : ndarray, shape (n,)
        Codes or values.
    n_classes : int
        0 for a regression.
    """
    rows = np.unique(np.linspace(0, len(target) - 1, min(MOST_ROWS, len(target))).astype(np.int64))
    if len(rows) < FEWEST_ROWS:
        return []
    frame, y = features.iloc[rows], target[rows]
    plain = [n for n, dtype in frame.dtypes.items() if getattr(dtype, "kind", "O") in "biuf"]
    tells = _orders if n_classes else _follows
    found = [n for n, x in zip(plain, numbers(frame, plain, {}).T, strict=True) if tells(x, y)]
    if n_classes:
        found += [n for n, kind in kinds.items() if kind in ("category", "text") and _names(frame[n], y)]
    return [
        f"column {name!r} alone tells the target almost perfectly: is it known when predicting? data.drop removes it"
        for name in found
    ]


def _orders(x: Array, y: Array) -> bool:
    """Whether sorting by x sorts the classes; missing values count as one more value."""
    x = np.where(np.isnan(x), np.fmax.reduce(x, initial=0.0) + 1, x)
    order = np.lexsort((y, x))
    most_changes = len(np.unique(y)) - 1 + SLACK * len(y)
    if np.count_nonzero(np.diff(y[order])) > most_changes:
        return False
    return _pure(np.unique(x, return_inverse=True)[1], y)


def _follows(x: Array, y: Array) -> bool:
    """Whether the rank correlation of x and y is (minus) one."""
    if np.isnan(x).any():
        return False
    ranks = [np.unique(v, return_inverse=True)[1].astype(np.float64) for v in (x, y)]
    if min(r.std() for r in ranks) == 0:
        return False
    return bool(abs(np.corrcoef(ranks[0], ranks[1])[0, 1]) > CORRELATED)


def _names(column: Any, y: Array) -> bool:
    """Whether every word of a column has one class, and stands for several rows."""
    codes, _ = texts(column)
    return bool(len(np.unique(codes)) * ROWS_PER_LEVEL <= len(y)) and _pure(codes, y)


def _pure(codes: Array, y: Array) -> bool:
    """Whether (almost) all rows have the commonest class of their code."""
    k = int(y.max()) + 1
    pairs, counts = np.unique(codes * k + y, return_counts=True)
    largest = np.zeros(int(codes.max()) + 1)
    np.maximum.at(largest, pairs // k, counts)
    return bool(largest.sum() >= (1 - SLACK) * len(y))
