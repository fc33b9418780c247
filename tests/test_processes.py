"""Real processes: killed drivers, a tracking server over HTTP, a model served over HTTP. More faults: test_faults.py."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from fault_servers import Server, answers, free_port, process
from sklearn.datasets import load_breast_cancer

pytestmark = pytest.mark.slow

STUDY = """
name = "cancer"
[data]
source = "sklearn:load_breast_cancer"
target = "target"
[search]
backends = ["sklearn", "xgboost"]
trials = {trials}
block = 4
lookahead = 6
seed = 3
"""


def autoreg(folder, *args, **environment):
    env = {**os.environ, **environment}
    command = [sys.executable, "-m", "autoreg", *map(str, args)]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running.store.uri


def trial_table(folder):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("cancer").experiment_id
    runs = [
        r for r in client.search_runs([experiment], max_results=1000) if "mlflow.parentRunId" in r.data.tags
    ]
    assert all(r.info.status != "RUNNING" for r in runs)
    rows = [
        (
            int(r.data.tags["autoreg.trial"]),
            r.data.tags["autoreg.backend"],
            r.data.params,
            r.data.metrics.get("loss", r.data.metrics.get("pruned_loss")),
        )
        for r in runs
    ]
    return sorted(rows, key=lambda row: row[0])


def test_killed_five_times_the_trials_are_the_undisturbed_ones(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        (folder / "study.toml").write_text(STUDY.format(trials=24))
    first = autoreg(whole, "tune", "study.toml", "--quiet", "--json", "-")
    assert first.returncode == 0, first.stderr
    chance, kills = random.Random(0), 0
    for _ in range(5):
        command = [sys.executable, "-m", "autoreg", "tune", "study.toml", "--quiet"]
        running = subprocess.Popen(command, cwd=killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            running.wait(chance.uniform(4, 12))
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            kills += 1
    last = autoreg(killed, "tune", "study.toml", "--quiet", "--json", "-")
    assert last.returncode == 0, last.stderr
    assert kills >= 1
    assert trial_table(whole) == trial_table(killed)
    a, b = json.loads(first.stdout), json.loads(last.stdout)
    assert a["best"] == b["best"]
    assert a["estimate"] == b["estimate"]
    assert b["model"]["version"] == "1"


def test_ctrl_c_and_sigterm_leave_nothing_running_and_resume(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(trials=400))
    for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        command = [sys.executable, "-m", "autoreg", "tune", "study.toml"]
        running = subprocess.Popen(
            command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not _trials(tmp_path):
            time.sleep(0.5)
        time.sleep(2)
        running.send_signal(signum)
        _, words = running.communicate(timeout=25)
        assert running.returncode == code, words
        assert "Traceback" not in words
        assert "resume" in words
        assert trial_table(tmp_path)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_while_it_starts_the_code_is_the_same(tmp_path, signum, code):
    (tmp_path / "study.toml").write_text(STUDY.format(trials=400))
    for wait in (1.0, 1.6, 2.2):
        command = [sys.executable, "-m", "autoreg", "tune", "study.toml"]
        running = subprocess.Popen(
            command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        time.sleep(wait)
        running.send_signal(signum)
        _, words = running.communicate(timeout=25)
        assert running.returncode == code, words
        assert "Traceback" not in words


def _trials(folder):
    import sqlite3

    try:
        with sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True, timeout=1) as db:
            return db.execute("select count(*) from tags where key = 'autoreg.trial'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_a_study_over_http_and_the_model_served_over_http(tmp_path, server):
    (tmp_path / "study.toml").write_text(STUDY.format(trials=8))
    environment = {"MLFLOW_TRACKING_URI": server, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = autoreg(tmp_path, "tune", "study.toml", "--quiet", "--json", "-", **environment)
    assert done.returncode == 0, done.stderr
    again = autoreg(tmp_path, "tune", "study.toml", "--quiet", "--json", "-", **environment)
    assert json.loads(again.stdout)["status"] == "skipped"
    frame = load_breast_cancer(as_frame=True).data.head(20)
    frame.to_csv(tmp_path / "new.csv", index=False)
    predicted = autoreg(tmp_path, "predict", "models:/cancer@champion", "new.csv", "out.csv", **environment)
    assert predicted.returncode == 0, predicted.stderr
    ours = pd.read_csv(tmp_path / "out.csv")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/cancer@champion"]
    command += ["--env-manager", "local", "--port", str(port), "--host", "127.0.0.1"]
    body = json.dumps({"dataframe_split": frame.to_dict(orient="split")}).encode()
    with process(command, cwd=tmp_path, env={**os.environ, **environment}):
        served = json.loads(answers(f"http://127.0.0.1:{port}/invocations", body))["predictions"]
    served = pd.DataFrame(served)
    assert list(served["prediction"]) == list(ours["prediction"])
    np.testing.assert_allclose(served["probability_1"], ours["probability_1"], rtol=1e-9)


def test_the_model_loads_with_mlflow_alone_and_without_pickle(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(trials=4))
    assert autoreg(tmp_path, "tune", "study.toml", "--quiet").returncode == 0
    load_breast_cancer(as_frame=True).data.head(5).to_csv(tmp_path / "new.csv", index=False)
    code = (
        "import sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model('models:/cancer@champion')\n"
        "out = model.predict(pd.read_csv('new.csv').astype('float32'))\n"
        "assert list(out.columns) == ['prediction', 'probability_0', 'probability_1'], out\n"
        "assert not any(m == 'autoreg' or m.startswith('autoreg.') for m in sys.modules)\n"
    )
    env = {
        **os.environ,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert loaded.returncode == 0, loaded.stderr
