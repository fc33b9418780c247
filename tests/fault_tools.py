"""Drivers to break, tracking stores, and what must hold of a store afterwards."""

import atexit
import json
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import fault_child
import psutil

HERE = Path(__file__).parent
PRELOADED = [
    "mlflow",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "optuna",
    "sklearn.linear_model",
    "matplotlib.figure",
]
PRELOADED += ["pyarrow", "autoreg.cli", "autoreg.tuner", "autoreg.registry", "autoreg.backends.linear"]
STUDY = """
name = "faults"
[data]
source = "sklearn:load_iris"
target = "target"
[split]
folds = 3
[search]
backends = {backends}
trials = {trials}
block = 4
lookahead = 6
seed = 3
[search.xgboost]
rounds = 15
[search.keras]
epochs = 4
hidden = "8"
"""


TRIALS = (
    "select count(*) from tags t join tags s on t.run_uuid = s.run_uuid "
    "where t.key = 'autoreg.trial' and s.key = 'autoreg.study' and s.value = :name"
)


def study(trials, backends=("sklearn",)):
    """A quick study file."""
    return STUDY.format(trials=trials, backends=json.dumps(list(backends)))


def until(condition, seconds=120.0, pause=0.02):
    """Wait for something to hold; False where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


# -- drivers ---------------------------------------------------------------------------------------------------


@cache
def nursery():
    """Forks drivers from a process that has imported the libraries: .2 s of a core for a start instead of 6."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


