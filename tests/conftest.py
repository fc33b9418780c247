"""Fixtures: a migrated SQLite tracking store copied for each test, and small real tables."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
    os.environ.pop(name, None)

# Spools of tests, and of the processes that they start, stay out of the home folder.
STATE = tempfile.TemporaryDirectory(prefix="autoreg-tests-")
os.environ["AUTOREG_STATE_DIR"] = STATE.name


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory):
    """An empty tracking database, migrated once: the first use of a database takes seconds."""
    from autoreg.tracking import quiet_client

    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        quiet_client().search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def store(migrated_store, tmp_path, monkeypatch):
    """A tracking store of this test alone; returns an MLflow client on it."""
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    from autoreg.tracking import quiet_client

    return quiet_client()


@pytest.fixture
def study_file(tmp_path):
    """Write a study file and return its path."""

    def write(text: str, name: str = "study.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
