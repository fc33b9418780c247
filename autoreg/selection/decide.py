"""From the finalists' fresh predictions to what is shipped: rule, blend, bag or refit, temperature and threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoreg.metrics import Metric
from autoreg.selection.blend import evidence, greedy, others
from autoreg.selection.compare import Comparison, compare, corrected_se
from autoreg.selection.cut import Cut, fit_cut, fit_threshold
from autoreg.selection.shortlist import Simplicity
from autoreg.serving import shifted
from autoreg.trial import Floats, Rows, Task

Array = NDArray[Any]
Kind = Literal["refit", "bag", "blend"]


@dataclass(frozen=True)
class Evidence:
    """What the finalists predicted for rows they had not seen, in R fresh repeats of K folds.

    Attributes
    ----------
    task : Task
    metric : Metric
    truth : ndarray, shape (n,)
    predictions : ndarray, shape (R, F, n, K) or (R, F, n)
    cells : tuple of tuple of ndarray
        Positions 0..n-1 scored by each fold of each repeat.
    ratio : float
        Rows that score over rows that fit, in one cell.
    simple : tuple
        Sorts the simpler finalist first.
    copies : tuple of int
        Models of every finalist worth averaging.
    weight : ndarray, shape (n,), or None
        The user's sample weights.
    loss_weight : ndarray, shape (n,), or None
        The same times class weights, as the internal loss counts rows.
    """

    task: Task
    metric: Metric
    truth: Array
    predictions: Array
    cells: tuple[tuple[Rows, ...], ...]
    ratio: float
    simple: tuple[Simplicity, ...]
    copies: tuple[int, ...]
    weight: Floats | None = None
    loss_weight: Floats | None = None

    @property
    def labels_cut(self) -> bool:
        """Whether the metric judges labels that a threshold decides."""
        return self.metric.needs == "label" and self.task == "binary"

    def score(self, predictions: Array, rows: Rows) -> float:
        """The user's metric of predictions (n, ...) on some rows."""
        weight = None if self.weight is None else self.weight[rows]
        return self.metric(self.truth[rows], predictions[rows], weight)

    def cross_cut(self, predictions: Array, cells: Sequence[Rows]) -> Array:
        """Predictions (n, 2) with every cell's threshold fitted on the other cells; others as they are."""
        if not self.labels_cut:
            return predictions
        out = np.array(predictions, np.float64)
        for k, rows in enumerate(cells):
            rest = others(cells, k)
            weight = None if self.weight is None else self.weight[rest]
            threshold = fit_threshold(self.metric, self.truth[rest], predictions[rest], weight)
            out[rows] = shifted(out[rows], threshold)
        return out


@dataclass(frozen=True)
class Decision:
    """What is shipped, and why.

    Attributes
    ----------
    comparison : Comparison
    scores : ndarray, shape (F, R * K)
        The user's metric in every cell.
    winner : int
        The finalist that the rule names.
    kind : {"refit", "bag", "blend"}
    weights : ndarray, shape (F,)
        Of the finalists in what is shipped; sum 1.
    gain, gain_se : float
        How much less bad the cross-fitted blend was than the cross-fitted best single one; NaN where not tried.
    cut : Cut
    options : dict of str to float
        Out-of-fold score of every way to ship.
    why : str
        The reason in words.
    """

    comparison: Comparison
    scores: Floats
    winner: int
    kind: Kind
    weights: Floats
    gain: float
    gain_se: float
    cut: Cut
    options: dict[str, float] = field(default_factory=dict)
    why: str = ""


def decide(found: Evidence, rule: str, final: str, may_bag: bool = True) -> Decision:
    """Choose by fresh scores alone.

    Parameters
    ----------
    found : Evidence
    rule : {"best", "one_se"}
    final : {"auto", "single"}
    may_bag : bool
        False where models of earlier rows alone are no use later, as with a time column.
    """
    cut = np.stack(
        [[found.cross_cut(p, found.cells[r]) for p in each] for r, each in enumerate(found.predictions)]
    )
    scores = _cell_scores(found, cut)
    badness = np.asarray(scores if not found.metric.greater_is_better else -scores)
    comparison = compare(badness, found.ratio, found.simple)
    winner = comparison.one_se if rule == "one_se" else comparison.best
    blend = _Blend(found, cut) if final == "auto" and may_bag and len(found.simple) > 1 else None
    kind, why = _kind(found, winner, final, may_bag, rule, blend)
    means: dict[str, Array] = {"refit": found.predictions[0, winner]}
    options = {"refit": float(np.mean([_whole(found, each[winner], r) for r, each in enumerate(cut)]))}
    if may_bag:
        means["bag"] = found.predictions[:, winner].mean(axis=0)
    if blend is not None:
        means["blend"] = blend.predictions.mean(axis=0)
    options |= {name: _pooled(found, p) for name, p in means.items() if name != "refit"}
    fitted = Cut()
    if found.task != "regression":
        fitted = fit_cut(found.metric, found.truth, means[kind], found.weight, found.cells[0], found.ratio)
    weights = blend.weights if kind == "blend" and blend is not None else np.eye(len(found.simple))[winner]
    gain, gain_se = (blend.gain, blend.gain_se) if blend is not None else (np.nan, np.nan)
    return Decision(comparison, scores, winner, kind, weights, gain, gain_se, fitted, options, why)


