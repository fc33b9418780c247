"""A finished study in a notebook: the headline and what matters most, as a piece of HTML without figures."""

from __future__ import annotations

from autoreg.record import StudyRecord
from autoreg.report.facts import (
    estimates,
    headline,
    main_estimate,
    metric,
    params_line,
    refitted,
    told_params,
    winner,
)
from autoreg.report.markup import Html, bullets, el, together
from autoreg.report.wording import clipped, counted, duration, finite, short

BOX = "border:1px solid #8886;border-radius:8px;padding:10px 14px;max-width:820px;line-height:1.5"
LABEL = "text-align:left;vertical-align:top;padding:2px 18px 2px 0;font-weight:600;white-space:nowrap"
CELL = "text-align:left;vertical-align:top;padding:2px 0"


def summary(record: StudyRecord) -> str:
    """Headline, winner, estimates and cautions; colours are the notebook's own."""
    return el(
        "div",
        el("div", headline(record), style="font-weight:650;margin-bottom:6px"),
        el("table", el("tbody", together([_row(*pair) for pair in _facts(record)]))),
        bullets(record.cautions, 5) if record.cautions else Html(""),
        style=BOX,
    )


def _row(label: str, value: str) -> Html:
    return el("tr", el("th", label, style=LABEL), el("td", value, style=CELL))


def _facts(record: StudyRecord) -> list[tuple[str, str]]:
    trial, main = winner(record), main_estimate(record)
    total = (record.report.get("seconds") or {}).get("total")
    facts = []
    if trial is not None:
        params = params_line(told_params(record, trial.backend, trial.params))
        facts.append(("Winner", clipped(f"{trial.backend} #{trial.number}: {params}", 400)))
    facts.append(("Shipped as", clipped(record.shipped.kind, 24)))
    for e in estimates(record):
        span = f" ({short(e.low)} to {short(e.high)})" if e.low is not None else ""
        lead = " ← believe this one" if main is not None and e.key == main.key else ""
        facts.append((f"{metric(record)}, {e.label}", f"{short(e.value)}{span}{lead}"))
    held = f", {record.holdout_rows:,} of them held out" if record.holdout_rows else ""
    held += " until the last fit" if refitted(record) else ""
    facts.append(("Data", f"{counted(record.rows, 'row')}{held}, {counted(record.columns, 'column')}"))
    took = f" in {duration(total)}" if finite(total) else ""
    facts.append(("Search", f"{counted(len(record.trials), 'trial')}{took}"))
    return facts
