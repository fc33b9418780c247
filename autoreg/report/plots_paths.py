"""The regularization paths: score against the strength of the penalty, a panel for every backend and kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoreg.record import StudyRecord, TrialRow
from autoreg.report.canvas import GREY, INK, WIDTH, decades, look, plain_ticks, robust, sheet, squeezed
from autoreg.report.facts import backends, direction, metric, winner_number
from autoreg.report.plots_search import key, ringed, scored
from autoreg.report.wording import finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def paths_figure(record: StudyRecord) -> Figure | None:
    """Score against the strength of the penalty, a panel for every backend and kind of penalty."""
    trials = [t for t in scored(record) if t.state == "complete" and finite(t.params.get("alpha"))]
    panels: dict[str, dict[str, list[TrialRow]]] = {}
    for t in trials:
        if t.params["alpha"] > 0:
            panels.setdefault(t.backend, {}).setdefault(str(t.params.get("penalty", "l2")), []).append(t)
    if not panels:
        return None
    kinds = [k for k in ("l1", "l2", "elasticnet") if any(k in p for p in panels.values())]
    kinds += sorted({k for p in panels.values() for k in p} - set(kinds))
    figure = sheet(WIDTH, 0.8 + 2.15 * len(panels))
    grid = figure.subplots(len(panels), len(kinds), squeeze=False, sharey="row")
    for row, (backend, found) in enumerate(panels.items()):
        off = [t for t in trials if t.backend == backend and t.params["alpha"] == 0]
        ends = _ends([*off, *(t for kind in found.values() for t in kind)], record.greater_is_better)
        grid[row][0].set_ylim(ends)
        for column, kind in enumerate(kinds):
            if kind in found:
                _path(record, grid[row][column], backend, found[kind], off, ends)
                grid[row][column].set_title(f"{backend[:24]}: {kind[:16]}")
            else:
                grid[row][column].set_visible(False)
        grid[row][0].set_ylabel(f"{metric(record)}\n({direction(record)})")
    seen = {t.number for t in trials if t.backend in panels}
    marks = [("o", "chosen")] if winner_number(record) in seen else []
    marks += [("D", "simplest within 1 SE")] if _simplest(record) & seen else []
    key(record, figure, list(panels), marks)
    for axes in grid[-1]:
        axes.set_xlabel("alpha (log scale)")
    return figure


def _simplest(record: StudyRecord) -> set[int]:
    """Number of the finalist that the one-SE rule names."""
    return {f.number for f in record.finalists if f.one_se}


def _ends(trials: Sequence[TrialRow], up: bool) -> tuple[float, float]:
    """Limits of the scores of a row of panels, with room for the whisker of the best."""
    low, high = robust([float(t.cv or 0) for t in trials], up, 0.1)
    best = max(trials, key=lambda t: float(t.cv or 0) if up else -float(t.cv or 0))
    room = best.cv_se if finite(best.cv_se) else 0.0
    return (low, high + room) if up else (low - room, high)


def _path(
    record: StudyRecord, axes: Axes, backend: str, trials: Sequence[TrialRow], off: Sequence[TrialRow],
    ends: tuple[float, float],
) -> None:  # fmt: skip
    """One panel: dots with whiskers of one SE, the best of each stretch joined, "off" in a gap at the left."""
    color, marker = look(backend, backends(record))
    logs = [math.log10(t.params["alpha"]) for t in trials]
    low, high = _searched_ends(record, backend, logs)
    gap = 0.17 * (high - low)
    places = {t.number: at for t, at in zip(trials, logs, strict=True)} | {t.number: low - gap for t in off}
    shown = [*trials, *off]
    y = dict(zip((t.number for t in shown), squeezed([float(t.cv or 0) for t in shown], ends), strict=True))
    ses = {t.number: t.cv_se if finite(t.cv_se) else 0.0 for t in shown}
    axes.vlines(
        list(places.values()), [y[n] - ses[n] for n in places], [y[n] + ses[n] for n in places], color=color,
        lw=0.8, alpha=0.35, zorder=2,
    )  # fmt: skip
    axes.scatter(
        [places[t.number] for t in shown], [y[t.number] for t in shown], s=20, c=color, marker=marker,
        edgecolors="white", linewidths=0.5, zorder=3, alpha=0.85,
    )  # fmt: skip
    at, best = _stretches(trials, logs, y, record.greater_is_better)
    axes.plot(at, best, color=color, lw=1.3, alpha=0.7, zorder=2)
    for t in shown:
        if t.number == winner_number(record):
            ringed(axes, places[t.number], y[t.number])
        if t.number in _simplest(record):
            axes.plot(places[t.number], y[t.number], "D", ms=11, mfc="none", mec=INK, mew=1.2, zorder=6)
    for edge, inner in ((low, low + 0.1 * (high - low)), (high, high - 0.1 * (high - low))):
        axes.axvspan(min(edge, inner), max(edge, inner), color="#f3f4f6", zorder=0, lw=0)
    left = low - 1.6 * gap if off else low - 0.3 * gap
    axes.set_xlim(left, high + 0.3 * gap)
    if off:
        axes.axvline(low - 0.5 * gap, color=GREY, lw=0.8, ls=(0, (2, 3)))
    decades(axes, low, high, [(low - gap, "off")] if off else [])
    axes.grid(axis="y")
    plain_ticks(axes, "y")


def _searched_ends(record: StudyRecord, backend: str, logs: Sequence[float]) -> tuple[float, float]:
    """Ends of the panel in powers of ten: the searched range and all that was tried."""
    searched = (record.searched.get(backend) or {}).get("alpha") or {}
    ends = [math.log10(v) for v in (searched.get("low"), searched.get("high")) if finite(v) and v > 0]
    low, high = min([*logs, *ends]), max([*logs, *ends])
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _stretches(
    trials: Sequence[TrialRow], logs: Sequence[float], y: dict[int, float], greater_is_better: bool
) -> tuple[list[float], list[float]]:
    """The best trial in each of at most ten stretches of the axis."""
    low, width = min(logs), (max(logs) - min(logs)) or 1.0
    best: dict[int, tuple[float, float]] = {}
    for t, at in zip(trials, logs, strict=True):
        stretch = min(9, int(10 * (at - low) / width))
        value = y[t.number]
        ahead = stretch not in best or (value > best[stretch][1]) == greater_is_better
        if ahead:
            best[stretch] = (at, value)
    points = sorted(best.values())
    return [at for at, _ in points], [value for _, value in points]
