"""Where a soak runs, and what is left there after a study: runs, versions, files, processes."""

import os
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MARK = "SOAK_FOLDER"
"""Environment variable by which the soak's own processes are told from all others."""
SHARED = Path("/dev/shm")
MB = 2**20
RUNS = """
select r.run_uuid, r.status, parent.value, uid.value, finished.value from runs r
left join tags parent on parent.run_uuid = r.run_uuid and parent.key = 'mlflow.parentRunId'
left join tags uid on uid.run_uuid = r.run_uuid and uid.key = 'autoreg.uid'
left join tags finished on finished.run_uuid = r.run_uuid and finished.key = 'autoreg.finished'
where r.lifecycle_stage = 'active'
"""
VERSIONS = "select run_id, count(*) from model_versions group by run_id"
NAMED = """
select count(*) from tags role join tags study on role.run_uuid = study.run_uuid
where role.key = 'autoreg.role' and role.value = 'study' and study.key = 'autoreg.study' and study.value = ?
"""


@dataclass
class Runs:
    """What the store holds of all studies, deleted runs left out."""

    states: Counter = field(default_factory=Counter)
    trials: dict = field(default_factory=dict)
    finished: list = field(default_factory=list)
    unfinished: list = field(default_factory=list)
    doubles: int = 0
    versions: dict = field(default_factory=dict)
    models: int = 0

    @property
    def cells(self):
        """As cells of a row."""
        kept = {name.lower(): self.states[name] for name in ("RUNNING", "FINISHED", "FAILED", "KILLED")}
        kept |= {"finished_studies": len(self.finished), "unfinished_studies": len(self.unfinished)}
        return kept | {
            "doubles": self.doubles,
            "versions": sum(self.versions.values()),
            "logged_models": self.models,
        }

    def wrong(self, run_id, trials):
        """What does not hold once a study has ended and nothing runs; ``run_id`` is its own run."""
        found = [f"{self.states['RUNNING']} runs RUNNING"] if self.states["RUNNING"] else []
        if self.doubles:
            found.append(f"{self.doubles} trials twice")
        if self.unfinished:
            found.append(f"{len(self.unfinished)} studies without an end")
        if sorted(self.finished) != sorted(self.versions) or set(self.versions.values()) - {1}:
            found.append(f"{sum(self.versions.values())} versions of {len(self.finished)} finished studies")
        if run_id not in self.finished:
            found.append(f"its run '{run_id}' is not finished")
        if self.trials.get(run_id) != trials:
            found.append(f"{self.trials.get(run_id)} trials, {trials} expected")
        return found


class Place:
    """Folders of a soak: work (table, store, artifacts), state (spools), tmp (temporary files)."""

    def __init__(self, root):
        self.root = Path(root).resolve()
        self.work, self.state, self.tmp = (self.root / name for name in ("work", "state", "tmp"))
        for folder in (self.work, self.state, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)
        self.database = self.work / "mlflow.db"
        self.shared = set(self._shared())

    @property
    def env(self):
        """The environment of its processes."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "AUTOREG_"))}
        own = {
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.database}", "MLFLOW_DISABLE_TELEMETRY": "true",
            "XDG_STATE_HOME": self.state, "TMPDIR": self.tmp, MARK: self.root,
            "OMP_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1, "TF_CPP_MIN_LOG_LEVEL": 3,
        }  # fmt: skip
        return kept | {name: str(value) for name, value in own.items()}

    # -- the store -----------------------------------------------------------------------------------------------

    def runs(self):
        """Runs and versions, read beside MLflow, which would be slower than the studies in the end."""
        found, uids = Runs(), Counter()
        if not self.database.exists():
            return found
        with self._store() as store:
            for run_id, status, parent, uid, finished in store.execute(RUNS):
                found.states[status] += 1
                if uid is not None:
                    uids[uid] += 1
                    found.trials[parent] = found.trials.get(parent, 0) + 1
                else:
                    (found.unfinished if finished is None else found.finished).append(run_id)
            found.versions = dict(store.execute(VERSIONS))
            found.models = store.execute("select count(*) from logged_models").fetchone()[0]
        found.doubles = sum(count - 1 for count in uids.values())
        return found

    def studies_of(self, name):
        """How many runs of studies of that name there are."""
        if not self.database.exists():
            return 0
        with self._store() as store:
            return store.execute(NAMED, (name,)).fetchone()[0]

    def _store(self):
        return closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30))

    # -- files and processes -------------------------------------------------------------------------------------

    @property
    def disk(self):
        """What lies on the disk, as cells of a row."""
        store = sum(place.stat().st_size for place in self.work.glob("mlflow.db*"))
        spools = _files(self.state)
        locks = [f for f in _files(self.tmp) if f.suffix == ".lock"]
        own = set(self._shared()) - self.shared
        return {
            "store_mb": round(store / MB, 3), "artifacts_mb": round(_size(self.work / "mlruns") / MB, 3),
            "spools": len(spools), "spool_kb": round(sum(f.stat().st_size for f in spools) / 1024, 1),
            "temporary": len([f for f in self.tmp.iterdir() if "locks" not in f.name]), "locks": len(locks),
            "shared_memory": len(own),
        }  # fmt: skip

    def _shared(self):
        """Names of this user's pieces of shared memory."""
        for place in SHARED.iterdir() if SHARED.is_dir() else ():
            with suppress(OSError):
                if place.stat().st_uid == os.getuid():
                    yield place.name

    def processes(self, but=()):
        """The soak's processes that are there, but for some."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid not in but and process.environ().get(MARK) == str(self.root):
                    found.append(process)
        return found


def _files(folder):
    return [place for place in folder.rglob("*") if place.is_file()]


def _size(folder):
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total
