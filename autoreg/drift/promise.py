"""The champion on new rows against what its registration promised."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoreg.metrics import Metric
from autoreg.record import plain
from autoreg.selection import estimate
from autoreg.trial import Floats

FEWEST_ROWS = 50
FEWEST_OF_CLASS = 5


@dataclass(frozen=True)
class Kept:
    """The champion's score on new labelled rows against its promise, in the user's metric.

    Attributes
    ----------
    verdict : {"kept", "degraded", "unknown"}
    metric : str
    promised, promised_low, promised_high : float
        From its registration, with the 95 % interval.
    value, low, high : float
        On the new rows, with the 95 % interval.
    worse, worse_low, worse_high : float
        By how much it does worse than promised (negative: better), with the 95 % interval.
    rows : int
    beyond : bool
        The new interval lies wholly beyond the promised one's bad end.
    reason : str
        One line.
    """

    verdict: Literal["kept", "degraded", "unknown"]
    metric: str
    promised: float
    promised_low: float
    promised_high: float
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    worse: float = math.nan
    worse_low: float = math.nan
    worse_high: float = math.nan
    rows: int = 0
    beyond: bool = False
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The record as JSON data, unknown numbers as None."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def degraded(
    metric: Metric,
    truth: NDArray[Any],
    predictions: NDArray[Any],
    promised: tuple[float, float, float],
    weight: Floats | None = None,
    together: NDArray[Any] | None = None,
    seed: int = 0,
) -> Kept:
    """Judge the champion on labelled rows that neither its training nor its holdout had.

    Both scores are uncertain. With badness ``b`` in ``[l, u]`` (the metric turned so that smaller is better),
    the difference ``d = b_now - b_then`` has the 95 % interval from ``d - sqrt((b_now - l_now)^2 +
    (u_then - b_then)^2)`` to ``d + sqrt((u_now - b_now)^2 + (b_then - l_then)^2)`` (Zou & Donner 2008). Degraded
    where its lower end is above 0, which it always is when the new interval lies wholly beyond the promised
    one's bad end. Without any change that is so in about 2.5 % of cases; the intervals of small samples are a little
    short, so that the tests simulate up to 5 %.

    Parameters
    ----------
    metric : Metric
        The one that was promised.
    truth : ndarray, shape (n,)
    predictions : ndarray, shape (n, K) or (n,)
    promised : (float, float, float)
        Value, low and high, as of ``Estimate.headline``.
    weight : ndarray, shape (n,), or None
    together : ndarray, shape (n,), or None
        Rows with one label are resampled together: groups, or ``time_blocks``.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Kept
        "unknown" below 50 rows or 5 of a class, or where nothing was promised.
    """
    base = Kept("unknown", metric.name, *promised, rows=len(truth))
    few = _too_few(metric, truth, predictions, promised)
    if few:
        return replace(base, reason=f"cannot be judged: {few}")
    found = estimate(metric, truth, predictions, weight, together, (math.nan, math.nan), seed)
    value, low, high = found.holdout, found.holdout_low, found.holdout_high
    base = replace(base, value=value, low=low, high=high)
    then, now = _bad(metric, *promised), _bad(metric, value, low, high)
    d = now[0] - then[0]
    ends = (
        d - math.hypot(now[0] - now[1], then[2] - then[0]),
        d + math.hypot(now[2] - now[0], then[0] - then[1]),
    )
    if not all(map(math.isfinite, ends)):
        return replace(base, reason=f"cannot be judged: {metric.name} is undefined on these rows")
    beyond, bad = now[1] > then[2], ends[0] > 0
    how = "within noise"
    if bad:
        how = "wholly beyond the promised interval" if beyond else "more than both samples' noise"
    told = f"{abs(d):.3g} {'worse' if d > 0 else 'better'} than promised"
    return replace(
        base,
        verdict="degraded" if bad else "kept",
        worse=d,
        worse_low=ends[0],
        worse_high=ends[1],
        beyond=beyond,
        reason=f"{told}, 95 % interval of the loss {ends[0]:.3g} to {ends[1]:.3g}: {how}",
    )


def _bad(metric: Metric, value: float, low: float, high: float) -> tuple[float, float, float]:
    """Value and interval with their sign turned so that smaller is better."""
    ends = sorted((metric.badness(low), metric.badness(high)))
    return metric.badness(value), ends[0], ends[1]


def _too_few(
    metric: Metric, truth: NDArray[Any], predictions: NDArray[Any], promised: tuple[float, float, float]
) -> str:
    """Why it cannot be judged; empty where it can."""
    if not all(map(math.isfinite, promised)):
        return "the registration promised no score with an interval"
    if len(truth) < FEWEST_ROWS:
        return f"{len(truth)} new rows with a label; it takes {FEWEST_ROWS}"
    if metric.needs != "value":
        rarest = int(np.bincount(truth.astype(np.int64), minlength=predictions.shape[1]).min())
        if rarest < FEWEST_OF_CLASS:
            return f"{rarest} new rows of the rarest class; it takes {FEWEST_OF_CLASS}"
    return ""
