"""What a study came to, and how scripts and MLflow are told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.effects import figures
from autoreg.finals import Finals
from autoreg.penalties import SEPARATED
from autoreg.planning import StudyPlan
from autoreg.published import as_report
from autoreg.record import plain
from autoreg.selection import Corrected, Decision, Estimate, complete, corrected_cv, time_blocks
from autoreg.shipping import Shipment
from autoreg.space import LISTED, Space, derive_seed
from autoreg.trial import Extension, Floats, State, TrialRecord

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
    shipment : Shipment or None
        What the estimate is of; None for a published experiment, which ships nothing.
    estimate : Estimate
        The look at the holdout, or the nested one.
    corrected : Corrected
    events : list of str
        What was left out after the search, and why.
    curves : mapping of str to ndarray
        Of the winner.
    spaces, drops, sat_out, extensions : mapping, mapping, mapping, sequence
        The search's final spaces, the backends that left it or sat out in the end and at which trial, and the ranges that grew.
    trial_curves : mapping of int to mapping
        Of every complete trial of a published experiment.
    full : Shipment or None
        What ``shipment`` holds, fitted once more on all rows after the look at the holdout.
    """

    planned: StudyPlan
    records: list[TrialRecord]
    winner: TrialRecord
    finals: Finals | None
    decision: Decision | None
    shipment: Shipment | None
    estimate: Estimate
    corrected: Corrected = NOTHING
    events: list[str] = field(default_factory=list)
    curves: Mapping[str, Floats] = field(default_factory=dict)
    spaces: Mapping[str, Space] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    sat_out: Mapping[str, int] = field(default_factory=dict)
    extensions: Sequence[Extension] = ()
    trial_curves: Mapping[int, Mapping[str, Floats]] = field(default_factory=dict)
    full: Shipment | None = None

    @property
    def shipped(self) -> Shipment | None:
        """What predicts from now on; ``shipment`` is what was judged."""
        return self.full or self.shipment

    @property
    def history(self) -> list[str]:
        """What happened on the way, in words."""
        left = [f"{name} left the search before trial {number}" for name, number in self.drops.items()]
        left += [
            f"{name} sat out from trial {number} on: its turns did not fit the time left"
            for name, number in self.sat_out.items()
        ]
        grown = [
            f"{e.backend}: {e.name} was searched from {e.low:.4g} to {e.high:.4g} from trial {e.number} on"
            for e in self.extensions
        ]
        return [*left, *grown, *self.events]

    @property
    def cautions(self) -> list[str]:
        """Why figures or models may mislead, in words."""
        return [*self.estimate.warnings, *_without_end([record for record, _ in self.parts])]

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
        """ "refit", "bag" or "blend"; empty where nothing is shipped."""
        if self.shipment is None:
            return ""
        if self.decision and self.decision.kind == "blend" and not self.shipment.alone:
            return "blend"
        return "bag" if len(self.shipment.package.members) > 1 else "refit"

    @property
    def array_kind(self) -> str | None:
        """Type of the arrays of images that what is shipped takes; None where it takes rows, or where there is nothing."""
        if self.shipment is None or not self.shipment.package.tensor:
            return None
        return str(self.planned.table.features.dtypes.iloc[0])

    @property
    def parts(self) -> list[tuple[TrialRecord, float]]:
        """Configurations in what is shipped, with their weights; the heaviest first."""
        if self.finals is None or self.decision is None or (self.shipment and self.shipment.alone):
            return [(self.winner, 1.0)]
        pairs = zip(self.finals.records, self.decision.weights, strict=True)
        return sorted(((r, float(w)) for r, w in pairs if w > 0), key=lambda pair: -pair[1])


def _without_end(shipped: Sequence[TrialRecord]) -> list[str]:
    """One line for all that is shipped without a penalty and without weights that are best."""
    found = [(r, by) for r in shipped if (by := r.result.native.get(f"{r.backend}.{SEPARATED}"))]
    if not found:
        return []
    first, by = found[0]
    names = ", ".join(f"{record.backend} #{record.number}" for record, _ in found)
    return [
        f"{names}: there is no penalty and {by} can tell classes apart, so the weights have no best value: they are where "
        "the solver stopped, and probabilities come too close to 0 and 1; "
        f"search.{first.backend}.penalty should be l2, l1 or elasticnet"
    ]


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


