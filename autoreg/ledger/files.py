"""Files and tags of a parent run beside its study: what one retune leaves for the next."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.ledger.client import readable, search_runs
from autoreg.tracking import quiet_client, reaching

KEY = "autoreg.retune_key"


def read_files(run_id: str, names: Sequence[str]) -> dict[str, bytes]:
    """Artifacts of a run by name; those it does not have are left out.

    Raises
    ------
    TrackingUnavailable
        The store cannot be reached.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)), tempfile.TemporaryDirectory() as folder:
        there = {file.path for file in client.list_artifacts(run_id)}
        return {
            name: Path(client.download_artifacts(run_id, name, folder)).read_bytes()
            for name in names
            if name in there
        }


def keep_files(run_id: str, files: Mapping[str, bytes], tags: Mapping[str, str]) -> None:
    """Put artifacts and tags on a run; the tags last, so that they vouch for the files.

    Raises
    ------
    TrackingUnavailable
        The store cannot be written.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)), tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        if files:
            client.log_artifacts(run_id, folder)
        for key, value in tags.items():
            client.set_tag(run_id, key, value[:5000])


def run_of_key(model: str, key: str) -> tuple[str, dict[str, str]] | None:
    """Id and tags of the parent run that a retune of this model was begun with under this key, or None.

    Of several the newest that has its files: a retune that was started over has one more.

    Raises
    ------
    TrackingUnavailable
        The store cannot be reached.
    DataError
        A newer release wrote it.
    """
    client = quiet_client()
    with reaching(str(client.tracking_uri)):
        experiments = [e.experiment_id for e in client.search_experiments()]
        quoted = key.replace("'", "''")
        runs: list[Any] = search_runs(client, experiments, f"tags.`{KEY}` = '{quoted}'")
    runs = [r for r in runs if r.data.tags.get("autoreg.model") == model]
    if not runs:
        return None
    found = max(runs, key=lambda r: ("autoreg.described" in r.data.tags, r.info.start_time, r.info.run_id))
    return str(readable(found).info.run_id), dict(found.data.tags)
