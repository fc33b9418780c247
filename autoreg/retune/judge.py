"""Champion against challenger, on rows that neither has trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.drift import row_keys
from autoreg.errors import DataError
from autoreg.outcome import resampled_together
from autoreg.planning import StudyPlan
from autoreg.registry import PREVIOUS, version_at
from autoreg.retune.champion import LOOKS, Champion, judged_package
from autoreg.retune.labels import Doubts, doubtful
from autoreg.selection.gate import Gate, gate
from autoreg.serving import Package
from autoreg.spec import RetuneSpec
from autoreg.trial import Rows


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger is to serve.

    Attributes
    ----------
    promoted : bool
    reason : str
        One line.
    gate : Gate or None
        The comparison; None where there were no rows for one.
    files : mapping of str to bytes
        For the run: how often each row was looked at.
    """

    promoted: bool
    reason: str
    gate: Gate | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """The verdict as it is said."""
        return f"gate: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """The verdict for scripts."""
        found = {} if self.gate is None else self.gate.as_json()
        return {**found, "promoted": self.promoted, "reason": self.reason}


def judge(champion: Champion, challenger: Package, planned: StudyPlan, spec: RetuneSpec) -> Verdict:
    """Compare the two on the holdout that both studies kept aside, each as it was before it was fitted on these rows, too.

    Rows of the holdout that the champion may have trained on (its study held out others, or none) do not count.
    """
    rows = untouched(champion, planned)
    if not len(rows):
        return _uncompared(spec, _incomparable(planned))
    try:
        before = champion.judged
    except DataError as error:
        return _uncompared(spec, str(error))
    keys = row_keys(planned.table, champion.profile or None)[rows]
    sides = scored(before, planned, rows), scored(challenger, planned, rows)
    earlier = _earlier(champion, planned, rows) if spec.gate == "non_inferior" else {}
    used = champion.looks.of(keys)
    found = _compared(planned, rows, sides, spec, earlier, used)
    files = {LOOKS: champion.looks.more(keys).saved()}
    doubts = _doubts(champion, planned, rows, keys, sides) if found.verdict == "promoted" else None
    if doubts is not None and spec.gate != "always":
        sure = ~doubts.rows
        rest = _compared(
            planned,
            rows[sure],
            (sides[0][sure], sides[1][sure]),
            spec,
            {name: x[sure] for name, x in earlier.items()},
            used[sure],
        )
        if rest.verdict == "kept":
            reason = (
                f"kept: better only because it doubts labels that look wrong: {doubts.line}; "
                f"without them {rest.reason.removeprefix('kept: ')}"
            )
            return Verdict(False, reason, replace(found, verdict="kept", reason=reason), files)
    return Verdict(found.verdict == "promoted", found.reason, found, files)


def _uncompared(spec: RetuneSpec, why: str) -> Verdict:
    """Nothing says that the challenger is better."""
    verdict = "promoted" if spec.gate == "always" else "kept"
    return Verdict(verdict == "promoted", f"{verdict}: {why}")


def _compared(
    planned: StudyPlan,
    rows: Rows,
    sides: tuple[NDArray[Any], NDArray[Any]],
    spec: RetuneSpec,
    earlier: Mapping[str, NDArray[Any]],
    used: NDArray[np.int64],
) -> Gate:
    table = planned.table
    return gate(
        planned.metric,
        table.target[rows],
        *sides,
        None if table.weight is None else table.weight[rows],
        resampled_together(planned, rows),
        spec.gate,
        spec.margin,
        seed=planned.study.search.seed,
        earlier=earlier or None,
        used=used,
    )


def _doubts(
    champion: Champion,
    planned: StudyPlan,
    rows: Rows,
    keys: NDArray[np.uint64],
    sides: tuple[NDArray[Any], NDArray[Any]],
) -> Doubts | None:
    """New labels that look wrong; None for numbers, and where it is not known which rows are new."""
    if planned.table.task == "regression" or champion.keys is None:
        return None
    return doubtful(planned.table.target[rows], *sides, ~np.isin(keys, champion.keys))


def _incomparable(planned: StudyPlan) -> str:
    """Why there is no row to compare the two on."""
    estimate = planned.study.split.estimate
    if estimate != "holdout":
        return (
            f'split.estimate = "{estimate}" keeps no rows aside, the challenger has trained on all of them, '
            "so the two cannot be compared"
        )
    return "no row of today's table is new to both models, so they cannot be compared"


def _earlier(champion: Champion, planned: StudyPlan, rows: Rows) -> dict[str, NDArray[Any]]:
    """Predictions of the champion before this one, where it can still read today's table."""
    before = version_at(champion.version.name, PREVIOUS)
    if before is None or before.number == champion.version.number:
        return {}
    try:
        package = judged_package(before)
    except DataError:
        return {}
    if set(package.columns) - set(planned.table.features.columns) or package.task != planned.table.task:
        return {}
    return {f"version {before.number}": scored(package, planned, rows)}


def untouched(champion: Champion, planned: StudyPlan) -> Rows:
    """Rows of today's holdout that the champion has not trained on either.

    With the champion's own rule every row keeps its side. A cutoff in time has moved on or stands where it stood. Else
    only rows that the champion's study did not have are safe.
    """
    rows, then, now = planned.split.holdout, champion.rule, planned.split.rule
    if then and then.get("mode") == "time" == now.get("mode") and now["cutoff"] >= then["cutoff"]:
        return rows
    if then and {**then} == {**now}:
        return rows
    if champion.keys is None:
        return rows[:0]
    return rows[~np.isin(row_keys(planned.table, champion.profile or None)[rows], champion.keys)]


def scored(package: Package, planned: StudyPlan, rows: Rows) -> NDArray[Any]:
    """A package's predictions of some rows, its classes in today's order; a class it does not know gets nothing."""
    raw = package.predict_raw(planned.table.features.iloc[rows])
    if planned.metric.needs == "label":
        raw = package.decisive(raw)
    classes = list(planned.table.classes)
    if package.task == "regression" or list(package.classes) == classes:
        return raw
    found = np.zeros((len(raw), len(classes)))
    for k, label in enumerate(package.classes):
        if label in classes:
            found[:, classes.index(label)] = raw[:, k]
    total = found.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(found, total, out=np.full_like(found, 1 / len(classes)), where=total > 0))
