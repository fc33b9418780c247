"""A few trials of a study made fit to be drawn side by side: their curves, and what they predict over a plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoreg.evaluation import Candidate, fit_folds
from autoreg.planning import StudyPlan
from autoreg.published import drawn_trials
from autoreg.record import Plane, Shown
from autoreg.refit import configuration
from autoreg.serving import Chain, Package
from autoreg.space import derive_seed
from autoreg.trial import Floats, OutOfTime, TrialRecord

STEPS = 60
"""Points of the plane's grid along each axis."""
MOST_ROWS = 2000
POINTS = 400
"""Points of a curve that are kept."""


def side_by_side(
    planned: StudyPlan,
    records: Sequence[TrialRecord],
    winner: TrialRecord,
    curves: Mapping[int, Mapping[str, Floats]],
    seconds: Callable[[], float],
) -> tuple[list[Shown], Plane | None]:
    """The trials that published figures name, with their curves and, where two numbers are all there is, their surface.

    For studies that repeat a published experiment: the report of an ordinary one holds no rows of its table.

    Parameters
    ----------
    planned : StudyPlan
    records : sequence of TrialRecord
    winner : TrialRecord
    curves : mapping of int to mapping
        Learning curves by trial.
    seconds : callable
        Seconds left; a trial's model is not kept, so it is fitted again for its surface where that fits.
    """
    chosen = drawn_trials(records, planned.study.published, winner)
    shown = [_shown(name, record, curves.get(record.number, {})) for name, record in chosen]
    plane = _plane(planned)
    if plane is None:
        return shown, None
    surfaces = _surfaces(planned, [record for _, record in chosen], plane, seconds)
    return [replace(s, surface=surfaces.get(s.number, [])) for s in shown], plane


def _shown(name: str, record: TrialRecord, curves: Mapping[str, Floats]) -> Shown:
    kept = {key: _thin(curve) for key, curve in curves.items()}
    return Shown(record.number, name, kept, max(map(len, curves.values()), default=0))


def _thin(curve: Floats) -> list[float | None]:
    """At most ``POINTS`` values that stand for equal stretches of the curve, both ends kept."""
    n = len(curve)
    if n <= POINTS:
        return [float(v) for v in curve]
    return [float(curve[i]) for i in np.linspace(0, n - 1, POINTS).round().astype(int)]


def _plane(planned: StudyPlan) -> Plane | None:
    """The table as points of a plane; None where it is not two numbers a row, or too many rows."""
    table, split = planned.table, planned.split
    if list(table.kinds.values()) != ["numeric", "numeric"] or len(table.target) > MOST_ROWS:
        return None
    values = table.features.to_numpy(np.float64)
    if not np.isfinite(values).all():
        return None
    train = np.zeros(len(values))
    train[split.folds[0].train] = 1
    low, high = values.min(axis=0), values.max(axis=0)
    pad = 0.08 * np.where(high > low, high - low, 1.0)
    (left, bottom), (right, top) = low - pad, high + pad
    rows = np.column_stack([values, table.target, train])
    names = [str(name) for name in table.features.columns]
    return Plane(names, [float(left), float(right)], [float(bottom), float(top)], rows.tolist())


def _surfaces(
    planned: StudyPlan, records: Sequence[TrialRecord], plane: Plane, seconds: Callable[[], float]
) -> dict[int, list[list[float]]]:
    """What trials, fitted again under their own seeds, predict over the plane; none of those that the time is short for."""
    found: dict[int, list[list[float]]] = {}
    for name, backend in planned.backends.items():
        mine = [record for record in records if record.backend == name]
        if not mine or sum(record.result.seconds for record in mine) > seconds():
            continue
        seed = planned.study.search.seed
        again = [
            Candidate(configuration(planned, record), derive_seed(seed, name, record.number, "fit"))
            for record in mine
        ]
        try:
            fits = fit_folds(backend, again, planned.problem, lambda: seconds() > 0)
        except OutOfTime:
            continue
        first = planned.problem.preprocessors(backend.encoding)[0]
        for record, fitted in zip(mine, fits, strict=True):
            if isinstance(fitted, list):
                found[record.number] = _over(plane, planned, (first, fitted[0].member, 1.0))
    return found


def _over(plane: Plane, planned: StudyPlan, chain: Chain) -> list[list[float]]:
    """A model's predictions over the plane, from the bottom row up."""
    table = planned.table
    package = Package([chain], table.task, table.classes, plane.columns)
    across, up = (np.linspace(ends[0], ends[1], STEPS) for ends in (plane.x, plane.y))
    x, y = np.meshgrid(across, up)
    raw = package.predict_raw(pd.DataFrame({plane.columns[0]: x.ravel(), plane.columns[1]: y.ravel()}))
    rows: list[list[float]] = _drawable(raw, table.task).reshape(STEPS, STEPS).round(4).tolist()
    return rows


def _drawable(raw: NDArray[Any], task: str) -> NDArray[Any]:
    if task == "regression":
        return raw
    return raw[:, 1] if task == "binary" else raw.argmax(axis=1).astype(np.float64)
