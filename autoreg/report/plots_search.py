"""Figures about the search: all trials, overtuning, and the winner's learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autoreg.record import StudyRecord, TrialRow
from autoreg.report.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    WIDTH,
    beyond,
    decades,
    look,
    plain_ticks,
    robust,
    sheet,
    squeezed,
    thin,
)
from autoreg.report.facts import backends, direction, metric, winner_number
from autoreg.report.wording import finite, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scored(record: StudyRecord) -> list[TrialRow]:
    """Trials that have a score."""
    return [t for t in record.trials if finite(t.cv)]


def ringed(axes: Axes, x: float, y: float) -> None:
    """Mark the chosen point."""
    axes.plot(x, y, "o", ms=13, mfc="none", mec=INK, mew=1.6, zorder=6)


def key(
    record: StudyRecord, figure: Figure, present: Sequence[str], extra: Sequence[tuple[str, str]]
) -> None:
    """Legend below: the backends, then other marks (``(marker, what it says)``)."""
    from matplotlib.lines import Line2D

    marks = []
    for backend in present:
        color, marker = look(backend, backends(record))
        marks.append(Line2D([], [], color=color, marker=marker, ls="", ms=6, label=backend[:24]))
    for marker, text in extra:
        big = 11 if marker in "oD" else 8
        marks.append(Line2D([], [], color=INK, marker=marker, ls="", ms=big, mfc="none", mew=1.4, label=text))
    figure.legend(handles=marks, loc="outside lower center", ncols=min(6, len(marks)), handletextpad=0.4)


def trials_figure(record: StudyRecord) -> Figure | None:
    """Score on new folds against the score on training rows, and against the size of the model."""
    trials = scored(record)
    against = [t for t in trials if finite(t.train)]
    if not trials or not against:
        return None
    sized = [t for t in trials if finite(t.complexity) and t.complexity > 0]
    figure = sheet(WIDTH, 4.3)
    if sized:
        left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
        _by_size(record, right, sized)
    else:
        left = figure.add_subplot()
    _by_train(record, left, against)
    present = [b for b in backends(record) if any(t.backend == b for t in trials)]
    chosen = winner_number(record)
    key(
        record, figure, present, [("o", f"chosen, #{chosen}")] if chosen in {t.number for t in trials} else []
    )
    return figure


def _dots(
    record: StudyRecord, axes: Axes, trials: Sequence[TrialRow], x: Sequence[float], y: Sequence[float]
) -> None:
    """All trials, those that were not finished paler; the chosen one ringed."""
    for backend in backends(record):
        for done in (False, True):
            here = [
                i for i, t in enumerate(trials) if t.backend == backend and (t.state == "complete") == done
            ]
            color, marker = look(backend, backends(record))
            if here:
                axes.scatter(
                    [x[i] for i in here], [y[i] for i in here], s=26, c=color, marker=marker, linewidths=0.5,
                    edgecolors="white", alpha=0.8 if done else 0.25, zorder=3,
                )  # fmt: skip
    for i, trial in enumerate(trials):
        if trial.number == winner_number(record):
            ringed(axes, x[i], y[i])


def _by_train(record: StudyRecord, axes: Axes, trials: Sequence[TrialRow]) -> None:
    up = record.greater_is_better
    x, y = [float(t.train or 0) for t in trials], [float(t.cv or 0) for t in trials]
    low, high = robust(x + y, up)
    ends = (low, high)
    _dots(record, axes, trials, squeezed(x, ends), squeezed(y, ends))
    axes.plot(ends, ends, color=GREY, lw=1, zorder=1)
    axes.set(
        xlim=ends,
        ylim=ends,
        xlabel=f"{metric(record)} on training rows",
        ylabel=f"{metric(record)} on new folds",
    )
    axes.set_title("train against new folds")
    hidden = sum(min(a, b) < low or max(a, b) > high for a, b in zip(x, y, strict=True))
    beyond(axes, hidden)
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
    words: dict[str, Any] = {
        "transform": axes.transAxes,
        "fontsize": 8,
        "color": GREY,
        "bbox": box,
        "zorder": 4,
    }
    axes.text(0.97 if up else 0.03, 0.04 if up else 0.96, "overfitting: far\nfrom the line",
              ha="right" if up else "left", va="bottom" if up else "top", **words)  # fmt: skip
    axes.text(0.03 if up else 0.97, 0.04 if up else 0.96, "underfitting: on the\nline, but poor",
              ha="left" if up else "right", va="bottom" if up else "top", **words)  # fmt: skip
    axes.grid()
    plain_ticks(axes)


def _by_size(record: StudyRecord, axes: Axes, trials: Sequence[TrialRow]) -> None:
    x, y = [math.log10(t.complexity or 1) for t in trials], [float(t.cv or 0) for t in trials]
    ends = robust(y, record.greater_is_better)
    _dots(record, axes, trials, x, squeezed(y, ends))
    axes.set_ylim(ends)
    decades(axes, min(x), max(x))
    axes.set(xlabel="effective parameters (log scale)", title="size against new folds")
    axes.grid()
    plain_ticks(axes, "y")


def curves_figure(record: StudyRecord) -> Figure | None:
    """Loss of the winner by epoch or round."""
    looks = {
        "train_loss": (BLUE, "-", "rows it is fitted on"),
        "stop_loss": (ORANGE, "--", "rows that stop it"),
    }
    found = {name: thin(values) for name, values in record.curves.items() if name in looks}
    found = {name: curve for name, curve in found.items() if len(curve[0]) > 1}
    if not found:
        return None
    figure = sheet(WIDTH, 3.1)
    axes = figure.add_subplot()
    for name, (at, values) in found.items():
        color, dashes, text = looks[name]
        axes.plot(at, values, dashes, color=color, lw=1.8, label=text)
    if finite(record.best_round):
        axes.axvline(
            record.best_round,
            color=INK,
            lw=1,
            ls=(0, (2, 2)),
            label=f"best stop, {short(record.best_round, 3)}",
        )
    # A network starts far above where it ends; the first steps would flatten all that matters.
    late = [v for _, values in found.values() for v in values[max(1, len(values) // 50) :]]
    low, high = robust(late, False)
    axes.set_ylim(low, high)
    axes.set(xlabel="epoch or boosting round", ylabel="loss (lower is better)")
    axes.legend(loc="upper right")
    axes.grid()
    plain_ticks(axes)
    return figure


def overtuning_figure(record: StudyRecord) -> Figure | None:
    """Search score of the best trial so far, and the fresh score of those that were run again."""
    steps = [o for o in record.overtuning if finite(o.search)]
    if not steps:
        return None
    last = max([t.number for t in record.trials] + [steps[-1].trial])
    at = [o.trial for o in steps] + [last]
    search = [float(o.search or 0) for o in steps]
    fresh = [(o.trial, o.fresh) for o in steps if finite(o.fresh)]
    figure = sheet(WIDTH, 3.0)
    axes = figure.add_subplot()
    axes.step(
        at, [*search, search[-1]], where="post", color=BLUE, lw=1.8, label="search score of the best so far"
    )
    axes.plot([o.trial for o in steps], search, "o", color=BLUE, ms=4)
    if fresh:
        axes.plot([a for a, _ in fresh], [f for _, f in fresh], "D", color=ORANGE, ms=6, ls=":", lw=1, mec="white",
                  mew=0.6, label="the same trial on fresh folds")  # fmt: skip
    axes.set_ylim(robust(search + [float(f) for _, f in fresh], record.greater_is_better))
    axes.set(xlabel="trial", ylabel=f"{metric(record)}\n({direction(record)})")
    axes.margins(x=0.02)
    axes.legend(loc="best")
    axes.grid()
    plain_ticks(axes)
    return figure
