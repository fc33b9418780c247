"""What an executor is given, gives back and must be able to do."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autoreg.evaluation import Candidate
from autoreg.trial import State, TrialResult


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


@dataclass(eq=False)
class Task:
    """A task on its way: what it has cost, and since when it runs.

    Attributes
    ----------
    work : Work
    deaths : int
        Workers that died of it, or while they had it.
    started, clock : float
        When it was given to a worker: seconds since the epoch, and monotonic.
    due : float
        Monotonic time at which it is overdue; infinite while nothing is computed.
    """

    work: Work
    deaths: int = 0
    started: float = 0.0
    clock: float = 0.0
    due: float = math.inf

    def begin(self) -> None:
        """Note that a worker has it."""
        self.started, self.clock, self.due = time.time(), time.monotonic(), math.inf

    def failed(self, reason: str) -> Done:
        """The task given up: all its trials failed for the same reason."""
        results = [TrialResult(State.FAILED, dict(c.params), reason=reason) for c in self.work.candidates]
        return Done(self.work, results, self.started, self.started + time.monotonic() - self.clock)


class WorkerTraceback(Exception):
    """Where in a worker an exception came from, in words."""

    def __str__(self) -> str:
        return f"\n\nin a worker process:\n{self.args[0]}"


def overdue(limit: float, trials: int) -> str:
    """Why a task that took too long is failed."""
    if trials == 1:
        return f"took longer than search.trial_timeout ({limit:g} s)"
    return f"{trials} trials together took longer than {trials} times search.trial_timeout ({limit:g} s)"


class Executor(Protocol):
    """Runs tasks and hands them back in any order."""

    @property
    def workers(self) -> int:
        """Tasks that run at a time."""

    def submit(self, work: Work) -> None:
        """Queue a task."""

    def wait(self) -> Done:
        """Return the next finished task.

        Raises
        ------
        OutOfTime
            The deadline passed; unfinished tasks are abandoned.
        """

    def drain(self, seconds: float) -> list[Done]:
        """Start nothing more, give what is under way so many seconds to finish, and return what did."""

    def close(self) -> None:
        """Abandon what is queued and free what was started."""
