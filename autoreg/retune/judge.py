"""Champion against challenger, on rows that neither has trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.drift import row_keys
from autoreg.outcome import resampled_together
from autoreg.planning import StudyPlan
from autoreg.registry import PREVIOUS, load_package, version_at
from autoreg.retune.champion import LOOKS, Champion
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
    """Compare the two on the holdout that both studies kept aside.

    Rows of the holdout that the champion may have trained on (its study held out others, or none) do not count.
    """
    rows = untouched(champion, planned)
    if not len(rows):
        verdict = "promoted" if spec.gate == "always" else "kept"
        reason = f"{verdict}: no row of today's table is new to both models, so they cannot be compared"
        return Verdict(verdict == "promoted", reason)
    table, metric = planned.table, planned.metric
    weight = None if table.weight is None else table.weight[rows]
    keys = row_keys(table, champion.profile or None)[rows]
    used = champion.looks.of(keys)
    found = gate(
        metric,
        table.target[rows],
        scored(champion.package, planned, rows),
        scored(challenger, planned, rows),
        weight,
        resampled_together(planned, rows),
        spec.gate,
        spec.margin,
        seed=planned.study.search.seed,
        earlier=_earlier(champion, planned, rows) if spec.gate == "non_inferior" else None,
        used=used,
    )
    return Verdict(
        found.verdict == "promoted", found.reason, found, {LOOKS: champion.looks.more(keys).saved()}
    )


def _earlier(champion: Champion, planned: StudyPlan, rows: Rows) -> dict[str, NDArray[Any]]:
    """Predictions of the champion before this one, where it can still read today's table."""
    before = version_at(champion.version.name, PREVIOUS)
    if before is None or before.number == champion.version.number:
        return {}
    package = load_package(before.uri)
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
