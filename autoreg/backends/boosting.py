"""XGBoost's training loop, without what it asks its library again in every round.

``xgboost.train`` reads the names and kinds of all columns four times a round and matrix; on small tables that takes longer than the
tree. Here they are remembered. The rounds, the losses and the stopping are the same, to the bit (a test holds them against it).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from autoreg.trial import OutOfTime

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
    best = 0
    for i in range(rounds):
        if not in_time():
            raise OutOfTime
        booster.update(train, i)
        for name, told in zip(matrices, booster.eval_set(evals, i).split("\t")[1:], strict=True):
            losses[name].append(float(told.rsplit(":", 1)[1]))
        # What is no number is never better: a first one is, as in XGBoost's own, what all others are held against.
        if losses[watched][i] < losses[watched][best]:
            best = i
        if patience and i - best >= patience:
            break
    return Boosted(booster[: best + 1] if patience else booster.reset(), losses)


def leaves(booster: Any) -> int:
    """Leaves of all trees; read from the model as it is saved, which takes a third of the time of its text."""
    raw = bytes(booster.save_raw("ubj"))
    found = 0
    for match in CHILDREN.finditer(raw):
        count = int.from_bytes(match[1], "big")
        found += int((np.frombuffer(raw, ">i4", count, match.end()) == -1).sum())
    return found or sum(tree.count("leaf=") for tree in booster.get_dump())
