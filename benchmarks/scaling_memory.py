"""How much memory a driver, or a worker process, keeps per trial of a real study."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
from scaling_driver import planned_study, resident, searching, table

from autoreg.executor import SerialExecutor, WorkerPool
from autoreg.header import study_header
from autoreg.ledger import MlflowLedger

WARM = 100


class Scale:
    """A watch that notes how much memory the driver and its workers have, trial by trial."""

    def __init__(self, crew):
        self.crew, self.driver, self.workers = crew, [], []

    def trial(self, record, replayed):
        if record.number % 10 == 0:
            gc.collect()
        self.driver.append(resident())
        self.workers.append([_resident(worker.process.pid) for worker in self.crew])

    def say(self, message):
        print(f"  {message}", flush=True)


def _resident(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def slope(values):
    """KB per trial after the warm-up, by least squares, and the last third's."""
    found = []
    for start in (WARM, len(values) - (len(values) - WARM) // 3):
        y = np.asarray(values[start:], float) / 1024
        found.append(np.polyfit(np.arange(len(y)), y, 1)[0])
    return found


def memory(trials=500, rows=300):
    """Print the slope of resident memory over the trials of a small study with all three backends."""
    print(
        f"memory: {trials} trials of sklearn, xgboost and keras on {rows} rows, tracked on SQLite; MB after the warm-up"
    )
    print(f"of {WARM} trials and at the end, KB per trial between them and over the last third")
    small = {"xgboost": {"rounds": 30}, "keras": {"epochs": 10, "hidden": "16"}, "race": False}
    for jobs in (2, 1):  # the driver of workers first: it has not trained anything itself yet
        planned = planned_study(table(rows, 6), ["sklearn", "xgboost", "keras"], trials=trials, **small)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
            ledger = MlflowLedger()
            history = ledger.begin(study_header(planned, True))
            if jobs == 1:
                executor, crew = SerialExecutor(planned.problem, planned.backends, lambda: True), []
            else:
                executor = WorkerPool(planned.problem, planned.backends, lambda: True, jobs)
                crew = executor.crew
            scale = Scale(crew)
            searching(planned, executor, scale, ledger, history).run()
        line(f"driver, {jobs} process{'es' * (jobs > 1)}", scale.driver)
        for i in range(jobs if jobs > 1 else 0):
            line(f"worker {i + 1}", [w[i] if i < len(w) else 0 for w in scale.workers])


def line(name, values):
    whole, late = slope(values)
    print(
        f"{name:20} {values[WARM] / 2**20:7.0f} {values[-1] / 2**20:7.0f} MB {whole:8.1f} {late:8.1f} KB",
        flush=True,
    )
