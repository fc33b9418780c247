"""One retune: is it due, what does a new study find, and does its winner serve? Idempotent by key."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.errors import UsageError
from autoreg.executor import Engine, EngineName
from autoreg.ledger import KEY, keep_files, read_files, run_of_key, study_lock
from autoreg.planning import NO_PRIOR, Prior, StudyPlan, plan
from autoreg.record import plain
from autoreg.registry import CHALLENGER, annotate, load_package, promote, tag_model, version_at
from autoreg.retune.champion import LOOKS, LOOKS_RUN, Champion, read_champion
from autoreg.retune.due import Due, differences, due
from autoreg.retune.judge import judge
from autoreg.spec import Study, load_study
from autoreg.tracking import store_address
from autoreg.trial import SILENT, Watch
from autoreg.tuner import Purpose, TuneResult, run

if TYPE_CHECKING:
    import pandas as pd

REPORT, PRIOR = "retune.json", "prior.json"


@dataclass(frozen=True)
class RetuneResult:
    """What a retune came to.

    Attributes
    ----------
    status : {"tuned", "promoted", "kept", "skipped"}
        "tuned": the model had no champion; "kept": the champion stays, or nothing was due; "skipped": the key was
        done before.
    report : dict
        The contract's JSON object with ``key``, ``due`` and ``gate``.
    """

    status: str
    report: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The contract's JSON object."""
        return {**self.report, "status": self.status}


def retune(
    study: Study | str | Path,
    data: pd.DataFrame | None = None,
    *,
    key: str | None = None,
    watch: Watch = SILENT,
    n_jobs: int = 1,
    engine: EngineName = "processes",
    address: str | None = None,
) -> RetuneResult:
    """Retune a study's model where that is due, and let the better one of champion and challenger serve.

    Parameters
    ----------
    study : Study, str or Path
        A parsed study or the path of a study file.
    data : pandas.DataFrame, optional
        Today's table, instead of the study's own source.
    key : str, optional
        Names this retune: the same key again does nothing. Made from study, data and date when left out.
    watch : Watch, optional
        Hears what happens.
    n_jobs, engine, address
        As for ``tune``.

    Raises
    ------
    UsageError, StudyError, DataError, NoTrialCompleted, Busy, TrackingUnavailable, Interrupted
        Each with its exit code.
    """
    study = study if isinstance(study, Study) else load_study(study)
    if study.split.reproduce:
        raise UsageError(
            f"study '{study.name}' repeats a published experiment (split.reproduce): nothing of it is registered, "
            "so there is nothing to retune; run it with tune"
        )
    if key is not None and not re.fullmatch(r"[\w.:@/+ -]{1,200}", key):
        raise UsageError(
            f"--key: expected up to 200 letters, digits or any of .:@/+-_ and blanks, found {key!r}"
        )
    began, where = time.monotonic(), Engine(engine, n_jobs, address, watch.say)
    with study_lock(store_address(), f"model:{study.model}", study.model):
        return _Retune(study, data, key, watch, where, began).go()


