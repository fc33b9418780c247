"""The one loop: ask -> submit -> record -> tell, and the same loop again when a study is resumed.

The search is one global sequence of trials. In each round every backend still in the race gets one turn, in the
order of the study file; trial g is asked when exactly the trials up to g - lookahead are told, in order. A trial the
ledger holds is looked up instead of computed. So whatever runs it, and however often it is killed, the trials are
the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import fits_alone
from autoreg.errors import AutoregError
from autoreg.evaluation import Candidate
from autoreg.executor import Done, Executor, Work
from autoreg.ledger import History, Ledger
from autoreg.racing import Judge
from autoreg.referee import Arm, Referee
from autoreg.space import Space, derive_seed
from autoreg.spec import SearchSpec
from autoreg.trial import Extension, OutOfTime, Params, State, TrialRecord, Watch

__all__ = ["Arm", "Search"]

DRAIN = 10.0
"""Seconds that trials under way in workers have to finish when the search is told to stop."""


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
    grace : callable, optional
        Seconds that workers may still take for what they have begun when the search must end; none without one.

    Attributes
    ----------
    referee : Referee
        Who left the race, and which ranges became wider.
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
        grace: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.spec, self.block, self.arms = spec, block, dict(arms)
        self.executor, self.ledger, self.history = executor, ledger, history
        self.watch, self.grace = watch, grace
        self.referee = Referee(spec, block, self.arms, judge, ledger, history, time_left, watch)
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
            for done in self.executor.drain(max(0.0, self.grace())):
                self._take(done)
            while self.told + 1 in self.finished:
                self._settle(self.told + 1)
        except KeyboardInterrupt:
            for done in self.executor.drain(DRAIN):
                self._take(done)
            raise
        finally:
            self.executor.close()
        self._say_news()
        try:
            self.ledger.flush()
        finally:
            self._say_news()
        return [self.records[n] for n in sorted(self.records)]

    @property
    def drops(self) -> dict[str, int]:
        """Backends that left the race, with the first trial number that no longer is theirs."""
        return dict(self.referee.drops)

    @property
    def sat_out(self) -> dict[str, int]:
        """Backends that sat out in the end, for their turn did not fit the time left; and since which trial."""
        return self.referee.sits_out(len(self.records))

    @property
    def extensions(self) -> list[Extension]:
        """Ranges that became wider, in order."""
        return list(self.referee.extensions)

    @property
    def spaces(self) -> dict[str, Space]:
        """Every backend's space as it is now, extensions included."""
        return self.referee.spaces

    # -- who is next -------------------------------------------------------------------------------------------

    def _blocks(self) -> Iterator[tuple[str, list[int]]]:
        """Yield (backend, trial numbers), round after round."""
        number = 0
        while number < self.spec.trials:
            before = number
            for name, arm in self.arms.items():
                size = min(self.block, self.spec.trials - number)
                size = size if arm.left is None else min(size, arm.left)
                if size <= 0 or self.referee.absent(name, number):
                    continue
                if self.referee.decides(number):
                    self._settle(number - self.spec.lookahead)
                    if arm.backend.batched and not arm.spent:
                        self._catch_up()
                    if self.referee.drops_now(name, number):
                        continue
                size = self.referee.turn(name, number, size)
                if size == 0:
                    continue
                self.referee.widen(name, number)
                yield name, list(range(number, number + size))
                number += size
            if number == before:
                return

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
        for n, record in known.items():
            self._finish(n, record)
        if len(known) == len(numbers):
            return
        name = arm.backend.name
        candidates = tuple(
            Candidate(arm.asked[n].params, derive_seed(self.spec.seed, name, n, "fit")) for n in numbers
        )
        self.ledger.attempt(numbers)
        self.executor.submit(Work(tuple(numbers), name, candidates, self._incumbent(arm)))

    def _incumbent(self, arm: Arm) -> NDArray[np.float32] | None:
        """What the backend's next trial is pruned against."""
        return arm.predictions(self.ledger) if self.spec.prune and not arm.backend.batched else None

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
            self.records[n] = arm.told[n] = _without_arrays(
                record
            )  # a study holds hundreds; only the best keeps its own
            self.told = n
            self.watch.trial(record, replayed)
            self._say_news()

    def _catch_up(self) -> None:
        """Compute what is under way, so that its cost is known; nothing of it is told before its time."""
        while any(n not in self.finished and n not in self.records for n in self.owner):
            self._take(self.executor.wait())

    def _say_news(self) -> None:
        for message in self.ledger.news():
            self.watch.say(message)

    def _take(self, done: Done) -> None:
        """Record a finished task in the ledger. A trial that was there already keeps what is there."""
        share = (done.ended - done.started) / len(done.work.numbers)
        arm = self.arms[done.work.backend]
        first = not arm.spent
        for i, (n, result) in enumerate(zip(done.work.numbers, done.results, strict=True)):
            # What comes once, such as a library's import, is no part of a trial's own seconds.
            busy = result.seconds if first and result.seconds else share
            # Single trials run side by side, a block is one task.
            arm.spent.append(busy if arm.backend.batched else busy / self.executor.workers)
            if n in self.finished or n in self.records:
                continue
            start = done.started + i * share
            record = TrialRecord(n, done.work.backend, arm.asked[n].coded, result, start, start + share)
            began = time.perf_counter()
            self.ledger.record(record)
            self.ledger.waited += time.perf_counter() - began
            self._finish(n, record)

    def _finish(self, n: int, record: TrialRecord) -> None:
        self.finished[n], arm = record, self.arms[record.backend]
        if record.result.state is State.COMPLETE:
            arm.lowest = min(arm.lowest, record.result.loss)


def _alike(arm: Arm, numbers: list[int]) -> list[list[int]]:
    """Trials of a block grouped by what shapes their program, in order."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for n in numbers:
        params: Params = arm.asked[n].params
        key = (n,) if fits_alone(arm.backend, params) else tuple(params[name] for name in arm.backend.shared)
        groups.setdefault(key, []).append(n)
    return list(groups.values())


def _without_arrays(record: TrialRecord) -> TrialRecord:
    return replace(record, result=replace(record.result, predictions=None, curves={}))
