"""What a record says, worked out for page, figures and card alike: scores in words, estimates side by side, edges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.record import REPRODUCED, Finalist, StudyRecord, TrialRow
from autoreg.report.wording import clean, clipped, finite, short, within

PENALTY = ("penalty", "alpha", "l1_ratio")
"""Names that are shown of every model, searched or not."""
NAMES = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "rmse": "RMSE",
    "mse": "MSE",
    "mae": "MAE",
    "r2": "R²",
}
LONG = {"rmse": "root mean squared error", "mse": "mean squared error", "mae": "mean absolute error"}
NATURAL_ENDS = {"l1_ratio", "subsample", "colsample", "patience"}
"""Names whose ranges end where there is nothing beyond, or nothing worth a search."""
EDGE = 0.1
"""Share of a searched range that counts as its end."""
Z = 1.959964
"""A normal variable lies within this many standard deviations in 95% of cases."""


def metric(record: StudyRecord) -> str:
    """The metric in words."""
    return NAMES.get(record.metric, clipped(record.metric, 40).replace("_", " "))


def direction(record: StudyRecord) -> str:
    """Which way is good."""
    return "higher is better" if record.greater_is_better else "lower is better"


def advantage(record: StudyRecord, score: Any, against: Any) -> float | None:
    """How much better a score is than another, positive = better; None where one is missing."""
    if not (finite(score) and finite(against)):
        return None
    return score - against if record.greater_is_better else against - score


@dataclass(frozen=True)
class Estimate:
    """One estimate of the winner's score, with its 95% interval and what it means."""

    key: str
    label: str
    value: float
    low: float | None
    high: float | None
    meaning: str


def _told(record: StudyRecord) -> Mapping[str, Any]:
    return record.report.get("estimate") or {}


def best(record: StudyRecord) -> Mapping[str, Any]:
    """The report's ``best``; empty where there is none."""
    found: Mapping[str, Any] = record.report.get("best") or {}
    return found


def reproduced(record: StudyRecord) -> bool:
    """Whether the study repeats a published experiment."""
    return _told(record).get("kind") == "reproduced"


def unweighted(record: StudyRecord) -> list[tuple[TrialRow, list[str], int]]:
    """Linear trials of a published experiment in which some columns, not all, have weight 0: trial, columns, of how many."""
    found = []
    for trial in record.trials:
        gone, kept = trial.details.get("removed") or [], trial.details.get("kept") or []
        if gone and kept:
            found.append((trial, list(gone), len(gone) + len(kept)))
    return found


def refitted(record: StudyRecord) -> bool:
    """Whether what is shipped was fitted on the held-out rows, too, after the look at them."""
    return bool((record.report.get("final") or {}).get("refit_full"))


def main_estimate(record: StudyRecord) -> Estimate | None:
    """The one to believe: nested where the study was nested, else the holdout."""
    found = {e.key: e for e in estimates(record)}
    order = ("nested", "holdout") if _told(record).get("kind") == "nested" else ("holdout", "nested")
    return next((found[key] for key in order if key in found), None)


def estimates(record: StudyRecord) -> list[Estimate]:
    """All estimates that the record holds, from the most flattering to the most sober."""
    told, top = _told(record), best(record)
    cv = told.get("cv") if finite(told.get("cv")) else top.get("cv_mean")
    se = top.get("cv_se")
    around = (cv - Z * se, cv + Z * se) if finite(cv) and finite(se) else (None, None)
    if reproduced(record):
        around = (None, None)
    label = "scored rows" if reproduced(record) else "search (cv)"
    fresh = told.get("cv_fresh")
    rows = [
        ("train", "training rows", told.get("train"), (None, None), MEANINGS["train"]),
        ("cv", label, cv, around, _capital(REPRODUCED) + "." if reproduced(record) else MEANINGS["cv"]),
        ("cv_fresh", "fresh repeats (cv_fresh)", fresh, _ends(told, "cv_fresh"), MEANINGS["cv_fresh"]),
        *(
            (key, label, told.get(key), _ends(told, key), MEANINGS[key])
            for key, label in (
                ("cv_corrected", "corrected for selection (cv_corrected)"),
                ("holdout", "holdout"),
                ("nested", "nested"),
            )
        ),
    ]
    return [Estimate(k, label, v, *ends, meaning) for k, label, v, ends, meaning in rows if finite(v)]


MEANINGS = {
    "train": "Scored on the rows it was fitted on: shows memorizing, says nothing about new rows.",
    "cv": "The score that the search picked the winner by. Flattering: the luckiest of many looks best. The "
    "interval ignores that choice.",
    "cv_fresh": "The winner on new random folds that the search never used. Less flattering, but the finalists "
    "were compared on it.",
    "cv_corrected": "The search score with the bonus for picking the best of many trials removed by bootstrap.",
    "holdout": "One look, at the very end, at rows that nothing before had touched.",
    "nested": "The whole search repeated inside outer folds and judged on what each left out: honest, and a "
    "little pessimistic, since each search had fewer rows.",
}


def _ends(told: Mapping[str, Any], key: str) -> tuple[float | None, float | None]:
    low, high = told.get(f"{key}_low"), told.get(f"{key}_high")
    return (low, high) if finite(low) and finite(high) else (None, None)


