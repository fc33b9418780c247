"""What follows a search: finalists, what is shipped, one look at the holdout, and the registry; or no such thing.

A study that repeats a published experiment ends with its search. Which of the two ends a study has is decided once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from autoreg.data import is_published
from autoreg.finals import run_finals
from autoreg.ledger import Ledger
from autoreg.nested import nested_estimate
from autoreg.outcome import Outcome, correct, default_numbers, resampled_together
from autoreg.planning import StudyPlan
from autoreg.registry import Registration, register
from autoreg.search import Search
from autoreg.selection import (
    Decision,
    Estimate,
    choose,
    complete,
    decide,
    estimate,
    nested_estimated,
    reproduced_estimated,
    unjudged,
)
from autoreg.serving import Package
from autoreg.shipping import configuration, ship
from autoreg.tracking import patiently
from autoreg.trial import Floats, TrialRecord, Watch

SEARCH_SHARE, FINALS_SHARE, SHIP_SHARE = 0.6, 0.8, 0.9
"""Shares of a study's time after which the search, the fresh fits and the last fits must be over."""
WHOLE_SHARE = 0.95
"""Share of its time that the search of a published experiment may take: nothing is fitted after it."""


class Ending(Protocol):
    """What follows the search of a study."""

    @property
    def search_share(self) -> float:
        """Share of the study's time after which its search must be over."""

    def decide(self, search: Search, records: list[TrialRecord]) -> Outcome:
        """What the study came to."""

    def register(self, outcome: Outcome, alias: str, card: Callable[[dict[str, Any]], str]) -> Any:
        """Register what is shipped; the version as the contract has it, or None where nothing is registered."""


