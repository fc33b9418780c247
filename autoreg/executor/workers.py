"""Several worker processes on this host, supervised: one that dies costs its task one attempt and is replaced."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import wait

from autoreg.backends import Backend
from autoreg.errors import AutoregError
from autoreg.evaluation import Problem
from autoreg.executor.process import (
    THREADS,
    WorkerProcess,
    ending,
    worker_count,
    worker_environment,
)
from autoreg.executor.tasks import Done, Task, Work, WorkerTraceback, overdue
from autoreg.executor.worker import Parcel, parcel
from autoreg.trial import OutOfTime

__all__ = ["THREADS", "Crew", "WorkerPool", "worker_count", "worker_environment"]

ATTEMPTS = 4
"""Workers that a task may cost before it is given up."""
PULSE = 0.2
"""Seconds between two looks at the clock."""


class Crew:
    """Runs tasks in worker processes on this host. See ``Executor``.

    Workers start when there is work for them. A task whose worker dies (out of memory, a crash in a library) is given
    to another one; after four deaths its trials are failed and the study goes on. So it does when a task takes longer
    than its limit: its worker is killed and replaced.

    Parameters
    ----------
    load : callable
        Gives the problem, packed, when the first worker starts; its file is closed with the crew.
    environment : mapping of str to str
        That of the workers, with the threads each may use.
    in_time : callable
        False when the deadline has passed: then tasks under way are given up.
    workers : int
        Processes at a time, at least 1.
    limit : float or None
        Seconds that one trial may take; a task of several gets as many times that.
    """

    def __init__(
        self,
        load: Callable[[], Parcel],
        environment: Mapping[str, str],
        in_time: Callable[[], bool],
        workers: int,
        limit: float | None = None,
    ) -> None:
        self.load, self.environment, self.in_time = load, environment, in_time
        self.workers, self.limit = workers, limit
        self.crew: list[WorkerProcess] = []
        self.queue: deque[Task] = deque()
        self.finished: deque[Done] = deque()
        self._parcel: Parcel | None = None
        self._idle_deaths = 0

    def submit(self, work: Work) -> None:
        """See ``Executor``."""
        self.queue.append(Task(work))
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
            self._listen(PULSE)
        return self.finished.popleft()

    def drain(self, seconds: float) -> list[Done]:
        """See ``Executor``."""
        until = time.monotonic() + seconds
        self.queue.clear()
        for worker in [w for w in self.crew if w.torn or w.task is None]:
            worker.end()
            self.crew.remove(worker)
        while any(worker.task for worker in self.crew) and time.monotonic() < until:
            self._listen(min(PULSE, max(0.0, until - time.monotonic())))
        done = list(self.finished)
        self.finished.clear()
        return done

    def close(self) -> None:
        """See ``Executor``. Ends all workers, whatever they do."""
        self.queue.clear()
        while self.crew:
            self.crew[-1].end()
            self.crew.pop()
        if self._parcel is not None:
            self._parcel.file.close()
            self._parcel = None

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
                with _whole(worker):
                    worker.channel.send(task.work)
            except OSError:
                self._bury(worker)
                continue
            worker.task = self.queue.popleft()
            worker.known.add(task.work.backend)
            task.begin()
        starting = sum(not worker.ready for worker in self.crew)
        for _ in range(min(self.workers - len(self.crew), len(self.queue) - starting)):
            self._start()

    def _start(self) -> None:
        """Start a worker; it says when it is ready."""
        if self._parcel is None:
            self._parcel = self.load()
        worker = WorkerProcess.start(self._parcel, self.environment)
        self.crew.append(worker)
        try:
            with _whole(worker):
                worker.channel.send(self._parcel.packed)
        except OSError:
            self._bury(worker)

    # -- workers to results ------------------------------------------------------------------------------------

    def _listen(self, seconds: float) -> None:
        """Take in what workers say within so many seconds, and end those that are overdue."""
        for channel in wait([worker.channel for worker in self.crew], seconds):
            self._hear(next(worker for worker in self.crew if worker.channel is channel))
        now = time.monotonic()
        for worker in [w for w in self.crew if w.task is not None and now > w.task.due]:
            self._expire(worker)

    def _hear(self, worker: WorkerProcess) -> None:
        """Take in what a worker says; its end of the line closes when it dies."""
        try:
            with _whole(worker):
                kind, content = worker.channel.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if kind == "ready":
            worker.ready = True
            return
        if kind == "begun" and worker.task is not None:
            if self.limit is not None:
                worker.task.due = time.monotonic() + self.limit * len(worker.task.work.numbers)
            return
        task, worker.task = worker.task, None
        if kind == "error" or task is None:
            error, where = content
            raise error from WorkerTraceback(where)
        results, started, ended = content
        self._idle_deaths = 0
        self.finished.append(Done(task.work, results, started, ended))

    def _expire(self, worker: WorkerProcess) -> None:
        """End a worker whose task takes too long; its trials are failed and not tried again."""
        worker.end()
        self.crew.remove(worker)
        if worker.task is not None and self.limit is not None:
            self.finished.append(worker.task.failed(overdue(self.limit, len(worker.task.work.numbers))))

    def _bury(self, worker: WorkerProcess) -> None:
        """Replace a dead worker; its task is tried again, or failed when it has cost enough of them."""
        how = ending(worker.end())
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
        self.finished.append(task.failed(f"its worker process died {task.deaths} times, the last time {how}"))


class WorkerPool(Crew):
    """Runs tasks in worker processes on this host. See ``Crew``.

    Parameters
    ----------
    problem : Problem
    backends : mapping of str to Backend
    in_time : callable
        False when the deadline has passed: then tasks under way are given up.
    workers : int
        Processes at a time, at least 1.
    limit : float or None
        Seconds that one trial may take.
    """

    def __init__(
        self,
        problem: Problem,
        backends: Mapping[str, Backend],
        in_time: Callable[[], bool],
        workers: int,
        limit: float | None = None,
    ) -> None:
        super().__init__(
            lambda: parcel(problem, backends), worker_environment(workers), in_time, workers, limit
        )


@contextmanager
def _whole(worker: WorkerProcess) -> Iterator[None]:
    """Mark a worker as torn while a message is on its way, for a signal that strikes inside it."""
    worker.torn = True
    yield
    worker.torn = False