@cache
def _state():
    """Where drivers keep what they could not write to a store yet: not where the user's own do."""
    place = tempfile.mkdtemp(prefix="faults-state-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


class Driver:
    """A running ``autoreg`` command.

    ``cold`` starts a fresh interpreter; else the process is forked from one that has the libraries imported. The rest
    (``step``, ``backend``, ``beside``, ``file_size``) is what ``fault_child.run`` does to it.
    """

    def __init__(self, folder, *argv, cold=False, env=None, **trouble):
        folder = Path(folder)
        number = len(list(folder.glob("*.err")))
        self.out, self.err = folder / f"{number}.out", folder / f"{number}.err"
        self.err.touch()
        given = {"AUTOREG_STATE_DIR": _state(), **{k: str(v) for k, v in (env or {}).items()}}
        self.spec = {"argv": [str(a) for a in argv], "cwd": str(folder), "env": given}
        self.spec |= {"out": str(self.out), "err": str(self.err), **trouble}
        self.began = time.monotonic()
        self.cold = cold
        if cold:
            place = folder / f"{number}.spec"
            place.write_text(json.dumps(self.spec))
            command = [sys.executable, str(HERE / "fault_child.py"), str(place)]
            self.process = subprocess.Popen(command, env={**os.environ, **given}, stdin=subprocess.DEVNULL)
        else:
            self.process = nursery().Process(target=fault_child.run, args=(self.spec,))
            self.process.start()
        self.pid = self.process.pid

    @property
    def code(self):
        """Exit code, negative for a signal; None while it runs."""
        return self.process.poll() if self.cold else self.process.exitcode

    def wait(self, seconds=300.0):
        """The exit code; a driver that does not end in time is killed, and that is an error."""
        if not until(lambda: self.code is not None, seconds):
            self.kill()
            raise TimeoutError(f"the driver did not end within {seconds:g} s: {self.words()}")
        return self.code

    def send(self, signum):
        """Send a signal, unless the process has ended."""
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill(self):
        """Kill -9; whether it was still running."""
        self.send(signal.SIGKILL)
        until(lambda: self.code is not None, 20)
        return self.code == -signal.SIGKILL

    def words(self):
        """What it said."""
        return self.err.read_text(errors="replace").strip()

    def result(self):
        """The JSON object it printed."""
        return json.loads(self.out.read_text())


def writing_for(driver):
    """The process that writes trials' runs for a driver, if it has one."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(driver.pid).children():
            if "autoreg.ledger.beside" in child.cmdline():
                return child
    return None


# -- stores ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """A study in a tracking store: what a driver is given (``uri``), the database behind it, the study's name."""

    uri: str
    database: str
    name: str = "faults"

    @property
    def env(self):
        """Environment that points a driver to it."""
        return {"MLFLOW_TRACKING_URI": self.uri}

    def count(self):
        """Number of the study's trials, read beside MLflow; 0 where the database cannot be read."""
        import sqlalchemy as sa

        engine = sa.create_engine(self.database, poolclass=sa.NullPool)
        try:
            with engine.connect() as connection:
                return connection.execute(sa.text(TRIALS), {"name": self.name}).scalar()
        except sa.exc.SQLAlchemyError:
            return 0

    def client(self):
        """An MLflow client on it."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return MlflowClient(self.uri)


@cache
def empty_database():
    """An empty store, migrated once."""
    place = Path(tempfile.mkdtemp(prefix="faults-store-")) / "mlflow.db"
    atexit.register(shutil.rmtree, place.parent, ignore_errors=True)
    Store(f"sqlite:///{place}", "").client().search_experiments()
    return place


# -- the invariant ---------------------------------------------------------------------------------------------


@dataclass
class Account:
    """What a store holds of the study, read back from it alone."""

    parents: list = field(default_factory=list)
    trials: list = field(default_factory=list)
    uids: list = field(default_factory=list)
    status: dict = field(default_factory=dict)
    versions: list = field(default_factory=list)
    alias: str = ""
    winner: dict = field(default_factory=dict)


def account(store):
    """Read what a store holds of its study."""
    from autoreg.ledger.client import read_result

    client, found, name = store.client(), Account(), store.name
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return found
    for run in client.search_runs([experiment.experiment_id], max_results=5000):
        tags = run.data.tags
        found.status[run.info.run_id] = run.info.status
        if tags.get("autoreg.role") == "study":
            found.parents.append(run.info.run_id)
            if "autoreg.finished" in tags:
                found.winner = read_result(client, run.info.run_id)
        if "autoreg.trial" in tags:
            found.uids.append(tags.get("autoreg.uid"))
            number, metrics = int(tags["autoreg.trial"]), run.data.metrics
            loss = metrics.get("loss", metrics.get("pruned_loss"))
            row = (number, tags["autoreg.backend"], tags["autoreg.state"], run.data.params, loss)
            found.trials.append(row)
    found.trials.sort(key=lambda row: row[0])
    found.versions = list(client.search_model_versions(f"name = '{name}'"))
    if found.versions:
        found.alias = str(client.get_registered_model(name).aliases.get("champion", ""))
    return found


def broken(store, whole):
    """What of the invariant does not hold, in words; ``whole`` is the account of the undisturbed study."""
    found, wrong = account(store), []
    numbers = [row[0] for row in found.trials]
    if numbers != [row[0] for row in whole.trials]:
        wrong.append(f"{len(numbers)} trials recorded, {len(whole.trials)} expected")
    if len(set(found.uids)) != len(found.uids):
        wrong.append("a uid twice")
    running = sum(status == "RUNNING" for status in found.status.values())
    if running:
        wrong.append(f"{running} runs RUNNING")
    if found.trials != whole.trials:
        wrong.append("trials differ from the undisturbed study's")
    if len(found.parents) != 1:
        wrong.append(f"{len(found.parents)} parent runs")
    for key in ("best", "estimate"):
        if found.winner.get(key) != whole.winner.get(key):
            wrong.append(f"another {key} on reading back")
    versions = [int(v.version) for v in found.versions]
    if versions != [1] or found.alias != "1":
        wrong.append(f"versions {versions}, alias on '{found.alias}'")
    return wrong


class Lab:
    """Folders, stores and undisturbed studies, all gone at the end."""

    def __init__(self):
        self.stack = ExitStack()
        self.root = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        self.wholes, self.served = {}, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def folder(self, text=""):
        """A new folder, with a study file."""
        place = Path(tempfile.mkdtemp(dir=self.root))
        place.chmod(0o755)
        if text:
            (place / "study.toml").write_text(text)
        return place

    def local(self, folder):
        """A SQLite store in a folder."""
        shutil.copy(empty_database(), folder / "mlflow.db")
        return Store(f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/mlflow.db")

    def whole(self, text):
        """The account of a study that nothing happened to."""
        if text not in self.wholes:
            folder = self.folder(text)
            store = self.local(folder)
            driver = Driver(folder, "tune", "study.toml", "--quiet", env=store.env)
            if driver.wait() != 0:
                raise RuntimeError(f"the undisturbed study failed: {driver.words()}")
            self.wholes[text] = account(store)
            wrong = broken(store, self.wholes[text])
            if wrong:
                raise RuntimeError(f"the undisturbed study is not whole: {wrong}")
        return self.wholes[text]

    def enter(self, context):
        """Something that is closed at the end."""
        return self.stack.enter_context(context)
