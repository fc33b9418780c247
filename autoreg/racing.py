"""Who stays in the race, and which ranges were too narrow. Pure: told trials in, verdicts out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from autoreg.trial import Dimension, Extension, Floats, Range, State, Task, TrialRecord

ENOUGH = 15
"""Told trials that every racing backend must have before one is dropped."""
SURE = 0.99
DRAWS, AT_ONCE = 2000, 20
POOLS = 1_000
"""Rows beyond so many are summed in so many pools before they are drawn: the spread of the mean stays the same.

It is then known to 2 %, which moves a share of .99 less than its being counted over ``DRAWS`` does.
"""
SETTLED = 12
"""Scored trials that a range must have seen before it is judged."""
EDGE = 0.1
STEP = 10.0
AT_MOST = 2
LEAST_GAIN = 1.5
STEPS = ("eta", "learning_rate")
"""Step sizes: above 1 none of them means anything, and one a third as long takes three times as long."""
SHORTER = 3.0


@dataclass(frozen=True)
class Judge:
    """What two trials are compared by.

    Attributes
    ----------
    task : Task
    row_losses : callable
        Internal loss of every table row (n,) from out-of-fold predictions, NaN where there is none.
    weight : ndarray, shape (n,), or None
        Weights of the rows.
    group : ndarray, shape (n,), or None
        Rows of one group are drawn together.
    image : tuple of int, or None
        As in ``Table``.
    """

    task: Task
    row_losses: Callable[[NDArray[np.float32]], Floats]
    weight: Floats | None = None
    group: NDArray[np.generic] | None = None
    image: tuple[int, ...] | None = None

    def worse(self, mine: NDArray[np.float32], theirs: NDArray[np.float32], seed: int) -> float:
        """Share of draws of rows in which ``mine`` has the larger mean loss; of few draws where it cannot pass .99."""
        difference = self.row_losses(mine) - self.row_losses(theirs)
        known = np.isfinite(difference)
        weight = None if self.weight is None else self.weight[known]
        group = None if self.group is None else self.group[known]
        return share_above_zero(difference[known], weight, group, seed, SURE)


def share_above_zero(
    values: Floats, weight: Floats | None, group: NDArray[np.generic] | None, seed: int, least: float = 0.0
) -> float:
    """Share of bootstrap draws whose weighted mean is above 0, rows of a group drawn together.

    Only the sign of a mean counts, so the weights' own sum, never negative, need not be drawn.

    Parameters
    ----------
    values : ndarray, shape (n,)
    weight, group : ndarray, shape (n,), or None
    seed : int
    least : float
        As soon as the share of all draws cannot come above this, that of the draws made is returned; nor is it above.
    """
    sums = values if weight is None else values * weight
    if group is not None:
        sums = _summed(np.unique(group, return_inverse=True)[1], sums)
    if len(sums) > POOLS:
        sums = _summed(np.arange(len(sums)) % POOLS, sums)
    n = len(sums)
    if not n:
        return 0.0
    rng = np.random.default_rng(seed)
    above = made = 0
    while made < DRAWS and DRAWS - (made - above) > least * DRAWS:
        drawn = rng.integers(n, size=(AT_ONCE, n))
        above += int((sums.take(drawn).sum(axis=1) > 0).sum())
        made += AT_ONCE
    return above / made


def _summed(codes: NDArray[np.int64], values: Floats) -> Floats:
    return np.asarray(np.bincount(codes, weights=values), np.float64)


def verdict(
    name: str, told: Mapping[str, Sequence[TrialRecord]], worse: Callable[[str], float]
) -> str | None:
    """Why a backend leaves the race, in words; None while it stays.

    It leaves when its best trial is worse than the leader's with a probability above .99 and the gap is more than
    it has gained over its last third of trials; or when none of its first 15 trials completed.

    Parameters
    ----------
    name : str
        The backend whose turn it is.
    told : mapping of str to sequence of TrialRecord
        Trials in order of every backend that can still run, ``name`` among them.
    worse : callable
        Probability that the best trial of ``name`` is worse than that of the backend given.
    """
    losses = {b: [_loss(r) for r in records] for b, records in told.items()}
    mine, rivals = losses[name], {b: min(x) for b, x in losses.items() if b != name and x}
    if not rivals:
        return None
    leader = min(rivals, key=lambda b: rivals[b])
    if math.isinf(rivals[leader]) or not mine:
        return None
    if len(mine) >= ENOUGH and math.isinf(min(mine)):
        return f"none of its {len(mine)} trials completed"
    gap = min(mine) - rivals[leader]
    if any(len(x) < ENOUGH for x in losses.values()) or not gap > max(0.0, improvement(mine)):
        return None
    if not worse(leader) > SURE:
        return None
    return (
        f"its best loss is {min(mine):.4g} against {rivals[leader]:.4g} of {leader}, "
        f"worse with probability > {SURE:g}"
    )


def improvement(losses: Sequence[float]) -> float:
    """How much the smallest loss fell over the last third of trials; infinite where it had no value before."""
    early = losses[: len(losses) - len(losses) // 3]
    best = min(losses, default=math.inf)
    return min(early, default=math.inf) - best if math.isfinite(best) else 0.0


def _loss(record: TrialRecord) -> float:
    return record.result.loss if record.result.state is State.COMPLETE else math.inf


class Ranking:
    """Scored trials of one backend by their mean loss above the best complete trial's in the folds that both have.

    It remembers what it has worked out: a search looks at it after every block.
    """

    def __init__(self) -> None:
        self._taken, self._best = 0, (math.inf, -1)
        self._scored: list[TrialRecord] = []
        self._above: list[float] = []
        self._values: dict[str, list[float]] = {}
        self._folds: Sequence[float] = ()

    def take(self, told: Collection[TrialRecord]) -> Ranking:
        """Take in the trials that are new, which stand at the end."""
        for r in islice(told, self._taken, None):
            if r.result.state is State.COMPLETE and (r.result.loss, r.number) < self._best:
                self._best, self._folds, self._above = (r.result.loss, r.number), r.result.fold_losses, []
            if r.result.state is not State.FAILED:
                self._scored.append(r)
        self._taken = len(told)
        return self

    def order(self) -> NDArray[np.int64]:
        """Places of the scored trials, best first, equals by number; none where no trial is complete."""
        if not self._folds:
            return np.empty(0, np.int64)
        for r in self._scored[len(self._above) :]:
            mine = r.result.fold_losses
            self._above.append(sum(m - its for m, its in zip(mine, self._folds, strict=False)) / len(mine))
        return np.lexsort((self.numbers(), np.array(self._above)))

    def numbers(self) -> NDArray[np.int64]:
        """Numbers of the scored trials."""
        return np.fromiter((r.number for r in self._scored), np.int64, len(self._scored))

    def values(self, name: str) -> Floats:
        """What the scored trials had for a name; 0 where it had no effect."""
        found = self._values.setdefault(name, [])
        for r in self._scored[len(found) :]:
            value = r.result.params.get(name, 0)
            found.append(0.0 if isinstance(value, bool | str) else max(0.0, float(value)))
        return np.array(found)


@dataclass(frozen=True)
class Crowd:
    """A range whose end the best trials crowd.

    Attributes
    ----------
    name : str
    end : {"lower", "upper"}
    value : float
        The crowded end.
    wider : Range
        The same range with that end moved.
    """

    name: str
    end: str
    value: float
    wider: Range


def crowds(
    first: Mapping[str, Dimension],
    now: Mapping[str, Dimension],
    ranking: Ranking,
    before: Sequence[Extension],
    possible: Callable[[str, Range], bool],
) -> list[Crowd]:
    """Ranges of one backend that are worth extending.

    Parameters
    ----------
    first, now : mapping of str to Dimension
        The dimensions as the study began, and as they are.
    ranking : Ranking
        The backend's trials.
    before : sequence of Extension
        What was extended for it so far.
    possible : callable
        Whether the backend can use a range under a name.
    """
    found, order = [], ranking.order()
    numbers = ranking.numbers()[order]
    for name, d in now.items():
        origin = first[name]
        if not isinstance(d, Range) or not isinstance(origin, Range) or not d.log or d.integer:
            continue
        mine = [e for e in before if e.name == name]
        since = max((e.number for e in mine), default=-1)
        end = _crowded(d, ranking.values(name)[order], numbers, since)
        if end is None:
            continue
        ends = (
            {origin.low, *(e.low for e in mine)} if end == "lower" else {origin.high, *(e.high for e in mine)}
        )
        wider = _wider(name, d, end) if len(ends) <= AT_MOST else None
        if wider is not None and possible(name, wider):
            found.append(Crowd(name, end, d.low if end == "lower" else d.high, wider))
    return found


def crowded_end(name: str, d: Range, told: Sequence[TrialRecord], since: int = -1) -> str | None:
    """The end of a logarithmic range that the best trials crowd, if they do.

    Three quarters of the best 15 % (at least 4) of the trials in which the name had effect lie within 10 % of the
    range's width of it, or beyond. The best trial of all must be one of those: where it does without the name,
    nothing better lies past the end. Pruned trials count with the folds they have: where the best trial sits on
    the end, nearly all others are clearly worse than it and are pruned.

    Parameters
    ----------
    name : str
    d : Range
    told : sequence of TrialRecord
    since : int
        Number of the first trial that was asked of the range as it is.
    """
    ranking = Ranking().take(told)
    order = ranking.order()
    return _crowded(d, ranking.values(name)[order], ranking.numbers()[order], since)


def _crowded(d: Range, values: Floats, numbers: NDArray[np.int64], since: int) -> str | None:
    """The crowded end, from the values of the scored trials, best first, and their numbers."""
    if (numbers >= since).sum() < SETTLED or not values[0] > 0:
        return None
    active = values[values > 0]
    if len(active) < 4:
        return None
    best = active[: max(4, math.ceil(0.15 * len(active)))]
    places = np.log(best / d.low) / math.log(d.high / d.low)
    for end, near in (("lower", places <= EDGE), ("upper", places >= 1 - EDGE)):
        if near.mean() >= 0.75:
            return end
    return None


def _wider(name: str, d: Range, end: str) -> Range | None:
    """The range with one end moved by a factor of 10; None where that is next to nothing.

    A step size goes up to 1 at most, and down by a factor of 3.
    """
    if end == "lower":
        return replace(d, low=d.low / (SHORTER if name in STEPS else STEP))
    high = min(d.high * STEP, 1.0) if name in STEPS else d.high * STEP
    return replace(d, high=high) if high >= LEAST_GAIN * d.high else None
