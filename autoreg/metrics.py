"""Metrics by name, each carrying its direction and what it needs, and the proper losses the search minimises.

Direction and need travel with the metric: nothing is ever guessed from a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import StudyError, did_you_mean
from autoreg.trial import Floats, Task

Array = NDArray[Any]
Scorer = Callable[[Floats], Floats]
EPS = 1e-15
ENTRY_POINTS = "autoreg.metrics"
"""Group of entry points under which installed packages offer metrics of their own."""


@dataclass(frozen=True)
class Metric:
    """A score of predictions against the truth.

    Attributes
    ----------
    name : str
    greater_is_better : bool
    needs : {"probability", "label", "value"}
        What is judged; labels are the most probable classes.
    tasks : tuple of Task
    scorer : callable
        ``(y, predictions)``, class codes or values against class probabilities (n, K) or values (n,), gives a
        function ``weights (draws, n) -> (draws,)`` that scores once for every row of weights, NaN where the metric
        is undefined. A sample of rows with replacement is a row of weights that counts how often each was drawn.
    rows : callable or None
        ``(y, predictions) -> ndarray (n,)`` whose weighted mean is the metric, where there is such a form.
    every_class : bool
        True when the metric is undefined unless every class is among the rows.
    """

    name: str
    greater_is_better: bool
    needs: Literal["probability", "label", "value"]
    tasks: tuple[Task, ...]
    scorer: Callable[[Array, Array], Scorer]
    rows: Callable[[Array, Array], Floats] | None = None
    every_class: bool = False

    def __call__(self, y: Array, predictions: Array, weight: Floats | None = None) -> float:
        """Score class probabilities (n, K) or values (n,); NaN where no row counts."""
        weights = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
        return float(self.scorer(y, predictions)(weights[None])[0])

    def row_values(self, y: Array, predictions: Array) -> Floats | None:
        """Per-row values whose mean is the metric, or None."""
        return None if self.rows is None else self.rows(y, predictions)

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


def _ratio(above: Floats, below: Floats) -> Floats:
    """Quotient of two arrays of one shape, NaN where the lower is not above 0."""
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0))


def _mean_score(rows: Callable[[Array, Array], Floats], y: Array, p: Array) -> Scorer:
    each = rows(y, p)
    return lambda weights: _ratio(weights @ each, weights.sum(axis=1))


def mean_of(rows: Callable[[Array, Array], Floats]) -> Callable[[Array, Array], Scorer]:
    """The weighted mean of row values; a partial, since a closure could not be sent to another process."""
    return partial(_mean_score, rows)


def _rmse(y: Array, p: Array) -> Scorer:
    square = mean_of(squared_error_rows)(y, p)
    return lambda weights: np.sqrt(square(weights))


def _r2(y: Array, p: Array) -> Scorer:
    """Share of the variance explained; as in scikit-learn 1 or 0 where the target does not vary."""
    # From the median on, so that a target far from 0 keeps its digits.
    far = np.asarray(y, np.float64) - np.median(y)
    each = np.stack([far**2, far, squared_error_rows(y, p)], axis=1)

    def score(weights: Floats) -> Floats:
        total, (square, shift, error) = weights.sum(axis=1), (weights @ each).T
        spread = square - np.nan_to_num(_ratio(shift**2, total))
        varies = spread > 1e-12 * square
        flat = np.where(error == 0, 1.0, 0.0)
        value = np.where(varies, 1.0 - error / np.where(varies, spread, 1.0), flat)
        return np.where((total > 0) & (len(each) > 1), value, np.nan)

    return score


def _confusion(y: Array, p: Array) -> Callable[[Floats], tuple[Floats, Floats, Floats]]:
    """Weight that is truly of every class, that is predicted so, and that is both, each (draws, K)."""
    k = p.shape[1]
    true, found = y[:, None] == np.arange(k), p.argmax(axis=1)[:, None] == np.arange(k)
    masks = np.concatenate([true, found, true & found], axis=1).astype(np.float64)

    def count(weights: Floats) -> tuple[Floats, Floats, Floats]:
        sums = weights @ masks
        return sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k :]

    return count


def _balanced_accuracy(y: Array, p: Array) -> Scorer:
    """Mean recall of the classes that are there."""
    count = _confusion(y, p)

    def score(weights: Floats) -> Floats:
        true, _, both = count(weights)
        return _ratio(np.nan_to_num(_ratio(both, true)).sum(axis=1), (true > 0).sum(axis=1) * 1.0)

    return score


def _f1(y: Array, p: Array) -> Scorer:
    """F1 of the second of two classes; of more, the mean over those that are there or predicted."""
    count = _confusion(y, p)

    def score(weights: Floats) -> Floats:
        true, found, both = count(weights)
        each = np.nan_to_num(_ratio(2.0 * both, true + found))
        if p.shape[1] == 2:
            return np.where(weights.sum(axis=1) > 0, each[:, 1], np.nan)
        return _ratio(each.sum(axis=1), (true + found > 0).sum(axis=1) * 1.0)

    return score


def _roc_auc(y: Array, p: Array) -> Scorer:
    """Area under the ROC curve; one-vs-rest macro average over more than two classes; NaN if a class is absent."""
    k = p.shape[1]
    areas = [_area(y == c, p[:, c]) for c in (range(k) if k > 2 else (1,))]
    return lambda weights: np.mean([area(weights) for area in areas], axis=0)


def _area(truth: Array, values: Array) -> Scorer:
    """Mann and Whitney's statistic by weighted midranks; NaN where one of both sides is empty."""
    order, begin, end = _ties(values)
    inside = np.flatnonzero(truth[order])
    begin, end, positives = begin[inside], end[inside], order[inside]
    # Weight up to every edge of a run that holds a positive row; sums between edges cost less than running sums.
    edges = np.unique(np.concatenate([[0], begin, end[end < len(order)]]))
    low, high = np.searchsorted(edges, begin), np.searchsorted(edges, end)

    def score(weights: Floats) -> Floats:
        own = np.take(weights, positives, axis=1)
        positive, total = own.sum(axis=1), weights.sum(axis=1)
        rank = np.zeros((len(weights), len(edges) + 1))
        np.cumsum(np.add.reduceat(np.take(weights, order, axis=1), edges, axis=1), axis=1, out=rank[:, 1:])
        below = np.einsum("ij,ij->i", own, np.take(rank, low, axis=1) + np.take(rank, high, axis=1))
        # Of the pairs that are counted, those within the positive side are half the square of its weight.
        return _ratio((below - positive**2) / 2.0, positive * (total - positive))

    return score


