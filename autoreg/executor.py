"""Where trials run. Workers compute and return; they never touch MLflow or Optuna."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import Backend
from autoreg.evaluation import Candidate, Problem, evaluate
from autoreg.trial import TrialResult


@dataclass(frozen=True)
class Work:
    """One task: a trial, or a whole block of a batched backend.

    Attributes
    ----------
    numbers : tuple of int
        Trial numbers.
    backend : str
    candidates : tuple of Candidate
        One for each number.
    incumbent : ndarray or None
        Out-of-fold predictions to prune against.
    """

    numbers: tuple[int, ...]
    backend: str
    candidates: tuple[Candidate, ...]
    incumbent: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Done:
    """A finished task: results for each number, wall-clock start and end in seconds since the epoch."""

    work: Work
    results: list[TrialResult]
    started: float
    ended: float


class Executor(Protocol):
    """Runs tasks and hands them back in any order."""

    def submit(self, work: Work) -> None:
        """Queue a task."""

    def wait(self) -> Done:
        """Return the next finished task.

        Raises
        ------
        OutOfTime
            The deadline passed; unfinished tasks are abandoned.
        """

    def close(self) -> None:
        """Abandon what is queued and free what was started."""


class SerialExecutor:
    """Runs each task in the caller's process when it is waited for.

    Parameters
    ----------
    problem : Problem
    backends : dict of str to Backend
    in_time : callable
        False when the deadline has passed.
    """

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
