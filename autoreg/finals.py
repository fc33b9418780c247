"""The finalists once more, on fresh repeats of the folds with seeds the search never used; their models are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import Backend, Fit, FitFailure, seconds_apart
from autoreg.data import refold
from autoreg.errors import DataError
from autoreg.evaluation import Candidate, Problem, fit_folds, mean_curves
from autoreg.selection import Evidence, complete, copies, shortlist, simplicity
from autoreg.serving import Chain
from autoreg.space import derive_seed
from autoreg.spec import SplitSpec
from autoreg.trial import Floats, OutOfTime, Params, Split, TrialRecord

Cost = Callable[[Sequence[TrialRecord]], float]
REPEATS = 3
PLANS = (
    (3, 8, True),
    (2, 8, True),
    (2, 4, True),
    (1, 8, True),
    (1, 4, True),
    (1, 8, False),
    (1, 4, False),
    (1, 2, False),
)
"""Repeats, best trials, and whether every backend's best and default go along, tried until one fits the time left."""
QUICK = 4
"""Trials that are looked at again where the best ones take too long."""
MARGIN = 1.2
"""A repeat beyond those that were planned is begun where the time left is so many times what the dearest one took."""
FEW_FOLDS = 3
"""Folds of a fresh repeat where a trial has one: rows are many."""
SEEDS = 5
"""Seeds tried for a repeat whose folds would miss a class."""


@dataclass
class Finals:
    """Finalists with a score in every fresh cell.

    Attributes
    ----------
    records : list of TrialRecord
        Finalists, smallest search loss first.
    problems : list of Problem
        One per repeat, under its own folds.
    fits : list of list of list of Fit
        By finalist, repeat and fold.
    rows : ndarray, shape (n,)
        Table rows that every repeat predicted.
    predictions : ndarray, shape (R, F, n, K) or (R, F, n), float32
    events : list of str
        What was left out, and why.
    """

    records: list[TrialRecord]
    problems: list[Problem]
    fits: list[list[list[Fit]]]
    rows: NDArray[np.int64]
    predictions: NDArray[np.float32]
    events: list[str] = field(default_factory=list)

    def rounds(self, finalist: int) -> list[int]:
        """Best stopping points of a finalist's fresh fits."""
        return [fit.rounds for repeat in self.fits[finalist] for fit in repeat]

    def complexity(self, finalist: int) -> float:
        """Effective parameters of a finalist, mean over its fresh fits."""
        return float(np.mean([fit.complexity for repeat in self.fits[finalist] for fit in repeat]))

    def curves(self, finalist: int) -> dict[str, Floats]:
        """Learning curves of a finalist: means over those of its fresh fits that still trained, while half did."""
        return mean_curves([fit for repeat in self.fits[finalist] for fit in repeat], reach=0.5)

    def chains(self, finalist: int, weight: float, backend: Backend) -> list[Chain]:
        """A finalist's models behind their preprocessing, weights summing to ``weight``."""
        cells = [(r, k) for r, problem in enumerate(self.problems) for k in range(len(problem.split.folds))]
        share = weight / len(cells)
        return [
            (
                self.problems[r].preprocessors(backend.encoding)[k],
                self.fits[finalist][r][k].member,
                share,
            )
            for r, k in cells
        ]

    def evidence(self, backends: Mapping[str, Backend]) -> Evidence:
        """The finalists' fresh predictions, for a decision."""
        first = self.problems[0]
        place = np.full(len(first.table.target), -1)
        place[self.rows] = np.arange(len(self.rows))
        cells = []
        for problem in self.problems:
            found = [place[fold.score] for fold in problem.split.folds]
            cells.append(tuple(rows[rows >= 0] for rows in found))
        ratios = [len(f.score) / len(f.train) for problem in self.problems for f in problem.split.folds]
        ranks = tuple(backends[r.backend].rank for r in self.records)
        simple = tuple(
            simplicity(r, rank, self.complexity(i))
            for i, (r, rank) in enumerate(zip(self.records, ranks, strict=True))
        )
        return Evidence(
            first.table.task,
            first.metric,
            first.table.target[self.rows],
            self.predictions,
            tuple(cells),
            float(np.mean(ratios)),
            simple,
            tuple(copies(r, rank) for r, rank in zip(self.records, ranks, strict=True)),
            None if first.table.weight is None else first.table.weight[self.rows],
            None if first.weight is None else first.weight[self.rows],
        )


