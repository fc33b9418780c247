"""Two workers on this host against one process with one thread: the same trials, how much sooner; and their start."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec

from scaling_driver import planned_study, table

from autoreg.evaluation import Candidate
from autoreg.executor import SerialExecutor, Work, WorkerPool
from autoreg.interpreter import cores
from autoreg.space import Proposer

TIMES = {"sklearn": 20, "xgboost": 1}
"""Linear trials are so short that more of them are needed to time anything."""


def tasks(planned, name, trials):
    proposer = Proposer(planned.resolved[name], "random", 0, name)
    asked = [proposer.ask(n, None, {}) for n in range(trials)]
    return [Work((n,), name, (Candidate(a.params, n),)) for n, a in enumerate(asked)]


def run(executor, works):
    """Seconds for all tasks, and the losses by trial."""
    began = time.perf_counter()
    for work in works:
        executor.submit(work)
    done = [executor.wait() for _ in works]
    return time.perf_counter() - began, {d.work.numbers: d.results[0].fold_losses for d in done}


def start(pool, work):
    """Seconds until every worker has given a result."""
    began = time.perf_counter()
    while len(pool.crew) < pool.workers or not all(worker.known for worker in pool.crew):
        run(pool, [work] * pool.workers)
    return time.perf_counter() - began


def load():
    return f"load {os.getloadavg()[0]:.1f}"


@contextmanager
def burners(count):
    """So many processes that do nothing but keep a core busy."""
    crew = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in crew:
            process.kill()
            process.wait()


def compared(planned, name, trials, workers):
    """Seconds: start of the workers, serial run, workers' run. The losses must be the same."""
    works, backends = tasks(planned, name, trials * TIMES[name]), {name: planned.backends[name]}
    serial = SerialExecutor(planned.problem, backends, lambda: True)
    pool = WorkerPool(planned.problem, backends, lambda: True, workers)
    try:
        started = start(pool, works[0])
        run(serial, works[:1])
        alone, losses = run(serial, works)
        together, again = run(pool, works)
    finally:
        pool.close()
    if losses != again:
        raise SystemExit(f"{name}: the workers' losses differ")
    return started, alone, together


def small_study(rows, columns=20):
    return planned_study(table(rows, columns), ["sklearn", "xgboost"], xgboost={"rounds": 200})


def workers(trials=24, count=2, rows=5000):
    """Print the speed-up of worker processes over one process with one thread."""
    planned = small_study(rows)
    print(
        f"workers: {count} with one thread each against one process with one thread; {cores()} cores, {rows} rows"
    )
    print("backend  start  one process  workers  speed-up  load before, after")
    for name in planned.backends:
        before = load()
        started, alone, together = compared(planned, name, trials, count)
        print(
            f"{name:8} {started:4.1f} s {alone:9.1f} s {together:7.1f} s {alone / together:8.2f}x  {before}, {load()}",
            flush=True,
        )


def busy(trials=12, count=2, rows=5000):
    """Print how long worker processes take where every core has other work as well."""
    planned = small_study(rows)
    print(
        f"busy: the same beside {cores()} processes of our own that keep the cores busy; at most 2x is wanted"
    )
    print("backend  one process  workers  workers : one process  load before, after")
    for name in planned.backends:
        before = load()
        with burners(cores()):
            _, alone, together = compared(planned, name, trials, count)
        ratio = together / alone
        words = "" if ratio <= 2 else "  TOO SLOW"
        print(
            f"{name:8} {alone:9.1f} s {together:7.1f} s {ratio:20.2f}x  {before}, {load()}{words}", flush=True
        )


def engines(count=2, rows=5000):
    """Print how long each engine takes until every worker has given a first result."""
    planned = planned_study(table(rows, 20), ["sklearn"])
    planned.problem.folds(planned.backends["sklearn"].encoding)
    work = tasks(planned, "sklearn", 1)[0]
    print(f"start: seconds to the first results of a trivial trial, {count} workers; {load()}")
    began = time.perf_counter()
    run(SerialExecutor(planned.problem, planned.backends, lambda: True), [work])
    print(f"serial     {time.perf_counter() - began:5.1f} s", flush=True)
    pool = WorkerPool(planned.problem, planned.backends, lambda: True, count)
    try:
        print(f"processes  {start(pool, work):5.1f} s", flush=True)
    finally:
        pool.close()
    if find_spec("distributed") is None or find_spec("autoreg.executor.engine") is None:
        print("dask       not installed")
        return
    from autoreg.executor.engine import Engine

    began = time.perf_counter()
    with Engine("dask", count) as engine:
        executor = engine.executor(planned.study, planned.problem, planned.backends, lambda: True)
        run(executor, [work] * count)
        print(f"dask       {time.perf_counter() - began:5.1f} s", flush=True)
        executor.close()
