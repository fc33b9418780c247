"""A trial's run: created with all its tags, one batch, one artifact, ended."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autoreg.effects import REPORT
from autoreg.ledger.client import PARENT, WITHHELD
from autoreg.ledger.runs import (
    ARTIFACT,
    STATUS,
    pack,
    run_name,
    thinned_curves,
    trial_metrics,
    trial_params,
    withheld,
)
from autoreg.metrics import Metric
from autoreg.trial import TrialRecord

BATCH = 1000


@dataclass(frozen=True)
class TrialRuns:
    """Writes the runs of one study's trials.

    Attributes
    ----------
    client : MlflowClient
    experiment_id, run_id : str
        The experiment, and the parent run.
    study, digest : str
    generation : int
    metric : Metric
    common : mapping of str to str
        Tags that every run carries.
    """

    client: Any
    experiment_id: str
    run_id: str
    study: str
    digest: str
    generation: int
    metric: Metric
    common: Mapping[str, str]

    def write(
        self,
        record: TrialRecord,
        arrays: bytes,
        begun: str = "",
        on_begun: Callable[[str], None] | None = None,
    ) -> str:
        """Write a trial, or go on with a run that was created and not ended; its run id.

        Parameters
        ----------
        record : TrialRecord
        arrays : bytes
            Content of its artifact.
        begun : str
            Run that an earlier try created.
        on_begun : callable, optional
            Hears the id of a run as soon as it is created.
        """
        from mlflow.entities import Metric as Point
        from mlflow.entities import Param
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        run_id, ended = begun, int(record.ended * 1000)
        keep_file: Callable[[str], Any] = partial(self.client.log_artifact, begun)
        if not run_id:
            run = self.client.create_run(
                self.experiment_id,
                start_time=int(record.started * 1000),
                tags=self.tags(record) | ({WITHHELD: "local"} if withheld(record, arrays) else {}),
                run_name=run_name(record),
            )
            run_id = str(run.info.run_id)
            if on_begun is not None:
                on_begun(run_id)
            # The client would ask the store where the new run's artifacts go.
            keep_file = get_artifact_repository(run.info.artifact_uri, self.client.tracking_uri).log_artifact
        # Written twice, a metric of the same time and step is one metric.
        metrics = [Point(k, v, ended, 0) for k, v in trial_metrics(record, self.metric).items()]
        metrics += [Point(name, v, ended, step) for name, step, v in thinned_curves(record)]
        params = [Param(k, v) for k, v in trial_params(record).items()]
        self.client.log_batch(run_id, metrics[:BATCH], params)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / ARTIFACT).write_bytes(arrays)
            keep_file(str(Path(folder) / ARTIFACT))
            if REPORT in record.result.details:
                report = Path(folder) / f"{REPORT}.txt"
                report.write_text(record.result.details[REPORT], encoding="utf-8")
                keep_file(str(report))
        self.client.set_terminated(run_id, STATUS[record.result.state], ended)
        return run_id

    def tags(self, record: TrialRecord) -> dict[str, str]:
        """Tags of a trial's run."""
        tags = {
            PARENT: self.run_id,
            "autoreg.study": self.study,
            "autoreg.trial": str(record.number),
            "autoreg.backend": record.backend,
            "autoreg.state": record.result.state.value,
            "autoreg.uid": f"{self.digest}.{self.generation}-{record.backend}-{record.number}",
            "autoreg.asked": json.dumps(dict(record.asked)),
            "autoreg.record": pack(record),
        }
        if record.result.reason:
            tags["autoreg.reason"] = record.result.reason[:500]
        return {**self.common, **tags}
