"""Between blocks: who leaves the race, and which ranges become wider. Decided once, recorded, and obeyed on replay.

Every decision is taken when a backend's block is due, from the seed, the number and the trials told by then, except
that a block which does not fit the time left is a matter of the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import Backend
from autoreg.errors import StudyError
from autoreg.ledger import History, Ledger
from autoreg.racing import Judge, Ranking, crowds, verdict
from autoreg.space import LISTED, Asked, Proposer, Space, derive_seed
from autoreg.spec import SearchSpec
from autoreg.trial import Dimension, Extension, OutOfTime, TrialRecord, Watch

STAKE, LIKELY, CLOSE = 1 / 3, 0.75, 1.05
"""Shares of the time left that the first block of a backend may be expected to take: it is tried, not bet on. ``LIKELY`` where the linear
models' smallest loss is at most ``CLOSE`` times the smallest of all: there networks had .92 to 1.03 times the loss of boosted trees
(5 tables of `benchmarks/portfolio.py`), elsewhere .93 to 1.09, mean 1.04 (4 tables)."""


@dataclass
class Arm:
    """One backend in the race.

    Attributes
    ----------
    backend : Backend
    proposer : Proposer
    opening : float
        Seconds that its first block can be expected to take; 0 where nothing is known.
    asked : dict of int to Asked
        Configurations by trial number, in the order asked.
    best : TrialRecord or None
        Complete trial with the smallest loss among those told.
    spent : list of float
        Seconds that every computed trial kept the search busy.
    lowest : float
        Smallest loss of its finished trials, told or not.
    told : dict of int to TrialRecord
        Its told trials by number, without arrays.
    """

    backend: Backend
    proposer: Proposer
    opening: float = 0.0
    asked: dict[int, Asked] = field(default_factory=dict)
    best: TrialRecord | None = None
    spent: list[float] = field(default_factory=list)
    lowest: float = math.inf
    told: dict[int, TrialRecord] = field(default_factory=dict)

    @property
    def left(self) -> int | None:
        """Configurations not yet tried, or None when they are countless."""
        capacity = self.proposer.capacity
        return None if capacity is None else max(0, capacity - len(self.asked))

    def predictions(self, ledger: Ledger) -> NDArray[np.float32] | None:
        """Predictions of the best trial so far; fetched once when it was looked up."""
        if self.best is None:
            return None
        if self.best.result.predictions is None:
            fetched = ledger.predictions(self.best)
            self.best = replace(self.best, result=replace(self.best.result, predictions=fetched))
        return self.best.result.predictions


class Referee:
    """Decides between blocks.

    Parameters
    ----------
    spec : SearchSpec
    block : int
        Trials a backend runs in its turn.
    arms : mapping of str to Arm
    judge : Judge
        Compares two trials row by row.
    ledger : Ledger
    history : History
        What the ledger already holds.
    time_left : callable
        Seconds until the search must end.
    watch : Watch

    Attributes
    ----------
    drops : dict of str to int
        Backends that left the race, with the first trial number that no longer is theirs.
    extensions : list of Extension
        Ranges that became wider, in order.
    """

    def __init__(
        self,
        spec: SearchSpec,
        block: int,
        arms: Mapping[str, Arm],
        judge: Judge,
        ledger: Ledger,
        history: History,
        time_left: Callable[[], float],
        watch: Watch,
    ) -> None:
        self.spec, self.block, self.arms, self.judge = spec, block, arms, judge
        self.ledger, self.history, self.time_left, self.watch = ledger, history, time_left, watch
        self.known = max(history.records, default=-1)
        self.drops = dict(history.drops)
        self.extensions: list[Extension] = []
        self.first = self.spaces
        self.cautioned: set[tuple[str, str]] = set()
        self.rankings = {name: Ranking() for name in arms}

    @property
    def spaces(self) -> dict[str, Space]:
        """Every backend's space as it is now."""
        return {name: arm.proposer.space for name, arm in self.arms.items()}

    def decides(self, number: int) -> bool:
        """Whether there is anything to decide: what lies before a trial of the ledger was decided back then."""
        return number > self.known

    # -- who leaves the race -----------------------------------------------------------------------------------

    def absent(self, name: str, number: int) -> bool:
        """Whether a backend has left the race.

        Raises
        ------
        OutOfTime
            It has not, but there is no time for a new block.
        """
        if name in self.drops:
            return number >= self.drops[name]
        if self.decides(number) and self.time_left() <= 0:
            raise OutOfTime
        return False

    def drops_now(self, name: str, number: int, size: int) -> bool:
        """Whether a backend leaves now: for lack of time while others still fit, or because it is worse."""
        why = (
            None if name in self.drops else self._too_slow(name, number, size) or self._outraced(name, number)
        )
        if why is None:
            return False
        self.drops[name] = number
        self.ledger.drop(self.drops)
        self.watch.say(f"{name}: {why}, so the others get its trials")
        return True

    def _racing(self, number: int) -> list[str]:
        """Backends that may still run at a number: one with nothing left to try neither wins trials nor loses them."""
        return [
            name
            for name, arm in self.arms.items()
            if number < self.drops.get(name, number + 1) and arm.left != 0
        ]

    def _too_slow(self, name: str, number: int, size: int) -> str | None:
        """Why the next block does not fit the time left, where another backend's still does."""
        least, left = self._least(name, size), self.time_left()
        others = [other for other in self._racing(number) if other != name]
        allowed = self._stake() * left if self._untried(name) else left
        # When nothing fits: go on until the time is up, and let a longer run go on from there.
        if least <= allowed or not any(self._least(other, self.block) <= left for other in others):
            return None
        many = f"{size} trials" if self.arms[name].backend.batched else "trial"
        which = f"first {many}" if self._untried(name) else f"next {many}"
        return f"its {which} would take about {least:.0f} s and {left:.0f} s are left"

    def _stake(self) -> float:
        """Share of the time left that a backend is tried for; more where smooth models do as well as others."""
        linear = [arm.lowest for arm in self.arms.values() if arm.backend.rank == 0]
        least = min(arm.lowest for arm in self.arms.values())
        return LIKELY if not linear or min(linear) <= CLOSE * least else STAKE

    def _untried(self, name: str) -> bool:
        """Whether all that is known of a backend's cost is what other tables let expect."""
        arm = self.arms[name]
        return arm.opening > 0 and not arm.spent and not arm.told

    def _least(self, name: str, size: int) -> float:
        """Seconds before which a backend's next block gives nothing: of its first trial, or of all that are fitted together.

        One that has not had its turn is expected to cost what other tables say, or what the dearest of the simpler ones does.
        """
        arm = self.arms[name]
        if self._untried(name):
            return arm.opening
        known = [arm] if arm.spent else [a for a in self.arms.values() if a.backend.rank < arm.backend.rank]
        costs = [float(np.mean(a.spent[-self.block :])) for a in known if a.spent]
        return (size if arm.backend.batched else 1) * max(costs, default=0.0)

    def _outraced(self, name: str, number: int) -> str | None:
        """Why the race is lost, where another backend has use for any number of trials.

        A grid is not raced: it is to try every combination.
        """
        racing = self._racing(number)
        countless = any(self.arms[other].left is None for other in racing if other != name)
        if not self.spec.race or self.spec.sampler in LISTED or not countless:
            return None

        def worse(leader: str) -> float:
            mine, theirs = (self.arms[b].predictions(self.ledger) for b in (name, leader))
            if mine is None or theirs is None:
                return 0.0
            return self.judge.worse(mine, theirs, derive_seed(self.spec.seed, "race", number))

        return verdict(name, {b: list(self.arms[b].told.values()) for b in racing}, worse)

    # -- which ranges become wider -----------------------------------------------------------------------------

    def widen(self, name: str, number: int) -> None:
        """Move the ends that a backend's best trials crowd; what the ledger holds is done as it was."""
        known = [e for e in self.history.extensions if (e.number, e.backend) == (number, name)]
        found = known or self._found_narrow(name, number)
        if not found:
            return
        self.arms[name].proposer.widen({e.name: (e.low, e.high) for e in found})
        self.extensions += found
        if not known:
            self.ledger.extend(self.extensions)

    def _found_narrow(self, name: str, number: int) -> list[Extension]:
        """Which ranges are to become wider now; a range that the user has given is only spoken of."""
        if not self.decides(number):
            return []
        arm, now = self.arms[name], self.arms[name].proposer.space.dimensions

        def possible(key: str, dimension: Dimension) -> bool:
            try:
                arm.backend.check({key: dimension}, self.judge.task, self.judge.image)
            except StudyError:
                return False
            return True

        before = [e for e in self.extensions if e.backend == name]
        found = []
        ranking = self.rankings[name].take(arm.told.values())
        for crowd in crowds(self.first[name].dimensions, now, ranking, before, possible):
            wider, place = crowd.wider, f"search.{name}.{crowd.name}"
            words = f"{place}: the best trials crowd the {crowd.end} end {crowd.value:.4g}"
            if wider.extend:
                found.append(Extension(number, name, crowd.name, wider.low, wider.high))
                self.watch.say(
                    f"{words}; from here on it is searched from {wider.low:.4g} to {wider.high:.4g}"
                )
            elif (name, crowd.name) not in self.cautioned:
                self.cautioned.add((name, crowd.name))
                self.watch.say(f"{words} of your range; extend = true lets the search go further")
        return found
