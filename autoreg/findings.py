"""A finished study gathered into its record: trials, finalists, estimates, what was shipped and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.effects import KEPT, REMOVED
from autoreg.explain import importance, judged, removed_columns, worth
from autoreg.outcome import Outcome, default_numbers
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
from autoreg.refit import configuration
from autoreg.selection import incumbents
from autoreg.serving import Package
from autoreg.shipping import Shipment
from autoreg.showing import side_by_side
from autoreg.space import derive_seed
from autoreg.trial import Choice, Floats, Range, TrialRecord

NOTHING_SHIPPED = Shipped("", [], [], None, None, None, None, 0.0, 0.0, "")
POINTS = 200
"""Points of a trial's curve in the record at most."""


def gather(
    outcome: Outcome, report: dict[str, Any], seconds: Callable[[], float], explain: bool = True
) -> StudyRecord:
    """The study's record, explanations included as far as the time goes, where there is a model to explain.

    Parameters
    ----------
    outcome : Outcome
    report : dict
        The contract's result.
    seconds : callable
        Seconds left for explanations.
    explain : bool
        False leaves them out: what each regularizer is worth, and the importance of columns.
    """
    record = _told(outcome, report)
    shipped, looked_at = outcome.shipped, outcome.shipment
    if shipped is None or looked_at is None:
        details = outcome.winner.result.details
        gone, kept = list(details.get(REMOVED, ())), list(details.get(KEPT, ()))
        known = outcome.planned, outcome.records, outcome.winner, outcome.trial_curves
        shown, plane = side_by_side(*known, seconds)
        return replace(record, removed=gone, kept=kept, shown=shown, plane=plane)
    package = looked_at.package  # the holdout shows what models do that have not seen it
    gone, kept = _removed(outcome, shipped.package)
    found = _importance(outcome, package, seconds() / 2) if explain else []
    return replace(
        record,
        events=outcome.history,
        shipped=_shipped(outcome, shipped),
        overtuning=_overtuning(outcome),
        judged=_judged(outcome, package),
        removed=gone,
        kept=kept,
        worth=_worth(outcome, seconds) if explain else [],
        importance=found,
    )


def _told(outcome: Outcome, report: dict[str, Any]) -> StudyRecord:
    """What a study found, without the model that it ships."""
    planned, table = outcome.planned, outcome.planned.table
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
        trials=[_row(r, outcome.trial_curves.get(r.number, {})) for r in outcome.records],
        searched=_searched(outcome),
        events=outcome.history,
        finalists=_finalists(outcome),
        shipped=NOTHING_SHIPPED,
        overtuning=[],
        curves={name: values.tolist() for name, values in outcome.curves.items()},
        best_round=_best_round(outcome),
        judged=None,
        cautions=outcome.cautions,
        image=list(table.image) if table.image else None,
        tensor=outcome.array_kind or "",
    )


def _row(record: TrialRecord, curves: Mapping[str, Floats]) -> TrialRow:
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
        dict(r.details),
        {name: _points(curve).tolist() for name, curve in curves.items()},
    )


def _points(curve: Floats) -> Floats:
    """At most ``POINTS`` values of a curve, evenly spaced, both ends among them."""
    steps = np.linspace(0, len(curve) - 1, min(len(curve), POINTS)).round().astype(np.int64)
    return np.asarray(curve[steps])


def _searched(outcome: Outcome) -> dict[str, dict[str, dict[str, Any]]]:
    out: dict[str, dict[str, dict[str, Any]]] = {}
    for backend, space in outcome.spaces.items():
        given = outcome.planned.study.search.space(backend)
        out[backend] = {}
        for name, d in space.searched.items():
            if isinstance(d, Choice):
                out[backend][name] = {"values": list(d.values)}
            elif isinstance(d, Range):
                ends = {"low": d.low, "high": d.high, "log": d.log, "off": d.off}
                out[backend][name] = ends | {"pinned": name in given and not d.extend}
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


