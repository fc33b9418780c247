"""What is shipped: the models of the decision behind their preprocessing, as one package, and what it costs to run."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoreg.backends import FitFailure, FitJob
from autoreg.data import encode_with
from autoreg.errors import NoTrialCompleted
from autoreg.finals import Finals
from autoreg.planning import StudyPlan
from autoreg.selection import Cut, Decision, stopping_point
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
    """

    package: Package
    bytes: int

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
    planned: StudyPlan, winner: TrialRecord, finals: Finals | None, decision: Decision | None
) -> Shipment:
    """Build what was decided: a bag or blend of models that exist already, or one model of all rows.

    Raises
    ------
    NoTrialCompleted
        The winner failed when it was fitted on all rows.
    """
    table, cut = planned.table, decision.cut if decision else Cut()
    if finals is None or decision is None or decision.kind == "refit":
        chains = [refit(planned, winner, finals)]
    else:
        parts = [(i, float(w)) for i, w in enumerate(decision.weights) if w > 0]
        chains = [
            chain
            for i, weight in parts
            for chain in finals.chains(i, weight, planned.backends[finals.records[i].backend])
        ]
    columns = list(table.features.columns)
    package = Package(chains, table.task, table.classes, columns, cut.temperature, cut.threshold)
    with tempfile.TemporaryDirectory() as folder:
        package.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        return Shipment(Package.load(folder), size)


def refit(
    planned: StudyPlan, winner: TrialRecord, finals: Finals | None, copy: int = 0, weight: float = 1.0
) -> Chain:
    """A configuration fitted on all rows of the search, at the mean best stopping point of its folds.

    Parameters
    ----------
    planned : StudyPlan
    winner : TrialRecord
    finals : Finals or None
        Adds its fresh stopping points to those of the search.
    copy : int
        Every copy has a seed of its own.
    weight : float
        Of this model in what is shipped.

    Raises
    ------
    NoTrialCompleted
        The fit failed.
    """
    backend = planned.backends[winner.backend]
    empty = np.empty(0, np.int64)
    whole = Fold(planned.split.search, empty, empty)
    data, preprocessor = encode_with(planned.table, whole, backend.encoding, planned.problem.weight)
    seed = derive_seed(planned.study.search.seed, winner.backend, winner.number, "refit", copy)
    rounds = list(winner.result.rounds)
    if finals is not None:
        numbers = [record.number for record in finals.records]
        rounds += finals.rounds(numbers.index(winner.number)) if winner.number in numbers else []
    job = FitJob(configuration(planned, winner), data, seed, stopping_point(rounds))
    outcome = backend.fit([job])[0]
    if isinstance(outcome, FitFailure):
        raise NoTrialCompleted(
            f"the winner ({winner.backend} #{winner.number}) failed when refitted: {outcome.reason}"
        )
    return preprocessor, outcome.member, weight
