"""A study's table: read, judged and cleaned once, with every decision told in a note."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoreg.data.files import check_names
from autoreg.data.hashing import fingerprint, row_hashes
from autoreg.data.kinds import as_moments, clean_features, nested, unspeakable
from autoreg.data.leaks import find_leaks
from autoreg.data.pixels import image_fingerprint, pixel_features, pixel_leaks
from autoreg.data.sources import read_source
from autoreg.data.target import read_target
from autoreg.errors import DataError, did_you_mean
from autoreg.secrets import redact
from autoreg.serving import parse, texts
from autoreg.spec import DataSpec
from autoreg.trial import Floats, Table

FEWEST_ROWS = 10
MOST_WEIGHT = 1e100
"""Squares of larger weights, and sums of them, are beyond a double; those below its reciprocal vanish."""
ROLES = ("target", "id", "group", "time", "weight")
Array = NDArray[Any]


def load_table(spec: DataSpec, name: str, folder: Path, frame: pd.DataFrame | None = None) -> Table:
    """Read and judge a study's table.

    Parameters
    ----------
    spec : DataSpec
    name : str
        Name of the study.
    folder : Path
        Relative paths start here.
    frame : pandas.DataFrame, optional
        The table itself, instead of what ``spec.source`` names.

    Returns
    -------
    Table
        See ``kinds.clean_features`` and ``target.read_target`` for what is decided; each decision is in ``notes``.

    Raises
    ------
    DataError
        One line: which option or column, expected, found, what to do.
    """
    source, notes, image = redact(spec.source), list[str](), spec.image
    if frame is None:
        frame, source, notes, image = read_source(spec, Path(folder))
        unordered = spec.query and not re.search(r"\border\s+by\b", spec.query, re.IGNORECASE)
        frame = _in_order(_with_names(frame), notes) if unordered else frame
    frame = _with_names(frame)
    _check_columns(spec, list(frame.columns))
    _check_values(spec, frame)
    rows = _labelled(frame[spec.target], spec, notes)
    frame = frame.iloc[rows].reset_index(drop=True)
    target, task, classes = read_target(frame[spec.target], spec.task, notes)
    roles = {getattr(spec, role) for role in ROLES}
    kept = [c for c in frame.columns if c not in roles and c not in spec.drop]
    if not kept:
        raise DataError(
            "data.source: no feature is left; the table needs columns besides the target and data.drop"
        )
    features, kinds, found = pixel_features(frame[kept], image) if image else clean_features(frame[kept])
    aside = {
        "weight": _weights(frame[spec.weight]) if spec.weight else None,
        "group": _keys(frame[spec.group], "group") if spec.group else None,
        "time": _times(frame[spec.time]) if spec.time else None,
        "id": _keys(frame[spec.id], "id") if spec.id else None,
    }
    leaks = (pixel_leaks if image else find_leaks)(
        features,
        kinds,
        target,
        len(classes),
        name=spec.target,
        group=aside["group"],
        trusted=spec.trusted,
    )
    found += leaks.notes
    if aside["id"] is not None and len(pd.unique(aside["id"])) < len(target):
        found.append(
            f"column {spec.id!r}: some keys occur more than once; such rows share a side of the holdout"
        )
    beside = {"target": target, "classes": np.array(list(map(str, classes))), **aside}
    if image:
        beside["image"] = np.frombuffer(image_fingerprint(features, image), np.uint8)
    mark = fingerprint(beside, features, {} if image else kinds)
    return Table(
        name,
        source,
        features,
        kinds,
        target,
        task,
        classes,
        mark,
        notes=tuple(notes + found),
        image=image,
        scale=spec.scale,
        suspects=leaks.suspects,
        **aside,
    )


def _with_names(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with text for column names, which must differ."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError("data.source: the table has column names of several levels; join them to one")
    names = [str(name) for name in frame.columns]
    check_names(names)
    frame = frame.set_axis(names, axis=1)
    numpy_types = [(n, d) for n, d in frame.dtypes.items() if isinstance(d, np.dtype)]
    other = {name: dtype.newbyteorder("=") for name, dtype in numpy_types if not dtype.isnative}
    return frame.astype(other) if other else frame  # pandas takes no rows of numbers in the other byte order


def _in_order(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Rows of an unordered query in an order of their own, so that a second read gives the same table."""
    notes.append(
        "data.query has no ORDER BY: rows are ordered by a hash of their content, the same at every read"
    )
    return frame.iloc[np.argsort(row_hashes(frame, {}, list(frame.columns)), kind="stable")]


