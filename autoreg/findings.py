"""A finished study gathered into its record: trials, finalists, estimates, what was shipped and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.explain import importance, judged, removed_columns, worth
from autoreg.finals import Finals
from autoreg.planning import StudyPlan
from autoreg.record import (
    Finalist,
    Importance,
    Judged,
    Overtuning,
    Shipped,
    Shipping,
    StudyRecord,
    TrialRow,
    Worth,
)
from autoreg.selection import Corrected, Decision, Estimate, complete, corrected_cv, incumbents, time_blocks
from autoreg.shipping import Shipment, configuration
from autoreg.space import derive_seed
from autoreg.trial import Choice, Floats, Range, TrialRecord

NOTHING = Corrected(np.nan, np.nan, np.nan, 0, 0)


@dataclass
class Outcome:
    """What a study came to.

    Attributes
    ----------
    planned : StudyPlan
    records : list of TrialRecord
    winner : TrialRecord
    finals, decision : Finals, Decision, or None
        None where the time allowed no fresh repeat.
    shipment : Shipment
    estimate : Estimate or None
        The look at the holdout; None where there is no holdout.
    corrected : Corrected
    events : list of str
    curves : mapping of str to ndarray
        Of the winner.
    searched : mapping
        Final search space of every backend.
    """

    planned: StudyPlan
    records: list[TrialRecord]
    winner: TrialRecord
    finals: Finals | None
    decision: Decision | None
    shipment: Shipment
    estimate: Estimate
    corrected: Corrected = NOTHING
    events: list[str] = field(default_factory=list)
    curves: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def cv_fresh(self) -> float:
        """Mean score of the winner over the fresh cells; NaN where there are none."""
        if self.decision is None:
            return float("nan")
        found = self.decision.scores[self.decision.winner]
        known = found[np.isfinite(found)]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def kind(self) -> str:
        """ "refit", "bag" or "blend"."""
        return self.decision.kind if self.decision else "refit"

    @property
    def parts(self) -> list[tuple[TrialRecord, float]]:
        """Configurations in what is shipped, with their weights; the heaviest first."""
        if self.finals is None or self.decision is None:
            return [(self.winner, 1.0)]
        pairs = zip(self.finals.records, self.decision.weights, strict=True)
        return sorted(((r, float(w)) for r, w in pairs if w > 0), key=lambda pair: -pair[1])


def correct(
    planned: StudyPlan, records: Sequence[TrialRecord], predictions: Callable[[TrialRecord], Any]
) -> Corrected:
    """Selection-corrected cross-validation over all complete trials.

    Parameters
    ----------
    planned : StudyPlan
    records : sequence of TrialRecord
    predictions : callable
        Out-of-fold predictions of a trial over table rows, or None where they are lost.
    """
    problem, table = planned.problem, planned.table
    found = [(r, predictions(r)) for r in complete(records)]
    found = [(r, p) for r, p in found if p is not None]
    if not found:
        return NOTHING
    rows = problem.kept_rows()
    factor = _class_factors(planned)[rows]
    losses = np.stack([factor * problem.row_losses(p)[rows] for _, p in found]).astype(np.float32)
    known = np.isfinite(losses).all(axis=0)
    rows, losses = rows[known], losses[:, known]
    if not len(rows):
        return NOTHING
    return corrected_cv(
        planned.metric,
        table.target[rows],
        losses,
        lambda i: np.asarray(found[i][1])[rows],
        _fold_of(planned)[rows],
        None if table.weight is None else np.asarray(table.weight)[rows],
        resampled_together(planned, rows),
        derive_seed(planned.study.search.seed, "corrected"),
    )


def _class_factors(planned: StudyPlan) -> Floats:
    """What class weights multiplied every table row's loss by when the search compared trials (n,); else 1."""
    table, weight = planned.table, planned.problem.weight
    ones = np.ones(len(table.target))
    if weight is None or table.weight is None:
        return ones if weight is None else weight
    return np.divide(weight, table.weight, out=ones, where=table.weight > 0)


