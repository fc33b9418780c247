"""Reading runs: pages, records, where a run came from."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoreg.errors import DataError
from autoreg.ledger.runs import RESULT, STATUS, unpack
from autoreg.secrets import redact
from autoreg.trial import TrialRecord

FORMAT, FORMAT_TAG = 1, "autoreg.format"
"""Of all that is written of a study (its tags, its trials' records and arrays, its files), and the tag of its parent run that
tells it; a run without one has format 1. A release that writes what this one could not read counts one up."""
PARENT = "mlflow.parentRunId"
WITHHELD = "autoreg.predictions"
"""Tag of a trial whose predictions stayed on the machine that ran it."""
PAGE = 1000


def readable(run: Any) -> Any:
    """A study's parent run, when what is kept under it is in a format that this release reads.

    Raises
    ------
    DataError
        A newer release wrote it.
    """
    tags = run.data.tags
    written = str(tags.get(FORMAT_TAG, FORMAT))
    if written.isdecimal() and int(written) <= FORMAT:
        return run
    raise DataError(
        f"study '{tags.get('autoreg.study', '')}' (run {run.info.run_id}) was recorded by a newer autoreg: {FORMAT_TAG} is "
        f"{written!r:.20}, this one reads up to {FORMAT}; upgrade autoreg here"
    )


def search_runs(client: Any, experiments: Sequence[str], condition: str) -> list[Any]:
    """Every run that meets a condition, page after page."""
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs(list(experiments), condition, max_results=PAGE, page_token=token)
        found, token = found + list(page), page.token
        if not token:
            return found


def record_of(run: Any) -> TrialRecord | None:
    """The record a child run holds, or None while it is unfinished or not ours."""
    tags = run.data.tags
    if run.info.status not in STATUS.values() or "autoreg.record" not in tags:
        return None
    return unpack(
        int(tags["autoreg.trial"]), tags["autoreg.backend"], tags["autoreg.state"], tags["autoreg.asked"],
        tags["autoreg.record"], str(run.info.run_id),
    )  # fmt: skip


def records_by_number(runs: Sequence[Any]) -> dict[int, TrialRecord]:
    """Finished trials by number; unfinished runs are ignored, of doubles the smallest run id counts."""
    records: dict[int, TrialRecord] = {}
    for run in sorted(runs, key=lambda r: str(r.info.run_id)):
        record = record_of(run)
        if record is not None:
            records.setdefault(record.number, record)
    return records


def without_predictions(runs: Sequence[Any]) -> set[str]:
    """Ids of the runs whose trial's predictions stayed on the machine that ran it."""
    return {str(run.info.run_id) for run in runs if WITHHELD in run.data.tags}


def leftovers(runs: Sequence[Any]) -> list[tuple[Any, str]]:
    """Runs of trials that a crash cut short or a race made twice, each with what it is; other runs are left alone."""
    seen: set[str] = set()
    found = []
    for run in sorted(runs, key=lambda r: str(r.info.run_id)):
        uid = run.data.tags.get("autoreg.uid", "")
        if "autoreg.trial" not in run.data.tags:
            continue
        if run.info.status == "RUNNING":
            found.append((run, "unfinished"))
        elif uid in seen:
            found.append((run, "double"))
        else:
            seen.add(uid)
    return found


def generation_of(run: Any) -> int:
    """Which generation of its study a parent run is."""
    return int(run.data.tags.get("autoreg.generation", 0))


def read_result(client: Any, run_id: str) -> dict[str, Any]:
    """The report that a finished study left on its parent run."""
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(run_id, RESULT, folder)
        report: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return report


def source_tags(folder: str) -> dict[str, str]:
    """User, source and git commit of the study's folder, none of which a client call sets by itself."""
    from mlflow.tracking.context.registry import resolve_tags
    from mlflow.utils.git_utils import get_git_commit

    tags = {key: redact(str(value)) for key, value in resolve_tags().items()}
    commit = get_git_commit(folder) if folder else None
    if commit:
        tags["mlflow.source.git.commit"] = str(commit)
    return tags | {"mlflow.source.name": "autoreg", "mlflow.source.type": "LOCAL"}


def environment() -> dict[str, str]:
    """Versions of Python, the platform and the libraries that shape a result."""
    from importlib.metadata import PackageNotFoundError, version

    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": str(os.cpu_count()),
    }
    names = (
        "autoreg",
        "optuna",
        "mlflow",
        "xgboost",
        "scikit-learn",
        "tensorflow",
        "keras",
        "numpy",
        "pandas",
    )
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
