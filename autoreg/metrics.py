"""Metrics by name, each carrying its direction and what it needs, and the proper losses the search minimises.

Direction and need travel with the metric: nothing is ever guessed from a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import StudyError, did_you_mean
from autoreg.trial import Floats, Task

Array = NDArray[Any]
EPS = 1e-15


@dataclass(frozen=True)
class Metric:
    """A score of predictions against the truth.

    Attributes
    ----------
    name : str
    greater_is_better : bool
    needs : {"probability", "label", "value"}
        What the function takes as predictions.
    tasks : tuple of Task
    function : callable
        ``(y, predictions, weight or None) -> float`` with ``y`` as class codes or values.
    rows : callable or None
        ``(y, predictions) -> ndarray (n,)`` whose weighted mean is the metric, where there is such a form.
    every_class : bool
        True when the metric is undefined unless every class is among the rows.
    """

    name: str
    greater_is_better: bool
    needs: Literal["probability", "label", "value"]
    tasks: tuple[Task, ...]
    function: Callable[[Array, Array, Floats | None], float]
    rows: Callable[[Array, Array], Floats] | None = None
    every_class: bool = False

    def __call__(self, y: Array, predictions: Array, weight: Floats | None = None) -> float:
        """Score class probabilities (n, K) or values (n,); labels are taken as the most probable class."""
        return float(self.function(y, self.prepare(predictions), weight))

    def prepare(self, predictions: Array) -> Array:
        """Turn class probabilities into what the function takes."""
        return predictions.argmax(axis=1) if self.needs == "label" else predictions

    def row_values(self, y: Array, predictions: Array) -> Floats | None:
        """Per-row values whose mean is the metric, or None."""
        return None if self.rows is None else self.rows(y, self.prepare(predictions))

    def badness(self, value: float) -> float:
        """The value with its sign turned so that smaller is better."""
        return -value if self.greater_is_better else value


def log_loss_rows(y: Array, p: Array) -> Floats:
    """Negative log probability of the true class, per row; probabilities clipped to [1e-15, 1]."""
    total = p.sum(axis=1)
    chosen = p[np.arange(len(y)), y.astype(np.int64)].astype(np.float64)
    return np.asarray(-np.log(np.clip(chosen / np.where(total > 0, total, 1.0), EPS, 1.0)))


def squared_error_rows(y: Array, p: Array) -> Floats:
    """Squared error per row."""
    return np.asarray((np.asarray(p, np.float64) - y) ** 2)


def loss_rows(task: Task, y: Array, predictions: Array) -> Floats:
    """The internal loss per row: a proper loss, because choosing by it overfits less than by accuracy."""
    rows = squared_error_rows if task == "regression" else log_loss_rows
    return rows(y, predictions)


def _mean(rows: Callable[[Array, Array], Floats]) -> Callable[[Array, Array, Floats | None], float]:
    return lambda y, p, w: float(np.average(rows(y, p), weights=w))


def _sklearn(name: str, **options: Any) -> Callable[[Array, Array, Floats | None], float]:
    def score(y: Array, p: Array, w: Floats | None) -> float:
        import sklearn.metrics

        return float(getattr(sklearn.metrics, name)(y, p, sample_weight=w, **options))

    return score


def _f1(y: Array, p: Array, w: Floats | None) -> float:
    """F1 of the second class, or macro-averaged over more than two."""
    from sklearn.metrics import f1_score

    many = max(y.max(initial=0), p.max(initial=0)) > 1
    return float(f1_score(y, p, average="macro" if many else "binary", sample_weight=w, zero_division=0.0))


def _roc_auc(y: Array, p: Array, w: Floats | None) -> float:
    """Area under the ROC curve; one-vs-rest macro average over more than two classes; NaN if a class is absent."""
    from sklearn.metrics import roc_auc_score

    k = p.shape[1]
    if len(np.unique(y)) < k:
        return float("nan")
    per_class = [roc_auc_score(y == c, p[:, c], sample_weight=w) for c in (range(k) if k > 2 else (1,))]
    return float(np.mean(per_class))


def _average_precision(y: Array, p: Array, w: Floats | None) -> float:
    from sklearn.metrics import average_precision_score

    return (
        float("nan") if y.max(initial=0) < 1 else float(average_precision_score(y, p[:, 1], sample_weight=w))
    )


def _hit_rows(y: Array, p: Array) -> Floats:
    return np.asarray(y == p, dtype=np.float64)


def _absolute_rows(y: Array, p: Array) -> Floats:
    return np.asarray(np.abs(np.asarray(p, np.float64) - y))


def _brier_rows(y: Array, p: Array) -> Floats:
    truth = np.eye(p.shape[1])[y.astype(np.int64)]
    return np.asarray(((p - truth) ** 2).sum(axis=1) / (2.0 if p.shape[1] == 2 else 1.0))


def _rmse(y: Array, p: Array, w: Floats | None) -> float:
    return float(np.sqrt(np.average(squared_error_rows(y, p), weights=w)))


_CLASSES: tuple[Task, ...] = ("binary", "multiclass")
_VALUES: tuple[Task, ...] = ("regression",)
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("log_loss", False, "probability", _CLASSES, _mean(log_loss_rows), log_loss_rows),
        Metric("brier", False, "probability", _CLASSES, _mean(_brier_rows), _brier_rows),
        Metric("accuracy", True, "label", _CLASSES, _mean(_hit_rows), _hit_rows),
        Metric(
            "balanced_accuracy",
            True,
            "label",
            _CLASSES,
            _sklearn("balanced_accuracy_score"),
            every_class=True,
        ),
        Metric("f1", True, "label", _CLASSES, _f1),
        Metric("roc_auc", True, "probability", _CLASSES, _roc_auc, every_class=True),
        Metric("average_precision", True, "probability", ("binary",), _average_precision, every_class=True),
        Metric("rmse", False, "value", _VALUES, _rmse),
        Metric("mse", False, "value", _VALUES, _mean(squared_error_rows), squared_error_rows),
        Metric("mae", False, "value", _VALUES, _mean(_absolute_rows), _absolute_rows),
        Metric("r2", True, "value", _VALUES, _sklearn("r2_score")),
    )
}


def default_metric(task: Task) -> str:
    """The user's metric when the study names none: log loss, or root mean squared error."""
    return "rmse" if task == "regression" else "log_loss"


def get_metric(name: str | None, task: Task) -> Metric:
    """Look a metric up and check that it suits the task.

    Raises
    ------
    StudyError
        Unknown name, or a metric of another task.
    """
    name = name or default_metric(task)
    if name not in METRICS:
        raise StudyError(f"search.metric: '{name}' is not a metric{did_you_mean(name, METRICS)}")
    metric = METRICS[name]
    if task not in metric.tasks:
        fit = ", ".join(m.name for m in METRICS.values() if task in m.tasks)
        raise StudyError(f"search.metric: '{name}' does not suit a {task} target; use one of {fit}")
    return metric
