"""What the search itself costs per trial: an executor that answers at once stands where the models would be fitted."""

import gc
import os
import time
from collections import deque

import numpy as np
import pandas as pd

from autoreg.executor import Done
from autoreg.ledger import History, MemoryLedger
from autoreg.planning import plan
from autoreg.racing import Judge
from autoreg.search import Arm, Search
from autoreg.space import Proposer, derive_seed
from autoreg.spec import parse_study
from autoreg.trial import Choice, Range, State, TrialResult

AT = (10, 100, 1000, 5000)
WINDOW = 48
"""Trials that a figure is the mean of: two rounds of three backends."""


def table(rows, columns):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    y = X[:, 0] - X[:, 1] * X[:, 2] + np.sin(2 * X[:, 3]) + rng.normal(size=rows) > 0
    return pd.DataFrame(X, columns=[f"c{i}" for i in range(columns)]).assign(y=y.astype(int))


def planned_study(data, backends, **search):
    study = {"name": "scaling", "data": {"source": "made", "target": "y"}}
    study["search"] = {"backends": list(backends), "timeout": "10h", **search}
    return plan(parse_study(study), data)


class Sham:
    """An executor that answers at once, or after so many seconds of computing: a bowl around the middle of the space.

    It computes products of square matrices of one ``size``, short calls that let go of the interpreter's lock.

    Losses, pruning (a trial worse than the backend's best by a wide margin is) and out-of-fold predictions are of
    the size and spread of a real study's.
    """

    workers = 1

    def __init__(self, planned, seconds=0.0, size=200):
        self.planned, self.seconds, self.queue = planned, seconds, deque()
        self.cpu, self.wall = 0.0, 0.0
        self.grist = np.random.default_rng(0).normal(size=(size, size))
        self.truth = planned.table.target

    def submit(self, work):
        self.queue.append(work)

    def wait(self):
        work, started = self.queue.popleft(), time.time()
        cpu, wall = time.thread_time(), time.perf_counter()
        results = [
            self.answer(work.backend, n, c.params) for n, c in zip(work.numbers, work.candidates, strict=True)
        ]
        while time.thread_time() - cpu < self.seconds * len(results):
            np.dot(self.grist, self.grist)
        self.cpu += time.thread_time() - cpu
        self.wall += time.perf_counter() - wall
        return Done(work, results, started, time.time())

    def answer(self, backend, number, params):
        rng = np.random.default_rng(derive_seed(backend, number))
        distance = self.distance(backend, params)
        signal = (self.truth - 0.5) * 0.5 / (1 + 0.3 * distance)
        p = np.clip(0.5 + signal + rng.normal(0, 0.3, len(self.truth)), 0.02, 0.98)
        folds = tuple(-np.log(np.where(self.truth == 1, p, 1 - p)).reshape(5, -1).mean(axis=1))
        pruned = distance > 0.4 and number % 2
        folds = folds[:2] if pruned else folds
        loss = float(np.mean(folds))
        return TrialResult(
            State.PRUNED if pruned else State.COMPLETE, params, {f"{backend}.{k}": v for k, v in params.items()},
            loss, 0.01, folds, 1 - loss, 0.01, 1 - loss, (50,) * 5, 100.0,
            np.stack([1 - p, p], axis=1).astype(np.float32),
            {"train_loss": np.linspace(1, loss, 100), "stop_loss": np.linspace(1, loss, 100)}, 0.1,
        )  # fmt: skip

    def distance(self, backend, params):
        places = []
        for name, d in self.planned.resolved[backend].searched.items():
            if isinstance(d, Choice):
                place = d.values.index(params[name]) if params[name] in d.values else 0
                places.append(place / max(1, len(d.values) - 1) - 0.5)
            elif isinstance(d, Range):
                value = max(float(params[name]), d.low)
                share = (
                    np.log(value / d.low) / np.log(d.high / d.low)
                    if d.log
                    else (value - d.low) / (d.high - d.low)
                )
                places.append(2 * (share - 0.4))
        return float(np.square(places).mean())

    def close(self):
        self.queue.clear()


class Clock:
    """A watch that notes processor and wall seconds, the executor's own taken out, as each trial is told."""

    def __init__(self, executor):
        self.executor, self.cpu, self.wall = executor, [], []
        self.began = time.perf_counter()

    def trial(self, record, replayed):
        self.cpu.append(time.thread_time() - self.executor.cpu)
        self.wall.append(time.perf_counter() - self.executor.wall)

    def say(self, message): ...


class Undecided(Judge):
    """Compares trials as usual, but never lets a backend leave the race: three are to stay."""

    def worse(self, mine, theirs, seed):
        return min(0.9, super().worse(mine, theirs, seed))


def searching(planned, executor, watch, ledger=None, history=None, time_left=lambda: 1e9):
    spec = planned.study.search
    arms = {
        name: Arm(b, Proposer(planned.resolved[name], spec.sampler, spec.seed, name))
        for name, b in planned.backends.items()
    }
    problem = planned.problem
    judge = Undecided(problem.table.task, problem.row_losses, problem.weight)
    return Search(
        spec,
        planned.block,
        arms,
        executor,
        ledger or MemoryLedger(),
        history or History(),
        time_left,
        watch,
        judge,
    )


def resident():
    """Resident memory of this process in bytes."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Forgetful(MemoryLedger):
    """Without tracking every trial's predictions stay in memory; here only what the search keeps itself does."""

    def record(self, record): ...

    def predictions(self, record):
        return record.result.predictions


def per_trial(seconds, at):
    """Mean milliseconds per trial over a window that begins at ``at`` (ends there, for the last)."""
    start = min(at, len(seconds) - 1 - WINDOW)
    return 1e3 * (seconds[start + WINDOW] - seconds[start]) / WINDOW


def overhead(trials, rows=5000, at=AT):
    """Print milliseconds per trial at several lengths of a study."""
    data = table(rows, 20)
    print(
        "driver: ask, tell, settle, referee and bookkeeping of one trial, tracking off; milliseconds of processor"
    )
    print(
        f"time (wall), means of {WINDOW} trials, {rows} rows; KB of memory kept per trial over the last half"
    )
    at = [a for a in at if a < trials] + [trials]
    print("sampler  backends " + "".join(f"{f'at {a}':>16}" for a in at) + "   1000 : 100      KB")
    for sampler in ("tpe", "random"):
        for backends in (("xgboost",), ("sklearn", "xgboost", "keras")):
            planned = planned_study(data, backends, sampler=sampler, trials=trials)
            executor = Sham(planned)
            clock = Clock(executor)
            memory = {}
            tell = clock.trial

            def noted(record, replayed, tell=tell, memory=memory):
                tell(record, replayed)
                if record.number in (trials // 2, trials - 1):
                    gc.collect()
                    memory[record.number] = resident()

            clock.trial = noted
            searching(planned, executor, clock, Forgetful()).run()
            cpu, wall = ([per_trial(x, a) for a in at] for x in (clock.cpu, clock.wall))
            growth = (
                per_trial(clock.cpu, 1000) / per_trial(clock.cpu, 100) if trials >= 1000 else float("nan")
            )
            kept = (memory[trials - 1] - memory[trials // 2]) / (trials - 1 - trials // 2) / 1024
            cells = "".join(f"{f'{c:.1f} ({w:.1f})':>16}" for c, w in zip(cpu, wall, strict=True))
            print(f"{sampler:8} {len(backends):8} {cells} {growth:11.2f}x {kept:7.1f}", flush=True)
