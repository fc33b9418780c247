"""XGBoost's training loop, without what it asks its library again in every round.

``xgboost.train`` reads the names and kinds of all columns four times a round and matrix; on small tables that takes longer than the
tree. Here they are remembered. The rounds, the losses and the stopping are the same, to the bit (a test holds them against it).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from autoreg.trial import OutOfTime

CHECKED, MOST = 32, 512
"""Rounds between two of another number of threads: at first, and where the same number stays the quicker one."""
LATE = 8.0
"""Times the seconds of a round with one thread that one with more is taken for held up."""
CHILDREN = re.compile(rb"left_children\[\$l#L(.{8})", re.DOTALL)
"""In a saved model, UBJSON's way to begin an array of so many 32-bit numbers: a tree's left children, -1 for a leaf."""


def _remembered(owner: Any, name: str) -> Any:
    """A property of a class of the library's, read once and then remembered until it is set."""
    theirs, kept = getattr(owner, name), f"_{name}"

    def read(self: Any) -> Any:
        if self.__dict__.get(kept) is None:
            self.__dict__[kept] = theirs.fget(self)
        return self.__dict__[kept]

    def write(self: Any, value: Any) -> None:
        self.__dict__[kept] = None
        theirs.fset(self, value)

    return property(read, write)


class Rows(xgb.DMatrix):  # type: ignore[misc]
    """A matrix that remembers the names and kinds of its columns."""

    feature_names = _remembered(xgb.DMatrix, "feature_names")
    feature_types = _remembered(xgb.DMatrix, "feature_types")


class _Trained(xgb.Booster):  # type: ignore[misc]
    """A booster that remembers the same."""

    feature_names = _remembered(xgb.Booster, "feature_names")
    feature_types = _remembered(xgb.Booster, "feature_types")


class Pace:
    """How many threads a round of boosting has: those that are granted, or one while other work keeps the cores busy.

    The library's threads wait for each other many times a round. Where one of them has to wait for a core, a round takes 30 to 100
    times as long as with one thread alone. Trees are the same to the bit, so the rounds themselves are timed: now and then
    one is made with the other number of threads, and the quicker number makes those that follow.

    Parameters
    ----------
    granted : int
    before : int, optional
        What the fit before ended with; where that was one thread, the others are tried later.

    Attributes
    ----------
    threads : int
        Of the next round.
    """

    def __init__(self, granted: int, before: int | None = None) -> None:
        self.granted = granted
        self.threads = self._kept = 1  # a first round that has to wait costs more than one that is made alone
        self._took: dict[int, tuple[float, float]] = {}  # the last two rounds of each number
        self._tried, self._gap, self._left = False, CHECKED, CHECKED if before == 1 else 3

    def heard(self, seconds: float) -> int:
        """Hear how long a round took; the threads of the next one."""
        if self.granted == 1:
            return 1
        self._left -= 1
        self._took[self.threads] = self._took.get(self.threads, (math.inf, math.inf))[1], seconds
        best = {number: min(took) for number, took in self._took.items()}
        if self._tried:
            quicker = min(best, key=lambda number: best[number])
            self._keep(quicker, min(2 * self._gap, MOST) if quicker == self._kept else CHECKED)
        elif self._kept > 1 and seconds > LATE * best.get(1, math.inf):
            self._keep(1, CHECKED)  # somebody has come
        elif self._left <= 0:
            self._tried, self.threads = True, self.granted if self._kept == 1 else 1
        return self.threads

    def _keep(self, threads: int, rounds: int) -> None:
        self._tried, self._gap, self._left = False, rounds, rounds
        self.threads = self._kept = threads


@dataclass(frozen=True)
class Boosted:
    """What a training gave.

    Attributes
    ----------
    booster : xgboost.Booster
        It holds the rounds to predict with, and nothing of the training.
    losses : mapping of str to list of float
        By matrix, one after each round.
    """

    booster: Any
    losses: Mapping[str, list[float]]


_ended_with: dict[int, int] = {}
"""Threads that the last fit of this process ended with, by those it was granted: a busy machine is busy for the next one, too."""


def boost(
    settings: Mapping[str, Any],
    matrices: Mapping[str, Any],
    rounds: int,
    patience: int,
    in_time: Callable[[], bool],
) -> Boosted:
    """Train on the first matrix; stop when the loss of the last one has not improved for ``patience`` rounds.

    Parameters
    ----------
    settings : mapping
        XGBoost's parameters; one ``eval_metric``, which is to fall.
    matrices : mapping of str to Rows
    rounds : int
        At most.
    patience : int
        0: all rounds are run and kept; above, the best ones are kept.
    in_time : callable
        Asked before every round.

    Raises
    ------
    OutOfTime
        ``in_time`` said no.
    xgboost.core.XGBoostError
        The library's own.
    """
    train, watched = next(iter(matrices.values())), list(matrices)[-1]
    booster = _Trained(dict(settings), list(matrices.values()))
    evals = [(matrix, name) for name, matrix in matrices.items()]
    losses: dict[str, list[float]] = {name: [] for name in matrices}
    granted = int(settings.get("nthread", 1))
    best, pace = 0, Pace(granted, _ended_with.get(granted))
    if pace.threads != granted:
        booster.set_param("nthread", pace.threads)
    for i in range(rounds):
        if not in_time():
            raise OutOfTime
        threads, began = pace.threads, time.perf_counter()
        booster.update(train, i)
        if pace.heard(time.perf_counter() - began) != threads:
            booster.set_param("nthread", pace.threads)
        for name, told in zip(matrices, booster.eval_set(evals, i).split("\t")[1:], strict=True):
            losses[name].append(float(told.rsplit(":", 1)[1]))
        # What is no number is never better: a first one is, as in XGBoost's own, what all others are held against.
        if losses[watched][i] < losses[watched][best]:
            best = i
        if patience and i - best >= patience:
            break
    _ended_with[granted] = pace.threads
    return Boosted(booster[: best + 1] if patience else booster.reset(), losses)


def leaves(booster: Any) -> int:
    """Leaves of all trees; read from the model as it is saved, which takes a third of the time of its text."""
    raw = bytes(booster.save_raw("ubj"))
    found = 0
    for match in CHILDREN.finditer(raw):
        count = int.from_bytes(match[1], "big")
        found += int((np.frombuffer(raw, ">i4", count, match.end()) == -1).sum())
    return found or sum(tree.count("leaf=") for tree in booster.get_dump())