def resampled_together(planned: StudyPlan, rows: NDArray[np.int64]) -> NDArray[Any] | None:
    """What rows are drawn with each other in a bootstrap: groups, or blocks of time."""
    table = planned.table
    if table.group is not None:
        return np.asarray(table.group[rows])
    return None if table.time is None else time_blocks(table.time[rows])


def _fold_of(planned: StudyPlan) -> NDArray[np.int64]:
    found = np.full(len(planned.table.target), -1)
    for k, fold in enumerate(planned.split.folds):
        found[fold.score] = k
    return found


def gather(outcome: Outcome, report: dict[str, Any], seconds: Callable[[], float]) -> StudyRecord:
    """The study's record, explanations included as far as the time goes.

    Parameters
    ----------
    outcome : Outcome
    report : dict
        The contract's result.
    seconds : callable
        Seconds left for explanations.
    """
    planned, table = outcome.planned, outcome.planned.table
    gone, kept = _removed(outcome)
    found = _importance(outcome, seconds())
    return StudyRecord(
        report=report,
        metric=planned.metric.name,
        greater_is_better=planned.metric.greater_is_better,
        task=table.task,
        target=planned.study.data.target,
        classes=[str(c) for c in table.classes],
        source=table.source,
        fingerprint=table.fingerprint,
        rows=len(table.target),
        columns=table.features.shape[1],
        search_rows=len(planned.split.search),
        holdout_rows=len(planned.split.holdout),
        folds=len(planned.split.folds),
        repeats=len(outcome.finals.problems) if outcome.finals else 0,
        rule=planned.study.select.rule,
        trials=[_row(r) for r in outcome.records],
        searched=_searched(planned),
        events=list(outcome.events),
        finalists=_finalists(outcome),
        shipped=_shipped(outcome),
        overtuning=_overtuning(outcome),
        curves={name: values.tolist() for name, values in outcome.curves.items()},
        best_round=float(np.mean(outcome.winner.result.rounds))
        if any(outcome.winner.result.rounds)
        else None,
        judged=_judged(outcome),
        removed=gone,
        kept=kept,
        worth=_worth(outcome, seconds),
        importance=found,
        cautions=list(outcome.estimate.warnings),
    )


def _row(record: TrialRecord) -> TrialRow:
    r = record.result
    return TrialRow(
        record.number,
        record.backend,
        r.state.value,
        r.loss,
        r.loss_se,
        r.cv,
        r.cv_se,
        r.train,
        r.complexity,
        r.seconds,
        dict(r.params),
        r.reason,
    )


def _searched(planned: StudyPlan) -> dict[str, dict[str, dict[str, Any]]]:
    out: dict[str, dict[str, dict[str, Any]]] = {}
    for backend, space in planned.resolved.items():
        given = planned.study.search.space(backend)
        out[backend] = {}
        for name, d in space.searched.items():
            if isinstance(d, Choice):
                out[backend][name] = {"values": list(d.values)}
            elif isinstance(d, Range):
                ends = {"low": d.low, "high": d.high, "log": d.log, "off": d.off}
                out[backend][name] = ends | {"pinned": name in given}
    return out


def _finalists(outcome: Outcome) -> list[Finalist]:
    finals, decision = outcome.finals, outcome.decision
    if finals is None or decision is None:
        return []
    c, defaults = decision.comparison, set(default_numbers(outcome.planned, outcome.records))
    rows = []
    for i, record in enumerate(finals.records):
        cells = decision.scores[i]
        known = cells[np.isfinite(cells)]
        rows.append(
            Finalist(
                record.number,
                record.backend,
                record.number in defaults,
                dict(record.result.params),
                record.result.cv,
                float(known.mean()) if len(known) else None,
                float(c.difference[i]),
                float(c.se[i]),
                finals.complexity(i),
                i == c.best,
                i == c.one_se,
                cells.tolist(),
            )
        )
    return sorted(rows, key=lambda row: row.difference if row.difference is not None else np.inf)


