"""The ledger in MLflow: a parent run for the study, a child run for every trial, written once when it is over."""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import TrackingUnavailable
from autoreg.ledger.beside import BesideRuns
from autoreg.ledger.client import (
    PARENT,
    generation_of,
    leftovers,
    read_result,
    readable,
    records_by_number,
    search_runs,
    source_tags,
    without_predictions,
)
from autoreg.ledger.contract import History, StudyHeader
from autoreg.ledger.items import Item, decided, decision_tag, first_line, merged
from autoreg.ledger.parent import adopt_session, create_parent, describe, find_experiment, upload
from autoreg.ledger.runs import ARTIFACT, RESULT, load_curves, load_predictions, saved_arrays
from autoreg.ledger.spool import Spool
from autoreg.ledger.trials import TrialRuns
from autoreg.ledger.writer import PATIENCE, Writer
from autoreg.secrets import redact
from autoreg.tracking import patiently, quiet_client, reaching, store_away
from autoreg.trial import Extension, Floats, TrialRecord, Turn

DRAIN_SECONDS, AWAY_DRAIN_SECONDS = 10.0, 1.0
"""How long a stopped study waits for trials that are on their way to the store, and to one that is away."""


class MlflowLedger:
    """Keeps a study in the tracking store that MLflow is set to (``MLFLOW_TRACKING_URI``).

    Raises
    ------
    TrackingUnavailable
        From any method: the store cannot be reached or written.
    DataError
        From ``begin``: a newer release wrote what the store has of the study.
    """

    def __init__(self) -> None:
        self.experiment_id, self.run_id, self.waited = "", "", 0.0
        self.client = quiet_client()
        self.uri = str(self.client.tracking_uri)
        self.header: StudyHeader | None = None
        self.common: dict[str, str] = {}
        self.generation = 0
        self.runs: BesideRuns | None = None
        self.spool: Spool | None = None
        self.writer: Writer | None = None
        self.written: dict[int, str] = {}
        self.withheld: set[int] = set()
        self.cautions: list[str] = []

    # -- the study ---------------------------------------------------------------------------------------------

    def begin(self, header: StudyHeader) -> History:
        """Find or create the study's parent run and return what is known."""
        self.header = header
        with reaching(self.uri):
            self.common = source_tags(header.folder)
            self.experiment_id = find_experiment(self.client, header.name)
            known = self._parents(header)
            last = max(map(generation_of, known), default=-1)
            if known and not header.fresh:
                parent = self._parent(known, last)
                self.run_id, self.generation = parent.info.run_id, last
                adopt_session(self.client, self.run_id)
                if "autoreg.described" not in parent.data.tags:
                    describe(self.client, self.run_id, header)
                history = self._history(parent)
            else:
                self.generation = last + 1
                create_parent(self.client, self.experiment_id, header, self.generation, self.common)
                self.run_id = str(self._parent(self._parents(header), self.generation).info.run_id)
                describe(self.client, self.run_id, header)
                history = History()
        runs = TrialRuns(
            self.client, self.experiment_id, self.run_id, header.name, header.digest, self.generation,
            header.metric, self.common,
        )  # fmt: skip
        self.runs = BesideRuns(runs)
        self.spool = Spool(self.uri, header.digest, self.run_id)
        for number in self.withheld:
            if number not in self.spool.private:
                del history.records[number]  # what the search compares with is gone: computed again, the same
        kept = self.spool.read()
        if kept.damaged:
            self.cautions.append(
                f"warning: {kept.damaged} lines of {self.spool.path} cannot be read; what they held is computed again"
            )
        self.writer = Writer(self._deliver, self._keep, store_away, self.spool.delivered)
        for item in merged(history, kept):
            self.writer.put(item)
        for number in history.records:
            self.spool.resolve(number)
        history.attempts = dict(self.spool.attempts)
        return history

    def _parents(self, header: StudyHeader) -> list[Any]:
        return self._runs(f"tags.`autoreg.digest` = '{header.digest}' and tags.`autoreg.role` = 'study'")

    def _parent(self, parents: Sequence[Any], generation: int) -> Any:
        """The one run of a generation: the first that was begun in earnest, or the first of all.

        An answer that gets lost makes the client ask for a run twice; what is left of the other one goes.
        """
        runs = [readable(r) for r in parents if generation_of(r) == generation]
        runs.sort(key=lambda r: ("autoreg.described" not in r.data.tags, r.info.start_time, r.info.run_id))
        for double in runs[1:]:
            if "autoreg.described" not in double.data.tags:
                self.client.delete_run(double.info.run_id)
        return runs[0]

    def resume(self) -> None:
        """Mark the parent run as running again."""
        with reaching(self.uri):
            self.client.update_run(self.run_id, status="RUNNING")

    def news(self) -> list[str]:
        """What became of the store since this was last asked, in words."""
        if self.writer is None or self.spool is None:
            return []
        outages, self.writer.outages = self.writer.outages, []
        cautions, self.cautions = self.cautions, []
        store = f"the tracking store {redact(self.uri)}"
        return cautions + [
            f"{store} is back; what waited is being written"
            if error is None
            else f"warning: {store} is away ({first_line(error)}); the search goes on, finished trials wait in {self.spool.path}"
            for error in outages
        ]

    # -- reading -----------------------------------------------------------------------------------------------

    def _runs(self, condition: str) -> list[Any]:
        return search_runs(self.client, [self.experiment_id], condition)

    def _children(self) -> list[Any]:
        return self._runs(f"tags.`{PARENT}` = '{self.run_id}'")

    def _history(self, parent: Any) -> History:
        runs = self._children()
        records, without = records_by_number(runs), without_predictions(runs)
        self.withheld = {n for n, record in records.items() if record.run_id in without}
        tags = parent.data.tags
        result = None
        if "autoreg.finished" in tags:
            report = read_result(self.client, self.run_id)
            result = {"report": report, "budget": json.loads(tags["autoreg.finished"])}
        looks = int(tags.get("autoreg.holdout_looks", 0))
        return replace(decided(tags), records=records, result=result, looks=looks)

    def predictions(self, record: TrialRecord) -> NDArray[np.float32] | None:
        """Out-of-fold predictions of a finished trial; fetched from its run when they are not in memory."""
        if record.result.predictions is not None or self.header is None:
            return record.result.predictions
        here = None if self.spool is None else self.spool.private.load(record.number)
        found = self._arrays(record) if here is None else here
        return None if found is None else load_predictions(io.BytesIO(found), self.header)

    def curves(self, record: TrialRecord) -> Mapping[str, Floats]:
        """Curves of a finished trial; fetched from its run when they are not in memory."""
        found = None if record.result.curves else self._arrays(record)
        return record.result.curves if found is None else load_curves(io.BytesIO(found))

    def _arrays(self, record: TrialRecord) -> bytes | None:
        """Content of a finished trial's artifact, from the spool or from its run."""
        waiting = None if record.run_id or self.spool is None else self.spool.trial(record.number)
        if waiting is not None:
            return waiting[1]
        run_id = record.run_id or self.written.get(record.number, "")
        return patiently(lambda: self._fetched(run_id), PATIENCE) if run_id else None

    def _fetched(self, run_id: str) -> bytes:
        with reaching(self.uri), tempfile.TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run_id, ARTIFACT, folder)).read_bytes()

    # -- writing -----------------------------------------------------------------------------------------------

    def attempt(self, numbers: Sequence[int]) -> None:
        """Note that trials are about to be computed."""
        if self.spool is not None:
            with suppress(OSError):  # a full disk costs the note, not the study
                self.spool.attempt(numbers)

    def record(self, record: TrialRecord) -> None:
        """Keep a finished trial; returns before it is written."""
        if self.spool is not None:
            self.spool.resolve(record.number)
            if self.header is not None and self.header.private:
                self.spool.private.keep(record.number, saved_arrays(record, self.header, whole=True))
        self._put(Item("trial", record.number, record))

    def drop(self, drops: Mapping[str, int]) -> None:
        """Keep which backends were dropped, and when."""
        self._put(Item("drops", value=dict(drops)))

    def extend(self, extensions: Sequence[Extension]) -> None:
        """Keep which ranges became wider, and when."""
        self._put(Item("extensions", value=list(extensions)))

    def cut(self, turns: Sequence[Turn]) -> None:
        """Keep which turns the clock made shorter or took away."""
        self._put(Item("turns", value=list(turns)))

    def _put(self, item: Item) -> None:
        if self.writer is None:
            raise RuntimeError("begin() comes first")
        with reaching(self.uri):
            self.writer.put(item)

    def _deliver(self, item: Item) -> None:
        """Write one thing to the store."""
        if item.kind == "trial":
            self._deliver_trial(item)
        elif item.kind == "status":
            self.client.set_terminated(self.run_id, item.value)
        else:
            self.client.set_tag(self.run_id, *decision_tag(item))

    def _deliver_trial(self, item: Item) -> None:
        if self.runs is None or self.spool is None or self.header is None:
            raise RuntimeError("begin() comes first")
        record = item.value  # looked at once: another thread may hand it over to the spool
        if record is None:
            waiting = self.spool.trial(item.number)
            if waiting is None:
                raise RuntimeError(f"trial {item.number} is not in {self.spool.path}")
            record, arrays = waiting
        else:
            arrays = saved_arrays(record, self.header)

        def begun(run_id: str) -> None:
            item.run_id = run_id

        self.written[item.number] = self.runs.write(record, arrays, item.run_id, begun)

    def _keep(self, item: Item) -> None:
        """Put a thing into the spool; a trial's arrays leave the memory."""
        if item.kept or item.kind == "status" or self.spool is None or self.header is None:
            return
        try:
            if item.kind == "trial":
                self.spool.keep_trial(item.value, saved_arrays(item.value, self.header))
            else:
                self.spool.keep_decision(item.kind, item.value)
        except OSError as error:
            raise TrackingUnavailable(
                f"the tracking store {redact(self.uri)} is away, and {self.spool.path} cannot be written: {error}"
            ) from error
        item.kept = True
        if item.kind == "trial":
            item.value = None

    def flush(self) -> None:
        """Return when everything is written; wait a minute for a store that is away.

        Raises
        ------
        TrackingUnavailable
            It did not come back; what it lacks is in the spool.
        """
        if self.writer is None or self.spool is None:
            return
        began = time.perf_counter()
        try:
            with reaching(self.uri):
                if self.writer.flush():
                    return
            raise TrackingUnavailable(
                f"the tracking store {redact(self.uri)} is away ({first_line(self.writer.away)}); "
                f"{self.waiting} finished trials wait in {self.spool.path}: "
                "give the same command again when the store is back, and they are written"
            )
        finally:
            self.waited += time.perf_counter() - began

    @property
    def waiting(self) -> int:
        """Finished trials that are not in the store yet."""
        return sum(item.kind == "trial" for item in list(self.writer.pending)) if self.writer else 0

    def finish(
        self,
        result: dict[str, Any],
        metrics: Mapping[str, float],
        note: str,
        files: Mapping[str, str | bytes],
    ) -> None:
        """Write the result on the parent run, end it, and tidy up what a crash or a race has left."""
        self.flush()
        now = int(time.time() * 1000)
        patiently(lambda: self._finish(now, result, metrics, note, files), PATIENCE)
        self._close()
        if self.spool is not None:
            self.spool.private.remove()
            with suppress(OSError):
                self.spool.remove()

    def _finish(
        self,
        now: int,
        result: dict[str, Any],
        metrics: Mapping[str, float],
        note: str,
        files: Mapping[str, str | bytes],
    ) -> None:
        """What ends a study; done twice, it is the same."""
        from mlflow.entities import Metric, RunTag

        with reaching(self.uri):
            finite = [Metric(k, float(v), now, 0) for k, v in metrics.items() if np.isfinite(v)]
            self.client.log_batch(self.run_id, metrics=finite)
            upload(self.client, self.run_id, {RESULT: json.dumps(result["report"], indent=1), **files})
            self.client.set_tag(self.run_id, "mlflow.note.content", note[:8000])
            self._tidy()
            # Together, or a crash between the two would have the same look counted twice.
            looks = RunTag("autoreg.holdout_looks", str(result["report"]["estimate"]["looks"]))
            done = RunTag("autoreg.finished", json.dumps(result["budget"]))
            self.client.log_batch(self.run_id, tags=[looks, done])
            self.client.set_terminated(self.run_id, "FINISHED")

    def _tidy(self) -> None:
        """Delete what is left of trials that a crash cut short, and doubles; runs that are not trials stay."""
        for run, _ in leftovers(self._children()):
            self.client.delete_run(run.info.run_id)

    def settle(self) -> None:
        """Say of a finished study that it is finished, where a crash left its run open."""
        self.flush()
        with reaching(self.uri):
            if self.client.get_run(self.run_id).info.status != "FINISHED":
                self.client.set_terminated(self.run_id, "FINISHED")
        self._close()
        if self.spool is not None:
            self.spool.private.remove()

    def abandon(self, status: str) -> None:
        """Leave an unfinished study in a state that says so; waits no longer than a stopped process may."""
        if not self.run_id or (self.writer is not None and self.writer.closed):
            return
        writer = self.writer or Writer(self._deliver, lambda item: None, store_away)
        with suppress(Exception):  # what ended the writing has been raised where it was met
            writer.put(Item("status", value=status))
        writer.drain(DRAIN_SECONDS if writer.away is None else AWAY_DRAIN_SECONDS)
        self._close()

    def _close(self) -> None:
        """End the writing, in a way that tells the next driver that this one did not die of a trial."""
        if self.writer is None or self.spool is None:
            return
        self.writer.close()
        if self.runs is not None:
            self.runs.close()
        with suppress(OSError):
            self.spool.left()
            if not self.spool.holds:
                self.spool.remove()
            self.spool.close()