class _Retune:
    """One invocation, which holds the model's lock."""

    def __init__(
        self,
        study: Study,
        data: pd.DataFrame | None,
        key: str | None,
        watch: Watch,
        where: Engine,
        began: float,
    ) -> None:
        self.study, self.data, self.watch, self.where, self.began = study, data, watch, where, began
        self.champion = read_champion(study.model, study.registry.alias)
        self.planned, self.key = self._plan(key)

    def _plan(self, key: str | None) -> tuple[StudyPlan, str]:
        """What would be tuned, and the key. What a begun retune was handed on is read back, so that it goes on."""
        self.watch.stage("data")
        planned = plan(self.study, self.data, self.champion.prior if self.champion else NO_PRIOR)
        key = key or default_key(self.study, planned.table.fingerprint)
        self.begun = run_of_key(self.study.model, key)
        self.done = self.begun is not None and "autoreg.retuned" in self.begun[1]
        if self.begun is not None and not self.done:
            kept = read_files(self.begun[0], (PRIOR,)).get(PRIOR)
            prior = NO_PRIOR if kept is None else Prior(**json.loads(kept))
            planned = plan(self.study, self.data, prior)
        return planned, key

    def go(self) -> RetuneResult:
        """Skip, keep, or tune and judge."""
        if self.begun is not None and self.done:
            self.watch.say(f"the retune '{self.key}' is done already; give another --key for a new one")
            return RetuneResult("skipped", json.loads(read_files(self.begun[0], (REPORT,))[REPORT]))
        if self.champion is None:
            self.watch.say(f"model '{self.study.model}' has no champion yet: its first study begins")
            return self._first()
        for line in differences(self.champion, self.planned):
            self.watch.say(line)
        found = due(self.champion, self.planned, self.study.retune, time.time())
        for line in found.lines:
            self.watch.say(line)
        if not found.due and self.begun is None:
            return self._not_due(self.champion, found)
        return self._judged(self.champion, found)

    def _first(self) -> RetuneResult:
        tuned = self._tune(self.study.registry.alias)
        return self._recorded("tuned", tuned, {"due": {"due": True, "reasons": ["there is no champion"]}}, {})

    def _not_due(self, champion: Champion, found: Due) -> RetuneResult:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        annotate(champion.version, {"autoreg.checked": f"{when} retuning is not due: {found.reason}"})
        model = {
            "name": self.study.model,
            "version": champion.version.number,
            "uri": champion.version.uri,
            "alias": self.study.registry.alias,
        }
        report = {"study": self.study.name, "key": self.key, "due": found.as_json(), "model": model}
        return RetuneResult("kept", plain(report))

    def _judged(self, champion: Champion, found: Due) -> RetuneResult:
        tuned = self._tune(CHALLENGER)
        self.watch.stage("gate")
        challenger = tuned.package or load_package(tuned.report["model"]["uri"])
        verdict = judge(champion, challenger, self.planned, self.study.retune)
        self.watch.say(verdict.line)
        number = str(tuned.report["model"]["version"])
        if verdict.promoted:
            promote(self.study.model, number, self.study.registry.alias, verdict.reason)
        elif made := version_at(self.study.model, number):
            annotate(
                made,
                {"autoreg.gate": f"champion is version {champion.version.number}; {verdict.reason}"},
            )
        more = {"due": found.as_json(), "gate": verdict.as_json(), "champion": champion.version.number}
        return self._recorded("promoted" if verdict.promoted else "kept", tuned, more, verdict.files)

    def _tune(self, alias: str) -> TuneResult:
        purpose = Purpose(alias, self._tags())
        return run(self.planned, self.where, self.watch, self.began, purpose=purpose)

    def _tags(self) -> dict[str, str]:
        return {KEY: self.key, "autoreg.model": self.study.model}

    def _recorded(
        self, status: str, tuned: TuneResult, more: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> RetuneResult:
        report = plain({**tuned.report, "status": status, "key": self.key, **more})
        if status == "promoted":
            report["model"]["alias"] = self.study.registry.alias
        text = json.dumps(report, indent=1).encode()
        tags = self._tags() | {
            "autoreg.gate": str(more.get("gate", {}).get("reason", status)),
            "autoreg.retuned": status,
        }
        keep_files(tuned.run_id, {REPORT: text, **files}, tags)
        if LOOKS in files:
            tag_model(self.study.model, LOOKS_RUN, tuned.run_id)
        return RetuneResult(status, report)


def default_key(study: Study, fingerprint: str) -> str:
    """A key from what is tuned, the data and the day (UTC): one retune a day, and one more when the data changes."""
    what = hashlib.sha256(f"{study.model}\n{study.name}\n{fingerprint}".encode()).hexdigest()[:12]
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}-{what}"
