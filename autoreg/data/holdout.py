"""The holdout: which rows are looked at once, at the very end, by a rule that never moves a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.data.hashing import Hashes, digests, mix, row_hashes
from autoreg.errors import DataError
from autoreg.spec import SplitSpec
from autoreg.trial import Rows, Table

SALTS = 256
COMMON = 0.01
Array = NDArray[Any]


def new_rule(table: Table, spec: SplitSpec, strata: Rows) -> dict[str, Any]:
    """The rule of a holdout that is made for the first time, as JSON data.

    The key of a row is its group (or groups would part), else its id, else the content of its features. Of equal
    rows that make up more than 1 % of the table each decides for itself by its occurrence number, or the share
    would hang on one toss; which contents these are is part of the rule. With a time column it is a cutoff.

    Parameters
    ----------
    table : Table
    spec : SplitSpec
    strata : Rows
        Class codes or bins of the target (n,), whose shares shall come near that of all rows.

    Raises
    ------
    DataError
        Too few different times.
    """
    if table.time is not None:
        return {"mode": "time", "holdout": spec.holdout, "cutoff": _cutoff(table.time, spec.holdout)}
    mode = "group" if table.group is not None else "id" if table.id is not None else "content"
    rule: dict[str, Any] = {"mode": mode, "holdout": spec.holdout, "salt": 0}
    if mode == "content":
        rule["columns"] = sorted(table.kinds)
        values, counts = np.unique(_content(table, rule["columns"]), return_counts=True)
        rule["common"] = [f"{v:016x}" for v in values[counts > COMMON * len(table.target)].tolist()]
    keys = _keys(table, rule)
    values, which = np.unique(keys, return_inverse=True)
    profile = np.zeros((len(values), int(strata.max()) + 1))
    np.add.at(profile, (which, strata), 1)
    rule["salt"] = _first_salt(values, profile, spec.holdout, keep=spec.folds)
    return rule


def _first_salt(values: Hashes, counts: Array, share: float, keep: int) -> int:
    """The first salt whose share of rows and of every stratum is within one standard deviation, or the nearest.

    With ``n_g`` rows of key ``g``, the held number has mean ``share * sum(n_g)`` and variance
    ``share * (1 - share) * sum(n_g ** 2)``. A stratum never goes to the holdout whole.
    """
    counts = np.column_stack([counts, counts.sum(axis=1)])
    total = counts.sum(axis=0)
    tolerance = np.maximum(1.0, np.sqrt(share * (1 - share) * (counts**2).sum(axis=0)))
    best, nearest = 0, np.inf
    for salt in range(SALTS):
        held = _below(values, salt, share)
        here = counts[held].sum(axis=0)
        if (
            held.all()
            or not held.any()
            or (here >= total).any()
            or (~held).sum() < min(keep, len(values) - 1)
        ):
            continue
        off = float(np.max(np.abs(here - share * total) / tolerance))
        if off <= 1:
            return salt
        if off < nearest:
            best, nearest = salt, off
    return best


def held_rows(table: Table, rule: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which rows (n,) are in the holdout by a rule.

    Raises
    ------
    DataError
        A column of the rule is missing, or all rows fall on one side.
    """
    if rule["mode"] == "time":
        if table.time is None:
            raise DataError(
                "data.time: the split goes by time, but the study names no time column; add data.time"
            )
        cutoff = rule["cutoff"]
        held = table.time >= (np.datetime64(cutoff) if isinstance(cutoff, str) else cutoff)
    else:
        held = _below(_keys(table, rule), int(rule["salt"]), float(rule["holdout"]))
    if held.all() or not held.any():
        side = "no row" if held.all() else "every row"
        raise DataError(
            f"split.holdout: {side} is left for the search by {rule['mode']}; give more varied rows"
        )
    return np.asarray(held)


def _cutoff(time: Array, share: float) -> float | str:
    """The time from which on rows are held out, so that their share is nearest to the one wanted."""
    values, first = np.unique(np.sort(time), return_index=True)
    if len(values) < 3:
        raise DataError(
            f"data.time: found {len(values)} different times, 3 or more are needed; leave data.time out"
        )
    cutoff = values[1:][np.argmin(np.abs(1 - first[1:] / len(time) - share))]
    return str(cutoff) if values.dtype.kind == "M" else float(cutoff)


def _keys(table: Table, rule: Mapping[str, Any]) -> Hashes:
    """What decides a row's side, as 64-bit hashes (n,)."""
    if rule["mode"] in ("id", "group"):
        column = table.id if rule["mode"] == "id" else table.group
        if column is None:
            raise DataError(
                f"data.{rule['mode']}: the split goes by it, but the study does not name it; add it"
            )
        words, which = np.unique(column.astype(str), return_inverse=True)
        return digests(words.tolist())[which]
    keys = _content(table, rule["columns"])
    common = np.array([int(v, 16) for v in rule["common"]], np.uint64)
    for value in common:
        rows = np.flatnonzero(keys == value)
        keys[rows] = mix(value + np.arange(len(rows), dtype=np.uint64))
    return keys


def _below(keys: Hashes, salt: int, share: float) -> NDArray[np.bool_]:
    """Whether ``hash(salt, key) / 2**64 < share``."""
    return np.asarray(mix(keys ^ digests([f"salt {salt}"])) < np.uint64(int(share * 2**64)))


def _content(table: Table, columns: list[str]) -> Hashes:
    missing = [name for name in columns if name not in table.kinds]
    if missing:
        raise DataError(
            f"data.source: column '{missing[0]}' decides the side of a row and is missing; bring it back"
        )
    return row_hashes(table.features, table.kinds, columns)
