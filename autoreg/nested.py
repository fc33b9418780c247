"""An honest estimate without a holdout: the whole study repeated in every outer fold, for small data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autoreg.data import refold
from autoreg.planning import StudyPlan, redivided
from autoreg.space import derive_seed
from autoreg.trial import Watch


@dataclass(frozen=True)
class Nested:
    """Score of the study in every outer fold, their mean and its 95 % interval (pessimistic: each saw fewer rows)."""

    scores: tuple[float, ...]
    value: float
    low: float
    high: float


def nested_estimate(planned: StudyPlan, score: Callable[[StudyPlan], float], watch: Watch) -> Nested:
    """Repeat the study on the rows outside every outer fold and score what it ships on the fold.

    Parameters
    ----------
    planned : StudyPlan
        Its rows of the search are all rows.
    score : callable
        Runs a study without tracking and gives the score on its holdout.
    watch : Watch

    Returns
    -------
    Nested
        Interval ``mean +- t_{K-1} sqrt((1 / K + 1 / (K - 1)) s^2)`` (Nadeau and Bengio's correction with K folds).
    """
    seed = planned.study.search.seed
    outer = refold(planned.table, planned.split, planned.study.split, derive_seed(seed, "outer folds"))
    scores = []
    for k, fold in enumerate(outer.folds):
        inner = np.sort(np.concatenate([fold.train, fold.stop]))
        found = score(redivided(planned, inner, fold.score, derive_seed(seed, "inner folds", k)))
        watch.say(f"outer fold {k + 1} of {len(outer.folds)}: {planned.metric.name} {found:.4g}")
        scores.append(found)
    return summed_up(scores)


def summed_up(scores: list[float]) -> Nested:
    """Mean and interval of the outer folds' scores; NaN ones do not count."""
    from scipy.stats import t

    known = np.asarray([s for s in scores if math.isfinite(s)])
    k = len(known)
    if k < 2:
        value = float(known[0]) if k else math.nan
        return Nested(tuple(scores), value, math.nan, math.nan)
    half = float(t.ppf(0.975, k - 1)) * math.sqrt((1 / k + 1 / (k - 1)) * float(np.var(known, ddof=1)))
    mean = float(known.mean())
    return Nested(tuple(scores), mean, mean - half, mean + half)
