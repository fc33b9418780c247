"""The ledger in MLflow: a parent run for the study, a child run for every trial, written once when it is over."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import StudyError, UsageError
from autoreg.ledger.client import (
    PARENT,
    generation_of,
    read_result,
    records_by_number,
    search_runs,
    source_tags,
)
from autoreg.ledger.contract import History, StudyHeader
from autoreg.ledger.runs import (
    ARTIFACT,
    RESULT,
    STATUS,
    load_predictions,
    run_name,
    save_arrays,
    thinned_curves,
    trial_metrics,
    trial_params,
)
from autoreg.ledger.runs import pack as pack_record
from autoreg.ledger.writer import Writer
from autoreg.tracking import found_or_none, quiet_client, reaching
from autoreg.trial import Extension, TrialRecord

BATCH = 1000
DRAIN_SECONDS = 10.0
"""How long a stopped study waits for trials that are on their way to the store."""


class MlflowLedger:
    """Keeps a study in the tracking store that MLflow is set to (``MLFLOW_TRACKING_URI``).

    Raises
    ------
    TrackingUnavailable
        From any method: the store cannot be reached or written.
    """

    def __init__(self) -> None:
        self.experiment_id, self.run_id, self.waited = "", "", 0.0
        self.client = quiet_client()
        self.uri = str(self.client.tracking_uri)
        self.header: StudyHeader | None = None
        self.common: dict[str, str] = {}
        self.generation = 0
        self.writer: Writer | None = None
        self.written: dict[int, str] = {}

    # -- the study ---------------------------------------------------------------------------------------------

    def begin(self, header: StudyHeader) -> History:
        """Find or create the study's parent run and return what is known."""
        self.header = header
        with reaching(self.uri):
            self.common = source_tags(header.folder)
            self.experiment_id = self._experiment(header.name)
            parents = self._runs(
                f"tags.`autoreg.digest` = '{header.digest}' and tags.`autoreg.role` = 'study'"
            )
            parents.sort(key=lambda r: (generation_of(r), r.info.start_time, r.info.run_id))
            last = generation_of(parents[-1]) if parents else -1
            if parents and not header.fresh:
                parent = next(r for r in parents if generation_of(r) == last)
                self.run_id, self.generation = parent.info.run_id, last
                self._adopt_session()
                if "autoreg.described" not in parent.data.tags:
                    self._describe(self.run_id, header)
                history = self._history(parent)
            else:
                self.generation = last + 1
                self.run_id = self._create_parent(header)
                self._describe(self.run_id, header)
                history = History()
        self.writer = Writer(self._write)
        return history

    def resume(self) -> None:
        """Mark the parent run as running again."""
        with reaching(self.uri):
            self.client.update_run(self.run_id, status="RUNNING")

    def _experiment(self, name: str) -> str:
        adopted, wanted = os.environ.get("MLFLOW_RUN_ID"), os.environ.get("MLFLOW_EXPERIMENT_ID")
        if adopted:
            run = found_or_none(self.client.get_run, adopted)
            if run is None:
                raise UsageError(
                    f"MLFLOW_RUN_ID: the tracking store has no run '{adopted}'; unset it or correct it"
                )
            return str(run.info.experiment_id)
        if wanted:
            experiment = found_or_none(self.client.get_experiment, wanted)
            if experiment is None:
                raise UsageError(
                    f"MLFLOW_EXPERIMENT_ID: the tracking store has no experiment '{wanted}'; unset it or correct it"
                )
            return str(experiment.experiment_id)
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            raise StudyError(
                f"experiment '{name}' was deleted in the tracking store; restore it or rename the study"
            )
        if found is None:
            from mlflow.exceptions import MlflowException

            try:
                return str(self.client.create_experiment(name))
            except MlflowException:  # another driver was faster
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _create_parent(self, header: StudyHeader) -> str:
        tags = self._study_tags(header)
        adopted = os.environ.get("MLFLOW_RUN_ID")
        if adopted:
            from mlflow.entities import RunTag

            # In one call: a kill between two tags would leave half a parent.
            self.client.log_batch(adopted, tags=[RunTag(key, value) for key, value in tags.items()])
            return adopted
        run = self.client.create_run(self.experiment_id, tags={**self.common, **tags}, run_name=header.name)
        return str(run.info.run_id)

    def _study_tags(self, header: StudyHeader) -> dict[str, str]:
        return {
            "autoreg.role": "study",
            "autoreg.study": header.name,
            "autoreg.digest": header.digest,
            "autoreg.generation": str(self.generation),
            "autoreg.metric": header.metric.name,
            "mlflow.runName": header.name,
            **header.tags,
        }

    def _describe(self, run_id: str, header: StudyHeader) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        # Prefixed: under `mlflow run` the entry point's own parameters are already on the run.
        params = [Param(f"autoreg.{key}", str(value)[:6000]) for key, value in header.params.items()]
        self.client.log_batch(run_id, params=params)
        if header.dataset:
            dataset = Dataset(**header.dataset)
            self.client.log_inputs(
                run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
            )
        self._upload(run_id, header.files)
        self.client.set_tag(run_id, "autoreg.described", "true")

    def _adopt_session(self) -> None:
        """A run that was started for a study which already has its parent links to it."""
        adopted = os.environ.get("MLFLOW_RUN_ID")
        if not adopted or adopted == self.run_id:
            return
        self.client.set_tag(adopted, "autoreg.role", "session")
        self.client.set_tag(adopted, "autoreg.session_of", self.run_id)
        note = f"Continues the study kept in run `{self.run_id}` of this experiment."
        self.client.set_tag(adopted, "mlflow.note.content", note)

    # -- reading -----------------------------------------------------------------------------------------------

    def _runs(self, condition: str) -> list[Any]:
        return search_runs(self.client, [self.experiment_id], condition)

    def _children(self) -> list[Any]:
        return self._runs(f"tags.`{PARENT}` = '{self.run_id}'")

    def _history(self, parent: Any) -> History:
        records = records_by_number(self._children())
        tags = parent.data.tags
        drops = json.loads(tags.get("autoreg.drops", "{}"))
        result = None
        if "autoreg.finished" in tags:
            report = read_result(self.client, self.run_id)
            result = {"report": report, "budget": json.loads(tags["autoreg.finished"])}
        looks = int(tags.get("autoreg.holdout_looks", 0))
        extensions = [Extension(*e) for e in json.loads(tags.get("autoreg.extensions", "[]"))]
        return History(records, {str(k): int(v) for k, v in drops.items()}, result, looks, extensions)

    def predictions(self, record: TrialRecord) -> NDArray[np.float32] | None:
        """Out-of-fold predictions of a finished trial; fetched from its run when they are not in memory."""
        run_id = record.run_id or self.written.get(record.number, "")
        if record.result.predictions is not None or not run_id or self.header is None:
            return record.result.predictions
        with reaching(self.uri), tempfile.TemporaryDirectory() as folder:
            path = self.client.download_artifacts(run_id, ARTIFACT, folder)
            return load_predictions(Path(path), self.header)

    # -- writing -----------------------------------------------------------------------------------------------

    def attempt(self, numbers: Sequence[int]) -> None:
        """Note that trials are about to be computed."""

    def record(self, record: TrialRecord) -> None:
        """Keep a finished trial; returns before it is written."""
        if self.writer is None:
            raise RuntimeError("begin() comes first")
        with reaching(self.uri):
            self.writer.put(record)

    def _write(self, record: TrialRecord) -> None:
        """One trial's run: created with all its tags, one batch, one artifact, ended."""
        if self.header is None:
            raise RuntimeError("begin() comes first")
        from mlflow.entities import Metric, Param

        tags = self._trial_tags(record, self.header)
        started, ended = int(record.started * 1000), int(record.ended * 1000)
        run = self.client.create_run(
            self.experiment_id, start_time=started, tags=tags, run_name=run_name(record)
        )
        run_id = str(run.info.run_id)
        metrics = [Metric(k, v, ended, 0) for k, v in trial_metrics(record, self.header.metric).items()]
        metrics += [Metric(name, v, ended, step) for name, step, v in thinned_curves(record)]
        params = [Param(k, v) for k, v in trial_params(record).items()]
        self.client.log_batch(run_id, metrics[:BATCH], params)
        with tempfile.TemporaryDirectory() as folder:
            save_arrays(Path(folder) / ARTIFACT, record, self.header)
            self.client.log_artifact(run_id, str(Path(folder) / ARTIFACT))
        self.client.set_terminated(run_id, STATUS[record.result.state], ended)
        self.written[record.number] = run_id

    def _trial_tags(self, record: TrialRecord, header: StudyHeader) -> dict[str, str]:
        uid = f"{header.digest}.{self.generation}-{record.backend}-{record.number}"
        tags = {
            PARENT: self.run_id,
            "autoreg.study": header.name,
            "autoreg.trial": str(record.number),
            "autoreg.backend": record.backend,
            "autoreg.state": record.result.state.value,
            "autoreg.uid": uid,
            "autoreg.asked": json.dumps(dict(record.asked)),
            "autoreg.record": pack_record(record),
        }
        if record.result.reason:
            tags["autoreg.reason"] = record.result.reason[:500]
        return {**self.common, **tags}

    def drop(self, drops: Mapping[str, int]) -> None:
        """Keep which backends were dropped, and when."""
        with reaching(self.uri):
            self.client.set_tag(self.run_id, "autoreg.drops", json.dumps(dict(drops)))

    def extend(self, extensions: Sequence[Extension]) -> None:
        """Keep which ranges became wider, and when."""
        with reaching(self.uri):
            # Rows, not tables: a tag holds 5,000 characters, and a study may come to some dozens of them.
            rows = json.dumps([astuple(e) for e in extensions], separators=(",", ":"))
            self.client.set_tag(self.run_id, "autoreg.extensions", rows)

    def flush(self) -> None:
        """Return when everything is written."""
        if self.writer is not None:
            began = time.perf_counter()
            with reaching(self.uri):
                self.writer.flush()
            self.waited += time.perf_counter() - began

    def finish(
        self,
        result: dict[str, Any],
        metrics: Mapping[str, float],
        note: str,
        files: Mapping[str, str | bytes],
    ) -> None:
        """Write the result on the parent run, end it, and tidy up what a crash or a race has left."""
        from mlflow.entities import Metric

        self.flush()
        with reaching(self.uri):
            now = int(time.time() * 1000)
            finite = [Metric(k, float(v), now, 0) for k, v in metrics.items() if np.isfinite(v)]
            self.client.log_batch(self.run_id, metrics=finite)
            self._upload(self.run_id, {RESULT: json.dumps(result["report"], indent=1), **files})
            self.client.set_tag(self.run_id, "mlflow.note.content", note[:8000])
            self._tidy()
            self.client.set_tag(
                self.run_id, "autoreg.holdout_looks", str(result["report"]["estimate"]["looks"])
            )
            self.client.set_tag(self.run_id, "autoreg.finished", json.dumps(result["budget"]))
            self.client.set_terminated(self.run_id, "FINISHED")

    def _tidy(self) -> None:
        """Delete what is left of trials that a crash cut short, and doubles; runs that are not trials stay."""
        seen: set[str] = set()
        for run in sorted(self._children(), key=lambda r: str(r.info.run_id)):
            if "autoreg.trial" not in run.data.tags:
                continue
            uid = run.data.tags.get("autoreg.uid", "")
            if run.info.status == "RUNNING" or uid in seen:
                self.client.delete_run(run.info.run_id)
            else:
                seen.add(uid)

    def settle(self) -> None:
        """Say of a finished study that it is finished, where a crash left its run open."""
        with reaching(self.uri):
            if self.client.get_run(self.run_id).info.status != "FINISHED":
                self.client.set_terminated(self.run_id, "FINISHED")

    def abandon(self, status: str) -> None:
        """Leave an unfinished study in a state that says so; waits no longer than a stopped process may."""
        if not self.run_id:
            return
        with reaching(self.uri):
            if self.writer is None or self.writer.drain(DRAIN_SECONDS):
                self.client.set_terminated(self.run_id, status)

    def _upload(self, run_id: str, files: Mapping[str, str | bytes]) -> None:
        """Write artifacts by path, all in one go."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            self.client.log_artifacts(run_id, folder)
