"""Several worker processes on this host, supervised: one that dies costs its task one attempt and is replaced.

A worker is a fresh interpreter, never a fork: a fork of a process that has used XGBoost, TensorFlow or OpenMP hangs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import IO

from autoreg.backends import Backend
from autoreg.errors import AutoregError, UsageError
from autoreg.evaluation import Problem
from autoreg.executor.tasks import Done, Work
from autoreg.executor.worker import Packed, pack
from autoreg.trial import OutOfTime, State, TrialResult

ATTEMPTS = 4
"""Workers that a task may cost before it is given up."""
PULSE = 0.2
"""Seconds between two looks at the clock."""
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from autoreg.executor.worker import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]))"
)


def cores() -> int:
    """Processor cores open to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(n_jobs: int) -> int:
    """How many trials are to run at a time; -1 asks for one on every core.

    Raises
    ------
    UsageError
        0, or below -1.
    """
    if n_jobs == -1:
        return cores()
    if n_jobs < 1:
        raise UsageError(f"n_jobs: expected 1 or more, or -1 for one on every core; found {n_jobs}")
    return n_jobs


def worker_environment(workers: int, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of one of so many workers: each gets its share of the cores, and no more than the user grants."""
    environment = dict(os.environ if given is None else given)
    share = max(1, cores() // workers)
    for name in THREADS:
        granted = environment.get(name, "")
        limit = int(granted) if granted.isdigit() and int(granted) > 0 else share
        environment[name] = str(min(limit, share))
    return environment


class WorkerTraceback(Exception):
    """Where in a worker an exception came from, in words."""

    def __str__(self) -> str:
        return f"\n\nin a worker process:\n{self.args[0]}"


@dataclass
class _Task:
    work: Work
    deaths: int = 0
    started: float = 0.0
    clock: float = 0.0


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    channel: Connection
    ready: bool = False
    task: _Task | None = None
    known: set[str] = field(default_factory=set)

    def end(self) -> int:
        """Kill the process; its exit code."""
        self.channel.close()
        self.process.kill()
        return self.process.wait()


class WorkerPool:
    """Runs tasks in worker processes on this host. See ``Executor``.

    Workers start when there is work for them. A task whose worker dies (out of memory, a crash in a library) is given
    to another one; after four deaths its trials are failed and the study goes on.

    Parameters
    ----------
    problem : Problem
    backends : mapping of str to Backend
    in_time : callable
        False when the deadline has passed: then tasks under way are given up.
    workers : int
        Processes at a time, at least 1.
    """

    def __init__(
        self,
        problem: Problem,
        backends: Mapping[str, Backend],
        in_time: Callable[[], bool],
        workers: int,
    ) -> None:
        self.problem, self.backends, self.in_time, self.workers = problem, backends, in_time, workers
        self.crew: list[_Worker] = []
        self.queue: deque[_Task] = deque()
        self.finished: deque[Done] = deque()
        self._data: IO[bytes] | None = None
        self._packed: Packed | None = None
        self._idle_deaths = 0

    def submit(self, work: Work) -> None:
        """See ``Executor``."""
        self.queue.append(_Task(work))
        self._assign()

    def wait(self) -> Done:
        """See ``Executor``.

        Raises
        ------
        OutOfTime
            The deadline passed.
        AutoregError
            Workers die before they have done anything.
        """
        while not self.finished:
            if not self.in_time():
                raise OutOfTime
            self._assign()
            if not self.crew:
                raise RuntimeError("nothing was submitted that could be waited for")
            for channel in wait([worker.channel for worker in self.crew], PULSE):
                self._hear(next(worker for worker in self.crew if worker.channel is channel))
        return self.finished.popleft()

    def close(self) -> None:
        """See ``Executor``. Ends all workers, whatever they do."""
        self.queue.clear()
        while self.crew:
            self.crew[-1].end()
            self.crew.pop()
        if self._data is not None:
            self._data.close()
            self._data = None

    # -- tasks to workers --------------------------------------------------------------------------------------

    def _assign(self) -> None:
        """Give queued tasks to idle workers, and start as many more as have work."""
        while self.queue:
            task = self.queue[0]
            idle = [worker for worker in self.crew if worker.ready and worker.task is None]
            if not idle:
                break
            # One that has imported the backend's library already, where there is one.
            worker = max(idle, key=lambda w: task.work.backend in w.known)
            try:
                worker.channel.send(task.work)
            except OSError:
                self._bury(worker)
                continue
            worker.task = self.queue.popleft()
            worker.known.add(task.work.backend)
            task.started, task.clock = time.time(), time.monotonic()
        starting = sum(not worker.ready for worker in self.crew)
        for _ in range(min(self.workers - len(self.crew), len(self.queue) - starting)):
            self._start()

    def _start(self) -> None:
        """Start a worker; it says when it is ready."""
        if self._data is None or self._packed is None:
            self._data = tempfile.TemporaryFile()  # noqa: SIM115, closed with the pool
            self._packed = pack(self.problem, self.backends, self._data)
        ours, theirs = Pipe()
        data = self._data.fileno()
        paths = json.dumps([place for place in sys.path if isinstance(place, str)])
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", BOOT, paths, str(theirs.fileno()), str(data)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # stdout is kept for data
                env=worker_environment(self.workers),
                pass_fds=(theirs.fileno(), data),
                start_new_session=True,  # Ctrl-C is the driver's to handle
            )
        worker = _Worker(process, ours)
        self.crew.append(worker)
        try:
            ours.send(self._packed)
        except OSError:
            self._bury(worker)

    # -- workers to results ------------------------------------------------------------------------------------

    def _hear(self, worker: _Worker) -> None:
        """Take in what a worker says; its end of the line closes when it dies."""
        try:
            kind, content = worker.channel.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if kind == "ready":
            worker.ready = True
            return
        task, worker.task = worker.task, None
        if kind == "error" or task is None:
            error, where = content
            raise error from WorkerTraceback(where)
        results, started, ended = content
        self._idle_deaths = 0
        self.finished.append(Done(task.work, results, started, ended))

    def _bury(self, worker: _Worker) -> None:
        """Replace a dead worker; its task is tried again, or failed when it has cost enough of them."""
        how = _ending(worker.end())
        self.crew.remove(worker)
        task = worker.task
        if task is None:
            self._idle_deaths += 1
            if self._idle_deaths >= ATTEMPTS:
                raise AutoregError(
                    f"worker processes cannot run: {ATTEMPTS} of them ended before their first task, the last one "
                    f"{how}; see the lines above, or run with n_jobs = 1"
                )
            return
        task.deaths += 1
        if task.deaths < ATTEMPTS:
            self.queue.appendleft(task)
            return
        reason = f"its worker process died {task.deaths} times, the last time {how}"
        results = [TrialResult(State.FAILED, dict(c.params), reason=reason) for c in task.work.candidates]
        self.finished.append(
            Done(task.work, results, task.started, task.started + time.monotonic() - task.clock)
        )


def _ending(code: int) -> str:
    """An exit code in words. A process that still ran was killed because it had hung up."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
