"""One task at a time, in the caller's process; what may take the process down goes into one of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container
from functools import cached_property

from autoreg.backends import Backend
from autoreg.evaluation import Problem, evaluate
from autoreg.executor.tasks import Done, Work
from autoreg.executor.workers import WorkerPool
from autoreg.trial import OutOfTime


class SerialExecutor:
    """Runs each task in the caller's process when it is waited for.

    Parameters
    ----------
    problem : Problem
    backends : dict of str to Backend
    in_time : callable
        False when nothing is to be begun any more.
    suspects : container of int
        Trials that were under way when the process died before: they run in a worker process, which may die too.
    goes_on : callable, optional
        False when also what was begun must end; ``in_time`` without one.
    """

    workers = 1

    def __init__(
        self,
        problem: Problem,
        backends: dict[str, Backend],
        in_time: Callable[[], bool],
        suspects: Container[int] = (),
        goes_on: Callable[[], bool] | None = None,
    ) -> None:
        self.problem, self.backends, self.in_time, self.suspects = problem, backends, in_time, suspects
        self.goes_on = goes_on or in_time
        self.queue: deque[Work] = deque()

    @cached_property
    def apart(self) -> WorkerPool:
        """One worker process for suspects."""
        return WorkerPool(self.problem, self.backends, self.in_time, 1)

    def submit(self, work: Work) -> None:
        """See ``Executor``."""
        self.queue.append(work)

    def wait(self) -> Done:
        """See ``Executor``."""
        work = self.queue.popleft()
        if any(number in self.suspects for number in work.numbers):
            self.apart.submit(work)
            return self.apart.wait()
        if not self.in_time():
            raise OutOfTime
        started, clock = time.time(), time.monotonic()
        results = evaluate(
            self.backends[work.backend], work.candidates, self.problem, work.incumbent, self.goes_on
        )
        return Done(work, results, started, started + time.monotonic() - clock)

    def drain(self, seconds: float) -> list[Done]:
        """See ``Executor``. What was under way here was left when the signal came."""
        self.queue.clear()
        return self.apart.drain(seconds) if "apart" in vars(self) else []

    def close(self) -> None:
        """See ``Executor``."""
        self.queue.clear()
        if "apart" in vars(self):
            self.apart.close()
            del self.apart
