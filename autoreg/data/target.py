"""What kind of target a column is: two classes, several, or a number."""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoreg.errors import DataError
from autoreg.serving import NUMBER, parse, spelled, text_of
from autoreg.trial import Scalar, Task

MOST_CODES = 20
ROWS_PER_CODE = 10
FEWEST_OF_CLASS = 2
RARE = 10
FEW = 5
LARGEST = 1e18
"""Squares of larger errors are beyond single precision, in which losses of rows are kept."""
NARROW = 1e-5
"""Predictions have seven digits, so a target needs a spread of at least this share of its size."""
Array = NDArray[Any]
Target = tuple[Array, Task, tuple[Scalar, ...]]


def read_target(column: Any, task: str, notes: list[str]) -> Target:
    """Decide the task and turn a target column without missing values into codes or values.

    With ``task = "auto"`` text, booleans, categories and any two values are classes; so are whole numbers when
    there are at most 20 different ones and, beyond three, at least 10 rows for each on average. All other numbers
    are a regression target. The decision is appended to ``notes`` with the key that overrides it.

    Parameters
    ----------
    column : pandas.Series, length n
    task : {"auto", "binary", "multiclass", "regression"}
    notes : list of str
        Decisions are appended.

    Returns
    -------
    target : ndarray, shape (n,)
        Codes (int64) or values (float64).
    task : Task
    classes : tuple
        Sorted labels as plain int, float, bool or str.

    Raises
    ------
    DataError
        One class, a class with one row (unless the task is stated as "multiclass"), text for a regression, dates, infinite values, or another number of
        classes than the task has.
    """
    if getattr(column.dtype, "kind", "O") in "Mm":
        raise DataError(
            f"data.target: column '{column.name}' holds dates; expected classes or numbers, name another column"
        )
    labels, codes = _labels(column)
    bad = np.array([isinstance(label, float) and not np.isfinite(label) for label in labels])[codes]
    if bad.any():
        raise DataError(
            f"data.target: column '{column.name}' is infinite in {bad.sum()} rows; repair or remove these rows"
        )
    stated = task == "multiclass"
    if task == "auto":
        task = _detect(column, labels, len(codes), notes)
    if task == "regression":
        return _values(column), "regression", ()
    return _classes(str(column.name), task, labels, codes, notes, stated)


def _labels(column: Any) -> tuple[list[Scalar], Array]:
    """Sorted labels as plain values, and the rows' codes; equal spellings (1, 1.0, "1 ") are one label."""
    codes, found = pd.factorize(column)
    first: dict[str, Any] = {}
    for value in found:
        first.setdefault(text_of(value) or "", value)
    values = list(first.values())
    if all(isinstance(v, bool | np.bool_) for v in values):
        plain: dict[str, Scalar] = {text: bool(v) for text, v in first.items()}
    elif all(isinstance(v, Number | Decimal | np.number) and not isinstance(v, bool) for v in values):
        plain = {text: _number(text) for text in first}
    else:
        plain = {text: str(v).strip() for text, v in first.items()}
    ranked = sorted(plain, key=lambda text: plain[text])
    place = {text: i for i, text in enumerate(ranked)}
    return [plain[t] for t in ranked], np.array([place[text_of(v) or ""] for v in found], np.int64)[codes]


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d{1,300}", text) else float(text)


def _detect(column: Any, labels: list[Scalar], n: int, notes: list[str]) -> str:
    """The task of a target, told with what overrides it."""
    k, name = len(labels), column.name
    declared = isinstance(column.dtype, pd.CategoricalDtype) or isinstance(labels[0], bool)
    found = [None if isinstance(v, bool) else spelled(str(v), "numeric") for v in labels]
    if declared or k <= 2 or None in found:
        task = "binary" if k <= 2 else "multiclass"
        if k > 1:
            notes.append(f"target '{name}': {k} classes{_or_number(labels, found)}")
        return task
    values = [v for v in found if v is not None]
    whole = all(float(v).is_integer() for v in values)
    span = f"target '{name}': {k} different {'whole ' * whole}numbers from {min(values):g} to {max(values):g}"
    if whole and k <= MOST_CODES and (k <= 3 or n >= ROWS_PER_CODE * k):
        notes.append(
            f'{span} are taken as classes; set data.task = "regression" to predict the number itself'
        )
        return "multiclass"
    other = '; set data.task = "multiclass" if they are codes of classes' if whole and k <= n / 2 else ""
    notes.append(f"{span} are taken as a regression target{other}")
    return "regression"


