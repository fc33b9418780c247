"""Metrics of the user's own, made from a function as scikit-learn's are written."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import StudyError
from autoreg.metrics import CLASSES, METRICS, VALUES, Array, Metric, mean_of
from autoreg.trial import Floats, Task

Needs = Literal["probability", "label", "value"]


def make_metric(
    name: str,
    function: Callable[..., Any],
    *,
    greater_is_better: bool,
    needs: Needs = "label",
    per_row: bool = False,
    every_class: bool = False,
    tasks: Sequence[Task] | None = None,
) -> Metric:
    """Make a metric from a function.

    Parameters
    ----------
    name : str
        What a study file calls it: ``metric = "profit"``. Small letters, digits and underscores. Give it a new name when
        the function changes: studies go on where they were left under the same name.
    function : callable
        ``function(y_true, y_pred)``, and ``sample_weight=`` where it can, as in ``sklearn.metrics``. ``y_true`` holds
        class numbers (n,), counted from 0 in the sorted order of the classes, or values (n,).
    greater_is_better : bool
    needs : {"label", "probability", "value"}
        What ``y_pred`` is: the numbers of the most probable classes (n,); probabilities, of the second of two classes
        (n,) or of every class (n, K); or values (n,), which makes it a metric of regression.
    per_row : bool
        The function returns one number for every row (n,), and the metric is their weighted mean. Intervals, which score
        thousands of samples of the rows, are then free.
    every_class : bool
        Undefined unless every class is among the rows; it is not asked where one is missing.
    tasks : sequence of {"binary", "multiclass", "regression"}, optional
        Where it can be used; all that ``needs`` allows when left out.

    Returns
    -------
    Metric
        For `register_metric`, for ``metric=`` of an estimator, or for a package to offer under the entry point group
        ``autoreg.metrics``.

    Raises
    ------
    ValueError
        A name, ``needs`` or ``tasks`` that cannot be used.

    Examples
    --------
    >>> from sklearn.metrics import fbeta_score
    >>> def f2(y_true, y_pred, sample_weight=None):
    ...     return fbeta_score(y_true, y_pred, beta=2, sample_weight=sample_weight)
    >>> metric = make_metric("f2", f2, greater_is_better=True, tasks=["binary"])
    >>> metric(np.array([0, 1, 1]), np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]))
    0.5555555555555556
    """
    if not (isinstance(name, str) and name.isidentifier() and name == name.lower()):
        raise ValueError(f"name: expected small letters, digits and underscores, found {name!r}")
    if not callable(function):
        raise ValueError(f"function: expected a function of (y_true, y_pred), found {function!r}")
    if needs not in get_args(Needs):
        raise ValueError(f"needs: expected one of {', '.join(get_args(Needs))}, found {needs!r}")
    possible = VALUES if needs == "value" else CLASSES
    wanted = possible if tasks is None else tuple(tasks)
    if not wanted or not set(wanted) <= set(possible):
        raise ValueError(f"tasks: expected some of {', '.join(possible)} for {needs}s, found {wanted}")
    if per_row:
        rows = _PerRow(name, function, needs)
        return Metric(name, greater_is_better, needs, wanted, mean_of(rows), rows, every_class)
    scorer = _PerSample(name, function, needs, every_class)
    return Metric(name, greater_is_better, needs, wanted, scorer, None, every_class)


def tried(metric: Metric, y: Array, n_classes: int, weight: Floats | None) -> Metric:
    """The metric, after a user's own was asked once about predictions that are all right.

    Parameters
    ----------
    metric : Metric
    y : ndarray, shape (n,)
        Class numbers, or values.
    n_classes : int
        0 for values.
    weight : ndarray, shape (n,), or None

    Raises
    ------
    StudyError
        It fails, or returns no number.
    """
    if metric.name in METRICS:
        return metric
    right = np.eye(n_classes)[y.astype(np.int64)] if n_classes else np.asarray(y, np.float64)
    metric(y, right, weight)
    return metric


@dataclass(frozen=True)
class _Asked:
    """A user's function with the predictions in the form it wants. Sent to workers, so it holds no closure."""

    name: str
    function: Callable[..., Any]
    needs: Needs

    def shown(self, predictions: Array) -> Array:
        if self.needs == "label":
            return np.asarray(predictions.argmax(axis=1))
        if self.needs == "probability" and predictions.shape[1] == 2:
            return predictions[:, 1]
        return predictions

    def call(self, y: Array, shown: Array, **weight: Any) -> Any:
        try:
            return self.function(y, shown, **weight)
        except Exception as error:  # a user's code may raise anything
            raise StudyError(
                f"search.metric: '{self.name}' raised {type(error).__name__}: {error}"
            ) from error


@dataclass(frozen=True)
class _PerRow(_Asked):
    """One number for every row."""

    def __call__(self, y: Array, predictions: Array) -> Floats:
        found = np.asarray(self.call(y, self.shown(predictions)))
        if found.shape != y.shape or found.dtype.kind not in "buif":
            raise StudyError(
                f"search.metric: '{self.name}' is per_row: expected {len(y)} numbers, one a row, "
                f"found {found.dtype} of shape {found.shape}"
            )
        return found.astype(np.float64)


@dataclass(frozen=True)
class _PerSample(_Asked):
    """One number for a sample of rows."""

    every_class: bool = False
    weighs: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weighs", _takes_weight(self.function))

    def __call__(self, y: Array, predictions: Array) -> Callable[[Floats], Floats]:
        shown, k = self.shown(predictions), predictions.shape[1] if predictions.ndim == 2 else 0
        return lambda weights: np.array([self._once(y, shown, w, k) for w in weights], np.float64)

    def _once(self, y: Array, shown: Array, weight: Floats, k: int) -> float:
        rows = np.flatnonzero(weight > 0)
        if not len(rows) or (self.every_class and len(np.unique(y[rows])) < k):
            return float("nan")
        y, shown, weight = y[rows], shown[rows], np.asarray(weight[rows], np.float64)
        if (weight == 1).all():
            found = self.call(y, shown)
        elif self.weighs:
            found = self.call(y, shown, sample_weight=weight)
        else:
            found = self.call(*_repeated(self.name, y, shown, weight))
        if not isinstance(found, numbers.Real):
            kind = type(found).__name__
            raise StudyError(f"search.metric: '{self.name}' returned {kind}; expected one number")
        return float(found)


def _takes_weight(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)


def _repeated(name: str, y: Array, shown: Array, weight: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows as often as they count, for a function that knows no weights."""
    counts = weight.round()
    if not np.array_equal(counts, weight):
        raise StudyError(
            f"search.metric: '{name}' takes no sample_weight and the rows have weights; "
            "give the function that parameter, or remove data.weight"
        )
    times = counts.astype(np.int64)
    return np.repeat(y, times, axis=0), np.repeat(shown, times, axis=0)
