"""One task at a time, in the caller's process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from autoreg.backends import Backend
from autoreg.evaluation import Problem, evaluate
from autoreg.executor.tasks import Done, Work


class SerialExecutor:
    """Runs each task in the caller's process when it is waited for.

    Parameters
    ----------
    problem : Problem
    backends : dict of str to Backend
    in_time : callable
        False when the deadline has passed.
    """

    workers = 1

    def __init__(self, problem: Problem, backends: dict[str, Backend], in_time: Callable[[], bool]) -> None:
        self.problem, self.backends, self.in_time = problem, backends, in_time
        self.queue: deque[Work] = deque()

    def submit(self, work: Work) -> None:
        """See ``Executor``."""
        self.queue.append(work)

    def wait(self) -> Done:
        """See ``Executor``."""
        work = self.queue.popleft()
        started, clock = time.time(), time.monotonic()
        results = evaluate(
            self.backends[work.backend], work.candidates, self.problem, work.incumbent, self.in_time
        )
        return Done(work, results, started, started + time.monotonic() - clock)

    def close(self) -> None:
        """See ``Executor``."""
        self.queue.clear()
