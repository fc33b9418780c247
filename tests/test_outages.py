"""A tracking store that goes away: killed and started again, killed for good, cut off, locked."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from test_processes import answers, autoreg, free_port

pytestmark = pytest.mark.slow
TRIALS = 16
# What comes after the search is kept short: one backend, three folds, one model.
STUDY = """
name = "cancer"
[data]
source = "sklearn:load_breast_cancer"
target = "target"
[split]
folds = 3
[search]
backends = ["sklearn"]
trials = {trials}
block = 4
lookahead = 6
seed = 3
[select]
final = "single"
"""


class Server:
    """An MLflow server on a SQLite store, which can be killed and started again."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self, wait=True):
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if wait:
            answers(f"{self.uri}/health")

    def kill(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path, migrated_store):
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "mlflow.db").write_bytes(migrated_store.read_bytes())
    made = Server(tmp_path / "server")
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The trials of the study with nothing in its way."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "study.toml").write_text(STUDY.format(trials=TRIALS))
    done = autoreg(folder, "tune", "study.toml", "--quiet", "--json", "-")
    assert done.returncode == 0, done.stderr
    return trials(folder), json.loads(done.stdout)


def trials(folder):
    """What invariant I is about, of every trial's run: nothing RUNNING, no uid twice."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("cancer").experiment_id
    runs = [r for r in client.search_runs([experiment], max_results=1000) if "autoreg.trial" in r.data.tags]
    uids = Counter(r.data.tags["autoreg.uid"] for r in runs)
    assert all(r.info.status != "RUNNING" for r in runs)
    assert set(uids.values()) == {1}
    rows = [
        (
            int(r.data.tags["autoreg.trial"]),
            r.info.status,
            r.data.params,
            r.data.metrics.get("loss", r.data.metrics.get("pruned_loss")),
        )
        for r in runs
    ]
    return sorted(rows, key=lambda row: row[0])


def written(folder):
    """How many trials are in a store; the store need not be there yet."""
    with (
        suppress(sqlite3.OperationalError),
        sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True, timeout=1) as db,
    ):
        return db.execute("select count(*) from tags where key = 'autoreg.trial'").fetchone()[0]
    return 0


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to it"
        time.sleep(0.05)


@contextmanager
def tuning(folder, uri, *more):
    """The study, started and going on beside the test; gives the process."""
    (folder / "study.toml").write_text(STUDY.format(trials=TRIALS))
    env = {**os.environ, "MLFLOW_TRACKING_URI": uri, "AUTOREG_STATE_DIR": str(folder / "state")}
    command = [sys.executable, "-m", "autoreg", "tune", "study.toml", "--json", "out.json", *more]
    running = subprocess.Popen(
        command, cwd=folder, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def spooled(folder):
    """Numbers of the trials that wait in the spool."""
    numbers = []
    for path in (folder / "state").glob("*.jsonl"):
        with suppress(FileNotFoundError, ValueError):  # delivered just now, or a line is being written
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            numbers += [line["number"] for line in lines if line["kind"] == "trial"]
    return numbers


def same(folder, store, undisturbed):
    """The study's trials and its outcome are those of the undisturbed one, and nothing waits any more."""
    rows, report = undisturbed
    assert trials(store) == rows
    out = json.loads((folder / "out.json").read_text())
    assert (out["best"], out["estimate"]["holdout"]) == (report["best"], report["estimate"]["holdout"])
    assert list((folder / "state").iterdir()) == []


def test_a_server_killed_in_mid_study_and_back(tmp_path, server, undisturbed):
    with tuning(tmp_path, server.uri) as running:
        wait_for(lambda: written(server.folder) >= 2)
        server.kill()
        wait_for(lambda: spooled(tmp_path))
        time.sleep(3)
        server.start()
        _, words = running.communicate(timeout=200)
    assert running.returncode == 0, words
    assert words.count("is away") == 1
    assert words.count("is back") == 1
    same(tmp_path, server.folder, undisturbed)


@pytest.mark.full
def test_a_server_killed_for_good_and_the_same_command_later(tmp_path, server, undisturbed):
    with tuning(tmp_path, server.uri) as running:
        wait_for(lambda: written(server.folder) >= 2)
        server.kill()
        _, words = running.communicate(timeout=200)
    assert running.returncode == 75, words
    last = words.strip().splitlines()[-1]
    waiting = spooled(tmp_path)
    assert waiting
    assert f"{len(waiting)} finished trials wait" in last
    assert "same command" in last
    server.start()
    with tuning(tmp_path, server.uri, "--quiet") as running:
        _, words = running.communicate(timeout=200)
    assert running.returncode == 0, words
    same(tmp_path, server.folder, undisturbed)


