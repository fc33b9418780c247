"""Between turns: who leaves the race, how many trials a turn has, and which ranges become wider. Decided once, recorded, and
obeyed on replay.

Every decision is taken when a backend's turn is due, from the seed, the number and the trials told by then, except
that how much of a turn the time left is for is a matter of the clock.
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
from autoreg.trial import Dimension, Extension, OutOfTime, TrialRecord, Turn, Watch

STAKE, LIKELY, CLOSE = 1 / 3, 0.75, 1.05
"""Share of the time left that a turn may be expected to take of a backend that does not lead: it is tried, not bet on. ``LIKELY`` for the
first turn of networks where the linear models' smallest loss is at most ``CLOSE`` times the smallest of all: there networks had .92
to 1.03 times the loss of boosted trees (5 tables of `benchmarks/portfolio.py`), elsewhere .93 to 1.09, mean 1.04 (4 tables)."""


@dataclass
class Arm:
    """One backend in the race.

    Attributes
    ----------
    backend : Backend
    proposer : Proposer
    opening : float
        Seconds that a first whole turn can be expected to take; 0 where nothing is known.
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
    def known(self) -> list[float]:
        """What is known of its trials' seconds: ``spent``, or what those of the ledger took."""
        return self.spent or [record.result.seconds for record in self.told.values()]

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
    turns : list of Turn
        Turns that the clock made shorter or took away, in order.
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
        self.drops, self.turns = dict(history.drops), list(history.turns)
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

    def drops_now(self, name: str, number: int) -> bool:
        """Whether a backend leaves now, because it is worse."""
        why = None if name in self.drops else self._outraced(name, number)
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

    # -- how many trials a turn has ----------------------------------------------------------------------------

    def turn(self, name: str, number: int, size: int) -> int:
        """Trials that a backend's turn has: ``size``, fewer where these would take too long, or none where it sits out.

        Parameters
        ----------
        name : str
        number : int
            First trial of the turn.
        size : int
            Trials that it has where time is no matter.
        """
        mine = [turn for turn in self.turns if turn.backend == name and turn.number <= number]
        if mine and mine[-1].number == number:
            return min(size, mine[-1].trials)
        usual = 0 if mine and mine[-1].trials == 0 else size  # until something else is noted
        if not self.decides(number):
            return usual
        trials = self._affordable(name, number, size)
        if trials != usual:
            self.turns.append(Turn(number, name, trials))
            self.ledger.cut(self.turns)
            self._say_turn(name, size, trials)
        return trials

    def sits_out(self, number: int) -> dict[str, int]:
        """Backends that sat out when the search ended before trial ``number``, and since which; a last turn is not worth a word."""
        last = {turn.backend: turn for turn in self.turns if turn.number <= number}
        return {
            name: turn.number
            for name, turn in last.items()
            if turn.trials == 0 and name not in self.drops and turn.number < number - self.block
        }

    def _affordable(self, name: str, number: int, size: int) -> int:
        """Trials of a turn of ``size`` that the time left is for, where it is enough for another backend's, too."""
        left = self.time_left()
        rivals = [
            self.arms[other].lowest
            for other in self._racing(number)
            if other != name and self._least(other, self.block) <= left
        ]
        # When nothing fits: go on until the time is up, and let a longer run go on from there.
        if not rivals:
            return size
        share, each = self._share(name, min(rivals)), self._each(name)
        if self._least(name, size) > share * left:
            return 0
        whole = self.arms[name].backend.batched or share == 1 or size * each <= share * left
        return size if whole else int(share * left / each)

    def _share(self, name: str, rival: float) -> float:
        """Share of the time left that a backend's turn is for: all where its smallest loss is not above that of its rivals, or where
        nothing lets expect what a turn costs."""
        arm = self.arms[name]
        if arm.known:
            return 1.0 if arm.lowest <= rival else STAKE
        if not arm.opening:
            return 1.0
        linear = [other.lowest for other in self.arms.values() if other.backend.rank == 0]
        smooth = not linear or min(linear) <= CLOSE * min(other.lowest for other in self.arms.values())
        return LIKELY if arm.backend.batched and smooth else STAKE

    def _least(self, name: str, size: int) -> float:
        """Seconds before which a turn gives nothing: those of its first trial, or of all that are fitted together."""
        return (size if self.arms[name].backend.batched else 1) * self._each(name)

    def _each(self, name: str) -> float:
        """Seconds that one of a backend's next trials keeps the search busy, as its last ones did.

        One that has not had its turn is expected to cost what other tables say, or what the dearest of the simpler ones does.
        """
        arm = self.arms[name]
        if not arm.known and arm.opening:
            return arm.opening / self.block
        known = [arm] if arm.known else [a for a in self.arms.values() if a.backend.rank < arm.backend.rank]
        return max((float(np.mean(a.known[-self.block :])) for a in known if a.known), default=0.0)

    def _say_turn(self, name: str, size: int, trials: int) -> None:
        """A turn that is only shorter needs no word."""
        if trials == 0:
            many = f"{size} trials" if self.arms[name].backend.batched else "trial"
            which = "next" if self.arms[name].known else "first"
            seconds, left = self._least(name, size), self.time_left()
            self.watch.say(
                f"{name}: its {which} {many} would take about {seconds:.0f} s and {left:.0f} s are left, so it sits out"
            )
        elif trials == size:
            self.watch.say(f"{name}: the time left is enough for it again")

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
