"""What tracking costs a search: the same trials without it, on SQLite, and over HTTP to a real server on this host."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from scaling_driver import Clock, Sham, planned_study, searching, table

from autoreg.backends.common import calm_algebra
from autoreg.executor import SerialExecutor
from autoreg.header import study_header
from autoreg.ledger import MemoryLedger, MlflowLedger

WARM = 8
"""Trials left out at the start: the first writing imports and connects."""


@contextmanager
def tracking_server(folder):
    """Address of an MLflow server of its own over a SQLite file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
    ]
    command += ["--artifacts-destination", f"{folder}/artifacts", "--port", str(port), "--workers", "1"]
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    with open(f"{folder}/server.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        else:
            raise SystemExit(Path(folder, "server.log").read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def queued():
    """Seconds that this thread has waited for a core which other work had."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def now(ledger):
    return time.perf_counter(), queued(), ledger.waited, time.process_time()


def sham(seconds, size):
    """Trials that compute for so long in products of square matrices."""
    return lambda planned: Sham(planned, seconds, size)


def real(planned):
    """Trials that fit models, in this process."""
    executor = SerialExecutor(planned.problem, planned.backends, lambda: True)
    executor.cpu = executor.wall = 0.0
    return executor


def timed(planned, make, ledger):
    """Seconds from the first trials to the last one written: wall, queued, waited for the ledger, processor."""
    history = ledger.begin(study_header(planned, True))
    executor = make(planned)
    clock = Clock(executor)
    marks = {}

    def trial(record, replayed, tell=clock.trial):
        tell(record, replayed)
        if record.number == WARM - 1:
            marks["start"] = now(ledger)

    clock.trial = trial
    with calm_algebra():
        searching(planned, executor, clock, ledger, history).run()
    return [b - a for a, b in zip(marks["start"], now(ledger), strict=True)]


def tracked(uri):
    os.environ["MLFLOW_TRACKING_URI"] = uri
    return MlflowLedger()


def compared(planned, make, folder, address):
    """By store, the mean of its runs: wall, queued, waited, processor."""
    runs = {"off": [timed(planned, make, MemoryLedger())]}
    for store, uri in (("sqlite", f"sqlite:///{folder}/mlflow.db"), ("http", address)):
        runs[store] = [timed(planned, make, tracked(uri))]
    runs["off"].append(timed(planned, make, MemoryLedger()))
    return {store: [sum(x) / len(x) for x in zip(*found, strict=True)] for store, found in runs.items()}


def shown(kind, trials, found):
    """Print one line a store."""
    off = found["off"][0] - found["off"][1]
    for store, (wall, queue, waited, cpu) in found.items():
        net, rest = wall - queue, 1e3 * (cpu - found["off"][3]) / (trials - WARM)
        print(
            f"{kind:26} {off / (trials - WARM):5.2f} s  {store:8} {wall:6.1f} s {queue:6.1f} s {net:6.1f} s "
            f"{100 * (net / off - 1):+11.1f} % {100 * waited / net:7.2f} % {rest:6.1f} ms",
            flush=True,
        )


REAL = {"sklearn": (60_000, 300, {}), "xgboost": (600, 300, {"xgboost": {"rounds": 25}})}
"""Backends whose trials fit in about 0.1 s: on so many rows, how many trials, and the settings for it."""


def tracking(cases=((0.1, 300), (1.0, 24)), sizes=(60, 400), rows=5000, fitted=REAL):
    """Print what tracking adds to the wall of a study, by the length of its trials and of the calls they are made of."""
    data = table(rows, 20)
    print(
        f"tracking: one process; a trial fits a model in five folds, or computes in products of square matrices ({rows}"
    )
    print(
        "rows); the first 8 trials left out. 'trial' is its mean length without tracking; 'queued' what the search"
    )
    print(
        "waited for a core that other work had, 'net' the wall without it, 'waited' what the ledger held it up (share"
    )
    print(
        "of net), 'more' the processor time of a trial, in all threads, beside that without tracking; off: mean of a"
    )
    print("run before and one after")
    print(
        "work                       trial    store       wall   queued      net     against off   waited    more"
    )
    with tempfile.TemporaryDirectory() as folder, tracking_server(folder) as address:
        for backend, (many, trials, given) in fitted.items():
            planned = planned_study(
                table(many, 20), [backend], trials=trials, sampler="random", prune=False, race=False, **given
            )
            shown(f"{backend}, {many} rows", trials, compared(planned, real, folder, address))
        for seconds, trials in cases:
            planned = planned_study(data, ["sklearn", "xgboost"], trials=trials)
            for size in sizes if seconds < 1 else sizes[:1]:
                found = compared(planned, sham(seconds, size), folder, address)
                shown(f"products of {size} x {size}", trials, found)