def _told(label: Scalar) -> str:
    """A label in quotes, cut where it is long."""
    return f"{label!r:.60}"


def _first(told: list[str]) -> str:
    more = f" and {len(told) - 20} more" if len(told) > 20 else ""
    return ", ".join(told[:20]) + more


def _or_number(labels: list[Scalar], found: list[float | None]) -> str:
    shown = ", ".join(map(_told, labels[:FEW])) + (", ..." if len(labels) > FEW else "")
    other = '; set data.task = "regression" to predict the number itself' if None not in found else ""
    return f" ({shown}){other}"


def _values(column: Any) -> Array:
    """A regression target as float64."""
    try:
        values = parse(column, "numeric") if column.dtype != bool else column.to_numpy(np.float64)
    except ValueError as error:
        raise DataError(f'data.target: {error}; set data.task = "multiclass" if it names classes') from None
    if values.min() == values.max():
        raise DataError(
            f"data.target: column '{column.name}' is {values[0]:g} in every row; there is nothing to predict"
        )
    low, high = float(values.min()), float(values.max())
    size, spread = max(-low, high), high - low
    name = f"data.target: column '{column.name}'"
    if size > LARGEST:
        raise DataError(
            f"{name} goes from {low:g} to {high:g}, expected at most {LARGEST:g} in size; divide it or take its logarithm"
        )
    if spread < 1 / LARGEST:
        raise DataError(
            f"{name} has values that differ by at most {spread:g}, expected {1 / LARGEST:g} or more; multiply it"
        )
    if spread < NARROW * size:
        raise DataError(
            f"{name} has values within {spread:g} of {low:.12g}, too close together for seven digits; subtract {low:.12g}"
        )
    return values


def _classes(
    name: str, task: str, labels: list[Scalar], codes: Array, notes: list[str], stated: bool
) -> Target:
    """Codes with checked classes; a class of one row may be a misspelling, unless the task was stated."""
    k, counts = len(labels), np.bincount(codes, minlength=len(labels))
    if k < 2:
        raise DataError(
            f"data.target: column '{name}' is {_told(labels[0])} in every row; two or more classes are needed"
        )
    if task == "binary" and k > 2:
        shown = ", ".join(map(_told, labels[:FEW]))
        raise DataError(
            f'data.task = "binary" expects 2 classes, column \'{name}\' has {k} ({shown}, ...); use "multiclass"'
        )
    single = [label for label, count in zip(labels, counts, strict=True) if count < FEWEST_OF_CLASS]
    if len(single) > k / 2:
        if all(isinstance(label, str) and NUMBER.fullmatch(label.replace(",", "")) for label in labels):
            raise DataError(
                f"data.target: column '{name}' looks like numbers with commas, such as {_told(labels[0])}; write 1234.5"
            )
        raise DataError(
            f"data.target: column '{name}' has {k} different values in {len(codes)} rows, too many for classes; "
            'name another column, or set data.task = "regression" for a number'
        )
    if single and not (stated and k > 2):
        raise DataError(
            f"data.target: class {_told(single[0])} of column '{name}' has 1 row, at least {FEWEST_OF_CLASS} are needed; "
            "add rows of it, join it to another class or remove it"
        )
    rare = [f"{_told(label)} ({count})" for label, count in zip(labels, counts, strict=True) if count < RARE]
    if rare:
        notes.append(f"target '{name}': classes with few rows: {_first(rare)}; some folds will lack them")
    if task == "multiclass" and k == 2:
        notes.append(f"target '{name}': two classes are a binary task")
    return codes, "binary" if k == 2 else "multiclass", tuple(labels)