def _ties(values: Array) -> tuple[Array, Array, Array]:
    """Rows by rising value, and where in this order the run of values equal to each begins and ends."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    return order, np.searchsorted(ranked, ranked, "left"), np.searchsorted(ranked, ranked, "right")


def _average_precision(y: Array, p: Array) -> Scorer:
    """Precision at the score of every positive row, averaged; NaN where there is none."""
    order, _, end = _ties(-p[:, 1])
    inside = np.flatnonzero(y[order] == 1)
    last = end[inside] - 1
    hit = np.searchsorted(inside, last, "right") - 1

    def score(weights: Floats) -> Floats:
        ranked = np.take(weights, order, axis=1)
        own, total = np.take(ranked, inside, axis=1), np.cumsum(ranked, axis=1)
        found = np.take(np.cumsum(own, axis=1), hit, axis=1)
        precision = np.nan_to_num(_ratio(found, np.take(total, last, axis=1)))
        return _ratio(np.einsum("ij,ij->i", own, precision), own.sum(axis=1))

    return score


def _hit_rows(y: Array, p: Array) -> Floats:
    return np.asarray(y == p.argmax(axis=1), dtype=np.float64)


def _absolute_rows(y: Array, p: Array) -> Floats:
    return np.asarray(np.abs(np.asarray(p, np.float64) - y))


def _brier_rows(y: Array, p: Array) -> Floats:
    truth = np.eye(p.shape[1])[y.astype(np.int64)]
    return np.asarray(((p - truth) ** 2).sum(axis=1) / (2.0 if p.shape[1] == 2 else 1.0))


CLASSES: tuple[Task, ...] = ("binary", "multiclass")
VALUES: tuple[Task, ...] = ("regression",)
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("log_loss", False, "probability", CLASSES, mean_of(log_loss_rows), log_loss_rows),
        Metric("brier", False, "probability", CLASSES, mean_of(_brier_rows), _brier_rows),
        Metric("accuracy", True, "label", CLASSES, mean_of(_hit_rows), _hit_rows),
        Metric("balanced_accuracy", True, "label", CLASSES, _balanced_accuracy, every_class=True),
        Metric("f1", True, "label", CLASSES, _f1),
        Metric("roc_auc", True, "probability", CLASSES, _roc_auc, every_class=True),
        Metric("average_precision", True, "probability", ("binary",), _average_precision, every_class=True),
        Metric("rmse", False, "value", VALUES, _rmse),
        Metric("mse", False, "value", VALUES, mean_of(squared_error_rows), squared_error_rows),
        Metric("mae", False, "value", VALUES, mean_of(_absolute_rows), _absolute_rows),
        Metric("r2", True, "value", VALUES, _r2),
    )
}


def default_metric(task: Task) -> str:
    """The user's metric when the study names none: log loss, or root mean squared error."""
    return "rmse" if task == "regression" else "log_loss"