def run_finals(
    records: Sequence[TrialRecord],
    defaults: Sequence[int],
    problem: Problem,
    backends: Mapping[str, Backend],
    configure: Callable[[TrialRecord], Params],
    spec: SplitSpec,
    seed: int,
    time_left: Callable[[], float],
) -> Finals | None:
    """Score finalists again on fresh repeats, as many as the time allows.

    Parameters
    ----------
    records : sequence of TrialRecord
        All trials of the search.
    defaults : sequence of int
        Numbers of the backends' default configurations.
    problem : Problem
    backends : mapping of str to Backend
    configure : callable
        Full parameters of a finished trial.
    spec : SplitSpec
    seed : int
        The study's; the fresh seeds are derived from it.
    time_left : callable
        Seconds until the fresh fits must end.

    Returns
    -------
    Finals or None
        None where the time allowed no repeat, or no finalist got through one.
    """
    planned = _affordable(records, defaults, _cost_of(backends, problem.split, spec), time_left())
    if planned is None:
        return None
    repeats, chosen, told = planned
    alive, events = dict(enumerate(chosen)), list[str]()
    problems, fits = _scored(
        alive,
        events,
        repeats,
        lambda r: _fresh(problem, spec, seed, r),
        lambda fresh, r: _repeat(alive, fresh, backends, configure, seed, r, lambda: time_left() > 0),
        time_left,
    )
    if not problems or not alive:
        return None
    kept = list(alive)
    predictions, rows = _predictions([fits[i] for i in kept], problems, [alive[i] for i in kept], backends)
    sound = [i for i in range(len(kept)) if np.isfinite(predictions[:, i]).all()]
    if not sound or not len(rows):
        return None
    kept = [kept[i] for i in sound]
    events = [*told(len(problems)), *events]
    return Finals(
        [alive[i] for i in kept], problems, [fits[i] for i in kept], rows, predictions[:, sound], events
    )


def _scored(
    alive: dict[int, TrialRecord],
    events: list[str],
    repeats: int,
    divide: Callable[[int], Problem | None],
    fit: Callable[[Problem, int], dict[int, list[Fit] | FitFailure]],
    time_left: Callable[[], float],
) -> tuple[list[Problem], dict[int, list[list[Fit]]]]:
    """Repeat after repeat while the time lasts; finalists that fail leave ``alive``, and ``events`` says what was lost.

    Those that are planned are begun; where they turn out to take less than was expected, more follow.
    """
    problems: list[Problem] = []
    fits: dict[int, list[list[Fit]]] = {i: [] for i in alive}
    dearest = 0.0
    for r in range(REPEATS):
        left = time_left()
        if r >= repeats and MARGIN * dearest > left:
            break
        fresh = divide(r)
        if fresh is None:
            events.append(f"fresh repeat {r + 1}: no division into folds keeps every class; left out")
            continue
        try:
            found = fit(fresh, r)
        except OutOfTime:
            spent = left - time_left()
            events.append(f"fresh repeat {r + 1} was cut short after {spent:.0f} s of {left:.0f} s left")
            break
        dearest = max(dearest, left - time_left())
        for i, outcome in found.items():
            if isinstance(outcome, FitFailure):
                record = alive.pop(i)
                events.append(f"{record.backend} #{record.number} failed on fresh folds: {outcome.reason}")
            else:
                fits[i].append(outcome)
        problems.append(fresh)
    return problems, fits


def full_cost(
    finalists: Sequence[TrialRecord], backends: Mapping[str, Backend], split: Split, spec: SplitSpec
) -> float:
    """Seconds that all fresh repeats of a whole shortlist are expected to take, judged by the search's own fits."""
    return REPEATS * _cost_of(backends, split, spec)(finalists)


def _cost_of(backends: Mapping[str, Backend], split: Split, spec: SplitSpec) -> Cost:
    """What a fresh repeat of some finalists is expected to take."""
    fits = _fresh_folds(split, spec).folds / len(split.folds)
    return lambda finalists: (
        fits * sum(seconds_apart(backends[r.backend], r.result.seconds) for r in finalists)
    )


def _fresh_folds(split: Split, spec: SplitSpec) -> SplitSpec:
    """How a fresh repeat is divided: where trials are fitted on one fold, finalists are on all of a few."""
    return spec.model_copy(update={"folds": FEW_FOLDS}) if len(split.folds) == 1 else spec


