"""Two workers on this host against one process with one thread: the same trials, how much sooner.

    python benchmarks/scaling.py [--workers 2] [--rows 5000] [--columns 20] [--trials 24]

Every backend's trials are random configurations of its built-in space (200 rounds at most) on a made table, five folds. "start" is the time from
the first task to the first result of a trivial one in every worker (interpreter, imports, data); the batch is timed after
it, so that a long study's speed-up is seen. The serial side runs with one thread, as each worker of as many as there are
cores does. Results must be equal, or the script ends with an error.
"""

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd

from autoreg.evaluation import Candidate
from autoreg.executor import SerialExecutor, Work, WorkerPool
from autoreg.executor.workers import cores
from autoreg.planning import plan
from autoreg.space import Proposer
from autoreg.spec import parse_study

TIMES = {"sklearn": 20, "xgboost": 1}
"""Linear trials are so short that more of them are needed to time anything."""


def table(rows, columns):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    y = X[:, 0] - X[:, 1] * X[:, 2] + np.sin(2 * X[:, 3]) + rng.normal(size=rows) > 0
    return pd.DataFrame(X, columns=[f"c{i}" for i in range(columns)]).assign(y=y.astype(int))


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("workers", 2), ("rows", 5000), ("columns", 20), ("trials", 24)):
        parser.add_argument(f"--{option}", type=int, default=default)
    given = parser.parse_args()
    study = {"name": "scaling", "data": {"source": "made", "target": "y"}}
    study["search"] = {"backends": ["sklearn", "xgboost"], "xgboost": {"rounds": 200}}
    planned = plan(parse_study(study), table(given.rows, given.columns))
    print(
        f"{cores()} cores, load {os.getloadavg()[0]:.1f} before the start; {given.rows} rows x {given.columns}"
    )
    print("backend  start  one process  workers  speed-up")
    for name, backend in planned.backends.items():
        works = tasks(planned, name, given.trials * TIMES[name])
        serial = SerialExecutor(planned.problem, {name: backend}, lambda: True)
        pool = WorkerPool(planned.problem, {name: backend}, lambda: True, given.workers)
        try:
            started = start(pool, works[0])
            run(serial, works[:1])
            alone, losses = run(serial, works)
            together, again = run(pool, works)
        finally:
            pool.close()
        if losses != again:
            raise SystemExit(f"{name}: the workers' losses differ")
        print(
            f"{name:8} {started:4.1f} s {alone:9.1f} s {together:7.1f} s {alone / together:7.2f}x", flush=True
        )


if __name__ == "__main__":
    main()
