"""Trials side by side: their learning curves before and after, and what they predict over a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoreg.record import Plane, Shown, StudyRecord
from autoreg.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    WIDTH,
    YELLOW,
    plain_ticks,
    robust,
    sheet,
    thin,
)
from autoreg.report.wording import clipped, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLLOWED = (("accuracy", "accuracy", True), ("loss", "loss", False))
"""What curves follow: the end of their names, what it is called, and whether higher is better."""
CLASSES = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY)


def before_after_figure(record: StudyRecord) -> Figure | None:
    """Curves on training rows and on the others, a column for every trial, on common axes."""
    kinds = [kind for kind in FOLLOWED if any(_pair(trial, kind[0]) for trial in record.shown)]
    shown = [trial for trial in record.shown if any(_pair(trial, kind[0]) for kind in kinds)]
    if not shown:
        return None
    wide = len(shown)
    figure = sheet(WIDTH if wide > 1 else 0.6 * WIDTH, 0.9 + 2.2 * len(kinds))
    grid = figure.subplots(len(kinds), wide, squeeze=False, sharey="row", sharex="col")
    for row, (name, told, up) in enumerate(kinds):
        grid[row][0].set_ylim(_ends(shown, name, up))
        grid[row][0].set_ylabel(told)
        for column, trial in enumerate(shown):
            _curves(grid[row][column], trial, name)
            if row == 0:
                grid[row][column].set_title(clipped(trial.name, 60 // wide))
    for axes in grid[-1]:
        axes.set_xlabel("epoch or boosting round")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _pair(trial: Shown, kind: str) -> dict[str, list[Any]]:
    """A trial's two curves of a kind, those that have points to join."""
    found = {part: trial.curves.get(f"{part}_{kind}", []) for part in ("train", "stop")}
    return {part: curve for part, curve in found.items() if sum(map(finite, curve)) > 1}


def _ends(shown: list[Shown], kind: str, up: bool) -> tuple[float, float]:
    """Limits that the first steps of a network, far above where it ends, do not blow up."""
    late: list[float] = []
    for trial in shown:
        for curve in _pair(trial, kind).values():
            late += [v for v in curve[max(1, len(curve) // 50) :] if finite(v)]
    return robust(late or [0.0, 1.0], up)


def _curves(axes: Axes, trial: Shown, kind: str) -> None:
    looks = {"train": (BLUE, "-", "training rows"), "stop": (ORANGE, "--", "other rows")}
    for part, curve in _pair(trial, kind).items():
        places, values = thin(curve, 400)
        at = [1 + (place - 1) * max(trial.steps - 1, 1) / (len(curve) - 1) for place in places]
        color, dashes, told = looks[part]
        axes.plot(at, values, dashes, color=color, lw=1.4, label=told)
    axes.grid()
    plain_ticks(axes)


def surfaces_figure(record: StudyRecord) -> Figure | None:
    """The data, and what each trial predicts between the points."""
    plane, drawn = record.plane, [trial for trial in record.shown if trial.surface]
    if plane is None:
        return None
    wide = min(3, 1 + len(drawn))
    high = -(-(1 + len(drawn)) // wide)
    figure = sheet(WIDTH if wide > 1 else 0.5 * WIDTH, 0.7 + 2.7 * high)
    panels = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True).ravel()
    _points(panels[0], record, plane)
    panels[0].set_title("the data")
    for axes, trial in zip(panels[1:], drawn, strict=False):
        _surface(axes, record, plane, trial)
        _points(axes, record, plane)
        axes.set_title(clipped(trial.name, 30))
    for axes in panels[1 + len(drawn) :]:
        axes.set_visible(False)
    for axes in panels:
        axes.set(xlim=plane.x, ylim=plane.y, xlabel=clipped(plane.columns[0], 24))
        plain_ticks(axes)
    panels[0].set_ylabel(clipped(plane.columns[1], 24))
    _legend(figure, record)
    return figure


def _points(axes: Axes, record: StudyRecord, plane: Plane) -> None:
    """Training rows full, the others hollow."""
    for x, y, target, train in plane.rows:
        color = CLASSES[int(target) % len(CLASSES)] if record.classes else INK
        axes.plot(
            x, y, "o", ms=4.2, mec=color if not train else "white", mfc=color if train else "none",
            mew=1.0 if not train else 0.5, zorder=4,
        )  # fmt: skip


def _surface(axes: Axes, record: StudyRecord, plane: Plane, trial: Shown) -> None:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    grid = np.asarray(trial.surface)
    x, y = (np.linspace(e[0], e[1], n) for e, n in ((plane.x, grid.shape[1]), (plane.y, grid.shape[0])))
    if len(record.classes) > 2:
        colors = [CLASSES[k % len(CLASSES)] for k in range(len(record.classes))]
        levels = np.arange(len(record.classes) + 1) - 0.5
        axes.contourf(x, y, grid, levels, cmap=ListedColormap(colors), alpha=0.25)
        return
    between = LinearSegmentedColormap.from_list("between", [BLUE, "white", ORANGE])
    ends = (0.0, 1.0) if record.classes else (float(grid.min()), float(grid.max()) or 1.0)
    axes.contourf(x, y, grid, np.linspace(*ends, 11), cmap=between, alpha=0.45)
    if record.classes:
        axes.contour(x, y, grid, [0.5], colors=[INK], linewidths=1.2)


def _legend(figure: Figure, record: StudyRecord) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=CLASSES[k % len(CLASSES)], marker="o", ls="", ms=5, label=clipped(name, 20))
        for k, name in enumerate(record.classes[:6])
    ]
    marks += [
        Line2D([], [], color=GREY, marker="o", ls="", ms=5, label="training row"),
        Line2D([], [], color=GREY, marker="o", ls="", ms=5, mfc="none", label="other row"),
    ]
    if len(record.classes) == 2 and any(trial.surface for trial in record.shown):
        marks.append(Line2D([], [], color=INK, lw=1.2, label="as likely one as the other"))
    figure.legend(handles=marks, loc="outside lower center", ncols=min(5, len(marks)), handletextpad=0.4)
