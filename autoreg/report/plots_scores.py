"""Figures about how good the winner is: estimates, finalists, what its regularizers and features are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autoreg.record import Finalist, StudyRecord
from autoreg.report.canvas import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    WIDTH,
    label,
    look,
    plain_ticks,
    sheet,
)
from autoreg.report.facts import backends, direction, estimates, main_estimate, metric, winner_number
from autoreg.report.wording import finite, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 20


def _rows_axis(axes: Axes, names: Sequence[str]) -> None:
    """One row for every name, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    plain_ticks(axes, "x")


def estimates_figure(record: StudyRecord) -> Figure | None:
    """Forest plot of all estimates."""
    rows, main = estimates(record), main_estimate(record)
    if not rows or (main is None and len(rows) < 2):
        return None
    figure = sheet(WIDTH, 0.75 + 0.34 * len(rows))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        leads = main is not None and row.key == main.key
        color = ORANGE if leads else GREY if row.key == "train" else BLUE
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=color, lw=3.5 if leads else 1.8, alpha=0.85)
        axes.plot(
            row.value, place, "D" if leads else "o", color=color, ms=8 if leads else 6, mec="white", mew=0.8
        )
        axes.annotate(
            short(row.value), (row.value, place), (0, 7), textcoords="offset points", ha="center", fontsize=8,
            fontweight="bold" if leads else "normal",
        )  # fmt: skip
    if main is not None:
        axes.axvline(main.value, color=ORANGE, lw=0.8, ls=(0, (4, 4)), zorder=0)
    _rows_axis(axes, [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.75)
    axes.margins(x=0.06)
    axes.set_xlabel(f"{metric(record)} ({direction(record)}); bars are 95% intervals")
    return figure


def finalists_figure(record: StudyRecord) -> Figure | None:
    """Scores in the fresh cells, and paired differences from the best finalist with whiskers of one SE."""
    shown = [f for f in record.finalists if finite(f.fresh) or finite(f.difference)][:TOP]
    if not shown:
        return None
    figure = sheet(WIDTH, 1.15 + 0.33 * len(shown))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
    known = backends(record)
    for place, finalist in enumerate(shown):
        color, marker = look(finalist.backend, known)
        _cells(left, place, finalist, color, marker)
        if finite(finalist.difference):
            se = finalist.difference_se if finite(finalist.difference_se) else 0.0
            right.plot(
                [finalist.difference - se, finalist.difference + se], [place, place], color=color, lw=1.8
            )
            right.plot(finalist.difference, place, marker, color=color, ms=7, mec="white", mew=0.8)
    _rows_axis(left, [_finalist_name(record, f) for f in shown])
    right.grid(axis="x")
    right.spines["left"].set_visible(False)
    right.tick_params(axis="y", length=0)
    right.axvline(0, color=INK, lw=1)
    plain_ticks(right, "x")
    left.set_title(f"{metric(record)} on fresh folds")
    left.set_xlabel(
        f"{direction(record)}; small dots: every fold,\nlarge: their mean, bar: the search's own score"
    )
    right.set_title("worse than the best by")
    right.set_xlabel("paired difference, ± 1 standard error;\nwhiskers that reach 0: not clearly worse")
    return figure


def _cells(axes: Axes, place: int, finalist: Finalist, color: str, marker: str) -> None:
    cells = [c for c in finalist.cells if finite(c)]
    axes.plot(cells, [place] * len(cells), ".", color=color, ms=5.5, alpha=0.4, mew=0)
    if finite(finalist.search):
        axes.plot(finalist.search, place, "|", color=GREY, ms=13, mew=2)
    if finite(finalist.fresh):
        axes.plot(finalist.fresh, place, marker, color=color, ms=7, mec="white", mew=0.8)


def _finalist_name(record: StudyRecord, finalist: Finalist) -> str:
    notes = [
        word
        for word, holds in (
            ("chosen", finalist.number == winner_number(record)),
            ("simplest", finalist.one_se),
            ("default", finalist.default),
        )
        if holds
    ]
    told = f" ({', '.join(notes)})" if notes else ""
    return f"{label(finalist.backend, 16)} #{finalist.number}{told}"


def _ladder(
    record: StudyRecord, items: Sequence[Any], name: Callable[[Any], str], xlabel: str
) -> Figure | None:
    """Dots with whiskers of one SE around 0, one row an item."""
    figure = sheet(WIDTH, 0.85 + 0.24 * len(items))
    axes = figure.add_subplot()
    for place, item in enumerate(items):
        value, se = (item.mean, item.se) if hasattr(item, "mean") else (item.difference, item.difference_se)
        clear = abs(value) > (se if finite(se) else 0.0)
        color = (GREEN if value > 0 else ORANGE) if clear else GREY
        axes.plot([0, value], [place, place], color=FAINT, lw=5, solid_capstyle="butt")
        if finite(se):
            axes.plot([value - se, value + se], [place, place], color=color, lw=1.6)
        axes.plot(value, place, "o" if value >= 0 else "s", color=color, ms=6.5, mec="white", mew=0.8)
    axes.axvline(0, color=INK, lw=1)
    _rows_axis(axes, [name(item) for item in items])
    axes.set_xlabel(xlabel)
    return figure


def importance_figure(record: StudyRecord) -> Figure | None:
    """Permutation importance of the top columns."""
    items = [i for i in record.importance if finite(i.mean)][:TOP]
    if not items:
        return None
    told = f"{metric(record)} gets worse by this much when the column is shuffled, ± 1 standard error"
    return _ladder(record, items, lambda item: label(item.column, 36), told)


def worth_figure(record: StudyRecord) -> Figure | None:
    """What switching each regularizer of the winner off costs."""
    items = [w for w in record.worth if finite(w.difference)][:TOP]
    if not items:
        return None
    told = f"{metric(record)} gets worse by this much when it is switched off, ± 1 standard error"
    return _ladder(record, items, lambda w: f"{label(w.name)} = {label(short(w.value, 3), 16)}", told)