@pytest.mark.full
def test_stopped_while_the_server_is_away_nothing_is_lost_and_reconcile_delivers(
    tmp_path, server, undisturbed
):
    with tuning(tmp_path, server.uri) as running:
        wait_for(lambda: written(server.folder) >= 2)
        server.kill()
        wait_for(lambda: len(spooled(tmp_path)) >= 3)
        running.send_signal(signal.SIGTERM)
        _, words = running.communicate(timeout=25)
    assert running.returncode == 143, words
    assert "Traceback" not in words
    waiting = spooled(tmp_path)
    server.start()
    env = {"MLFLOW_TRACKING_URI": server.uri, "AUTOREG_STATE_DIR": str(tmp_path / "state")}
    before = written(server.folder)
    planned = autoreg(tmp_path, "reconcile", "cancer", "--dry-run", **env)
    assert planned.stdout.count("would write trial") == len(waiting)
    assert (written(server.folder), spooled(tmp_path)) == (before, waiting)
    done = autoreg(tmp_path, "reconcile", "study.toml", "--json", "-", **env)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["status"] == "reconciled"
    assert sum(line.startswith("wrote trial") for line in said["done"]) == len(waiting)
    assert any("KILLED" in line for line in said["done"])
    assert not any("RUNNING" in row for row in trials(server.folder))
    assert "nothing to do" in autoreg(tmp_path, "reconcile", "cancer", **env).stdout
    with tuning(tmp_path, server.uri, "--quiet") as running:
        _, words = running.communicate(timeout=200)
    assert running.returncode == 0, words
    same(tmp_path, server.folder, undisturbed)


class Cutting:
    """A proxy that passes connections on, and loses the server's answer to chosen requests."""

    def __init__(self, port, lose):
        self.target, self.lose, self.lost = port, lose, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        with near, socket.create_connection(("127.0.0.1", self.target)) as far, suppress(OSError):
            cut = [False]

            def back():
                with suppress(OSError):
                    while data := far.recv(65536):
                        if cut[0]:
                            near.shutdown(socket.SHUT_RDWR)  # the server has done it, and nobody hears
                            return
                        near.sendall(data)

            threading.Thread(target=back, daemon=True).start()
            while data := near.recv(65536):
                if data.startswith(b"POST") and self.lose(data):
                    cut[0] = True
                    self.lost += 1
                far.sendall(data)


@pytest.mark.full
def test_answers_to_runs_create_that_are_lost_leave_one_run_a_trial(tmp_path, server, undisturbed):
    created = [0]

    def lose(data):
        if b"/runs/create " not in data.split(b"\r\n", 1)[0]:
            return False
        created[0] += 1
        return created[0] in (3, 4, 5, 6, 9, 10)  # once all of the client's own tries in a row

    proxy = Cutting(server.port, lose)
    with tuning(tmp_path, f"http://127.0.0.1:{proxy.port}") as running:
        _, words = running.communicate(timeout=300)
    assert running.returncode == 0, words
    assert proxy.lost == 6
    assert written(server.folder) == TRIALS + proxy.lost  # deleted runs keep their tags
    same(tmp_path, server.folder, undisturbed)


@pytest.mark.full
def test_a_database_that_another_process_locks_for_30_seconds(tmp_path, migrated_store, undisturbed):
    place = tmp_path / "mlflow.db"
    place.write_bytes(migrated_store.read_bytes())
    code = (
        "import sqlite3, sys, time\n"
        "db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n"
        "db.execute('begin exclusive')\n"
        "time.sleep(30)\n"
        "db.execute('rollback')\n"
    )
    with tuning(tmp_path, f"sqlite:///{place}") as running:
        wait_for(lambda: written(tmp_path) >= 2)
        locking = subprocess.Popen([sys.executable, "-c", code, str(place)])
        _, words = running.communicate(timeout=300)
        assert locking.wait(60) == 0
    assert running.returncode == 0, words
    assert "Traceback" not in words
    assert "is away" in words
    same(tmp_path, tmp_path, undisturbed)


def _hanging():
    """A listening socket that never answers; the second drops connections, its backlog being full."""
    silent, full = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0), backlog=0)
    inside = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(full.getsockname())
        inside.append(one)
    return [silent, full, *inside]


def test_an_address_that_never_answers_is_given_up_in_20_seconds(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(trials=8))
    sockets = _hanging()
    for place in sockets[:2]:
        began = time.monotonic()
        done = autoreg(
            tmp_path,
            "tune",
            "study.toml",
            "--quiet",
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{place.getsockname()[1]}",
        )
        assert time.monotonic() - began < 20
        assert done.returncode == 75, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not list(Path(tmp_path).glob("*.db"))
    for each in sockets:
        each.close()
