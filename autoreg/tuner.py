"""A study from beginning to end: plan, search, finalists, ship, look at the holdout once, register, report."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autoreg.backends.common import calm_algebra
from autoreg.deadlines import Deadlines
from autoreg.ending import Ending, SearchClock, ending
from autoreg.errors import AutoregError, Interrupted, NoTrialCompleted
from autoreg.executor import Engine, EngineName, Executor
from autoreg.findings import gather
from autoreg.header import study_header
from autoreg.ledger import RECORD, History, Ledger, MemoryLedger, MlflowLedger, study_lock
from autoreg.outcome import Outcome, parent_metrics, result
from autoreg.planning import StudyPlan, plan
from autoreg.racing import Judge
from autoreg.record import StudyRecord
from autoreg.report import artifacts, model_card
from autoreg.search import Arm, Search
from autoreg.space import Proposer
from autoreg.spec import Study
from autoreg.tracking import canonical, knock
from autoreg.trial import SILENT, TrialRecord, Watch
from autoreg.tuned import TuneResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StudyPlan", "TuneResult", "plan", "tune"]


def tune(
    study: Study | str | Path,
    data: pd.DataFrame | None = None,
    *,
    tracking: Literal["mlflow", "off"] = "mlflow",
    fresh: bool = False,
    watch: Watch | None = None,
    n_jobs: int = 1,
    engine: EngineName = "processes",
    address: str | None = None,
    explain: bool = True,
) -> TuneResult:
    """Run a study, or go on with one that was stopped.

    Parameters
    ----------
    study : Study, str or Path
        A parsed study or the path of a study file.
    data : pandas.DataFrame, optional
        The table, instead of the study's own source.
    tracking : {"mlflow", "off"}
        ``"off"`` keeps everything in memory and registers nothing.
    fresh : bool
        Start a new generation of a study that was run before.
    watch : Watch, optional
        Hears what happens.
    n_jobs : int
        Trials that run at a time, each in a worker process of its own; -1 for one on every core. 1 runs them in this
        process. The trials are the same, whatever it is.
    engine : {"processes", "dask"}
        ``"dask"`` runs trials on the workers of a Dask cluster.
    address : str, optional
        The scheduler of that cluster, ``tcp://host:port`` or ``tls://host:port``; without it, one of ``n_jobs`` workers
        is started on this host.
    explain : bool
        False leaves out what each regularizer and column is worth until ``TuneResult.explained`` is called.

    Raises
    ------
    UsageError, StudyError, DataError, NoTrialCompleted, Busy, TrackingUnavailable, ClusterUnavailable, Interrupted
        Each with its exit code.
    """
    began, watch = time.monotonic(), watch or SILENT
    where = Engine(engine, n_jobs, address, watch.say)
    watch.stage("data")
    if tracking == "mlflow":
        knock()
    planned = plan(study, data)
    for note in planned.notes:
        watch.say(note)
    return run(planned, where, watch, began, tracking=tracking, fresh=fresh, explain=explain)


@dataclass(frozen=True)
class Purpose:
    """What a study's winner is registered as.

    Attributes
    ----------
    alias : str or None
        Of the new version; None for the study's own, which the version before then leaves to it.
    tags : mapping of str to str
        Set on the parent run.
    """

    alias: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


PLAIN = Purpose()


def run(
    planned: StudyPlan,
    where: Engine,
    watch: Watch,
    began: float,
    *,
    tracking: Literal["mlflow", "off"] = "mlflow",
    fresh: bool = False,
    purpose: Purpose = PLAIN,
    explain: bool = True,
) -> TuneResult:
    """Run a study that is planned already; see ``tune``.

    Parameters
    ----------
    planned : StudyPlan
    where : Engine
    watch : Watch
    began : float
        ``time.monotonic()`` when the invocation began; its time limit counts from there.
    tracking, fresh, explain
        As for ``tune``.
    purpose : Purpose
        What its winner is registered as.
    """
    ledger: Ledger = MemoryLedger() if tracking == "off" else MlflowLedger()
    store = getattr(ledger, "uri", "")
    lock = study_lock(canonical(store), planned.digest, planned.study.name) if store else nullcontext()
    with lock, where, calm_algebra():
        return _Run(planned, ledger, watch, began, where, purpose, explain=explain).go(fresh)


class _Run:
    """One invocation of a study."""

    def __init__(
        self,
        planned: StudyPlan,
        ledger: Ledger,
        watch: Watch,
        began: float,
        engine: Engine,
        purpose: Purpose = PLAIN,
        limit: float | None = None,
        explain: bool = True,
    ) -> None:
        self.purpose, self.explain = purpose, explain
        self.plan, self.ledger, self.watch, self.began, self.engine = planned, ledger, watch, began, engine
        self.spec = planned.study.search
        # A nested estimate repeats the study once more for every fold: each gets its share of the time.
        runs = planned.study.split.folds + 1 if planned.study.split.estimate == "nested" else 1
        self.limit = self.spec.timeout / runs if limit is None else limit
        self.ending: Ending = ending(planned, ledger, watch, self.limit, self._elapsed, self._nested)

    def go(self, fresh: bool) -> TuneResult:
        """Skip, or search and finish."""
        with self._left_tidy():
            history = self.ledger.begin(study_header(self.plan, fresh, self.purpose.tags))
            if history.result is not None and self._covered(history.result["budget"]):
                self.watch.say(
                    "this study is finished already; --fresh starts it anew, more --trials continue it"
                )
                self.ledger.settle()
                return TuneResult("skipped", history.result["report"])
            self.ledger.resume()
            search = self._search(history)
            records = search.run()
            return self._conclude(search, records, history.looks)

    def assess(self) -> Outcome:
        """Search and decide, and register nothing."""
        search = self._search(self.ledger.begin(study_header(self.plan, False)))
        return self.ending.decide(search, search.run())

    def _nested(self, inner: StudyPlan) -> float:
        """The score of a study without tracking on its holdout; NaN where no trial of it completed."""
        run = _Run(inner, MemoryLedger(), SILENT, time.monotonic(), self.engine, limit=self.limit)
        try:
            return run.assess().estimate.holdout
        except NoTrialCompleted:
            return math.nan

    def _covered(self, had: Mapping[str, Any]) -> bool:
        """Whether a finished study has had at least the budget asked for now."""
        if had["stopped_by"] == "space" or had["trials"] >= self.spec.trials:
            return True
        return bool(had["stopped_by"] == "timeout" and had["timeout"] >= self.spec.timeout)

    def _search(self, history: History) -> Search:
        clock = SearchClock(self.ending.search_until, self._elapsed)
        self.watch.stage("search")
        self.watch.planned(self.spec.trials, max(0.0, self.ending.search_limit - self._elapsed()))
        arms = {
            name: Arm(
                backend,
                Proposer(self.plan.resolved[name], self.spec.sampler, self.spec.seed, name),
                self.plan.opening(name),
            )
            for name, backend in self.plan.backends.items()
        }
        executor = self._executor(clock, history)
        problem = self.plan.problem
        table = problem.table
        judge = Judge(table.task, problem.row_losses, problem.weight, table.group, table.image)
        search = Search(
            self.spec,
            self.plan.block,
            arms,
            executor,
            self.ledger,
            history,
            clock.left,
            self.watch,
            judge,
            clock.grace,
        )
        clock.known = search.records, search.finished
        return search

    def _executor(self, clock: SearchClock, history: History) -> Executor:
        plan = self.plan
        suspects = {n for n, deaths in history.attempts.items() if deaths and n not in history.records}
        if suspects:
            shown = (
                f"trials {min(suspects)} to {max(suspects)}"
                if len(suspects) > 1
                else f"trial {min(suspects)}"
            )
            self.watch.say(f"warning: this study died with {shown} under way: a process of its own for each")
        workers, ahead = self.engine.workers, self.spec.lookahead
        if workers > ahead:
            self.watch.say(
                f"there is room for {workers} trials at a time, but only {ahead} are under way: search.lookahead = {workers} "
                "keeps all workers busy (it is another search: each trial knows fewer others)"
            )
        return self.engine.executor(
            plan.study,
            plan.problem,
            plan.backends,
            lambda: clock.left() > 0,
            suspects,
            lambda: clock.grace() > 0,
        )

    @contextmanager
    def _left_tidy(self) -> Iterator[None]:
        """Whatever ends a study early, its runs say so, and it can be resumed."""
        try:
            yield
        except KeyboardInterrupt:
            with suppress(AutoregError):
                self.ledger.abandon("KILLED")
            raise Interrupted(
                "stopped; finished trials are kept: run the same command again to resume"
            ) from None
        except BaseException as error:
            # What ended the study is what is told, also where its run cannot be marked any more.
            with suppress(AutoregError):
                self.ledger.abandon("KILLED" if isinstance(error, Interrupted) else "FAILED")
            raise

    # -- after the search --------------------------------------------------------------------------------------

    def _conclude(self, search: Search, records: list[TrialRecord], looks: int) -> TuneResult:
        times = {"search": time.monotonic() - self.began}
        outcome = self.ending.decide(search, records)
        times["finalists"] = time.monotonic() - self.began - times["search"]
        for caution in outcome.cautions:
            self.watch.say(f"warning: {caution}")
        for event in outcome.events:
            self.watch.say(event)
        seen = looks + bool(len(self.plan.split.holdout))
        times["refit"] = self._elapsed() - sum(times.values())
        report = result(outcome, self.ledger.experiment_id, self.ledger.run_id, seen, times)
        self.watch.stage("report")
        explained = Deadlines(self.spec.timeout).explained
        record = gather(outcome, report, lambda: explained - self._elapsed(), self.explain)
        if self.ledger.run_id:
            report["model"] = self.ending.register(
                outcome,
                self.alias,
                lambda named: model_card(replace(record, report={**report, "model": named})),
            )
        report["seconds"] |= {"total": self._elapsed(), "tracking_wait": self.ledger.waited}
        record = replace(record, report=report)
        budget = {"trials": len(records), "timeout": self.spec.timeout, "stopped_by": search.stopped_by}
        kept = {RECORD: record.to_json(), **artifacts(record)} if self.ledger.run_id else {}
        metrics = parent_metrics(outcome, report)
        self.ledger.finish({"report": report, "budget": budget}, metrics, model_card(record), kept)
        package, judged = (s.package if s else None for s in (outcome.shipped, outcome.shipment))
        later = None if self.explain else lambda: self._explained(outcome, report)
        return TuneResult("tuned", report, package, judged, record, later)

    def _explained(self, outcome: Outcome, report: dict[str, Any]) -> StudyRecord:
        """The record with the explanations that were left out, in as much time as they would have had."""
        began = time.monotonic()
        deadlines = Deadlines(self.spec.timeout)
        limit = deadlines.explained - deadlines.shipped
        return gather(outcome, report, lambda: limit - (time.monotonic() - began))

    @property
    def alias(self) -> str:
        """Alias of the new version."""
        return self.purpose.alias or self.plan.study.registry.alias

    def _elapsed(self) -> float:
        return time.monotonic() - self.began
