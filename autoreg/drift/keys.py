"""Which rows of today's table a former study already had, by the content of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autoreg.data.hashing import Hashes, bits, digests, mix, row_hashes
from autoreg.errors import DataError
from autoreg.serving import text_of
from autoreg.trial import Rows, Table


def row_keys(table: Table, like: Mapping[str, Any] | None = None) -> Hashes:
    """One 64-bit hash per row of its features and its target.

    The same for equal values whatever the order and dtype of the columns, the codes of the classes and the version
    of pandas. A row whose label was corrected has another key.

    Parameters
    ----------
    table : Table
    like : mapping, optional
        A ``profile``: its columns count alone, so that a column which varies only today moves no key.

    Returns
    -------
    ndarray, shape (n,), uint64
        Eight bytes a row; ``tobytes`` of it little-endian is what a study keeps.

    Raises
    ------
    DataError
        A column of ``like`` is not in the table.
    """
    kinds: Mapping[str, str] = table.kinds
    if like is not None:
        kinds = {name: entry["kind"] for name, entry in like["features"].items()}
        kinds = dict.fromkeys(like["columns"], "numeric") if "image" in like else kinds
        for name in kinds:
            if name not in table.kinds:
                raise DataError(
                    f"data.source: column '{name}' tells old rows from new ones and is missing or the same in all rows; "
                    "bring it back or start a new study"
                )
    target = _target_bits(table) ^ digests(["\x1ftarget"])[0]
    return row_hashes(table.features, kinds, sorted(kinds)) + mix(target)


def _target_bits(table: Table) -> Hashes:
    if table.task == "regression":
        return bits(np.asarray(table.target, np.float64))
    return np.asarray(digests([text_of(label) or "" for label in table.classes])[table.target])


def new_rows(then: Hashes, table: Table, like: Mapping[str, Any] | None = None) -> Rows:
    """Positions of the rows that a former study did not have.

    Equal rows are counted: where a content was there three times and is there five times today, its last two
    rows are new. Else common contents would all count as old, and the rows that are left would look drifted.

    Parameters
    ----------
    then : ndarray of uint64
        ``row_keys`` of the former study's table, in any order.
    table : Table
        Today's.
    like : mapping, optional
        As of ``row_keys``.
    """
    keys = row_keys(table, like)
    known, counts = np.unique(np.asarray(then, np.uint64), return_counts=True)
    if not len(known):
        return np.arange(len(keys))
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    had = np.where(known[place] == keys, counts[place], 0)
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    occurrence = np.empty(len(keys), np.int64)
    occurrence[order] = np.arange(len(keys)) - np.searchsorted(ranked, ranked, "left")
    return np.flatnonzero(occurrence >= had)
