"""A study from beginning to end: plan, search, then select -> refit -> look at the holdout once -> register."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autoreg.backends import FitFailure, FitJob
from autoreg.card import describe
from autoreg.card import header as study_header
from autoreg.data import encode_with
from autoreg.errors import AutoregError, Interrupted, NoTrialCompleted
from autoreg.executor import SerialExecutor
from autoreg.ledger import Ledger, MemoryLedger, MlflowLedger, study_lock
from autoreg.planning import StudyPlan, plan
from autoreg.racing import Judge
from autoreg.registry import Registration, register
from autoreg.search import Arm, Search
from autoreg.selection import Estimate, choose, estimate, stopping_point
from autoreg.serving import Package
from autoreg.space import Proposer, derive_seed
from autoreg.spec import Study
from autoreg.tracking import canonical
from autoreg.trial import Fold, State, TrialRecord, Watch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StudyPlan", "TuneResult", "plan", "tune"]

SEARCH_SHARE = 0.6
"""The search takes at most this share of a study's time; the rest is for what comes after."""


@dataclass(frozen=True)
class TuneResult:
    """What a study gave.

    Attributes
    ----------
    status : str
        "tuned", or "skipped" when the study was finished already.
    report : dict
        The contract's JSON object.
    package : Package or None
        Predicts raw rows; None when the study was skipped.
    """

    status: str
    report: dict[str, Any]
    package: Package | None = None

    @property
    def run_id(self) -> str:
        """The study's parent run; empty without tracking."""
        return str(self.report.get("run_id") or "")

    def as_json(self) -> dict[str, Any]:
        """The contract's JSON object."""
        return {**self.report, "status": self.status}


class _Silent:
    """A Watch that says nothing."""

    def say(self, message: str) -> None: ...
    def planned(self, trials: int, seconds: float) -> None: ...
    def trial(self, record: TrialRecord, replayed: bool) -> None: ...
    def stage(self, name: str) -> None: ...