def _shipped(outcome: Outcome, shipment: Shipment) -> Shipped:
    decision, planned = outcome.decision, outcome.planned
    package, kind = shipment.package, outcome.kind
    options = decision.options if decision else {kind: float("nan")}
    frame = planned.table.features.iloc[
        planned.split.holdout if len(planned.split.holdout) else planned.split.search
    ]
    return Shipped(
        kind,
        [
            Shipping(k, score, len(package.members) if k == kind else None, k == kind)
            for k, score in options.items()
        ],
        [{"number": r.number, "backend": r.backend, "weight": w} for r, w in outcome.parts],
        decision.gain if decision else None,
        decision.gain_se if decision else None,
        package.temperature if package.temperature != 1.0 else None,
        package.threshold if package.threshold != 0.5 else None,
        shipment.bytes,
        shipment.microseconds(frame),
        f"{decision.why}; {_made(shipment, outcome)}"
        if decision
        else "the time left allowed no fresh repeat: the smallest search score was taken",
    )


def _made(shipment: Shipment, outcome: Outcome) -> str:
    if shipment.alone:
        on = "on all rows of the search" if shipment.whole else "on the sample that trials saw"
        return f"time was short, so the winner alone was fitted, {on}"
    if shipment is outcome.full:
        return (
            "every model in it was fitted on all rows, those held out among them once they had been looked at"
        )
    if shipment.whole:
        return "every model in it was fitted on all rows of the search"
    return "time was short, so the models of the fresh folds were taken as they are"


def _overtuning(outcome: Outcome) -> list[Overtuning]:
    fresh = {f.number: f.fresh for f in _finalists(outcome)}
    return [
        Overtuning(trial, record.number, record.result.cv, fresh.get(record.number))
        for trial, record in incumbents(outcome.records)
    ]


def _judged(outcome: Outcome, package: Package) -> Judged | None:
    planned, rows = outcome.planned, outcome.planned.split.holdout
    if not len(rows):
        return None
    raw = package.predict_raw(planned.table.features.iloc[rows])
    weight = None if planned.table.weight is None else planned.table.weight[rows]
    return judged(planned.table.task, planned.table.target[rows], raw, package.decisive(raw), weight)


def _best_round(outcome: Outcome) -> float | None:
    """Median best stopping point of the fits that the curves show."""
    rounds = list(outcome.winner.result.rounds)
    if outcome.finals is not None and outcome.decision is not None:
        rounds = outcome.finals.rounds(outcome.decision.winner)
    return float(np.median(rounds)) if any(rounds) else None


def _removed(outcome: Outcome, package: Package) -> tuple[list[str], list[str]]:
    """Only a penalty with an L1 part removes columns."""
    winner = outcome.winner.result.params
    if outcome.planned.backends[outcome.winner.backend].rank or winner.get("penalty") not in (
        "l1",
        "elasticnet",
    ):
        return [], []
    return removed_columns(package)


def _worth(outcome: Outcome, seconds: Callable[[], float]) -> list[Worth]:
    if outcome.finals is None or outcome.decision is None:
        return []
    winner, problem, rows = outcome.winner, outcome.finals.problems[0], outcome.finals.rows
    seed = outcome.planned.study.search.seed
    fresh = outcome.finals.evidence(outcome.planned.backends)

    def judge(predictions: NDArray[Any]) -> Floats:
        cut = fresh.cross_cut(predictions[rows], fresh.cells[0])
        return np.array([fresh.score(cut, cell) for cell in fresh.cells[0]])

    return worth(
        configuration(outcome.planned, winner),
        outcome.planned.backends[winner.backend],
        problem,
        outcome.decision.scores[outcome.decision.winner][: len(problem.split.folds)],
        judge,
        float(np.mean([len(f.score) / len(f.train) for f in problem.split.folds])),
        derive_seed(seed, winner.backend, winner.number, "fresh", 0),
        lambda: seconds() > 0,
    )


def _importance(outcome: Outcome, package: Package, seconds: float) -> list[Importance]:
    planned = outcome.planned
    rows = planned.split.holdout
    if not len(rows):
        return []
    table = planned.table
    weight = None if table.weight is None else table.weight[rows]
    seed = derive_seed(planned.study.search.seed, "importance")
    frame = table.features.iloc[rows]
    found = importance(package, planned.metric, frame, table.target[rows], weight, seed, seconds)
    if found is None:
        outcome.events.append(
            f"the importance of {'the parts of the images' if table.image else f'{len(package.columns)} columns'} was left out: the time left was too short for it"
        )
    return found or []
