"""What follows a search: finalists, what is shipped, one look at the holdout, and the registry; or no such thing.

A study that repeats a published experiment ends with its search. Which of the two ends a study has is decided once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from autoreg.data import is_published
from autoreg.deadlines import Deadlines
from autoreg.finals import Finals, full_cost, run_finals
from autoreg.ledger import Ledger, keep_files
from autoreg.nested import nested_estimate
from autoreg.outcome import Outcome, correct, default_numbers, resampled_together
from autoreg.parcel import packed
from autoreg.planning import StudyPlan
from autoreg.refit import configuration, refit_cost
from autoreg.registry import JUDGED, Registration, register
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
    shortlist,
    unjudged,
)
from autoreg.serving import Package
from autoreg.shipping import Shipment, ship, ship_full
from autoreg.tracking import patiently
from autoreg.trial import Floats, TrialRecord, Watch

BLENDED = 4
"""Finalists that a blend seldom has more of; where it has, its models are those of the fresh cells."""
WHOLE_SHARE = 0.95
"""Share of its time that the search of a published experiment may take: nothing is fitted after it."""


class SearchClock:
    """Seconds that a search may still take. It is asked before every fit, and works that out as trials come in.

    Parameters
    ----------
    until : callable
        As ``Ending.search_until``.
    elapsed : callable
        Seconds since the study began.

    Attributes
    ----------
    known : sequence of mappings of int to TrialRecord
        The trials whose cost the search knows, by number.
    """

    def __init__(
        self, until: Callable[[Sequence[TrialRecord]], tuple[float, float]], elapsed: Callable[[], float]
    ) -> None:
        self._until, self._elapsed = until, elapsed
        self.known: Sequence[Mapping[int, TrialRecord]] = ()
        self._due, self._ends = 0, (0.0, 0.0)

    def left(self) -> float:
        """Seconds until the search must end."""
        return self._now()[0] - self._elapsed()

    def grace(self) -> float:
        """Seconds until also what was begun before must end."""
        return self._now()[1] - self._elapsed()

    def _now(self) -> tuple[float, float]:
        many = sum(map(len, self.known))
        if many >= self._due:  # not with every trial: of thousands it takes long to list the best
            self._due = many + 1 + many // 10
            self._ends = self._until([record for some in self.known for record in some.values()])
        return self._ends


def refits(plan: StudyPlan) -> bool:
    """Whether what is shipped is fitted once more, with the held-out rows, after the look at them."""
    study, split = plan.study, plan.split
    held = study.split.estimate == "holdout" and len(split.holdout) > 0
    return (
        study.select.refit_full and held and split.sample is None
    )  # of so many rows a fifth more is worth little


class Ending(Protocol):
    """What follows the search of a study."""

    @property
    def search_limit(self) -> float:
        """Seconds after the study's beginning at which its search is over at the latest, whatever its trials cost."""

    def search_until(self, records: Sequence[TrialRecord]) -> tuple[float, float]:
        """Seconds after the study's beginning at which its search must be over, after these trials: nothing is begun after the first
        of the two, and what was begun ends at the second."""

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
    deadlines : Deadlines
    elapsed : callable
        Seconds since the study began.
    assess : callable
        The score of a whole study on its holdout, for a nested estimate.
    """

    plan: StudyPlan
    ledger: Ledger
    watch: Watch
    deadlines: Deadlines
    elapsed: Callable[[], float]
    assess: Callable[[StudyPlan], float]

    @property
    def search_limit(self) -> float:
        """Where nothing that follows took time."""
        return self.deadlines.shipped

    def search_until(self, records: Sequence[TrialRecord]) -> tuple[float, float]:
        """As late as finalists and last fits allow, which cost what the trials let expect; what was begun may take half of the
        finalists' time."""
        listed, plan = shortlist(records, default_numbers(self.plan, records)), self.plan
        finals = full_cost(listed, plan.backends, plan.split, plan.study.split) if listed else math.inf
        shipping = self._shipping(listed) if listed else math.inf
        end = self.deadlines.search(finals, shipping)
        return end, (end + self.deadlines.fresh(shipping)) / 2

    def _shipping(self, finalists: Sequence[TrialRecord]) -> float:
        """Seconds that the last fits take, expected from the search's own: those of a blend of the best finalists."""
        return self._fits * sum(refit_cost(self.plan, record) for record in finalists[:BLENDED])

    @property
    def _fits(self) -> float:
        """Seconds that all fits of what is shipped take, in those of the fit that is judged."""
        split = self.plan.split
        return 2 + len(split.holdout) / len(split.search) if refits(self.plan) else 1.0

    def decide(self, search: Search, records: list[TrialRecord]) -> Outcome:
        """Finalists on fresh folds, what is shipped, and one look at the holdout."""
        plan, select, seed = self.plan, self.plan.study.select, self.plan.study.search.seed
        winner = choose(records, {name: b.rank for name, b in plan.backends.items()})
        self.watch.stage("finalists")
        defaults = default_numbers(plan, records)
        until = self.deadlines.fresh(self._shipping(shortlist(records, defaults)))
        finals = run_finals(
            records,
            defaults,
            plan.problem,
            plan.backends,
            lambda record: configuration(plan, record),
            plan.study.split,
            seed,
            lambda: until - self.elapsed(),
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
        # Where the time is too short for two fits, models of the fresh folds are judged, and the one fit is on all rows.
        shipment = ship(plan, winner, finals, decision, lambda: self._left_to_fit() / self._fits)
        self.watch.stage(plan.study.split.estimate)
        judged = self._judged(shipment.package, winner)
        full, told = self._full(winner, finals, decision, shipment)
        corrected = correct(plan, records, self.ledger.predictions)
        return Outcome(
            plan, records, winner, finals, decision, shipment, judged, corrected, [*events, *told], curves,
            search.spaces, search.drops, search.sat_out, search.extensions, full=full,
        )  # fmt: skip

    def _left_to_fit(self) -> float:
        """Seconds that are left for the fits of what is shipped."""
        return self.deadlines.shipped - self.elapsed()

    def _full(
        self, winner: TrialRecord, finals: Finals | None, decision: Decision | None, judged: Shipment
    ) -> tuple[Shipment | None, list[str]]:
        """What was judged, fitted on the held-out rows, too, where the study asks for it; and what to say of it.

        It matters more than explanations, and may take their time.
        """
        if not refits(self.plan):
            return None, []
        self.watch.stage("refit_full")
        full, told = ship_full(
            self.plan, winner, finals, decision, judged, lambda: self.deadlines.explained - self.elapsed()
        )
        return full, [told]

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
        """Register the package with what tells where it came from; before it, what was judged, where that is another fit."""
        if outcome.shipment is None or outcome.shipped is None:
            raise ValueError("an ordinary study ships a package")
        self.watch.stage("register")
        study, run_id = self.plan.study, self.ledger.run_id
        example = self.plan.table.features.iloc[self.plan.split.search[:5]].reset_index(drop=True)
        tags, note = self._tags(outcome), card({"name": study.model, "alias": alias})
        kept = study.registry.example
        told = Registration(study.model, alias, run_id, example, tags, note, kept)
        if outcome.full is not None:
            twin = {tags[JUDGED]: packed(outcome.shipment.package)}
            patiently(lambda: keep_files(run_id, twin, {}))
        package = outcome.shipped.package
        return patiently(lambda: register(package, told))

    def _tags(self, outcome: Outcome) -> dict[str, str]:
        winner, judged = outcome.winner, outcome.estimate
        parts = [[r.backend, r.number, round(w, 6)] for r, w in outcome.parts]
        full = ["full"] if outcome.full is not None else []
        made = hashlib.sha256(json.dumps([outcome.kind, parts, *full]).encode()).hexdigest()[:8]
        twin = {JUDGED: f"judged-{made}.zip"} if full else {}
        return twin | {
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
    limit: float

    @property
    def search_limit(self) -> float:
        """Nearly all of the time: nothing is fitted after the search."""
        return WHOLE_SHARE * self.limit

    def search_until(self, records: Sequence[TrialRecord]) -> tuple[float, float]:
        """The same, whatever the trials cost."""
        return self.search_limit, self.search_limit

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
            sat_out=search.sat_out,
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
    limit: float,
    elapsed: Callable[[], float],
    assess: Callable[[StudyPlan], float],
) -> Ending:
    """The end that a study of at most ``limit`` seconds has; see ``Tuning`` for the other arguments."""
    if is_published(plan.split):
        return Reproduction(plan, ledger, limit)
    # Once more with the held-out rows takes as long again; many rows take long where trials saw a sample of them.
    ships = 3 if plan.split.sample is not None else 1 + refits(plan)
    return Tuning(plan, ledger, watch, Deadlines(limit, ships), elapsed, assess)