def default_numbers(planned: StudyPlan, records: Sequence[TrialRecord]) -> list[int]:
    """Numbers of the trials that are a backend's default configuration: its first; none where the study lists its own."""
    if planned.study.search.sampler in LISTED:
        return []
    first: dict[str, int] = {}
    for record in records:
        first[record.backend] = min(record.number, first.get(record.backend, record.number))
    return list(first.values())


def result(
    outcome: Outcome, experiment_id: str, run_id: str, looks: int, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """The result as scripts get it; the model and what is left of the seconds are filled in later.

    Parameters
    ----------
    outcome : Outcome
    experiment_id, run_id : str
        Empty without tracking.
    looks : int
        How often the holdout has been looked at, this time included.
    seconds : mapping of str to float
    """
    states = [r.result.state for r in outcome.records]
    planned, winner, corrected = outcome.planned, outcome.winner, outcome.corrected
    report = {
        "status": "tuned",
        "study": planned.study.name,
        "experiment_id": experiment_id,
        "run_id": run_id,
        "trials": {
            "total": len(states),
            "complete": states.count(State.COMPLETE),
            "pruned": states.count(State.PRUNED),
            "failed": states.count(State.FAILED),
        },
        "best": {
            "backend": winner.backend,
            "trial": winner.number,
            "params": dict(winner.result.params),
            "cv_mean": winner.result.cv,
            "cv_se": winner.result.cv_se,
        },
        "final": _final(outcome),
        "estimate": {
            **_without(outcome.estimate, "warnings"),
            "greater_is_better": planned.metric.greater_is_better,
            "cv_fresh": outcome.cv_fresh,
            "cv_corrected": corrected.value,
            "cv_corrected_low": corrected.low,
            "cv_corrected_high": corrected.high,
            "looks": looks,
        },
        "model": dict.fromkeys(("name", "version", "uri", "alias")) if outcome.shipment else None,
        "searched": {name: list(space.searched) for name, space in planned.resolved.items()},
        "seconds": dict(seconds),
        **as_report(outcome.records, planned.study.published),
    }
    if planned.table.image:
        report["image"] = {"shape": planned.table.image, "array": outcome.array_kind}
    clean: dict[str, Any] = plain(report)
    return clean


def _final(outcome: Outcome) -> dict[str, Any] | None:
    """What is shipped, or None."""
    if outcome.shipped is None:
        return None
    return {
        "kind": outcome.kind,
        "models": len(outcome.shipped.package.members),
        "rows": outcome.shipped.rows,
        "refit_full": outcome.full is not None,
        "configurations": [{"backend": r.backend, "trial": r.number, "weight": w} for r, w in outcome.parts],
    }


def _without(record: Any, *names: str) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in names}


def parent_metrics(outcome: Outcome, report: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of the parent run by name; NaN where something was not computed."""
    judged, corrected, name = outcome.estimate, outcome.corrected, outcome.estimate.metric
    counts = {f"trials_{key}": float(value) for key, value in report["trials"].items()}
    return counts | {
        f"holdout_{name}": judged.holdout,
        f"holdout_{name}_low": judged.holdout_low,
        f"holdout_{name}_high": judged.holdout_high,
        f"nested_{name}": judged.nested,
        f"nested_{name}_low": judged.nested_low,
        f"nested_{name}_high": judged.nested_high,
        f"cv_{name}": judged.cv,
        f"cv_{name}_se": outcome.winner.result.cv_se,
        f"cv_fresh_{name}": outcome.cv_fresh,
        f"cv_corrected_{name}": corrected.value,
        f"cv_corrected_{name}_low": corrected.low,
        f"cv_corrected_{name}_high": corrected.high,
        f"train_{name}": judged.train,
        "optimism": judged.optimism,
        f"gap_{name}": judged.gap,
        "loss": outcome.winner.result.loss,
        **figures(outcome.winner.result.details),
    }
