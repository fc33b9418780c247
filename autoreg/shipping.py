"""What is shipped: the models of the decision behind their preprocessing, as one package, and what it costs to run."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import always
from autoreg.errors import NoTrialCompleted
from autoreg.evaluation import class_weights, mean_and_se
from autoreg.finals import Finals
from autoreg.metrics import loss_rows
from autoreg.planning import StudyPlan
from autoreg.refit import cost_of_many, longest_haste, refit, refit_cost
from autoreg.selection import Cut, Decision, copies, decide
from autoreg.serving import Chain, Package
from autoreg.trial import Floats, OutOfTime, Task, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

TIMED_ROWS = 1000
TINY = 1e-9
HOPE = 4.0
"""Times the time left that a second fit may be expected to take and is still begun, where no first one was timed."""
SLACK = 1.1
"""Time that is kept for a second fit, in that which the first leaves to be expected."""
CLEARLY = 2.33
"""Standard errors by which models that were fitted once more may be worse on rows which they, alone, have learned from."""


@dataclass(frozen=True)
class Shipment:
    """A package as it is after saving and loading: what is judged and returned is what will be served.

    Attributes
    ----------
    package : Package
    bytes : int
        Size on disk.
    whole : bool
        Whether every model saw all ``rows``; False for models of the fresh cells.
    rows : int
        Rows that it was made from.
    alone : bool
        Whether it is the winner alone, whatever was decided: the time was too short for more.
    seconds : float
        What it took to make.
    """

    package: Package
    bytes: int
    whole: bool = True
    rows: int = 0
    alone: bool = False
    seconds: float = 0.0

    def microseconds(self, frame: pd.DataFrame) -> float:
        """Time to predict one row in a batch of at most ``TIMED_ROWS`` rows of the frame; the quicker of two runs."""
        rows = frame.iloc[:TIMED_ROWS]
        best = np.inf
        for _ in range(2):
            began = time.perf_counter()
            self.package.predict_raw(rows)
            best = min(best, time.perf_counter() - began)
        return 1e6 * best / max(1, len(rows))


def ship(
    planned: StudyPlan,
    winner: TrialRecord,
    finals: Finals | None,
    decision: Decision | None,
    time_left: Callable[[], float],
    in_time: Callable[[], bool] = always,
    most: int | None = None,
) -> Shipment:
    """Build what was decided; every model is fitted on all rows of the search, or taken from the fresh cells when time is short.

    Of a winner that no fresh repeat has confirmed there are as many copies as there is time for, ``most`` at the most.

    Raises
    ------
    NoTrialCompleted
        A configuration failed when it was fitted on all these rows.
    OutOfTime
        ``in_time``, which is asked while models are fitted, said no.
    """
    began = time.perf_counter()
    if planned.split.sample is not None:
        return _of_many_rows(planned, winner, finals, decision, time_left)
    if finals is None or decision is None:
        number = _affordable(planned, winner, time_left(), most)
        chains, whole = refit(planned, winner, None, number, in_time=in_time), True
    elif decision.kind == "refit":
        chains, whole = refit(planned, winner, finals, 1, in_time=in_time), True
    else:
        parts = _weighed(finals, decision)
        whole = sum(refit_cost(planned, finals.records[i]) for i, _ in parts) <= time_left()
        chains = []
        for i, weight in parts:
            record = finals.records[i]
            backend = planned.backends[record.backend]
            number = copies(record, backend.rank)
            chains += (
                refit(planned, record, finals, number, weight, in_time=in_time)
                if whole
                else finals.chains(i, weight, backend)
            )
    made = _packed(planned, chains, decision.cut if decision else Cut(), whole)
    return replace(made, seconds=time.perf_counter() - began)


def _of_many_rows(
    planned: StudyPlan,
    winner: TrialRecord,
    finals: Finals | None,
    decision: Decision | None,
    time_left: Callable[[], float],
) -> Shipment:
    """Where trials saw a sample: models of all rows as they were decided; else the winner alone, in fewer and longer steps where
    need be; else the winner of the sample."""
    parts, cut, chains = [(winner, 1.0)], Cut(), list[Chain]()
    if finals is not None and decision is not None:
        parts, cut = [(finals.records[i], weight) for i, weight in _weighed(finals, decision)], decision.cut
    dropped = len(parts) > 1 and sum(cost_of_many(planned, record) for record, _ in parts) > time_left()
    if dropped and finals is not None:
        select, may_bag = planned.study.select, planned.table.time is None
        parts = [(winner, 1.0)]
        cut = decide(finals.evidence(planned.backends), select.rule, "single", may_bag).cut
    haste = cost_of_many(planned, winner) / max(TINY, time_left()) if len(parts) == 1 else 1.0
    try:
        if len(parts) == 1 and haste > longest_haste(planned, winner):
            raise OutOfTime
        for record, weight in parts:
            chains += refit(planned, record, finals, 1, weight, haste, lambda: time_left() > 0)
        return _packed(planned, chains, cut, True, dropped)
    except (OutOfTime, NoTrialCompleted):
        few = replace(planned, split=replace(planned.split, search=planned.split.tried, sample=None))
        return _packed(few, refit(few, winner, finals, 1), cut, False, True)


def _weighed(finals: Finals, decision: Decision) -> list[tuple[int, float]]:
    """Finalists that are part of what is shipped, by place, with their weights."""
    return [(i, float(w)) for i, w in enumerate(decision.weights) if w > 0]


def _packed(planned: StudyPlan, chains: list[Chain], cut: Cut, whole: bool, alone: bool = False) -> Shipment:
    """Models as the package that they are after saving and loading."""
    table = planned.table
    columns = list(table.features.columns)
    package = Package(chains, table.task, table.classes, columns, cut.temperature, cut.threshold, table.image)
    with tempfile.TemporaryDirectory() as folder:
        package.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        rows = planned.split.search if whole else planned.split.tried
        return Shipment(Package.load(folder), size, whole, len(rows), alone)


def ship_full(
    planned: StudyPlan,
    winner: TrialRecord,
    finals: Finals | None,
    decision: Decision | None,
    judged: Shipment,
    time_left: Callable[[], float],
) -> tuple[Shipment | None, str]:
    """What was judged, fitted once more on all rows, held-out ones too; what predicts from now on.

    Parameters
    ----------
    planned, winner, finals, decision
        As for ``ship``.
    judged : Shipment
        What ``ship`` gave, and the holdout has judged.
    time_left : callable
        Seconds until the fits must end.

    Returns
    -------
    (Shipment or None, str)
        None where ``judged`` is shipped as it is; what there is to say of it, and why.
    """
    full, table, rows = _on_all_rows(planned), planned.table, planned.split.holdout
    kept = "what was judged is shipped as it is"
    short = f"the time left was too short to fit on the held-out rows, too: {kept}"
    if _second_seconds(full, winner, finals, decision, judged) > time_left():
        return None, short
    try:
        models = len(judged.package.members)
        found = ship(full, winner, finals, decision, lambda: math.inf, lambda: time_left() > 0, models)
    except OutOfTime:
        return None, short
    except NoTrialCompleted as error:
        return None, f"fitted once more with the held-out rows it failed: {kept} ({error})"
    frame, truth = table.features.iloc[rows], table.target[rows]
    sides = found.package.predict_raw(frame), judged.package.predict_raw(frame)
    if clearly_worse(table.task, truth, *sides, None if table.weight is None else table.weight[rows]):
        return None, f"fitted once more with the held-out rows it was clearly worse on these: {kept}"
    few = "the models of the fresh folds, which had fewer rows: time was short"
    before = "the fit before" if judged.whole else few
    return (
        found,
        f"after the look, the same was fitted on all {found.rows:,} rows; the estimate is that of {before}",
    )


def _on_all_rows(planned: StudyPlan) -> StudyPlan:
    """The same study with nothing held out."""
    balanced = planned.study.search.class_weight == "balanced"
    every = np.sort(np.concatenate([planned.split.search, planned.split.holdout]))
    weight = class_weights(planned.table, every, balanced)
    split = replace(planned.split, search=every, holdout=every[:0])
    return replace(planned, split=split, problem=replace(planned.problem, weight=weight))


def _second_seconds(
    full: StudyPlan, winner: TrialRecord, finals: Finals | None, decision: Decision | None, judged: Shipment
) -> float:
    """Seconds that a second fit, on all rows, can be expected to take; where no first one was timed, the least worth a try."""
    if judged.whole:
        return judged.seconds * SLACK * len(full.split.search) / judged.rows
    parts = [winner]
    if finals is not None and decision is not None:
        parts = [finals.records[i] for i, _ in _weighed(finals, decision)]
    return sum(refit_cost(full, record) for record in parts) / HOPE


def clearly_worse(
    task: Task, truth: NDArray[Any], full: NDArray[Any], judged: NDArray[Any], weight: Floats | None = None
) -> bool:
    """Whether models do worse on rows that they have learned from than others that have not: a fit that went wrong.

    Parameters
    ----------
    task : Task
    truth : ndarray, shape (n,)
    full, judged : ndarray, shape (n, K) or (n,)
        Predictions of those that have, and of those that have not.
    weight : ndarray, shape (n,), or None

    Returns
    -------
    bool
        Whether row-paired losses give z > ``CLEARLY``, or a loss is no number.
    """
    mean, se = mean_and_se(loss_rows(task, truth, full) - loss_rows(task, truth, judged), weight)
    return not mean <= CLEARLY * se


def _affordable(planned: StudyPlan, winner: TrialRecord, seconds: float, most: int | None) -> int:
    """Copies of a winner that no fresh repeat has confirmed: as many as there is time for, at least one."""
    if planned.study.select.final == "single" or planned.table.time is not None:
        return 1
    every = copies(winner, planned.backends[winner.backend].rank)
    in_time = every * seconds / max(TINY, refit_cost(planned, winner))
    return int(max(1, min(every, in_time, every if most is None else most)))