def optimism(record: StudyRecord) -> float | None:
    """How much the search score flatters against the estimate to believe; positive = flattering."""
    main = main_estimate(record)
    told = _told(record).get("optimism")
    if main is not None and main.key == "holdout" and finite(told):
        return told
    cv = next((e.value for e in estimates(record) if e.key == "cv"), None)
    return advantage(record, cv, main.value) if main else None


def gap(record: StudyRecord) -> float | None:
    """How much better the winner is on its training rows than on new ones; positive = overfit."""
    main = main_estimate(record)
    told = _told(record).get("gap")
    if main is not None and main.key == "holdout" and finite(told):
        return told
    return advantage(record, _told(record).get("train"), main.value) if main else None


def expectation(record: StudyRecord) -> str:
    """What to expect on new rows, as one clause without a full stop."""
    main, name = main_estimate(record), metric(record)
    if reproduced(record):
        return _capital(REPRODUCED)
    if main is None:
        return "There is no estimate from untouched rows: do not expect the search's own score on new ones"
    if main.low is None or main.high is None:
        span = f"about {short(main.value)}"
    else:
        width = main.high - main.low
        span = f"{within(main.low, width)} to {within(main.high, width)}"
    if record.greater_is_better:
        return f"Expect {span} {name} on new rows"
    return f"Expect a {LONG.get(record.metric, name)} of {span} on new rows (lower is better)"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def flattery(record: StudyRecord) -> str:
    """How far the search fooled itself, as one clause; empty where that is not known."""
    by, main = optimism(record), main_estimate(record)
    if by is None or main is None:
        return ""
    amount = seen(by, main)
    if by < 0 or not amount:
        return "the search shows no sign of flattering itself"
    return f"the search flattered itself by {amount}"


def seen(difference: float, main: Estimate) -> str:
    """The size of a difference to two digits of the estimate's interval; empty where nothing is left of it then."""
    width = main.high - main.low if main.low is not None and main.high is not None else abs(difference)
    amount = within(abs(difference), width)
    return amount if any(c in "123456789" for c in amount) else ""


def headline(record: StudyRecord) -> str:
    """The study in one sentence."""
    return "; ".join(part for part in (expectation(record), flattery(record)) if part) + "."


def winner_number(record: StudyRecord) -> int | None:
    """Number of the chosen trial."""
    told = best(record).get("trial")
    if finite(told):
        return int(told)
    ruled = [f.number for f in record.finalists if (f.one_se if record.rule == "one_se" else f.best)]
    if ruled:
        return ruled[0]
    complete = [t for t in ranked(record) if t.state == "complete"]
    return complete[0].number if complete else None


def winner(record: StudyRecord) -> TrialRow | None:
    """The chosen trial."""
    number = winner_number(record)
    return next((t for t in record.trials if t.number == number), None)


def ruled(record: StudyRecord, rule: str) -> Finalist | None:
    """The finalist that a rule names."""
    return next((f for f in record.finalists if (f.one_se if rule == "one_se" else f.best)), None)


def ranked(record: StudyRecord) -> list[TrialRow]:
    """Trials by loss, those that did not finish after those that did."""
    states = {"complete": 0, "pruned": 1}

    def order(t: TrialRow) -> tuple[int, float, int]:
        return states.get(t.state, 2), t.loss if finite(t.loss) else math.inf, t.number

    return sorted(record.trials, key=order)


def backends(record: StudyRecord) -> list[str]:
    """Names of the backends in the order in which they are met."""
    seen = [*record.searched, *(t.backend for t in record.trials), *(f.backend for f in record.finalists)]
    return list(dict.fromkeys(seen))


def told_params(record: StudyRecord, backend: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trial's parameters the penalty and what its backend searched; all where nothing is known of the search."""
    known = record.searched.get(backend)
    return {k: v for k, v in params.items() if known is None or not known or k in known or k in PENALTY}


def params_line(params: Mapping[str, Any]) -> str:
    """Parameters as ``name=value``."""
    return ", ".join(f"{clean(k)}={clipped(short(v, 3), 60)}" for k, v in params.items())


def position(value: Any, dimension: Mapping[str, Any]) -> float | None:
    """Where a value lies in its searched range: 0 at the lower end, 1 at the upper; None where it is no number of one."""
    low, high = dimension.get("low"), dimension.get("high")
    if not (finite(value) and finite(low) and finite(high)) or not low < high:
        return None
    if dimension.get("off") and value == 0:
        return None
    if dimension.get("log"):
        if min(low, value) <= 0:
            return None
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def at_edges(record: StudyRecord) -> list[str]:
    """A sentence for every value of the chosen or the best finalist that lies at an end of its searched range."""
    found: dict[str, None] = {}
    first = ruled(record, "best")
    for role, trial in (("chosen", winner(record)), ("best", first)):
        if trial is None or (role == "best" and trial.number == winner_number(record)):
            continue
        for name, dimension in (record.searched.get(trial.backend) or {}).items():
            where = None if name in NATURAL_ENDS else position(trial.params.get(name), dimension)
            if where is None or EDGE < where < 1 - EDGE:
                continue
            end = "lower" if where <= EDGE else "upper"
            ask = " (a range that the study pinned)" if dimension.get("pinned") else ""
            found[
                f"The {role} trial's {clean(name)} = {short(trial.params[name], 3)} lies at the {end} end of the searched "
                f"range {short(dimension['low'], 3)} to {short(dimension['high'], 3)} of {clean(trial.backend)}{ask}: "
                "the best value may lie beyond it."
            ] = None
    return list(found)