def default_numbers(planned: StudyPlan, records: Sequence[TrialRecord]) -> list[int]:
    """Numbers of the trials that are a backend's default configuration: its first, but for a grid."""
    if planned.study.search.sampler == "grid":
        return []
    first: dict[str, int] = {}
    for record in records:
        first[record.backend] = min(record.number, first.get(record.backend, record.number))
    return list(first.values())


def _shipped(outcome: Outcome) -> Shipped:
    decision, planned = outcome.decision, outcome.planned
    package, kind = outcome.shipment.package, outcome.kind
    cells = sum(len(p.split.folds) for p in outcome.finals.problems) if outcome.finals else 0
    blended = int(np.count_nonzero(decision.weights)) if decision and kind == "blend" else 0
    models = {"refit": 1, "bag": cells, "blend": cells * blended}
    options = decision.options if decision else {"refit": float("nan")}
    frame = planned.table.features.iloc[
        planned.split.holdout if len(planned.split.holdout) else planned.split.search
    ]
    return Shipped(
        kind,
        [Shipping(k, score, models[k] or len(package.members), k == kind) for k, score in options.items()],
        [{"number": r.number, "backend": r.backend, "weight": w} for r, w in outcome.parts],
        decision.gain if decision else None,
        decision.gain_se if decision else None,
        package.temperature if package.temperature != 1.0 else None,
        package.threshold if package.threshold != 0.5 else None,
        outcome.shipment.bytes,
        outcome.shipment.microseconds(frame),
        decision.why
        if decision
        else "the time left allowed no fresh repeat: the smallest search score was taken",
    )


def _overtuning(outcome: Outcome) -> list[Overtuning]:
    fresh = {f.number: f.fresh for f in _finalists(outcome)}
    return [
        Overtuning(trial, record.number, record.result.cv, fresh.get(record.number))
        for trial, record in incumbents(outcome.records)
    ]


def _judged(outcome: Outcome) -> Judged | None:
    planned, package = outcome.planned, outcome.shipment.package
    rows = planned.split.holdout
    if not len(rows):
        return None
    raw = package.predict_raw(planned.table.features.iloc[rows])
    weight = None if planned.table.weight is None else planned.table.weight[rows]
    return judged(planned.table.task, planned.table.target[rows], raw, package.decisive(raw), weight)


def _removed(outcome: Outcome) -> tuple[list[str], list[str]]:
    """Only a penalty with an L1 part removes columns."""
    winner = outcome.winner.result.params
    if outcome.planned.backends[outcome.winner.backend].rank or winner.get("penalty") not in (
        "l1",
        "elasticnet",
    ):
        return [], []
    return removed_columns(outcome.shipment.package)


def _worth(outcome: Outcome, seconds: Callable[[], float]) -> list[Worth]:
    if outcome.finals is None or outcome.decision is None:
        return []
    winner, problem = outcome.winner, outcome.finals.problems[0]
    seed = outcome.planned.study.search.seed
    return worth(
        configuration(outcome.planned, winner),
        outcome.planned.backends[winner.backend],
        problem,
        outcome.decision.scores[outcome.decision.winner][: len(problem.split.folds)],
        float(np.mean([len(f.score) / len(f.train) for f in problem.split.folds])),
        derive_seed(seed, winner.backend, winner.number, "fresh", 0),
        lambda: seconds() > 0,
    )


def _importance(outcome: Outcome, seconds: float) -> list[Importance]:
    planned = outcome.planned
    rows = planned.split.holdout
    if not len(rows):
        return []
    table = planned.table
    weight = None if table.weight is None else table.weight[rows]
    seed = derive_seed(planned.study.search.seed, "importance")
    frame = table.features.iloc[rows]
    package = outcome.shipment.package
    found = importance(package, planned.metric, frame, table.target[rows], weight, seed, seconds / 2)
    if found is None:
        outcome.events.append(
            f"the importance of {len(package.columns)} columns was left out: the time left was too short for it"
        )
    return found or []
