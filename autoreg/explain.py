"""What the winner rests on: its columns, its regularizers, and where its predictions go wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoreg.backends import Backend, Fit, FitFailure
from autoreg.data.pixels import PATCHES, patches
from autoreg.evaluation import Candidate, Problem, fit_folds
from autoreg.metrics import Metric
from autoreg.penalties import SWITCHED_OFF
from autoreg.record import Importance, Judged, Worth
from autoreg.selection import corrected_se
from autoreg.serving import Package
from autoreg.trial import Floats, OutOfTime, Params, Rows, Task

Array = NDArray[Any]
SHUFFLES = 3
MOST_ROWS = 1000
BINS = 10


def judged(task: Task, truth: Array, raw: Array, decisive: Array, weight: Floats | None) -> Judged:
    """Sum up predictions on judged rows: confusion and reliability of classes, residuals of values.

    Parameters
    ----------
    task : Task
    truth : ndarray, shape (n,)
    raw, decisive : ndarray, shape (n, K) or (n,)
        Probabilities as given, and stretched so that the most probable class is the label; equal for values.
    weight : ndarray, shape (n,), or None
    """
    w = np.ones(len(truth)) if weight is None else np.asarray(weight, np.float64)
    if task == "regression":
        return Judged(len(truth), residuals=_residuals(truth, raw))
    k = raw.shape[1]
    labels = decisive.argmax(axis=1)
    confusion = np.zeros((k, k))
    np.add.at(confusion, (truth.astype(np.int64), labels), w)
    if task == "binary":
        shown, right = raw[:, 1], truth == 1
    else:
        top = raw.argmax(axis=1)
        shown, right = raw[np.arange(len(raw)), top], truth == top
    return Judged(len(truth), confusion.tolist(), _reliability(shown, right, w))


def _reliability(shown: Array, right: Array, w: Floats) -> list[dict[str, float | None]]:
    """Bins of equally many rows, fewer where there are few."""
    out: list[dict[str, float | None]] = []
    bins = max(2, min(BINS, len(shown) // 15))
    for rows in np.array_split(np.argsort(shown, kind="stable"), bins):
        if len(rows) and w[rows].sum() > 0:
            predicted = float(np.average(shown[rows], weights=w[rows]))
            observed = float(np.average(right[rows], weights=w[rows]))
            out.append({"predicted": predicted, "observed": observed, "rows": float(len(rows))})
    return out


def _residuals(truth: Array, values: Array) -> list[dict[str, float | None]]:
    out: list[dict[str, float | None]] = []
    names = ("low", "quarter", "median", "three_quarters", "high")
    bins = max(2, min(BINS, len(truth) // 15))
    for rows in np.array_split(np.argsort(values, kind="stable"), bins):
        if len(rows):
            points = np.quantile(truth[rows] - values[rows], [0.05, 0.25, 0.5, 0.75, 0.95])
            row: dict[str, float | None] = dict(zip(names, map(float, points), strict=True))
            out.append({"predicted": float(values[rows].mean()), "rows": float(len(rows)), **row})
    return out


def importance(
    package: Package,
    metric: Metric,
    frame: pd.DataFrame,
    truth: Array,
    weight: Floats | None,
    seed: int,
    seconds: float,
) -> list[Importance] | None:
    """How much worse the metric gets when one column is shuffled (Breiman 2001), most important first.

    Of images whole patches are shuffled, at most 64: a pixel's neighbours say nearly what it says.

    Parameters
    ----------
    package : Package
    metric : Metric
    frame : pandas.DataFrame, n rows
        Rows the model has not seen; a fixed sample of ``MOST_ROWS`` when there are more.
    truth, weight : ndarray, shape (n,)
    seed : int
    seconds : float
        None is returned where it would take longer.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(frame))[:MOST_ROWS])
    frame, truth = frame.iloc[rows].reset_index(drop=True), truth[rows]
    weight = None if weight is None else weight[rows]

    def badness(table: pd.DataFrame) -> float:
        raw = package.predict_raw(table)
        shown = package.decisive(raw) if metric.needs == "label" else raw
        return metric.badness(metric(truth, shown, weight))

    began = time.perf_counter()
    plain = badness(frame)
    took = time.perf_counter() - began
    parts = patches(package.image, PATCHES) if package.image else dict.fromkeys(package.columns)
    if not np.isfinite(plain) or took * SHUFFLES * len(parts) > seconds:
        return None
    orders = [rng.permutation(len(frame)) for _ in range(SHUFFLES)]
    found = []
    for column, pixels in parts.items():
        changes = [badness(_shuffled(frame, column, pixels, order)) - plain for order in orders]
        se = float(np.std(changes, ddof=1) / np.sqrt(SHUFFLES))
        found.append(Importance(column, float(np.mean(changes)), se))
    return sorted(found, key=lambda i: -(i.mean or 0.0))


