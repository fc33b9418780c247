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

from autoreg.errors import DataError, UsageError
from autoreg.executor import Engine, EngineName
from autoreg.ledger import KEY, read_files, run_of_key, study_lock
from autoreg.planning import NO_PRIOR, Prior, StudyPlan, plan
from autoreg.record import plain
from autoreg.registry import CHALLENGER, ROLLED_BACK, annotate, version_at
from autoreg.retune.champion import Champion, judged_package, read_champion
from autoreg.retune.decided import DONE, DONE_KEY, REPORT, VERDICT, carry_out, read_report, write_down
from autoreg.retune.due import Due, due
from autoreg.retune.judge import Verdict, judge
from autoreg.retune.schema import Differences, of_source, of_table, suspected
from autoreg.serving import Package
from autoreg.spec import Study, load_study
from autoreg.tracking import store_address
from autoreg.trial import SILENT, Watch
from autoreg.tuner import Purpose, TuneResult, run

if TYPE_CHECKING:
    import pandas as pd

PRIOR = "prior.json"
BEFORE, NOBODY = "autoreg.champion_before", "none"
"""Tag of the run: which version served when the retune began."""
CHANGES = 5
"""Times a challenger is judged again because another champion has come."""
NO_ROWS = (
    "keeps no rows aside to compare champion and challenger on: the champion will be kept; "
    'hold rows out, decide by `autoreg promote`, or set retune.gate = "always"'
)


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
    fresh: bool = False,
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
    fresh : bool
        Search anew, also where the key is done or its search begun.

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
        return _Retune(study, data, key, watch, where, began, fresh).go()


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
        fresh: bool,
    ) -> None:
        self.study, self.data, self.key, self.fresh = study, data, key or "", fresh
        self.watch, self.where, self.began = watch, where, began
        self.begun: tuple[str, dict[str, str]] | None = None
        self.champion: Champion | None = None

    def go(self) -> RetuneResult:
        """Skip, keep, or tune and judge."""
        known = self._known() if self.key else None
        if known is not None:
            return known
        self.champion = read_champion(self.study.model, self.study.registry.alias)
        self.watch.stage("data")
        self.planned = self._plan()
        if not self.key:
            self.key = default_key(self.study, self.planned.table.fingerprint)
            known = self._known()
            if known is None and self.begun is not None:
                self.planned = self._plan()
        return known or self._at_work()

    def _known(self) -> RetuneResult | None:
        """What the key came to, or is to come to after a crash; None where that is still to be found out."""
        self.begun = None if self.fresh else run_of_key(self.study.model, self.key)
        if self.begun is None:
            return None
        run_id, tags = self.begun
        if DONE in tags and tags.get(DONE_KEY, self.key) == self.key:
            self.watch.say(f"the retune '{self.key}' is done already; give another --key for a new one")
            return RetuneResult("skipped", read_report(run_id))
        if VERDICT in tags:
            self.watch.say(f"the retune '{self.key}' was stopped after its verdict, which is carried out now")
            return self._carried_out(run_id, read_report(run_id))
        return None

    def _plan(self) -> StudyPlan:
        """What would be tuned. What a begun retune was handed on is read back, so that it goes on."""
        prior = self.champion.prior if self.champion else NO_PRIOR
        if self.begun is not None and "autoreg.described" in self.begun[1]:
            kept = read_files(self.begun[0], (PRIOR,)).get(PRIOR)
            prior = NO_PRIOR if kept is None else Prior(**json.loads(kept))
        try:
            return plan(self.study, self.data, prior)
        except DataError:
            if self.champion is not None:
                self._check(of_source(self.champion, self.study, self.data), self.champion)
            raise

    def _check(self, found: Differences, champion: Champion) -> None:
        """Say every difference; raise where the champion cannot do with one.

        Raises
        ------
        DataError
        """
        for line in found.lines:
            self.watch.say(f"warning: {line}")
        if found.fatal:
            raise found.error(champion)

    def _at_work(self) -> RetuneResult:
        for note in self.planned.table.notes:
            self.watch.say(note)
        champion = self.champion
        if champion is None or self._made(champion):
            self.watch.say(f"model '{self.study.model}' has no champion yet: its first study begins")
            return self._first()
        found_differences = of_table(champion, self.planned.table)
        if found_differences.fatal:
            found_differences = of_source(champion, self.study, self.data)
        self._check(found_differences, champion)
        found = due(champion, self.planned, self.study.retune, time.time())
        for line in found.lines:
            self.watch.say(line)
        if not found.due and self.begun is None:
            return self._as_it_was(champion, found, f"retuning is not due: {found.reason}")
        suspects = [n for n in self.planned.table.suspects if n not in self.study.data.trusted]
        if suspects and self.study.retune.gate != "always":
            reason = suspected(suspects)
            self.watch.say(f"warning: {reason}")
            return self._as_it_was(champion, found, reason, {"promoted": False, "reason": reason})
        return self._judged(champion, found)

    def _made(self, champion: Champion) -> bool:
        """Whether this retune has made the champion, as the first study of its model, before it was stopped."""
        return self.begun is not None and (self.begun[0], self.begun[1].get(BEFORE)) == (
            champion.version.run_id,
            NOBODY,
        )

    def _first(self) -> RetuneResult:
        tuned = self._tune(self.study.registry.alias)
        return self._decided("tuned", tuned, {"due": {"due": True, "reasons": ["there is no champion"]}}, {})

    def _as_it_was(
        self, champion: Champion, found: Due, why: str, gate: Mapping[str, Any] | None = None
    ) -> RetuneResult:
        """Nothing is tuned: the champion goes on, with a note of when it was looked at."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        annotate(champion.version, {"autoreg.checked": f"{when} {why}"})
        model = {
            "name": self.study.model,
            "version": champion.version.number,
            "uri": champion.version.uri,
            "alias": self.study.registry.alias,
        }
        report = {"study": self.study.name, "key": self.key, "due": found.as_json(), "model": model}
        return RetuneResult("kept", plain(report | ({} if gate is None else {"gate": dict(gate)})))

    def _judged(self, champion: Champion, found: Due) -> RetuneResult:
        estimate = self.study.split.estimate
        if estimate != "holdout" and self.study.retune.gate != "always":
            self.watch.say(f'warning: split.estimate = "{estimate}" {NO_ROWS}')
        tuned = self._tune(CHALLENGER)
        again = self._judged_before(tuned, champion) if tuned.status == "skipped" else None
        if again is not None:
            return again
        self.watch.stage("gate")
        number = str(tuned.report["model"]["version"])
        champion, verdict = self._verdict(champion, tuned.judged or self._kept_of(number), number)
        self.watch.say(verdict.line)
        more = {"due": found.as_json(), "gate": verdict.as_json(), "champion": champion.version.number}
        return self._decided("promoted" if verdict.promoted else "kept", tuned, more, verdict.files)

    def _kept_of(self, number: str) -> Package:
        """What the estimate of a version is of, from the store: its study was finished before.

        Raises
        ------
        DataError
            There is no such version any more.
        """
        version = version_at(self.study.model, number)
        if version is None:
            raise DataError(f"version {number} of model '{self.study.model}' is gone; --fresh tunes it anew")
        return judged_package(version)

    def _judged_before(self, tuned: TuneResult, champion: Champion) -> RetuneResult | None:
        """The verdict of a former key over the same data, study and champion, which needs no second look."""
        kept = read_files(tuned.run_id, (REPORT,)).get(REPORT)
        report = {} if kept is None else json.loads(kept)
        same = (report.get("status"), report.get("champion")) == ("kept", champion.version.number)
        if not same or report["key"] == self.key:
            return None
        self.watch.say(f"nothing is new since the retune '{report['key']}', whose verdict still holds")
        return RetuneResult("kept", {**report, "key": self.key})

    def _verdict(self, champion: Champion, challenger: Package, number: str) -> tuple[Champion, Verdict]:
        """Judge, and once more where another champion has come in the meantime."""
        alias = self.study.registry.alias
        for _ in range(CHANGES):
            made = version_at(self.study.model, number)
            if made is not None and ROLLED_BACK in made.tags:
                return champion, Verdict(False, f"kept: version {number} has served and was rolled back")
            if champion.version.number == number:
                return champion, Verdict(True, f"promoted: version {number} serves already")
            verdict = judge(champion, challenger, self.planned, self.study.retune)
            now = version_at(self.study.model, alias)
            if now is None or now.number == champion.version.number:
                break
            self.watch.say(f"version {now.number} serves meanwhile: the challenger is compared with it")
            champion = read_champion(self.study.model, alias) or champion
        return champion, verdict

    def _tune(self, alias: str) -> TuneResult:
        before = self.champion.version.number if self.champion else NOBODY
        purpose = Purpose(alias, self._tags() | {BEFORE: before})
        return run(self.planned, self.where, self.watch, self.began, fresh=self.fresh, purpose=purpose)

    def _tags(self) -> dict[str, str]:
        return {KEY: self.key, "autoreg.model": self.study.model}

    def _decided(
        self, status: str, tuned: TuneResult, more: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> RetuneResult:
        report = plain({**tuned.report, "status": status, "key": self.key, **more})
        write_down(tuned.run_id, report, files, self._tags())
        return self._carried_out(tuned.run_id, report)

    def _carried_out(self, run_id: str, report: dict[str, Any]) -> RetuneResult:
        found = carry_out(self.study.model, self.study.registry.alias, run_id, report)
        return RetuneResult(str(found["status"]), found)


def default_key(study: Study, fingerprint: str) -> str:
    """A key from what is tuned, the data and the day (UTC): one retune a day, and one more when the data changes."""
    what = hashlib.sha256(f"{study.model}\n{study.name}\n{fingerprint}".encode()).hexdigest()[:12]
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}-{what}"