def _check_columns(spec: DataSpec, columns: list[str]) -> None:
    for role in ROLES:
        name = getattr(spec, role)
        if name is not None and name not in columns:
            raise DataError(f"data.{role}: the table has no column '{name}'{_near(name, columns)}")
        if name == spec.target and role != "target":
            raise DataError(
                f"data.{role} and data.target both name '{name}'; name another column or leave it out"
            )
    for name in spec.drop:
        if name not in columns:
            raise DataError(f"data.drop: the table has no column '{name}'{_near(name, columns)}")
        if name in [getattr(spec, role) for role in ROLES]:
            raise DataError(
                f"data.drop: '{name}' is used by another key of [data]; remove it from one of them"
            )


def _check_values(spec: DataSpec, frame: pd.DataFrame) -> None:
    """Refuse columns with a part of their own whose values are no single things that can be told apart."""
    for role in ROLES:
        name = getattr(spec, role)
        if name is None:
            continue
        column = frame[name]
        if getattr(column.dtype, "kind", "O") == "c":
            raise DataError(f"data.{role}: column '{name}' holds complex numbers; name another column")
        if found := nested(column):
            raise DataError(
                f"data.{role}: column '{name}' holds values of type {found}; make them numbers or text"
            )


def _near(name: str, columns: list[str]) -> str:
    """The nearest column name, whatever its case, or the first ones."""
    same = [c for c in columns if c.lower() == name.lower()]
    hint = f" (did you mean '{same[0]}'?)" if same else did_you_mean(name, columns)
    if len(hint) < 300:
        return hint
    more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
    return f" (known: {', '.join(f'{c:.40}' for c in columns[:12])}{more})"


def _labelled(target: Any, spec: DataSpec, notes: list[str]) -> Array:
    """Positions of the rows that have a target."""
    if not len(target):
        raise DataError("data.source: the table has column names and no rows; at least 10 rows are needed")
    codes, words = texts(target)
    if odd := unspeakable(words):
        raise DataError(
            f"data.target: column '{spec.target}' holds text that is no Unicode, {odd}; repair it"
        )
    missing = np.array([word is None for word in words])[codes]
    if missing.all():
        raise DataError(f"data.target: column '{spec.target}' is missing in every row; name another column")
    if missing.any():
        count = int(missing.sum())
        notes.append(f"{count} row{'s' * (count > 1)} without a target left out (column '{spec.target}')")
    if (found := int((~missing).sum())) < FEWEST_ROWS:
        raise DataError(
            f"data.source: {found} rows with a target are too few, at least {FEWEST_ROWS} are needed"
        )
    return np.flatnonzero(~missing)


def _weights(column: Any) -> Floats:
    """Sample weights, checked."""
    name = f"data.weight: column '{column.name}'"
    values = _numbers(column, "weight")
    if np.isnan(values).any():
        raise DataError(
            f"{name} has {int(np.isnan(values).sum())} missing or infinite values; give every row a weight"
        )
    if (values < 0).any():
        raise DataError(f"{name} has negative values such as {values.min():g}; weights are 0 or more")
    if not (values > 0).any():
        raise DataError(f"{name} is 0 in every row; give weights above 0 or leave data.weight out")
    if not 1 / MOST_WEIGHT <= (largest := values.max()) <= MOST_WEIGHT:
        raise DataError(
            f"{name} reaches {largest:g}, expected between {1 / MOST_WEIGHT:g} and {MOST_WEIGHT:g}; "
            "weights only count against each other: divide all by the largest"
        )
    return values


def _numbers(column: Any, role: str) -> Floats:
    try:
        values = parse(column, "numeric")
    except ValueError as error:
        raise DataError(f"data.{role}: {error}") from None
    return np.where(np.isfinite(values), values, np.nan)


def _keys(column: Any, role: str) -> Array:
    """Canonical text of every key (n,), dtype object."""
    codes, words = texts(column)
    keys = np.array(words, dtype=object)[codes]
    missing = sum(key is None for key in keys.tolist())
    if missing:
        raise DataError(
            f"data.{role}: column '{column.name}' is missing in {missing} rows; fill it or name another"
        )
    return keys


def _times(column: Any) -> Array:
    """Sortable times (n,): datetime64[us] from dates, float64 from numbers."""
    moments = getattr(column.dtype, "kind", "O") == "M"
    try:
        values = parse(column, "date" if moments else "numeric")
    except ValueError:
        try:
            values, moments = parse(column, "date"), True
        except ValueError as error:
            raise DataError(f"data.time: {error}; numbers will do too") from None
    if gone := int((~np.isfinite(values)).sum()):
        raise DataError(
            f"data.time: column '{column.name}' is missing in {gone} rows; fill it or name another"
        )
    return as_moments(values) if moments else values