def _affordable(
    records: Sequence[TrialRecord],
    defaults: Sequence[int],
    cost: Cost,
    seconds: float,
) -> tuple[int, list[TrialRecord], Callable[[int], list[str]]] | None:
    """Repeats and finalists whose cost, judged by the search's own, fits the time that is left, and what to say of those done."""
    for repeats, top, whole in PLANS:
        chosen = shortlist(records, defaults, top) if whole else complete(records)[:top]
        if chosen and repeats * cost(chosen) <= seconds:
            every = (top, whole) == PLANS[0][1:]
            of = f"the {top} best trials" + ("" if whole else " and of no others")
            return repeats, chosen, partial(_said, every, repeats, of)
    chosen = _quick(records, cost, seconds)
    if not chosen:
        return None
    return 1, chosen, partial(_said, False, 1, f"the {len(chosen)} best that are quick enough")


def _quick(records: Sequence[TrialRecord], cost: Cost, seconds: float) -> list[TrialRecord]:
    """Good trials that one repeat has time for, none of which takes more than half of it.

    None where the best of them is more than a standard error behind the best of all.
    """
    found, chosen, left = complete(records), list[TrialRecord](), seconds
    for record in found:
        spent = cost([record])
        if spent <= min(left, seconds / 2) and len(chosen) < QUICK:
            chosen.append(record)
            left -= spent
    near = chosen and chosen[0].result.loss <= found[0].result.loss + found[0].result.loss_se
    return chosen if near and len(chosen) > 1 else []


def _said(every: bool, planned: int, of: str, done: int) -> list[str]:
    """What the time did not allow; a repeat that was to be done and was not is told of elsewhere."""
    if every and max(planned, done) == REPEATS:
        return []
    many = "1 fresh repeat" if done == 1 else f"{done} fresh repeats"
    return [f"the time left allowed {many} of {of} instead of {REPEATS} of {PLANS[0][1]}"]


def _fresh(problem: Problem, spec: SplitSpec, seed: int, repeat: int) -> Problem | None:
    """The problem under folds of a seed that the search never used."""
    for attempt in range(SEEDS):
        try:
            split = refold(
                problem.table,
                problem.split,
                _fresh_folds(problem.split, spec),
                derive_seed(seed, "fresh folds", repeat, attempt),
            )
        except DataError:
            continue
        return problem.again(split)
    return None


def _repeat(
    alive: Mapping[int, TrialRecord],
    fresh: Problem,
    backends: Mapping[str, Backend],
    configure: Callable[[TrialRecord], Params],
    seed: int,
    repeat: int,
    in_time: Callable[[], bool],
) -> dict[int, list[Fit] | FitFailure]:
    """Fit every finalist on one fresh repeat; a batched backend's in one call."""
    outcomes: dict[int, list[Fit] | FitFailure] = {}
    for name, backend in backends.items():
        mine = [i for i, record in alive.items() if record.backend == name]
        candidates = [
            Candidate(configure(alive[i]), derive_seed(seed, name, alive[i].number, "fresh", repeat))
            for i in mine
        ]
        if candidates:
            found = fit_folds(backend, candidates, fresh, in_time)
            outcomes |= dict(zip(mine, found, strict=True))
    return outcomes


def _predictions(
    fits: Sequence[Sequence[Sequence[Fit]]],
    problems: Sequence[Problem],
    records: Sequence[TrialRecord],
    backends: Mapping[str, Backend],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Out-of-fold predictions of every finalist in every repeat, and the table rows that all repeats predicted."""
    table = problems[0].table
    covered = np.ones(len(table.target), bool)
    for problem in problems:
        here = np.zeros(len(covered), bool)
        here[np.concatenate([fold.score for fold in problem.split.folds])] = True
        covered &= here
    rows = np.flatnonzero(covered)
    width = (table.n_classes,) if table.n_classes else ()
    whole = np.empty((len(covered), *width), np.float32)
    out = np.empty((len(problems), len(records), len(rows), *width), np.float32)
    for r, problem in enumerate(problems):
        for i, record in enumerate(records):
            for k, data in enumerate(problem.folds(backends[record.backend].encoding)):
                if data.score is None:
                    raise ValueError("a fold without a score part cannot be judged")
                whole[problem.split.folds[k].score] = fits[i][r][k].member.predict(data.score.X)
            out[r, i] = whole[rows]
    return out, rows
