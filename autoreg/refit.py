"""A finished configuration fitted again, on all rows of the search: what that costs, and how it is done."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from autoreg.backends import FitFailure, FitJob, always, hastened, rounds_on_more, seconds_apart
from autoreg.data import encode, stop_part
from autoreg.errors import NoTrialCompleted
from autoreg.finals import Finals
from autoreg.planning import StudyPlan
from autoreg.selection import copies, stopping_point
from autoreg.serving import Chain
from autoreg.space import derive_seed
from autoreg.trial import Fold, Params, TrialRecord

STOP_ROWS = 20_000
"""Rows at most that tell a fit on many rows when to stop."""
MORE_STEPS = 2.0
"""Steps that a fit on all rows is expected to take, in those that it took on a sample of them."""


def configuration(planned: StudyPlan, record: TrialRecord) -> Params:
    """Full parameters of a finished trial, to be fitted again."""
    return {**planned.resolved[record.backend].default, **record.result.params}


def refit_cost(planned: StudyPlan, record: TrialRecord) -> float:
    """Seconds to fit a configuration's copies on all rows, judged by the search's own fits."""
    return _single_cost(planned, record) * copies(record, planned.backends[record.backend].rank)


def cost_of_many(planned: StudyPlan, record: TrialRecord) -> float:
    """Seconds to fit one model of a configuration on all rows where trials saw a sample: many rows bear more steps than few."""
    return MORE_STEPS * _single_cost(planned, record)


def longest_haste(planned: StudyPlan, record: TrialRecord) -> float:
    """In how many times fewer steps a configuration can be fitted; 1 where its backend cannot."""
    backend, params = planned.backends[record.backend], configuration(planned, record)
    eta, longest = params.get("eta"), hastened(backend, params, math.inf).get("eta")
    return (
        float(longest) / float(eta)
        if isinstance(eta, int | float) and isinstance(longest, int | float)
        else 1.0
    )


def _single_cost(planned: StudyPlan, record: TrialRecord) -> float:
    folds, backend = planned.split.folds, planned.backends[record.backend]
    found = stopping_point(record.result.rounds)
    longer = _rounds(planned, record, found) / found if found else 1.0
    return seconds_apart(backend, record.result.seconds / len(folds)) * _more_rows(planned) * longer


def refit(
    planned: StudyPlan,
    record: TrialRecord,
    finals: Finals | None,
    number: int,
    weight: float = 1.0,
    haste: float = 1.0,
    in_time: Callable[[], bool] = always,
) -> list[Chain]:
    """A configuration fitted on all rows of the search, at the mean best stopping point of its folds or, where a backend
    wants more steps for more rows, past it.

    Where trials saw a sample, these points are too early: a few of all rows tell when to stop instead.

    Parameters
    ----------
    planned : StudyPlan
    record : TrialRecord
    finals : Finals or None
        Adds its fresh stopping points to those of the search.
    number : int
        Models to fit, each with a seed of its own.
    weight : float
        Of all of them together in what is shipped.
    haste : float
        Above 1: in so many times fewer steps, where the backend can.
    in_time : callable
        Asked between steps.

    Raises
    ------
    NoTrialCompleted
        A fit failed.
    OutOfTime
        ``in_time`` said no.
    """
    backend, split, seed = planned.backends[record.backend], planned.split, planned.study.search.seed
    stop = np.empty(0, np.int64)
    rounds = _rounds(planned, record, _stopping_point(record, finals))
    if split.sample is not None:
        stop = stop_part(planned.table, planned.study.split, split.search, STOP_ROWS, seed)
        rounds = 0 if len(stop) else rounds
    rows = Fold(np.setdiff1d(split.search, stop, assume_unique=True), stop, stop[:0])
    data, preprocessor = encode(planned.table, rows, backend.encoding, planned.problem.weight)
    params = hastened(backend, configuration(planned, record), haste)
    seeds = [derive_seed(seed, record.backend, record.number, "refit", copy) for copy in range(number)]
    jobs = [FitJob(params, data, each, rounds) for each in seeds]
    chains: list[Chain] = []
    for outcome in backend.fit(jobs, in_time):
        if isinstance(outcome, FitFailure):
            raise NoTrialCompleted(
                f"the winner ({record.backend} #{record.number}) failed when refitted: {outcome.reason}"
            )
        chains.append((preprocessor, outcome.member, weight / number))
    return chains


def _more_rows(planned: StudyPlan) -> float:
    """Rows of the search in rows that a fold trained on."""
    return float(len(planned.split.search) / np.mean([len(fold.train) for fold in planned.split.folds]))


def _rounds(planned: StudyPlan, record: TrialRecord, found: int) -> int:
    """Where a configuration that stopped there in the folds is to stop on all rows of the search."""
    backend, params = planned.backends[record.backend], configuration(planned, record)
    if planned.split.sample is not None:  # of so many rows a part of their own tells it
        return found
    return rounds_on_more(backend, params, found, _more_rows(planned))


def _stopping_point(record: TrialRecord, finals: Finals | None) -> int:
    """Mean best stopping point of a configuration's folds, fresh ones too."""
    rounds = list(record.result.rounds)
    if finals is not None:
        numbers = [known.number for known in finals.records]
        rounds += finals.rounds(numbers.index(record.number)) if record.number in numbers else []
    return stopping_point(rounds)
