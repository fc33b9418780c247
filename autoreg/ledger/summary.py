"""A study read back from the ledger alone."""

from __future__ import annotations

import json
from typing import Any

from autoreg.errors import StudyError
from autoreg.ledger.client import PARENT, record_of, search_runs
from autoreg.tracking import quiet_client, reaching
from autoreg.trial import TrialRecord


def read_summary(study_or_run: str) -> dict[str, Any]:
    """The result of a study with a row for each trial, from the ledger alone.

    Parameters
    ----------
    study_or_run : str
        Name of a study (its newest generation is taken) or id of its parent run.

    Raises
    ------
    StudyError
        Nothing of that name or id is in the tracking store.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        parent = _find_parent(client, study_or_run)
        runs = search_runs(client, [parent.info.experiment_id], f"tags.`{PARENT}` = '{parent.info.run_id}'")
        tags = parent.data.tags
        summary: dict[str, Any] = json.loads(tags.get("autoreg.finished", "{}")).get("report", {})
    summary.setdefault("study", tags.get("autoreg.study", ""))
    summary |= {
        "run_id": parent.info.run_id,
        "experiment_id": parent.info.experiment_id,
        "run_status": parent.info.status,
    }
    summary.setdefault("metric", tags.get("autoreg.metric", ""))
    records = {r.number: r for r in map(record_of, runs) if r is not None}
    summary["trials_table"] = [_row(records[n]) for n in sorted(records)]
    return summary


def _row(record: TrialRecord) -> dict[str, Any]:
    r = record.result
    return {
        "number": record.number, "backend": record.backend, "state": r.state.value, "loss": r.loss, "cv": r.cv,
        "cv_se": r.cv_se, "train": r.train, "seconds": r.seconds, "params": dict(r.params), "reason": r.reason,
        "run_id": record.run_id,
    }  # fmt: skip


def _find_parent(client: Any, study_or_run: str) -> Any:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(study_or_run)
    if experiment is not None:
        experiments = [experiment.experiment_id]
    else:
        try:
            run = client.get_run(study_or_run)
            return client.get_run(run.data.tags.get("autoreg.session_of", run.info.run_id))
        except MlflowException:
            experiments = [e.experiment_id for e in client.search_experiments()]
    name = study_or_run.replace("'", "")
    found = search_runs(
        client, experiments, f"tags.`autoreg.role` = 'study' and tags.`autoreg.study` = '{name}'"
    )
    if not found:
        raise StudyError(
            f"no study or run '{study_or_run}' in the tracking store; check the name and MLFLOW_TRACKING_URI"
        )
    return max(found, key=lambda r: (int(r.data.tags.get("autoreg.generation", 0)), r.info.start_time))
