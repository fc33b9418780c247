"""Is retuning due, and why? Today's table against what the champion was trained on and what it promised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreg.drift import Adversarial, Drift, Kept, adversarial, compare, degraded, lines, new_rows
from autoreg.metrics import get_metric
from autoreg.outcome import resampled_together
from autoreg.planning import StudyPlan
from autoreg.retune.champion import Champion
from autoreg.retune.judge import scored
from autoreg.spec import RetuneSpec
from autoreg.trial import Rows

DAY = 86_400.0


@dataclass(frozen=True)
class Due:
    """Whether retuning is due.

    Attributes
    ----------
    due : bool
    reasons : tuple of str
        What speaks for it; where it is not due, what was asked and did not hold.
    rows_new : int or None
        Rows that the champion's study did not have; None where that is not known.
    drift, told_apart, promise : Drift, Adversarial, Kept, or None
        What was measured on them.
    """

    due: bool
    reasons: tuple[str, ...]
    rows_new: int | None = None
    drift: Drift | None = None
    told_apart: Adversarial | None = None
    promise: Kept | None = None

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)

    @property
    def lines(self) -> list[str]:
        """What was found, in words."""
        verdict = f"retuning is {'due' if self.due else 'not due'}: {self.reason}"
        return [*lines(self.drift, self.told_apart, self.promise), verdict]

    def as_json(self) -> dict[str, Any]:
        """What was found, for scripts."""
        parts = {"drift": self.drift, "told_apart": self.told_apart, "promise": self.promise}
        return {
            "due": self.due,
            "reasons": list(self.reasons),
            "rows_new": self.rows_new,
            **{name: None if part is None else part.as_json() for name, part in parts.items()},
        }


def due(champion: Champion, planned: StudyPlan, spec: RetuneSpec, now: float) -> Due:
    """Ask everything that ``retune.when`` names; one that holds is enough.

    Parameters
    ----------
    champion : Champion
    planned : StudyPlan
        Over today's table.
    spec : RetuneSpec
    now : float
        Seconds since the epoch.
    """
    fresh = (
        None if champion.keys is None else new_rows(champion.keys, planned.table, champion.profile or None)
    )
    drift = told = promise = None
    if fresh is not None and len(fresh):
        drift = compare(champion.profile, planned.table, fresh) if champion.profile else None
        old = np.setdiff1d(np.arange(len(planned.table.target)), fresh)
        told = (
            adversarial(planned.table, old, fresh, planned.study.search.seed)
            if "drift" in spec.when
            else None
        )
        promise = _promise(champion, planned, fresh)
    count = None if fresh is None else len(fresh)
    asked = {
        "always": (True, 'the study says retune.when = "always"'),
        "new_rows": _enough(count, spec.new_rows),
        "drift": _moved(drift, told),
        "degraded": (promise is not None and promise.verdict == "degraded", _said(promise)),
        "age": _aged(now - champion.version.created, spec.older_than),
    }
    holding = [asked[name][1] for name in spec.when if asked[name][0]]
    reasons = holding or [asked[name][1] for name in spec.when]
    return Due(bool(holding), tuple(reasons), count, drift, told, promise)


def _promise(champion: Champion, planned: StudyPlan, fresh: Rows) -> Kept | None:
    """The champion's score on the rows it has never seen against its estimate; None where it left none."""
    if champion.metric != planned.metric.name or not math.isfinite(champion.promised[0]):
        return None
    table = planned.table
    return degraded(
        get_metric(champion.metric, table.task),
        table.target[fresh],
        scored(champion.package, planned, fresh),
        champion.promised,
        None if table.weight is None else table.weight[fresh],
        resampled_together(planned, fresh),
        planned.study.search.seed,
    )


def _enough(count: int | None, least: int) -> tuple[bool, str]:
    if count is None:
        return False, "the champion's study kept no list of its rows"
    return count >= least, f"{count} new rows, of {least} that are asked for"


def _moved(drift: Drift | None, told: Adversarial | None) -> tuple[bool, str]:
    if drift is None:
        return False, "no new rows that could have drifted"
    strong = [m.name for m in drift.features if m.verdict == "strong"]
    strong += ["the target"] if drift.label is not None and drift.label.verdict == "strong" else []
    apart = told is not None and told.differs
    if strong:
        return True, f"strong drift of {', '.join(strong[:3])}" + (
            f" and {len(strong) - 3} more" if strong[3:] else ""
        )
    return apart, "new rows can be told from old ones" if apart else "no strong drift"


def _said(promise: Kept | None) -> str:
    return (
        "no new labelled rows to hold the champion's promise against" if promise is None else promise.reason
    )


def _aged(seconds: float, limit: float) -> tuple[bool, str]:
    return seconds >= limit, f"the champion is {seconds / DAY:.1f} days old, the limit is {limit / DAY:g}"