def _shuffled(frame: pd.DataFrame, column: str, pixels: Rows | None, order: Rows) -> pd.DataFrame:
    """The frame with one column, or some of its columns by position, in another order of rows."""
    if pixels is None:
        out = frame.copy(deep=False)
        out[column] = frame[column].iloc[order].reset_index(drop=True)
        return out
    block = frame.to_numpy()
    shuffled = block.copy()
    shuffled[:, pixels] = block[np.ix_(order, pixels)]
    return pd.DataFrame(shuffled, columns=frame.columns)


def worth(
    params: Params,
    backend: Backend,
    problem: Problem,
    scores: Floats,
    judge: Callable[[Array], Floats],
    ratio: float,
    seed: int,
    in_time: Callable[[], bool],
) -> list[Worth]:
    """What every regularizer of a configuration is worth: it is switched off alone, on the same folds and seeds.

    Parameters
    ----------
    params : Params
    backend : Backend
    problem : Problem
        A fresh repeat.
    scores : ndarray, shape (K,)
        The configuration's scores in the cells of this repeat.
    judge : callable
        Predictions over table rows to scores (K,), made as ``scores`` were: behind thresholds where labels count.
    ratio : float
        Rows that score over rows that fit.
    seed : int
        Of the configuration's own fits in this repeat.
    in_time : callable
    """
    off = {
        name: change
        for name, change in SWITCHED_OFF.items()
        if params.get(name, change[name]) != change[name]
    }
    if not off:
        return []
    candidates = [Candidate({**params, **change}, seed) for change in off.values()]
    try:
        outcomes = fit_folds(backend, candidates, problem, in_time)
    except OutOfTime:
        return []
    metric, found = problem.metric, []
    for (name, _), fits in zip(off.items(), outcomes, strict=True):
        shown = _shown(params, name)
        if isinstance(fits, FitFailure):
            found.append(Worth(name, shown, None, None))
            continue
        without = judge(_over_rows(problem, backend, fits))
        change = np.array(
            [metric.badness(a) - metric.badness(b) for a, b in zip(without, scores, strict=True)]
        )
        change = change[np.isfinite(change)]
        mean = float(change.mean()) if len(change) else None
        found.append(Worth(name, shown, mean, corrected_se(change, ratio) if len(change) else None))
    return found


def _over_rows(problem: Problem, backend: Backend, fits: Sequence[Fit]) -> Array:
    """What every fold's model predicts for the rows it is scored on, by table row; NaN elsewhere."""
    table = problem.table
    out = np.full((len(table.target), *((table.n_classes,) if table.n_classes else ())), np.nan)
    for fold, data, fit in zip(problem.split.folds, problem.folds(backend.encoding), fits, strict=True):
        if data.score is not None:
            out[fold.score] = fit.member.predict(data.score.X)
    return out


def _shown(params: Params, name: str) -> Any:
    if name == "penalty":
        return f"{params['penalty']}, alpha {float(params.get('alpha', 0.0)):.3g}"
    return params[name]


def removed_columns(package: Package) -> tuple[list[str], list[str]]:
    """Encoded columns whose weights are exactly 0 in more than half of the linear members, and the others."""
    zeros: dict[str, list[bool]] = {}
    for preprocessor, member, _ in package.members:
        if member.kind == "linear":
            for column, row in zip(preprocessor.state["columns"], member.coef, strict=True):
                zeros.setdefault(str(column), []).append(bool(np.all(row == 0)))
    gone = [column for column, found in zeros.items() if np.mean(found) > 0.5]
    return (gone, [column for column in zeros if column not in set(gone)]) if gone else ([], list(zeros))
