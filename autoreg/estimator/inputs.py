"""What people pass to ``fit`` and ``predict``, made into the table that a study reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from autoreg.data.kinds import nested
from autoreg.data.load import FEWEST_ROWS
from autoreg.serving import text_of

MOST_CELLS = 100_000_000
"""Cells of a sparse matrix when it is written out: 800 MB as float64."""
Array = NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """A table with the names of its columns that are no features.

    Attributes
    ----------
    frame : pandas.DataFrame
        Features, then the target, the weight and the groups.
    target : str
    weight, group : str or None
    classes : ndarray or None
        Labels as they were passed, sorted; None for numbers.
    """

    frame: pd.DataFrame
    target: str
    weight: str | None
    group: str | None
    classes: Array | None


def read_frame(estimator: Any, X: Any, fit: bool) -> pd.DataFrame:
    """A frame with text for column names from any table that scikit-learn users pass.

    Parameters
    ----------
    estimator : object
        Gets ``n_features_in_`` and ``feature_names_in_`` when ``fit``, else is compared with them.
    X : array-like, sparse matrix or data frame (pandas, polars, anything with ``to_pandas``), shape (n, columns)
    fit : bool

    Raises
    ------
    ValueError
        Another number of columns or other names, too few rows, complex numbers, a sparse matrix too large to write out.
    """
    X = _as_pandas(X)
    fewest = FEWEST_ROWS if fit else 1
    if isinstance(X, pd.DataFrame):
        _check_frame(X, fewest)
        validate_data(estimator, X, reset=fit, skip_check_array=True)
        return X.set_axis(_names(estimator, X.shape[1]), axis=1)
    checks = {"dtype": None, "ensure_all_finite": False, "ensure_min_samples": fewest, "accept_sparse": True}
    array = validate_data(estimator, X, reset=fit, **checks)
    if issparse(array):
        array = _dense(array)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)  # pandas knows no other byte order
    frame = pd.DataFrame(array, columns=_names(estimator, array.shape[1]))
    return frame.infer_objects() if array.dtype.kind == "O" else frame


def _as_pandas(X: Any) -> Any:
    if isinstance(X, pd.DataFrame) or issparse(X):
        return X
    if hasattr(X, "to_pandas"):
        return X.to_pandas()
    return pd.api.interchange.from_dataframe(X) if hasattr(X, "__dataframe__") else X


def _names(estimator: Any, width: int) -> list[str]:
    """The names of the frame that was fitted on; where it had none, ``x0``, ``x1``, ... say where a column stands."""
    names = getattr(estimator, "feature_names_in_", None)
    return [f"x{i}" for i in range(width)] if names is None else [str(name) for name in names]


def _check_frame(frame: pd.DataFrame, fewest: int) -> None:
    if twice := sorted({str(n) for n in frame.columns[frame.columns.duplicated()]}):
        raise ValueError(f"column '{twice[0]}' occurs more than once in X; rename one of them")
    if frame.shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required."
        )
    if len(frame) < fewest:
        raise ValueError(
            f"Found array with {len(frame)} sample(s) (shape={frame.shape}) while a minimum of {fewest} is required."
        )
    for name, dtype in frame.dtypes.items():
        if getattr(dtype, "kind", "O") == "c":
            raise ValueError(f"Complex data not supported: column '{name}'")


def _dense(X: Any) -> Array:
    if X.shape[0] * X.shape[1] > MOST_CELLS:
        raise ValueError(
            f"sparse X of shape {X.shape} is too large: the tuner works on dense rows, at most {MOST_CELLS:,} cells; "
            "reduce its columns first, for example with TruncatedSVD or SelectKBest"
        )
    return np.asarray(X.toarray())


def read_inputs(
    estimator: Any, X: Any, y: Any, sample_weight: Any, groups: Any, classifier: bool, class_weight: Any
) -> Inputs:
    """Everything passed to ``fit`` as one table; rows of weight 0 are left out.

    Raises
    ------
    ValueError
        Lengths that differ, missing or unsuitable targets, one class, bad weights or groups.
    """
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None"
        )
    frame = read_frame(estimator, X, fit=True)
    named = str(y.name) if isinstance(getattr(y, "name", None), str) and y.name else "y"
    target = _labels(y) if classifier else np.asarray(_check_y(y, y_numeric=True, estimator=estimator), float)
    check_consistent_length(frame, target)
    weight = _weights(sample_weight, target, class_weight)
    keep = np.ones(len(target), bool) if weight is None else weight > 0
    classes = None
    if classifier:
        classes, codes = np.unique(target[keep], return_inverse=True)
        _check_classes(classes, codes)
        target = np.empty(len(target), object)
        target[keep] = _speakable(classes)[codes]
    if keep.sum() < FEWEST_ROWS:
        raise ValueError(
            f"{keep.sum()} rows with a weight above 0 are too few, at least {FEWEST_ROWS} are needed"
        )
    together = None if groups is None else _groups(groups, frame)
    beside: list[tuple[str, Array | None]] = [
        (named, target),
        ("sample_weight", weight),
        ("groups", together),
    ]
    names: list[str | None] = []
    frame = frame.iloc[np.flatnonzero(keep)].reset_index(drop=True)
    for name, values in beside:
        names.append(None if values is None else _free(name, list(frame.columns)))
        if values is not None:
            frame = pd.concat([frame, pd.Series(values[keep], name=names[-1])], axis=1)
    return Inputs(frame, str(names[0]), names[1], names[2], classes)


def _labels(y: Any) -> Array:
    y = column_or_1d(y, warn=True)
    if pd.isna(y).any():
        raise ValueError("Input y contains NaN.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("Input y contains infinity or a value too large for its dtype.")
    check_classification_targets(y)
    return np.asarray(y)


def _check_classes(classes: Array, codes: Array) -> None:
    counts = np.bincount(codes, minlength=len(classes))
    if len(classes) < 2:
        raise ValueError(
            f"y holds one class ({classes.tolist()[0]!r}) where the weight is above 0; a classifier needs two or more classes"
        )
    if len(classes) == 2 and counts.min() < 2:
        alone = classes.tolist()[int(counts.argmin())]
        raise ValueError(
            f"class {alone!r} of y has 1 row, at least 2 are needed; add rows of it, join it to another class or remove it"
        )


def _speakable(classes: Array) -> Array:
    """The labels themselves where a study keeps them as they are, else their codes (K,)."""
    values = classes.tolist()
    told = [text_of(value) for value in values]
    same = len({type(v) for v in values}) == 1 and len(set(told)) == len(values) and None not in told
    if same and isinstance(values[0], bool | int | float):
        return np.array(values, dtype=object)
    if same and isinstance(values[0], str) and all(v == v.strip() for v in values):
        return np.array(values, dtype=object)
    return np.arange(len(values))


def _weights(sample_weight: Any, target: Array, class_weight: Any) -> Array | None:
    weight = None
    if sample_weight is not None:
        # Only the number of rows of the second argument counts.
        rows = np.empty((len(target), 1))
        weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    if isinstance(class_weight, dict):
        from sklearn.utils.class_weight import compute_sample_weight

        factor = compute_sample_weight(class_weight, target)
        if (factor < 0).any():
            raise ValueError("class_weight: weights are 0 or more")
        weight = factor if weight is None else weight * factor
    if weight is not None and not (weight > 0).any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return None if weight is None else np.asarray(weight, np.float64)


def _groups(groups: Any, frame: pd.DataFrame) -> Array:
    found = column_or_1d(groups)
    check_consistent_length(frame, found)
    if pd.isna(found).any():
        raise ValueError(f"groups: {int(pd.isna(found).sum())} values are missing; every row needs a group")
    if held := nested(pd.Series(found)):
        raise ValueError(f"groups: values of type {held} cannot be told apart; make them numbers or text")
    return np.asarray(found)


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name