_REGISTERED: dict[str, Metric] = {}


def register_metric(metric: Metric) -> None:
    """Let studies of this process ask for a metric by its name; an earlier one of that name is replaced.

    Raises
    ------
    ValueError
        The name is that of a metric of this package.
    """
    if metric.name in METRICS:
        raise ValueError(f"'{metric.name}' is a metric of autoreg already: give yours another name")
    _REGISTERED[metric.name] = metric


def known_metric(name: str) -> Metric | None:
    """The metric of that name: built in, registered, or offered by an installed package; None where there is none.

    Raises
    ------
    StudyError
        A package offers it and it cannot be loaded.
    """
    return METRICS.get(name) or _REGISTERED.get(name) or _offered(name)


@cache
def _offered(name: str) -> Metric | None:
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        try:
            found = entry.load()
        except Exception as error:  # code of somebody else's package
            raise StudyError(
                f"search.metric: '{name}' is offered as {entry.value}, which cannot be loaded: {error}"
            ) from error
        if not isinstance(found, Metric) or found.name != name:
            raise StudyError(
                f"search.metric: '{name}' is offered as {entry.value}; expected a metric of that name, "
                "made by autoreg.make_metric"
            )
        return found
    return None


def _names(task: Task | None = None) -> list[str]:
    """All that can be asked for, of one task or any. What packages offer is not loaded to find out what it is for."""
    own = [m.name for m in (*METRICS.values(), *_REGISTERED.values()) if task is None or task in m.tasks]
    return own + sorted(entry.name for entry in entry_points(group=ENTRY_POINTS) if task is None)


def get_metric(name: str | None, task: Task) -> Metric:
    """Look a metric up and check that it suits the task.

    Raises
    ------
    StudyError
        Unknown name, or a metric of another task.
    """
    name = name or default_metric(task)
    metric = known_metric(name)
    if metric is None:
        raise StudyError(f"search.metric: '{name}' is not a metric{did_you_mean(name, _names())}")
    if task not in metric.tasks:
        fit = ", ".join(_names(task))
        raise StudyError(f"search.metric: '{name}' does not suit a {task} target; use one of {fit}")
    return metric
