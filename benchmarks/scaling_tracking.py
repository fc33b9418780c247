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


def timed(planned, seconds, size, ledger):
    """Seconds from the first trials to the last one written: wall, queued, waited for the ledger, processor."""
    history = ledger.begin(study_header(planned, True))
    executor = Sham(planned, seconds, size)
    clock = Clock(executor)
    marks = {}

    def trial(record, replayed, tell=clock.trial):
        tell(record, replayed)
        if record.number == WARM - 1:
            marks["start"] = now(ledger)

    clock.trial = trial
    searching(planned, executor, clock, ledger, history).run()
    return [b - a for a, b in zip(marks["start"], now(ledger), strict=True)]


def tracked(uri):
    os.environ["MLFLOW_TRACKING_URI"] = uri
    return MlflowLedger()


def tracking(cases=((0.1, 120), (1.0, 24)), sizes=(60, 400), rows=5000):
    """Print what tracking adds to the wall of a study, by the length of its trials and of the calls they are made of."""
    data = table(rows, 20)
    print(
        f"tracking: one process, {rows} rows; a trial computes for so long in products of square matrices, which let"
    )
    print(
        f"other threads run; the first {WARM} trials left out. 'queued' is what the search waited for a core that other"
    )
    print(
        "work had, 'net' the wall without it, 'waited' what the ledger held it up (share of net), 'rest' the processor"
    )
    print("time per trial beside the trial itself, in all threads; off: mean of a run before and one after")
    print("trial    matrix  store       wall   queued      net     against off   waited    rest")
    with tempfile.TemporaryDirectory() as folder, tracking_server(folder) as address:
        for seconds, trials in cases:
            for size in sizes if seconds < 1 else sizes[:1]:
                planned = planned_study(data, ["sklearn", "xgboost"], trials=trials)
                runs = {"off": [timed(planned, seconds, size, MemoryLedger())]}
                for store, uri in (("sqlite", f"sqlite:///{folder}/mlflow.db"), ("http", address)):
                    runs[store] = [timed(planned, seconds, size, tracked(uri))]
                runs["off"].append(timed(planned, seconds, size, MemoryLedger()))
                mean = {
                    store: [sum(x) / len(x) for x in zip(*found, strict=True)]
                    for store, found in runs.items()
                }
                for store, (wall, queue, waited, cpu) in mean.items():
                    net, rest = wall - queue, 1e3 * (cpu / (trials - WARM) - seconds)
                    more = 100 * (net / (mean["off"][0] - mean["off"][1]) - 1)
                    print(
                        f"{seconds:4.1f} s {size:8}  {store:8} {wall:6.1f} s {queue:6.1f} s {net:6.1f} s "
                        f"{more:+11.1f} % {100 * waited / net:7.2f} % {rest:6.1f} ms",
                        flush=True,
                    )
