"""A study read back from the ledger alone."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoreg.errors import DataError, StudyError, did_you_mean
from autoreg.ledger.client import PARENT, generation_of, read_result, readable, records_by_number, search_runs
from autoreg.ledger.runs import RECORD
from autoreg.record import StudyRecord
from autoreg.secrets import redact
from autoreg.tracking import found_or_none, quiet_client, reaching
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
    DataError
        A newer release wrote it.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        parent, runs = _study_runs(client, study_or_run)
        tags = parent.data.tags
        finished = "autoreg.finished" in tags
        summary: dict[str, Any] = read_result(client, parent.info.run_id) if finished else {}
    summary.setdefault("study", tags.get("autoreg.study", ""))
    summary |= {
        "run_id": parent.info.run_id,
        "experiment_id": parent.info.experiment_id,
        "run_status": parent.info.status,
    }
    summary.setdefault("metric", tags.get("autoreg.metric", ""))
    records = records_by_number(runs)
    summary["trials_table"] = [_row(records[n]) for n in sorted(records)]
    return summary


def _study_runs(client: Any, study_or_run: str) -> tuple[Any, list[Any]]:
    """A study's parent run, and the runs of its trials."""
    parent = find_parent(client, study_or_run)
    condition = f"tags.`{PARENT}` = '{parent.info.run_id}'"
    return parent, search_runs(client, [parent.info.experiment_id], condition)


@dataclass(frozen=True)
class StudyTrials:
    """The finished trials of a study.

    Attributes
    ----------
    study, run_id, metric : str
        Its name, its parent run, and the user's metric.
    records : list of TrialRecord
        By number, with the times of their runs.
    """

    study: str
    run_id: str
    metric: str
    records: list[TrialRecord]


def read_trials(study_or_run: str) -> StudyTrials:
    """The finished trials of a study, from the ledger alone.

    Parameters
    ----------
    study_or_run : str
        Name of a study (its newest generation is taken) or id of its parent run.

    Raises
    ------
    StudyError
        Nothing of that name or id is in the tracking store.
    DataError
        A newer release wrote it.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        parent, runs = _study_runs(client, study_or_run)
    run_id, tags = str(parent.info.run_id), parent.data.tags
    times = {
        r.info.run_id: (r.info.start_time / 1000, (r.info.end_time or r.info.start_time) / 1000) for r in runs
    }
    records = [
        replace(record, started=times[record.run_id][0], ended=times[record.run_id][1])
        for _, record in sorted(records_by_number(runs).items())
    ]
    return StudyTrials(tags.get("autoreg.study", ""), run_id, tags.get("autoreg.metric", ""), records)


def list_studies() -> list[tuple[str, str]]:
    """(name, experiment id) of every study in the tracking store, the newest first."""
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        experiments = [e.experiment_id for e in client.search_experiments()]
        parents = search_runs(client, experiments, "tags.`autoreg.role` = 'study'")
    parents.sort(key=lambda run: -run.info.start_time)
    return list(dict.fromkeys((r.data.tags.get("autoreg.study", ""), r.info.experiment_id) for r in parents))


def read_record(study_or_run: str) -> StudyRecord:
    """Everything a finished study found, from the ledger alone.

    Parameters
    ----------
    study_or_run : str
        Name of a study (its newest generation is taken) or id of its parent run.

    Raises
    ------
    StudyError
        Nothing of that name or id is in the tracking store, or the study is not finished.
    DataError
        The record is damaged, or another version wrote it.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)), tempfile.TemporaryDirectory() as folder:
        parent = find_parent(client, study_or_run)
        run_id = parent.info.run_id
        if "autoreg.finished" not in parent.data.tags:
            raise StudyError(
                f"study '{study_or_run}' has no result yet (run {run_id}): run its tune command to the end first"
            )
        text = Path(client.download_artifacts(run_id, RECORD, folder)).read_text(encoding="utf-8")
    try:
        return StudyRecord.from_json(text)
    except ValueError as error:
        line = str(error).splitlines()[0]
        raise DataError(f"{RECORD} of run {run_id} cannot be read: {line}") from error


def _row(record: TrialRecord) -> dict[str, Any]:
    r = record.result
    return {
        "number": record.number, "backend": record.backend, "state": r.state.value, "loss": r.loss, "cv": r.cv,
        "cv_se": r.cv_se, "train": r.train, "seconds": r.seconds, "params": dict(r.params), "reason": r.reason,
        "run_id": record.run_id,
    }  # fmt: skip


def find_parent(client: Any, study_or_run: str) -> Any:
    """The run of that id (or the study it belongs to), else the newest generation of the study of that name."""
    run = found_or_none(client.get_run, study_or_run)
    if run is not None:
        return readable(client.get_run(run.data.tags.get("autoreg.session_of", run.info.run_id)))
    experiments = [e.experiment_id for e in client.search_experiments()]
    parents = search_runs(client, experiments, "tags.`autoreg.role` = 'study'")
    found = [r for r in parents if r.data.tags.get("autoreg.study") == study_or_run]
    if not found:
        names = {str(r.data.tags.get("autoreg.study")) for r in parents}
        raise StudyError(
            f"no study or run '{study_or_run}' is recorded in {redact(str(client.tracking_uri))}"
            f"{did_you_mean(study_or_run, names)}; check the name, the folder you are in and MLFLOW_TRACKING_URI"
        )
    return readable(max(found, key=lambda r: (r.info.start_time, generation_of(r))))
