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
Mask = NDArray[np.bool_]


def hold_out(
    table: Table, spec: SplitSpec, strata: Rows, rule: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Mask]:
    """The rule of the holdout, and the rows in it.

    The key of a row is its group (else groups would part), else its id, else the content of its features; the row
    is held out when ``hash(salt, key) / 2**64`` is below the fraction. Of equal rows that make up more than 1 % of
    the table each decides for itself by its occurrence number, or the share would hang on one toss; which contents
    these are is part of the rule. With a time column a cutoff decides instead.

    Parameters
    ----------
    table : Table
    spec : SplitSpec
    strata : Rows
        Class codes or bins of the target (n,), whose shares shall come near those of all rows.
    rule : mapping, optional
        A rule made before; its rows keep their sides. Nothing of ``spec`` and ``strata`` counts then.

    Returns
    -------
    rule : dict
        JSON data: mode, holdout, and salt, columns, common contents or cutoff.
    held : ndarray of bool, shape (n,)

    Raises
    ------
    DataError
        A column of the rule is missing, or no side can be made that leaves rows on both.
    """
    made = dict(rule) if rule else _begin(table, spec)
    if made["mode"] == "time":
        held = _after(table, made)
    else:
        keys = _numbered(_keys(table, made), made)
        if "salt" not in made:
            values, which = np.unique(keys, return_inverse=True)
            profile = np.zeros((len(values), int(strata.max()) + 1))
            np.add.at(profile, (which, strata), 1)
            made["salt"] = _first_salt(values, profile, spec, made["mode"])
        held = _below(keys, int(made["salt"]), float(made["holdout"]))
    if held.all() or not held.any():
        side = "no row is left for the search" if held.all() else "no row is in the holdout"
        raise DataError(f"split.holdout: {side} by {made['mode']}; give more rows with different values")
    return made, held


def _begin(table: Table, spec: SplitSpec) -> dict[str, Any]:
    """What of a new rule is known before its salt is chosen."""
    if table.time is not None:
        return {"mode": "time", "holdout": spec.holdout, "cutoff": _cutoff(table.time, spec.holdout)}
    if table.group is not None or table.id is not None:
        return {"mode": "id" if table.group is None else "group", "holdout": spec.holdout}
    return {"mode": "content", "holdout": spec.holdout, "columns": sorted(table.kinds)}


def _cutoff(time: Array, share: float) -> float | str:
    """The time from which on rows are held out, so that their share is nearest to the one wanted."""
    values, first = np.unique(np.sort(time), return_index=True)
    if len(values) < 3:
        raise DataError(
            f"data.time: found {len(values)} different times, at least 3 are needed; leave it out"
        )
    cutoff = values[1:][np.argmin(np.abs(1 - first[1:] / len(time) - share))]
    return str(cutoff) if values.dtype.kind == "M" else float(cutoff)


def _after(table: Table, rule: Mapping[str, Any]) -> Mask:
    if table.time is None:
        raise DataError(
            "data.time: the split goes by time, but the study names no time column; add data.time"
        )
    cutoff = rule["cutoff"]
    if isinstance(cutoff, str) != (table.time.dtype.kind == "M"):
        raise DataError(
            f"data.time: the split goes by cutoff {cutoff}, the column holds other values; repair it"
        )
    return np.asarray(table.time >= (np.datetime64(cutoff) if isinstance(cutoff, str) else cutoff))


def _keys(table: Table, rule: Mapping[str, Any]) -> Hashes:
    """What decides a row's side, as 64-bit hashes (n,)."""
    mode = rule["mode"]
    if mode == "content":
        for name in rule["columns"]:
            if name not in table.kinds:
                raise DataError(
                    f"data.source: column '{name}' decides the side of a row and is missing or the same in all rows; "
                    "bring it back or start a new study"
                )
        return row_hashes(table.features, table.kinds, rule["columns"])
    column = table.id if mode == "id" else table.group
    if column is None:
        raise DataError(f"data.{mode}: the split goes by it, but the study does not name it; add data.{mode}")
    words, which = np.unique(column.astype(str), return_inverse=True)
    return digests(words.tolist())[which]


def _numbered(keys: Hashes, rule: dict[str, Any]) -> Hashes:
    """Keys in which every occurrence of a common content differs; a new rule learns which are common."""
    if rule["mode"] != "content":
        return keys
    if "common" not in rule:
        values, counts = np.unique(keys, return_counts=True)
        common = values[(counts > COMMON * len(keys)) & (counts > 2)]
        rule["common"] = [f"{value:016x}" for value in common.tolist()]
    keys = keys.copy()
    for value in np.array([int(text, 16) for text in rule["common"]], np.uint64):
        rows = np.flatnonzero(keys == value)
        keys[rows] = mix(value ^ mix(np.arange(len(rows), dtype=np.uint64)))
    return keys


def _below(keys: Hashes, salt: int, share: float) -> Mask:
    """Whether ``hash(salt, key) / 2**64 < share``."""
    return np.asarray(mix(keys ^ digests([f"salt {salt}"])) < np.uint64(int(share * 2**64)))


def _first_salt(values: Hashes, counts: Array, spec: SplitSpec, mode: str) -> int:
    """The first salt whose share of rows and of every stratum is within one standard deviation, or the nearest.

    With ``n_g`` rows of key ``g``, the held number has mean ``share * sum(n_g)`` and variance
    ``share * (1 - share) * sum(n_g ** 2)``. Of every stratum two keys must stay
    (or the only one), so that each fold may still train on it.
    """
    share = spec.holdout
    counts = np.column_stack([counts, counts.sum(axis=1)])
    present = counts > 0
    total = counts.sum(axis=0)
    tolerance = np.maximum(1.0, np.sqrt(share * (1 - share) * (counts**2).sum(axis=0)))
    best, nearest = -1, np.inf
    for salt in range(SALTS):
        held = _below(values, salt, share)
        here = counts[held].sum(axis=0)
        kept = present[~held].sum(axis=0)
        if not held.any() or kept[-1] < spec.folds or (kept < np.minimum(2, present.sum(axis=0))).any():
            continue
        off = float(np.max(np.abs(here - share * total) / tolerance))
        if off < nearest:
            best, nearest = salt, off
        if off <= 1:
            break
    if best < 0:
        what = {"group": "groups", "id": "ids"}.get(mode, "different rows")
        raise DataError(
            f"split: {len(values)} {what} cannot fill a holdout and split.folds = {spec.folds} with two of every class "
            f"left for the search, or all rows of a class share one; give more {what} of the rarest class, join rare "
            "classes, or lower split.folds or split.holdout"
        )
    return best