def tune(
    study: Study | str | Path,
    data: pd.DataFrame | None = None,
    *,
    tracking: Literal["mlflow", "off"] = "mlflow",
    fresh: bool = False,
    watch: Watch | None = None,
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

    Raises
    ------
    StudyError, DataError, NoTrialCompleted, Busy, TrackingUnavailable, Interrupted
        Each with its exit code.
    """
    began = time.monotonic()
    watch = watch or _Silent()
    watch.stage("data")
    planned = plan(study, data)
    for note in planned.table.notes:
        watch.say(note)
    ledger: Ledger = MemoryLedger() if tracking == "off" else MlflowLedger()
    store = getattr(ledger, "uri", "")
    lock = study_lock(canonical(store), planned.digest, planned.study.name) if store else nullcontext()
    with lock:
        return _Run(planned, ledger, watch, began).go(fresh)


class _Run:
    """One invocation of a study."""

    def __init__(self, planned: StudyPlan, ledger: Ledger, watch: Watch, began: float) -> None:
        self.plan, self.ledger, self.watch, self.began = planned, ledger, watch, began
        self.spec = planned.study.search

    def go(self, fresh: bool) -> TuneResult:
        """Skip, or search and finish."""
        with self._left_tidy():
            history = self.ledger.begin(study_header(self.plan, fresh))
            if history.result is not None and self._covered(history.result["budget"]):
                self.watch.say(
                    "this study is finished already; --fresh starts it anew, more --trials continue it"
                )
                self.ledger.settle()
                return TuneResult("skipped", history.result["report"])
            self.ledger.resume()
            search = self._search(history)
            records = search.run()
            return self._conclude(records, search.stopped_by, history.looks)

    def _covered(self, had: Mapping[str, Any]) -> bool:
        """Whether a finished study has had at least the budget asked for now."""
        if had["stopped_by"] == "space" or had["trials"] >= self.spec.trials:
            return True
        return bool(had["stopped_by"] == "timeout" and had["timeout"] >= self.spec.timeout)

    def _search(self, history: Any) -> Search:
        limit = SEARCH_SHARE * self.spec.timeout
        self.watch.stage("search")
        self.watch.planned(self.spec.trials, max(0.0, limit - (time.monotonic() - self.began)))

        def time_left() -> float:
            return limit - (time.monotonic() - self.began)

        arms = {
            name: Arm(backend, Proposer(self.plan.resolved[name], self.spec.sampler, self.spec.seed, name))
            for name, backend in self.plan.backends.items()
        }
        executor = SerialExecutor(self.plan.problem, self.plan.backends, lambda: time_left() > 0)
        problem = self.plan.problem
        judge = Judge(problem.table.task, problem.row_losses, problem.weight, problem.table.group)
        return Search(
            self.spec, self.plan.block, arms, executor, self.ledger, history, time_left, self.watch, judge
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

    def _conclude(self, records: list[TrialRecord], stopped_by: str, looks: int) -> TuneResult:
        searched = time.monotonic()
        winner = choose(records, {name: b.rank for name, b in self.plan.backends.items()})
        self.watch.stage("refit")
        package = _stored(self._refit(winner))
        self.watch.stage("holdout")
        judged = self._judge(package, winner)
        for caution in judged.warnings:
            self.watch.say(f"warning: {caution}")
        refitted = time.monotonic()
        self.watch.stage("register")
        model = self._register(package, winner, judged) if self.ledger.run_id else None
        report = self._report(records, winner, judged, model, (searched, refitted))
        report["estimate"]["looks"] = looks + 1
        budget = {"trials": len(records), "timeout": self.spec.timeout, "stopped_by": stopped_by}
        metrics = _parent_metrics(judged, winner, report)
        self.ledger.finish({"report": report, "budget": budget}, metrics, describe(self.plan, winner, judged))
        return TuneResult("tuned", report, package)

    def _refit(self, winner: TrialRecord) -> Package:
        """Fit the winner on all rows of the search, at the mean best stopping point of its folds."""
        backend, split = self.plan.backends[winner.backend], self.plan.split
        empty = np.empty(0, np.int64)
        whole = Fold(split.search, empty, empty)
        data, preprocessor = encode_with(self.plan.table, whole, backend.encoding, self.plan.problem.weight)
        params = {**self.plan.resolved[winner.backend].default, **winner.result.params}
        seed = derive_seed(self.spec.seed, winner.backend, winner.number, "refit")
        outcome = backend.fit([FitJob(params, data, seed, stopping_point(winner))])[0]
        if isinstance(outcome, FitFailure):
            raise NoTrialCompleted(
                f"the winner ({winner.backend} #{winner.number}) failed when refitted: {outcome.reason}"
            )
        table = self.plan.table
        return Package(
            [(preprocessor, outcome.member, 1.0)], table.task, table.classes, list(table.features.columns)
        )

    def _judge(self, package: Package, winner: TrialRecord) -> Estimate:
        """Look at the holdout, once."""
        table, rows = self.plan.table, self.plan.split.holdout
        predictions = package.predict_raw(table.features.iloc[rows])
        weight = None if table.weight is None else table.weight[rows]
        group = None if table.group is None else table.group[rows]
        scores = (winner.result.cv, winner.result.train)
        return estimate(
            self.plan.metric, table.target[rows], predictions, weight, group, scores, self.spec.seed
        )

    def _register(self, package: Package, winner: TrialRecord, judged: Estimate) -> dict[str, Any]:
        study = self.plan.study
        rows = self.plan.split.search[:5]
        uid = f"{self.ledger.run_id}-{winner.backend}-{winner.number}"
        tags = {
            "autoreg.uid": uid,
            "autoreg.study": study.name,
            "autoreg.digest": self.plan.digest,
            "autoreg.data": self.plan.table.fingerprint,
            "autoreg.backend": winner.backend,
            "autoreg.trial": str(winner.number),
            "autoreg.split": json.dumps(self.plan.split.rule, default=str)[:5000],
            f"autoreg.holdout_{judged.metric}": f"{judged.holdout:.6g}",
        }
        example = self.plan.table.features.iloc[rows].reset_index(drop=True)
        return register(
            package,
            Registration(
                study.model,
                study.registry.alias,
                self.ledger.run_id,
                example,
                tags,
                describe(self.plan, winner, judged),
            ),
        )

    def _report(
        self,
        records: list[TrialRecord],
        winner: TrialRecord,
        judged: Estimate,
        model: dict[str, Any] | None,
        times: tuple[float, float],
    ) -> dict[str, Any]:
        states = [r.result.state for r in records]
        searched, refitted = times
        nothing = dict.fromkeys(("cv_fresh", "cv_corrected", "nested", "nested_low", "nested_high"))
        report = {
            "status": "tuned",
            "study": self.plan.study.name,
            "experiment_id": self.ledger.experiment_id,
            "run_id": self.ledger.run_id,
            "trials": {
                "total": len(records),
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
            "estimate": {"kind": "holdout", **_without(judged, "warnings"), **nothing},
            "model": model or {"name": None, "version": None, "uri": None, "alias": None},
            "searched": {name: list(space.searched) for name, space in self.plan.resolved.items()},
            "seconds": {
                "total": time.monotonic() - self.began,
                "search": searched - self.began,
                "refit": refitted - searched,
                "tracking_wait": self.ledger.waited,
            },
        }
        clean: dict[str, Any] = _finite(report)
        return clean


def _stored(package: Package) -> Package:
    """The package as it is after saving and loading: what is judged and returned is what will be served."""
    with tempfile.TemporaryDirectory() as folder:
        package.save(Path(folder))
        return Package.load(folder)


def _without(record: Any, *names: str) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in names}


def _finite(value: Any) -> Any:
    """The same structure with NaN and infinities as None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _parent_metrics(judged: Estimate, winner: TrialRecord, report: Mapping[str, Any]) -> dict[str, float]:
    name = judged.metric
    counts = {f"trials_{key}": float(value) for key, value in report["trials"].items()}
    return counts | {
        f"holdout_{name}": judged.holdout,
        f"holdout_{name}_low": judged.holdout_low,
        f"holdout_{name}_high": judged.holdout_high,
        f"cv_{name}": judged.cv,
        f"cv_{name}_se": winner.result.cv_se,
        f"train_{name}": judged.train,
        "optimism": judged.optimism,
        f"gap_{name}": judged.gap,
        "loss": winner.result.loss,
    }
