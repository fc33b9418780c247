"""Which trials are worth a second look, and what "simpler" means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from autoreg.errors import NoTrialCompleted
from autoreg.trial import State, TrialRecord

TOP = 8
"""Trials with the smallest search loss among the finalists."""

COPIES = {0: 1, 1: 3, 2: 5}
"""Models of one configuration that are averaged, by family: linear, boosted, network."""

Simplicity = tuple[int, float, float, int]


def complete(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Trials that went through every fold with a finite loss, best first; equal ones by number."""
    found = [r for r in records if r.result.state is State.COMPLETE and math.isfinite(r.result.loss)]
    return sorted(found, key=lambda r: (r.result.loss, r.number))


def simplicity(record: TrialRecord, rank: int, size: float | None = None) -> Simplicity:
    """Sorts the simpler first: family, then effective parameters, then stronger penalty, then earlier trial.

    Parameters
    ----------
    record : TrialRecord
    rank : int
        Of the family: linear 0 < boosted 1 < network 2.
    size : float, optional
        Effective parameters, where they are known better than from the search.
    """
    size = record.result.complexity if size is None else size
    alpha = record.result.params.get("alpha", 0.0)
    strength = float(alpha) if isinstance(alpha, int | float) else 0.0
    return rank, size if math.isfinite(size) else math.inf, -strength, record.number


def copies(record: TrialRecord, rank: int) -> int:
    """Models of one configuration worth averaging when each sees all rows: 1 where its seed makes no difference.

    ``benchmarks/selection.py`` compares this with the models of the fresh cells, which saw two thirds of the rows.
    """
    steady = {"subsample": 1.0, "colsample": 1.0, "dropout": 0.0}
    if rank == 1 and all(record.result.params.get(name, value) == value for name, value in steady.items()):
        return 1
    return COPIES[rank]


def choose(records: Sequence[TrialRecord], ranks: Mapping[str, int]) -> TrialRecord:
    """The complete trial with the smallest cross-validated loss; of equal ones the simplest.

    Raises
    ------
    NoTrialCompleted
        Every trial failed; the message gives the first reason.
    """
    found = complete(records)
    if not found:
        reasons = [r.result.reason for r in records if r.result.reason]
        why = (
            f"; first reason: {reasons[0]}"
            if reasons
            else "; give it more time (--timeout) or trials (--trials)"
        )
        raise NoTrialCompleted(f"none of {len(records)} trials completed{why}")
    return min(found, key=lambda r: (r.result.loss, *simplicity(r, ranks[r.backend])))


def shortlist(records: Sequence[TrialRecord], defaults: Iterable[int], top: int = TOP) -> list[TrialRecord]:
    """Trials to be scored again: the ``top`` best, the best of every backend, every backend's default configuration.

    Parameters
    ----------
    records : sequence of TrialRecord
    defaults : iterable of int
        Numbers of the default configurations.
    top : int

    Returns
    -------
    list of TrialRecord
        Smallest search loss first, no configuration twice.
    """
    found = complete(records)
    wanted = found[:top]
    for backend in dict.fromkeys(r.backend for r in found):
        wanted.append(next(r for r in found if r.backend == backend))
    chosen = set(defaults)
    wanted += [r for r in found if r.number in chosen]
    distinct: dict[str, TrialRecord] = {}
    for record in sorted(wanted, key=lambda r: (r.result.loss, r.number)):
        distinct.setdefault(f"{record.backend} {sorted(record.result.params.items())}", record)
    return list(distinct.values())


def stopping_point(rounds: Sequence[int]) -> int:
    """Mean best stopping point over folds, to refit with on all rows; 0 where the model has none.

    Parameters
    ----------
    rounds : sequence of int
        One per fold.
    """
    known = [r for r in rounds if r > 0]
    return round(float(np.mean(known))) if known else 0


def incumbents(records: Sequence[TrialRecord]) -> list[tuple[int, TrialRecord]]:
    """The best trial so far, whenever it changed: (number of the trial after which it led, its record)."""
    led: list[tuple[int, TrialRecord]] = []
    for record in sorted(complete(records), key=lambda r: r.number):
        if not led or record.result.loss < led[-1][1].result.loss:
            led.append((record.number, record))
    return led
