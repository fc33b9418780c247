"""The run of a study: found, made, described."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoreg.errors import StudyError, UsageError
from autoreg.ledger.client import FORMAT, FORMAT_TAG
from autoreg.ledger.contract import StudyHeader
from autoreg.ledger.view import set_view
from autoreg.tracking import found_or_none


def find_experiment(client: Any, name: str) -> str:
    """The experiment of a study, made when there is none."""
    adopted, wanted = os.environ.get("MLFLOW_RUN_ID"), os.environ.get("MLFLOW_EXPERIMENT_ID")
    if adopted:
        run = found_or_none(client.get_run, adopted)
        if run is None:
            raise UsageError(
                f"MLFLOW_RUN_ID: the tracking store has no run '{adopted}'; unset it or correct it"
            )
        return str(run.info.experiment_id)
    if wanted:
        experiment = found_or_none(client.get_experiment, wanted)
        if experiment is None:
            raise UsageError(
                f"MLFLOW_EXPERIMENT_ID: the tracking store has no experiment '{wanted}'; unset it or correct it"
            )
        return str(experiment.experiment_id)
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != "active":
        raise StudyError(
            f"experiment '{name}' was deleted in the tracking store; restore it or rename the study"
        )
    if found is None:
        from mlflow.exceptions import MlflowException

        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another driver was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def create_parent(
    client: Any, experiment_id: str, header: StudyHeader, generation: int, common: Mapping[str, str]
) -> None:
    """Make the run of a study; a run that MLflow was told to use becomes it."""
    tags = study_tags(header, generation)
    adopted = os.environ.get("MLFLOW_RUN_ID")
    if adopted:
        from mlflow.entities import RunTag

        # In one call: a kill between two tags would leave half a parent.
        client.log_batch(adopted, tags=[RunTag(key, value) for key, value in tags.items()])
        return
    client.create_run(experiment_id, tags={**common, **tags}, run_name=header.name)


def study_tags(header: StudyHeader, generation: int) -> dict[str, str]:
    """Tags by which a study is found again."""
    return {
        "autoreg.role": "study",
        FORMAT_TAG: str(FORMAT),
        "autoreg.study": header.name,
        "autoreg.digest": header.digest,
        "autoreg.generation": str(generation),
        "autoreg.metric": header.metric.name,
        "mlflow.runName": header.name,
        **header.tags,
    }


def describe(client: Any, run_id: str, header: StudyHeader) -> None:
    """Write settings, data set and files on a study's run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    # Prefixed: under `mlflow run` the entry point's own parameters are already on the run.
    params = [Param(f"autoreg.{key}", str(value)[:6000]) for key, value in header.params.items()]
    client.log_batch(run_id, params=params)
    if header.dataset:
        dataset = Dataset(**header.dataset)
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    upload(client, run_id, header.files())
    set_view(client, client.get_run(run_id).info.experiment_id, header.metric.name)
    client.set_tag(run_id, "autoreg.described", "true")


def adopt_session(client: Any, run_id: str) -> None:
    """A run that was started for a study which already has its parent links to it."""
    adopted = os.environ.get("MLFLOW_RUN_ID")
    if not adopted or adopted == run_id:
        return
    client.set_tag(adopted, "autoreg.role", "session")
    client.set_tag(adopted, "autoreg.session_of", run_id)
    note = f"Continues the study kept in run `{run_id}` of this experiment."
    client.set_tag(adopted, "mlflow.note.content", note)


def upload(client: Any, run_id: str, files: Mapping[str, str | bytes]) -> None:
    """Write artifacts by path, all in one go."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        client.log_artifacts(run_id, folder)
