"""What an executor is given, gives back and must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autoreg.evaluation import Candidate
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
    """Runs tasks and hands them back in any order.

    Attributes
    ----------
    workers : int
        Tasks that run at a time.
    """

    workers: int

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