@dataclass(frozen=True)
class Tuning:
    """The end of an ordinary study.

    Attributes
    ----------
    plan : StudyPlan
    ledger : Ledger
    watch : Watch
    time_left : callable
        Seconds until a share of the study's time is over.
    assess : callable
        The score of a whole study on its holdout, for a nested estimate.
    """

    plan: StudyPlan
    ledger: Ledger
    watch: Watch
    time_left: Callable[[float], float]
    assess: Callable[[StudyPlan], float]
    search_share: float = SEARCH_SHARE

    def decide(self, search: Search, records: list[TrialRecord]) -> Outcome:
        """Finalists on fresh folds, what is shipped, and one look at the holdout."""
        plan, select, seed = self.plan, self.plan.study.select, self.plan.study.search.seed
        winner = choose(records, {name: b.rank for name, b in plan.backends.items()})
        self.watch.stage("finalists")
        finals = run_finals(
            records,
            default_numbers(plan, records),
            plan.problem,
            plan.backends,
            lambda record: configuration(plan, record),
            plan.study.split,
            seed,
            lambda: self.time_left(FINALS_SHARE),
        )
        decision: Decision | None = None
        curves: Mapping[str, Floats] = {}
        events = ["no fresh repeat fitted the time left: the search's own scores decide"]
        if finals is not None:
            decision = decide(
                finals.evidence(plan.backends), select.rule, select.final, plan.table.time is None
            )
            winner, events = finals.records[decision.winner], list(finals.events)
            curves = finals.curves(decision.winner)
        self.watch.stage("refit")
        shipment = ship(plan, winner, finals, decision, lambda: self.time_left(SHIP_SHARE))
        corrected = correct(plan, records, self.ledger.predictions)
        self.watch.stage(plan.study.split.estimate)
        judged = self._judged(shipment.package, winner)
        return Outcome(
            plan, records, winner, finals, decision, shipment, judged, corrected, events, curves,
            search.spaces, search.drops, search.extensions,
        )  # fmt: skip

    def _judged(self, package: Package, winner: TrialRecord) -> Estimate:
        """The estimate that the study asks for."""
        if len(self.plan.split.holdout):
            return self._judge(package, winner)
        if self.plan.study.split.estimate == "none":
            return unjudged(self.plan.metric, (winner.result.cv, winner.result.train))
        return self._nested(winner)

    def _judge(self, package: Package, winner: TrialRecord) -> Estimate:
        """Look at the holdout, once."""
        table, rows, metric = self.plan.table, self.plan.split.holdout, self.plan.metric
        raw = package.predict_raw(table.features.iloc[rows])
        truth, weight = table.target[rows], None if table.weight is None else table.weight[rows]
        return estimate(
            metric,
            truth,
            package.decisive(raw) if metric.needs == "label" else raw,
            weight,
            resampled_together(self.plan, rows),
            (winner.result.cv, winner.result.train),
            self.plan.study.search.seed,
            metric(truth, raw, weight),
        )

    def _nested(self, winner: TrialRecord) -> Estimate:
        """Repeat the whole study in outer folds."""
        self.watch.stage("nested")
        found = nested_estimate(self.plan, self.assess, self.watch)
        scores = (winner.result.cv, winner.result.train)
        return nested_estimated(self.plan.metric, (found.value, found.low, found.high), scores)

    def register(self, outcome: Outcome, alias: str, card: Callable[[dict[str, Any]], str]) -> Any:
        """Register the package with what tells where it came from."""
        if outcome.shipment is None:
            raise ValueError("an ordinary study ships a package")
        self.watch.stage("register")
        study, run_id = self.plan.study, self.ledger.run_id
        example = self.plan.table.features.iloc[self.plan.split.search[:5]].reset_index(drop=True)
        tags, note = self._tags(outcome), card({"name": study.model, "alias": alias})
        kept = study.registry.example
        told = Registration(study.model, alias, run_id, example, tags, note, kept)
        package = outcome.shipment.package
        return patiently(lambda: register(package, told))

    def _tags(self, outcome: Outcome) -> dict[str, str]:
        winner, judged = outcome.winner, outcome.estimate
        parts = [[r.backend, r.number, round(w, 6)] for r, w in outcome.parts]
        made = hashlib.sha256(json.dumps([outcome.kind, parts]).encode()).hexdigest()[:8]
        return {
            "autoreg.uid": f"{self.ledger.run_id}-{outcome.kind}-{made}",
            "autoreg.study": self.plan.study.name,
            "autoreg.digest": self.plan.digest,
            "autoreg.data": self.plan.table.fingerprint,
            "autoreg.backend": winner.backend,
            "autoreg.trial": str(winner.number),
            "autoreg.final": outcome.kind,
            "autoreg.split": json.dumps(self.plan.split.rule, default=str)[:5000],
            f"autoreg.{judged.kind}_{judged.metric}": f"{judged.headline[0]:.6g}",
        }


@dataclass(frozen=True)
class Reproduction:
    """The end of a published experiment: its trials are its result."""

    plan: StudyPlan
    ledger: Ledger
    search_share: float = WHOLE_SHARE

    def decide(self, search: Search, records: list[TrialRecord]) -> Outcome:
        """The trial with the best score on the scored rows, as its authors chose it; nothing is fitted again."""
        badness = self.plan.metric.badness
        ranks = {name: backend.rank for name, backend in self.plan.backends.items()}
        choose(records, ranks)  # says why where no trial is complete
        winner = min(complete(records), key=lambda r: (_last(badness(r.result.cv)), r.result.loss, r.number))
        curves = {r.number: self.ledger.curves(r) for r in complete(records)}
        scores = (winner.result.cv, winner.result.train)
        return Outcome(
            self.plan,
            records,
            winner,
            None,
            None,
            None,
            reproduced_estimated(self.plan.metric, scores),
            curves=curves[winner.number],
            spaces=search.spaces,
            drops=search.drops,
            trial_curves=curves,
        )

    def register(self, outcome: Outcome, alias: str, card: Callable[[dict[str, Any]], str]) -> None:
        """Nothing: no row is left that could say how well the winner does."""


def _last(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def ending(
    plan: StudyPlan,
    ledger: Ledger,
    watch: Watch,
    time_left: Callable[[float], float],
    assess: Callable[[StudyPlan], float],
) -> Ending:
    """The end that a study has; see ``Tuning`` for the arguments."""
    if is_published(plan.split):
        return Reproduction(plan, ledger)
    return Tuning(plan, ledger, watch, time_left, assess)