def _cell_scores(found: Evidence, predictions: Array) -> Floats:
    """The user's metric of every finalist in every cell (F, R * K)."""
    repeats, finalists = predictions.shape[:2]
    return np.array(
        [
            [found.score(predictions[r, f], rows) for r in range(repeats) for rows in found.cells[r]]
            for f in range(finalists)
        ]
    )


def _kind(
    found: Evidence, winner: int, final: str, may_bag: bool, rule: str, blend: _Blend | None
) -> tuple[Kind, str]:
    """What to ship, and the reason in words."""
    if final == "single":
        return "refit", "one model was asked for"
    if not may_bag:
        return "refit", "rows are ordered by time: one model of all rows has seen the newest ones too"
    if (
        blend is not None
        and rule == "best"
        and blend.gain > blend.gain_se
        and np.count_nonzero(blend.weights) > 1
    ):
        return "blend", "the blend beats the best single configuration by more than one standard error"
    if found.copies[winner] == 1:
        return "refit", "its seed makes little or no difference, so one model says all"
    return "bag", "the mean of several models of the winner is steadier than one"


def _whole(found: Evidence, predictions: Array, repeat: int) -> float:
    return found.score(predictions, np.sort(np.concatenate(found.cells[repeat])))


def _pooled(found: Evidence, predictions: Array) -> float:
    """Score over all rows, thresholds cross-fitted over the first repeat's cells."""
    return _whole(found, found.cross_cut(predictions, found.cells[0]), 0)


class _Blend:
    """A blend judged with weights it could not have fitted to the rows that judge it.

    In every cell the weights are learned, and the best single finalist is picked, on the other cells of the same repeat;
    both are scored in the cell. The final weights come from all rows, predictions averaged as a bag averages. ``cut`` are
    the predictions (R, F, n, ...) behind cross-fitted thresholds, by which singles are compared, as finalists are: at one
    half a well calibrated model of a rare class would lose to a worse one that leans its way, and the blend would win.
    """

    def __init__(self, found: Evidence, cut: Array) -> None:
        self.found = found
        shape = found.predictions.shape
        self.predictions = np.zeros((shape[0], *shape[2:]))
        known = [evidence(found.task, found.truth, p) for p in found.predictions]
        gains: list[float] = []
        for r, cells in enumerate(found.cells):
            picked = np.zeros(shape[2:])
            for k, rows in enumerate(cells):
                rest = others(cells, k)
                weights = self._learn(known[r], rest)
                self.predictions[r, rows] = np.tensordot(weights, found.predictions[r][:, rows], axes=1)
                single = self._single(cut[r], rest)
                picked[rows] = found.predictions[r, single][rows]
            ours, theirs = found.cross_cut(self.predictions[r], cells), found.cross_cut(picked, cells)
            bad = found.metric.badness
            gains += [bad(found.score(theirs, rows)) - bad(found.score(ours, rows)) for rows in cells]
        finite = np.asarray(gains)[np.isfinite(gains)]
        self.gain = float(finite.mean()) if len(finite) else np.nan
        self.gain_se = corrected_se(finite, found.ratio) if len(finite) else np.nan
        mean = evidence(found.task, found.truth, found.predictions.mean(axis=0))
        self.weights = self._learn(mean, np.arange(len(found.truth)))

    def _learn(self, known: Floats, rows: Rows) -> Floats:
        weight = None if self.found.loss_weight is None else self.found.loss_weight[rows]
        return greedy(self.found.task, self.found.truth[rows], known[:, rows], weight)

    def _single(self, predictions: Array, rows: Rows) -> int:
        badness: Callable[[float], float] = self.found.metric.badness
        found = [badness(self.found.score(p, rows)) for p in predictions]
        return int(np.argmin(np.where(np.isfinite(found), found, np.inf)))
