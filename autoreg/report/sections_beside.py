"""Sections about what a source published: its figures beside the study's own, trials side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoreg.record import StudyRecord
from autoreg.report.facts import metric
from autoreg.report.markup import Html, el, figure, table, together
from autoreg.report.wording import clipped, finite, short

PARTS = {"train": "training rows", "test": "other rows", "epochs": "epochs"}


def published(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Ours beside theirs."""
    told = record.report.get("published") or {}
    rows = told.get("rows") or []
    if not rows:
        return Html("")
    head = ("trial", "", f"published {metric(record)}", "found here", "difference", "what the source says")
    parts = [el("p", clipped(told["source"], 600))] if told.get("source") else []
    parts.append(table(head, [_row(row) for row in rows], (2, 3, 4)))
    return together(parts)


def _row(row: Mapping[str, Any]) -> list[object]:
    ours, theirs = row["ours"], row["published"]
    apart = f"{ours - theirs:+.3g}" if finite(ours) and finite(theirs) else "–"
    return [
        clipped(row["name"], 80), PARTS.get(row["part"], row["part"]), short(theirs), _ours(row), apart,
        clipped(row["says"], 200),
    ]  # fmt: skip


def _ours(row: Mapping[str, Any]) -> str:
    """A mean with its ends where several trials match."""
    told = short(row["ours"])
    if finite(row["low"]) and finite(row["high"]) and row["high"] > row["low"]:
        told += f" ({short(row['low'])} to {short(row['high'])}, {len(row['trials'])} trials)"
    return told


def before_after(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Learning curves of several trials."""
    return figure(drawn.get("before-after"))


def surfaces(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """The data, and what the trials make of it."""
    left_out = [trial.name for trial in record.shown if not trial.surface]
    note = (
        f"Left out, because the time was too short: {clipped(', '.join(left_out), 200)}." if left_out else ""
    )
    return figure(drawn.get("surfaces"), note)
