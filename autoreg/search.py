"""The one loop: ask -> submit -> record -> tell, and the same loop again when a study is resumed.

The search is one global sequence of trials. In each round every backend still in the race gets one block, in the
order of the study file; trial g is asked when exactly the trials up to g - lookahead are told, in order. A trial the
ledger holds is looked up instead of computed. So whatever runs it, and however often it is killed, the trials are
the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import Backend
from autoreg.errors import AutoregError, StudyError
from autoreg.evaluation import Candidate
from autoreg.executor import Done, Executor, Work
from autoreg.ledger import History, Ledger
from autoreg.racing import Judge, crowds, verdict
from autoreg.space import Asked, Proposer, Space, derive_seed
from autoreg.spec import SearchSpec
from autoreg.trial import Dimension, Extension, OutOfTime, Params, State, TrialRecord, Watch


@dataclass
class Arm:
    """One backend in the race.

    Attributes
    ----------
    backend : Backend
    proposer : Proposer
    asked : dict of int to Asked
        Configurations by trial number, in the order asked.
    best : TrialRecord or None
        Complete trial with the smallest loss among those told.
    spent : list of float
        Seconds of every computed trial.
    """

    backend: Backend
    proposer: Proposer
    asked: dict[int, Asked] = field(default_factory=dict)
    best: TrialRecord | None = None
    spent: list[float] = field(default_factory=list)

    @property
    def left(self) -> int | None:
        """Configurations not yet tried, or None when they are countless."""
        capacity = self.proposer.capacity
        return None if capacity is None else max(0, capacity - len(self.asked))


class Search:
    """Runs a study's search.

    Parameters
    ----------
    spec : SearchSpec
    block : int
        Trials a backend runs in its turn.
    arms : dict of str to Arm
        Backends in the order of the study file.
    executor : Executor
    ledger : Ledger
    history : History
        What the ledger already holds.
    time_left : callable
        Seconds until the search must end.
    watch : Watch
    judge : Judge
        Compares two trials row by row.

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
        executor: Executor,
        ledger: Ledger,
        history: History,
        time_left: Callable[[], float],
        watch: Watch,
        judge: Judge,
    ) -> None:
        self.spec, self.block, self.arms = spec, block, dict(arms)
        self.executor, self.ledger, self.history = executor, ledger, history
        self.time_left, self.watch, self.judge = time_left, watch, judge
        self.drops = dict(history.drops)
        self.extensions: list[Extension] = []
        self.first = self.spaces
        self.cautioned: set[tuple[str, str]] = set()
        # What is decided before a trial that the ledger holds was decided when that trial was first run.
        self.decided = max(history.records, default=-1)
        self.records: dict[int, TrialRecord] = {}
        self.finished: dict[int, TrialRecord] = {}
        self.owner: dict[int, str] = {}
        self.told = -1
        self.stopped_by = "trials"

    def run(self) -> list[TrialRecord]:
        """Search until the budget of trials or of time is used up.

        Returns
        -------
        list of TrialRecord
            All told trials by number: a prefix of what more budget would give.
        """
        try:
            for name, numbers in self._blocks():
                self._run_block(self.arms[name], numbers)
            self._settle(max(self.owner, default=-1))
            if len(self.records) < self.spec.trials:
                self.stopped_by = "space" if all(arm.left == 0 for arm in self.arms.values()) else "timeout"
        except OutOfTime:
            self.stopped_by = "timeout"
            while self.told + 1 in self.finished:
                self._settle(self.told + 1)
        finally:
            self.executor.close()
        self.ledger.flush()
        return [self.records[n] for n in sorted(self.records)]

    @property
    def spaces(self) -> dict[str, Space]:
        """Every backend's space as it is now."""
        return {name: arm.proposer.space for name, arm in self.arms.items()}

    # -- who is next -------------------------------------------------------------------------------------------

    def _blocks(self) -> Iterator[tuple[str, list[int]]]:
        """Yield (backend, trial numbers), round after round."""
        number = 0
        while number < self.spec.trials:
            before = number
            for name, arm in self.arms.items():
                size = min(self.block, self.spec.trials - number)
                size = size if arm.left is None else min(size, arm.left)
                if size <= 0 or self._dropped(name, number, size):
                    continue
                self._widen(name, number)
                yield name, list(range(number, number + size))
                number += size
            if number == before:
                return

    def _dropped(self, name: str, number: int, size: int) -> bool:
        """Whether a backend is out, or goes now: for lack of time while others still fit, or because it is worse."""
        if name in self.drops:
            return number >= self.drops[name]
        if number <= self.decided:
            return False
        if self.time_left() <= 0:
            raise OutOfTime
        self._settle(number - self.spec.lookahead)
        why = self._too_slow(name, number, size) or self._outraced(name, number)
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
        seconds, left = self._expected(name, size), self.time_left()
        others = [other for other in self._racing(number) if other != name]
        # When nothing fits: go on until the time is up, and let a longer run go on from there.
        if seconds <= left or not any(self._expected(other, self.block) <= left for other in others):
            return None
        return f"its next {size} trials would take about {seconds:.0f} s and {left:.0f} s are left"

    def _outraced(self, name: str, number: int) -> str | None:
        """Why the race is lost. A grid is not raced: it is to try every combination."""
        if not self.spec.race or self.spec.sampler == "grid":
            return None

        def worse(leader: str) -> float:
            mine, theirs = (self._predictions(self.arms[b]) for b in (name, leader))
            if mine is None or theirs is None:
                return 0.0
            return self.judge.worse(mine, theirs, derive_seed(self.spec.seed, "race", number))

        return verdict(name, {b: self._trials(b) for b in self._racing(number)}, worse)

    def _trials(self, name: str) -> list[TrialRecord]:
        """A backend's told trials, in order."""
        return [r for r in self.records.values() if r.backend == name]

    def _expected(self, name: str, size: int) -> float:
        spent = self.arms[name].spent
        return size * float(np.mean(spent[-self.block :])) if spent else 0.0

    def _widen(self, name: str, number: int) -> None:
        """Move the ends that a backend's best trials crowd; what the ledger holds is done as it was."""
        known = [e for e in self.history.extensions if (e.number, e.backend) == (number, name)]
        found = known or self._found_narrow(name, number)
        if not found:
            return
        self.arms[name].proposer.widen({e.name: (e.low, e.high) for e in found})
        self.extensions += found
        if not known:
            later = [e for e in self.history.extensions if e.number > number]
            self.ledger.extend([*self.extensions, *later])

    def _found_narrow(self, name: str, number: int) -> list[Extension]:
        """Which ranges are to become wider now; a range that the user has given is only spoken of."""
        if number <= self.decided:
            return []
        arm, now = self.arms[name], self.arms[name].proposer.space.dimensions

        def possible(key: str, dimension: Dimension) -> bool:
            try:
                arm.backend.check({key: dimension}, self.judge.task)
            except StudyError:
                return False
            return True

        self._settle(number - self.spec.lookahead)
        before = [e for e in self.extensions if e.backend == name]
        found = []
        for crowd in crowds(self.first[name].dimensions, now, self._trials(name), before, possible):
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

    # -- one block ---------------------------------------------------------------------------------------------

    def _run_block(self, arm: Arm, numbers: list[int]) -> None:
        shared: dict[str, Any] = {}
        for n in numbers:
            # A batched block is computed as a whole, so none of its own trials can be known before the last is asked.
            self._settle(
                min(n - self.spec.lookahead, numbers[0] - 1)
                if arm.backend.batched
                else n - self.spec.lookahead
            )
            known = self.history.records.get(n)
            if known is not None and known.backend != arm.backend.name:
                raise AutoregError(
                    f"trial {n} is {known.backend}'s in the ledger, but {arm.backend.name}'s here: use --fresh"
                )
            asked = arm.proposer.ask(n, known.asked if known else None, shared)
            shared = shared or {name: asked.params[name] for name in arm.backend.shared}
            arm.asked[n], self.owner[n] = asked, arm.backend.name
            if not arm.backend.batched:
                self._submit(arm, [n])
        if arm.backend.batched:
            for group in _alike(arm, numbers):
                self._submit(arm, group)

    def _submit(self, arm: Arm, numbers: list[int]) -> None:
        """Look trials up in the ledger; compute them, all of a batch, when one is not there."""
        known = {n: self.history.records[n] for n in numbers if n in self.history.records}
        self.finished.update(known)
        if len(known) == len(numbers):
            return
        name = arm.backend.name
        candidates = tuple(
            Candidate(arm.asked[n].params, derive_seed(self.spec.seed, name, n, "fit")) for n in numbers
        )
        self.executor.submit(Work(tuple(numbers), name, candidates, self._incumbent(arm)))

    def _incumbent(self, arm: Arm) -> NDArray[np.float32] | None:
        """What the backend's next trial is pruned against."""
        return self._predictions(arm) if self.spec.prune and not arm.backend.batched else None

    def _predictions(self, arm: Arm) -> NDArray[np.float32] | None:
        """Predictions of a backend's best trial so far; fetched once when it was looked up."""
        if arm.best is None:
            return None
        if arm.best.result.predictions is None:
            fetched = self.ledger.predictions(arm.best)
            arm.best = replace(arm.best, result=replace(arm.best.result, predictions=fetched))
        return arm.best.result.predictions

    # -- results -----------------------------------------------------------------------------------------------

    def _settle(self, until: int) -> None:
        """Tell every trial up to ``until``, in order, waiting for those that are not finished."""
        while self.told < until:
            n = self.told + 1
            replayed = n in self.history.records
            while n not in self.finished:
                self._take(self.executor.wait())
            record = self.finished.pop(n)
            arm = self.arms[self.owner[n]]
            arm.proposer.tell(arm.asked[n], record.result)
            better = arm.best is None or record.result.loss < arm.best.result.loss
            if record.result.state is State.COMPLETE and better:
                arm.best = record
            self.records[n] = _without_arrays(record)  # a study holds hundreds; only the best keeps its own
            self.told = n
            self.watch.trial(record, replayed)

    def _take(self, done: Done) -> None:
        """Record a finished task in the ledger. A trial that was there already keeps what is there."""
        share = (done.ended - done.started) / len(done.work.numbers)
        arm = self.arms[done.work.backend]
        for i, (n, result) in enumerate(zip(done.work.numbers, done.results, strict=True)):
            arm.spent.append(share)
            if n in self.finished or n in self.records:
                continue
            start = done.started + i * share
            record = TrialRecord(n, done.work.backend, arm.asked[n].coded, result, start, start + share)
            began = time.perf_counter()
            self.ledger.record(record)
            self.ledger.waited += time.perf_counter() - began
            self.finished[n] = record


def _alike(arm: Arm, numbers: list[int]) -> list[list[int]]:
    """Trials of a block grouped by what shapes their program, in order."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for n in numbers:
        params: Params = arm.asked[n].params
        groups.setdefault(tuple(params[name] for name in arm.backend.shared), []).append(n)
    return list(groups.values())


def _without_arrays(record: TrialRecord) -> TrialRecord:
    return replace(record, result=replace(record.result, predictions=None, curves={}))
