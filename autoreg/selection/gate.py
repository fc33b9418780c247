"""Champion against challenger on rows that neither has trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import StudyError
from autoreg.metrics import Metric
from autoreg.record import plain
from autoreg.selection.gains import Contest
from autoreg.trial import Floats, Rows

Rule = Literal["superior", "non_inferior", "always"]
Array = NDArray[Any]
RULES: tuple[Rule, ...] = ("superior", "non_inferior", "always")
DRAWS = 10_000
SURE = 0.95
ENOUGH_ROWS = 200
ENOUGH_OF_CLASS = 10


@dataclass(frozen=True)
class Gate:
    """What became of a challenger, and why.

    Attributes
    ----------
    verdict : {"promoted", "kept"}
        Kept: the champion stays.
    reason : str
        One line.
    rule, metric, margin : str, str, float
    champion, challenger : float
        Scores on the same rows.
    difference, low, high : float
        By how much the challenger is better in the metric's unit (negative: worse), with the 90 % interval.
    probability : float
        Share of the draws in which it is better by more than the margin (``non_inferior``: not worse by more).
    against : mapping of str to float
        The same share against the best earlier version, by its name, where that was asked.
    rows, draws : int
        What it rests on; draws in which the metric is defined.
    uses : int
        How many gates have looked at some of these rows before.
    unused : float
        Share of these rows that no gate has looked at before.
    """

    verdict: Literal["promoted", "kept"]
    reason: str
    rule: Rule
    metric: str
    margin: float
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    probability: float
    rows: int
    draws: int
    uses: int
    unused: float
    against: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The record as JSON data, unknown numbers as None."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def gate(
    metric: Metric,
    truth: Array,
    champion: Array,
    challenger: Array,
    weight: Floats | None = None,
    together: Array | None = None,
    rule: Rule = "superior",
    margin: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
    earlier: Mapping[str, Array] | None = None,
    used: Rows | None = None,
) -> Gate:
    """Decide whether a challenger takes the champion's place, by a paired bootstrap of the metric's difference.

    ``superior`` promotes when the challenger is better by more than ``margin`` in at least 95 % of the draws, so
    that of equal models about one in twenty is promoted. ``non_inferior`` promotes when it is not worse by more
    than ``margin`` in at least 95 %, against the champion and against the best earlier version too, or small
    losses would add up. ``always`` promotes and reports. Where at least 200 rows, and 10 of the rarest class, were
    in no gate before, those alone decide: rows that chose a champion flatter it.

    Parameters
    ----------
    metric : Metric
    truth : ndarray, shape (n,)
    champion, challenger : ndarray, shape (n, K) or (n,)
        Predictions of rows that neither has trained on.
    weight : ndarray, shape (n,), or None
    together : ndarray, shape (n,), or None
        Rows with one label are drawn together: groups, or ``time_blocks``.
    rule : {"superior", "non_inferior", "always"}
    margin : float
        In the metric's unit, 0 or more.
    draws, seed : int
    earlier : mapping of str to ndarray, optional
        Predictions of former champions, by their names; ``non_inferior`` asks the best of them on these rows.
    used : ndarray of int, shape (n,), optional
        How many gates have looked at every row before.

    Raises
    ------
    StudyError
        Unknown rule, negative margin, or none for ``non_inferior``.
    """
    _check(rule, margin)
    rows, uses, unused = _rows(metric, truth, champion, used)
    pick = _picker(rows)
    truth, weight, together = truth[rows], pick(weight), pick(together)
    new = challenger[rows]
    contest = Contest(metric, truth, weight, together, draws, seed)
    bar = -margin if rule == "non_inferior" else margin
    scores = metric(truth, champion[rows], weight), metric(truth, new, weight)
    found = contest.gains(champion[rows], new)
    p = _share(found, bar)
    low, high = np.quantile(found, [0.05, 0.95]) if len(found) else (math.nan, math.nan)
    against: dict[str, float] = {}
    if rule == "non_inferior" and earlier:
        score = {name: metric.badness(metric(truth, x[rows], weight)) for name, x in earlier.items()}
        best = min(score, key=lambda name: (not math.isfinite(score[name]), score[name], name))
        against[best] = _share(contest.gains(earlier[best][rows], new), bar)
    gain = metric.badness(scores[0]) - metric.badness(scores[1])
    yes = rule == "always" or all(x >= SURE for x in (p, *against.values()))
    reason = _reason(yes, rule, gain, (float(low), float(high)), margin, p, against)
    return Gate(
        "promoted" if yes else "kept", reason, rule, metric.name, margin, *scores, gain, float(low), float(high),
        p, len(truth), len(found), uses, unused, against,
    )  # fmt: skip


def _check(rule: str, margin: float) -> None:
    if rule not in RULES:
        raise StudyError(f"rule: expected one of {', '.join(RULES)}, found '{rule}'")
    if not (math.isfinite(margin) and margin >= 0):
        raise StudyError(f"margin: expected a number of 0 or more, found {margin:g}")
    if rule == "non_inferior" and margin == 0:
        raise StudyError(
            "margin: the rule non_inferior needs one above 0, found 0; say what loss is tolerable"
        )


def _rows(metric: Metric, truth: Array, predictions: Array, used: Rows | None) -> tuple[Rows, int, float]:
    """The rows that decide, how many gates looked at some of them before, and the share that none did."""
    every = np.arange(len(truth))
    if used is None or not len(truth):
        return every, 0, 1.0
    fresh = np.flatnonzero(used == 0)
    enough = len(fresh) >= ENOUGH_ROWS
    if metric.needs != "value" and enough:
        counts = np.bincount(truth[fresh].astype(np.int64), minlength=predictions.shape[1])
        enough = int(counts.min()) >= ENOUGH_OF_CLASS
    if enough:
        return fresh, 0, 1.0
    return every, int(used.max()), len(fresh) / len(truth)


def _picker(rows: Rows) -> Callable[[Array | None], Any]:
    return lambda values: None if values is None else values[rows]


def _share(gains: Floats, bar: float) -> float:
    """Share of the draws with more gain than ``bar``; NaN where no draw could be scored."""
    return float((gains > bar).mean()) if len(gains) else math.nan


def _reason(
    yes: bool,
    rule: Rule,
    gain: float,
    interval: tuple[float, float],
    margin: float,
    p: float,
    against: Mapping[str, float],
) -> str:
    """The verdict in one line."""
    if math.isnan(gain) or math.isnan(interval[0]):
        what = (
            "the metric is undefined on these rows" if math.isnan(gain) else "too few rows or groups to judge"
        )
        return f"promoted: {what}, and the rule is always" if yes else f"kept: {what}"
    low, high = interval
    places = _places(high - low)
    way = "equal" if gain == 0 else f"{_number(abs(gain), places)} {'better' if gain > 0 else 'worse'}"
    told = f"{way}, 90 % interval {_number(low, places)} to {_number(high, places)}"
    head = f"{'promoted' if yes else 'kept'}: {told}"
    if rule == "always":
        return f"{head}; the rule is always"
    more = f" by more than {_number(margin, _places(margin))}" if margin else ""
    claim = f"P(not worse{more})" if rule == "non_inferior" else f"P(better{more})"
    sides = [f"{claim} = {_odds(p)}"]
    sides += [f"{claim.replace('P(', f'P(than {name}: ')} = {_odds(x)}" for name, x in against.items()]
    return f"{head}; {', '.join(sides)}"


def _odds(p: float) -> str:
    """A probability and how it compares with what is asked; cut off, so that .949 is not shown as .95."""
    return f"{_number(math.floor(p * 100 + 1e-9) / 100, 2)} {'>=' if p >= SURE else '<'} {_number(SURE, 2)}"


def _places(width: float) -> int:
    """Decimals that show two digits of a width."""
    return max(0, 1 - math.floor(math.log10(width))) if math.isfinite(width) and width > 0 else 2


def _number(x: float, places: int) -> str:
    """A number without the zero before its point: .021, −.004, 1.3."""
    text = f"{abs(x):.{places}f}"
    minus = "−" if x < 0 and text.strip("0.") else ""
    return minus + (text.removeprefix("0") if text.startswith("0.") else text)
