"""What is shipped: the models of the decision behind their preprocessing, as one package, and what it costs to run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoreg.backends import FitFailure, FitJob, seconds_apart
from autoreg.data import encode
from autoreg.errors import NoTrialCompleted
from autoreg.finals import Finals
from autoreg.planning import StudyPlan
from autoreg.selection import Cut, Decision, copies, stopping_point
from autoreg.serving import Chain, Package
from autoreg.space import derive_seed
from autoreg.trial import Fold, Params, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

TIMED_ROWS = 1000


@dataclass(frozen=True)
class Shipment:
    """A package as it is after saving and loading: what is judged and returned is what will be served.

    Attributes
    ----------
    package : Package
    bytes : int
        Size on disk.
    whole : bool
        Whether every model saw all rows of the search; False for models of the fresh cells.
    """

    package: Package
    bytes: int
    whole: bool = True

    def microseconds(self, frame: pd.DataFrame) -> float:
        """Time to predict one row in a batch of at most ``TIMED_ROWS`` rows of the frame; the quicker of two runs."""
        rows = frame.iloc[:TIMED_ROWS]
        best = np.inf
        for _ in range(2):
            began = time.perf_counter()
            self.package.predict_raw(rows)
            best = min(best, time.perf_counter() - began)
        return 1e6 * best / max(1, len(rows))


def configuration(planned: StudyPlan, record: TrialRecord) -> Params:
    """Full parameters of a finished trial, to be fitted again."""
    return {**planned.resolved[record.backend].default, **record.result.params}


def ship(
    planned: StudyPlan,
    winner: TrialRecord,
    finals: Finals | None,
    decision: Decision | None,
    time_left: Callable[[], float],
) -> Shipment:
    """Build what was decided; every model is fitted on all rows, or taken from the fresh cells when time is short.

    Raises
    ------
    NoTrialCompleted
        A configuration failed when it was fitted on all rows.
    """
    table, cut = planned.table, decision.cut if decision else Cut()
    if finals is None or decision is None:
        chains, whole = refit(planned, winner, None, _affordable(planned, winner, time_left())), True
    elif decision.kind == "refit":
        chains, whole = refit(planned, winner, finals, 1), True
    else:
        parts = [(finals.records[i], i, float(w)) for i, w in enumerate(decision.weights) if w > 0]
        whole = sum(refit_cost(planned, record) for record, _, _ in parts) <= time_left()
        chains = []
        for record, i, weight in parts:
            backend = planned.backends[record.backend]
            number = copies(record, backend.rank)
            made = (
                refit(planned, record, finals, number, weight) if whole else finals.chains(i, weight, backend)
            )
            chains += made
    columns = list(table.features.columns)
    package = Package(chains, table.task, table.classes, columns, cut.temperature, cut.threshold, table.image)
    with tempfile.TemporaryDirectory() as folder:
        package.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        return Shipment(Package.load(folder), size, whole)


def _affordable(planned: StudyPlan, winner: TrialRecord, seconds: float) -> int:
    """Copies of a winner that no fresh repeat has confirmed: all, or one."""
    single = planned.study.select.final == "single" or planned.table.time is not None
    if single or refit_cost(planned, winner) > seconds:
        return 1
    return copies(winner, planned.backends[winner.backend].rank)


def refit_cost(planned: StudyPlan, record: TrialRecord) -> float:
    """Seconds to fit a configuration's copies on all rows, judged by the search's own fits."""
    folds, backend = planned.split.folds, planned.backends[record.backend]
    more = len(planned.split.search) / np.mean([len(fold.train) for fold in folds])
    single = seconds_apart(backend, record.result.seconds / len(folds))
    return float(single * more * copies(record, backend.rank))


def refit(
    planned: StudyPlan, record: TrialRecord, finals: Finals | None, number: int, weight: float = 1.0
) -> list[Chain]:
    """A configuration fitted on all rows of the search, at the mean best stopping point of its folds.

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

    Raises
    ------
    NoTrialCompleted
        A fit failed.
    """
    backend = planned.backends[record.backend]
    empty = np.empty(0, np.int64)
    whole = Fold(planned.split.search, empty, empty)
    data, preprocessor = encode(planned.table, whole, backend.encoding, planned.problem.weight)
    rounds = list(record.result.rounds)
    if finals is not None:
        numbers = [known.number for known in finals.records]
        rounds += finals.rounds(numbers.index(record.number)) if record.number in numbers else []
    params, seed = configuration(planned, record), planned.study.search.seed
    jobs = [
        FitJob(
            params,
            data,
            derive_seed(seed, record.backend, record.number, "refit", copy),
            stopping_point(rounds),
        )
        for copy in range(number)
    ]
    chains: list[Chain] = []
    for outcome in backend.fit(jobs):
        if isinstance(outcome, FitFailure):
            raise NoTrialCompleted(
                f"the winner ({record.backend} #{record.number}) failed when refitted: {outcome.reason}"
            )
        chains.append((preprocessor, outcome.member, weight / number))
    return chains
