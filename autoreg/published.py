"""Published figures beside a study's own. Pure: trials and what was published in, rows out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoreg.spec_published import FigureSpec, PublishedSpec
from autoreg.trial import Scalar, State, TrialRecord

PARTS = ("train", "test", "epochs")
DRAWN = 4
"""Trials that are drawn side by side."""
CLOSE = 1e-6
"""Relative difference up to which two numbers are the same setting: networks compute in single precision."""


@dataclass(frozen=True)
class Beside:
    """One figure of one part, published and found.

    Attributes
    ----------
    name : str
        Of the published figure.
    part : str
        "train", "test" or "epochs".
    published : float or None
        None where the source gives words alone.
    ours, low, high : float or None
        Mean, lowest and highest of the trials that match; None where none was completed.
    says : str
        What the source says without a number.
    trials : tuple of int
        Numbers of the trials that match.
    """

    name: str
    part: str
    published: float | None
    ours: float | None
    low: float | None
    high: float | None
    says: str
    trials: tuple[int, ...]


def beside(records: Sequence[TrialRecord], published: PublishedSpec) -> list[Beside]:
    """Every published figure beside what the trials that match it found.

    Parameters
    ----------
    records : sequence of TrialRecord
        Those that were not completed are passed over.
    published : PublishedSpec
    """
    rows = []
    for figure in published.figures:
        found = matching(records, figure)
        stated = [part for part in PARTS if getattr(figure, part) is not None] or ["test"]
        for i, part in enumerate(stated):
            values = [value for value in (_value(r, part) for r in found) if math.isfinite(value)]
            rows.append(
                Beside(
                    figure.title,
                    part,
                    getattr(figure, part),
                    sum(values) / len(values) if values else None,
                    min(values, default=None),
                    max(values, default=None),
                    (figure.says or "") if i == len(stated) - 1 else "",
                    tuple(r.number for r in found),
                )
            )
    return rows


def as_report(records: Sequence[TrialRecord], published: PublishedSpec) -> dict[str, object]:
    """The comparison as part of a study's result; empty where nothing was published."""
    if not published.figures:
        return {}
    rows = [vars(row) for row in beside(records, published)]
    return {"published": {"source": published.source, "rows": rows}}


def matching(records: Sequence[TrialRecord], figure: FigureSpec) -> list[TrialRecord]:
    """The completed trials that a figure stands beside, in order."""
    complete = sorted((r for r in records if r.result.state is State.COMPLETE), key=lambda r: r.number)
    return [r for r in complete if _matches(r, figure.match)]


def drawn_trials(
    records: Sequence[TrialRecord], published: PublishedSpec, winner: TrialRecord
) -> list[tuple[str, TrialRecord]]:
    """At most four trials worth a look side by side, each with its name.

    The first trial of every published figure; without such figures, the study's first trial and its winner.
    """
    found: dict[int, tuple[str, TrialRecord]] = {}
    for figure in published.figures:
        for record in matching(records, figure)[:1]:
            found.setdefault(record.number, (figure.title, record))
    if not published.figures:
        first = min(records, key=lambda r: r.number)
        for record in (first, winner):
            if record.result.state is State.COMPLETE:
                found.setdefault(record.number, (f"trial {record.number}", record))
    return list(found.values())[:DRAWN]


def _value(record: TrialRecord, part: str) -> float:
    if part == "epochs":
        return _epochs(record)
    return record.result.train if part == "train" else record.result.cv


def _epochs(record: TrialRecord) -> float:
    """Epochs that a network went through: those up to the best, and its patience where that ran out."""
    params, rounds = record.result.params, record.result.rounds
    most = params.get("epochs")
    if not rounds or isinstance(most, str | None):
        return math.nan
    best = sum(rounds) / len(rounds)
    return min(best + float(params.get("patience", 0)), float(most))


def _matches(record: TrialRecord, wanted: Mapping[str, Scalar]) -> bool:
    """Whether a trial has these values, under our names or the library's own."""
    result = record.result
    plain = {name.partition(".")[2] or name: value for name, value in result.native.items()}
    known = {**plain, **result.native, **result.params}
    return all(_same(known.get(name), value) for name, value in wanted.items())


def _same(found: Scalar | None, wanted: Scalar) -> bool:
    if found is None:
        return wanted in (0, False, "none", "")
    if isinstance(found, str) or isinstance(wanted, str):
        return str(found) == str(wanted)
    return math.isclose(float(found), float(wanted), rel_tol=CLOSE)
