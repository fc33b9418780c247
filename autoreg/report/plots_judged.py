"""Figures about the judged rows: confusion matrix, calibration, residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoreg.record import StudyRecord
from autoreg.report.canvas import BLUE, FAINT, GREY, INK, WIDTH, label, plain_ticks, sheet
from autoreg.report.wording import finite, short
from autoreg.selection import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 20
"""More classes than this are not drawn as a matrix: the worst of them are, by their recall."""
LETTER = 0.085
"""Inches that a letter of an axis needs at most, nearly always."""
NUMBERS = 12
"""Up to so many classes the cells hold numbers."""


def matrix(record: StudyRecord) -> list[list[float]]:
    """The confusion matrix where it is whole, else empty."""
    found = record.judged.confusion if record.judged else []
    return found if found and all(len(row) == len(found) for row in found) else []


def class_name(record: StudyRecord, code: int) -> str:
    """Label of a class; its code where the record has no labels."""
    return label(record.classes[code] if code < len(record.classes) else code, 20)


def recalls(record: StudyRecord) -> list[tuple[int, float, float]]:
    """Class, share of its rows that were found, and rows, the worst class first; classes without rows left out."""
    rows = [(k, row[k] / sum(row), sum(row)) for k, row in enumerate(matrix(record)) if sum(row) > 0]
    return sorted(rows, key=lambda found: (found[1], found[0]))


def confusion_figure(record: StudyRecord) -> Figure | None:
    """Confusion matrix, or recall of the worst classes where there are many."""
    cells = matrix(record)
    if not cells or not recalls(record):
        return None
    return _matrix(record, cells) if len(cells) <= MANY else _worst(record)


def _matrix(record: StudyRecord, cells: Sequence[Sequence[float]]) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    k, names = len(cells), [class_name(record, code) for code in range(len(cells))]
    cell, longest = min(0.95, 4.8 / k), LETTER * max(map(len, names))
    turned = longest > 0.95 * cell
    figure = sheet(k * cell + longest + 0.8, k * cell + (longest if turned else 0.25) + 0.6)
    axes = figure.add_subplot()
    shades = LinearSegmentedColormap.from_list("blues", ["#ffffff", BLUE])
    for i, row in enumerate(cells):
        total = sum(row)
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fc=shades(share), ec=FAINT, lw=0.6))
            if k <= NUMBERS and (count or k <= 4):
                text = short(count, 4) + (f"\n{share:.0%}" if k <= 5 else "")
                axes.text(
                    j, i, text, ha="center", va="center", color="white" if share > 0.55 else INK, fontsize=8.5
                )
    axes.set_xticks(range(k), names, rotation=90 if turned else 0)
    axes.set_yticks(range(k), names)
    axes.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal", xlabel="predicted", ylabel="true")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _worst(record: StudyRecord) -> Figure:
    found = recalls(record)[:MANY]
    figure = sheet(WIDTH, 0.9 + 0.24 * len(found))
    axes = figure.add_subplot()
    axes.barh(range(len(found)), [share for _, share, _ in found], color=BLUE, height=0.65)
    for place, (_, share, rows) in enumerate(found):
        axes.text(share + 0.008, place, f"{share:.0%} of {short(rows, 4)}", va="center", fontsize=8)
    axes.set_yticks(range(len(found)), [class_name(record, code) for code, _, _ in found])
    axes.set(xlim=(0, 1.12), ylim=(len(found) - 0.4, -0.6))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel(
        f"share of the class's rows that were found; the worst {len(found)} of {len(matrix(record))} classes"
    )
    return figure


def _whole(bins: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, float]]:
    """Bins that hold all names and at least one row, by predicted value."""
    kept = [
        {name: float(b[name]) for name in (*names, "rows")}
        for b in bins
        if all(finite(b.get(name)) for name in (*names, "rows")) and b["rows"] >= 1
    ]
    return sorted(kept, key=lambda b: b["predicted"])


def reliability_bins(record: StudyRecord) -> list[dict[str, float]]:
    """Bins of the reliability diagram that can be drawn."""
    return _whole(record.judged.reliability, ("predicted", "observed")) if record.judged else []


def residual_bins(record: StudyRecord) -> list[dict[str, float]]:
    """Bins of the residual figure that can be drawn."""
    names = ("predicted", "low", "quarter", "median", "three_quarters", "high")
    return _whole(record.judged.residuals, names) if record.judged else []


def _interval(b: Mapping[str, float]) -> tuple[float, float]:
    """95% interval of the share that came true in a bin."""
    rows = round(min(b["rows"], 1e12))
    return wilson(round(min(1.0, max(0.0, b["observed"])) * rows), rows)


def reliability_figure(record: StudyRecord) -> Figure | None:
    """Predicted probability against how often it came true."""
    bins = reliability_bins(record)
    if not bins:
        return None
    figure = sheet(5.4, 4.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=GREY, lw=1, label="perfectly calibrated")
    for b in bins:
        upper.plot([b["predicted"]] * 2, _interval(b), color=BLUE, lw=1.4, alpha=0.6)
    upper.plot([b["predicted"] for b in bins], [b["observed"] for b in bins], "o-", color=BLUE, ms=6, lw=1, mec="white",
               label="this model (95% interval)")  # fmt: skip
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share that came true")
    upper.legend(loc="upper left")
    upper.grid()
    _stems(lower, bins)
    lower.set_xlabel(
        f"predicted probability of {class_name(record, 1)}"
        if len(record.classes) == 2
        else "probability of the predicted class"
    )
    return figure


def _stems(axes: Axes, bins: Sequence[Mapping[str, float]]) -> None:
    """How many rows every bin holds."""
    for b in bins:
        axes.plot([b["predicted"]] * 2, [0, b["rows"]], color=GREY, lw=5, solid_capstyle="butt")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("rows")
    plain_ticks(axes)


def residuals_figure(record: StudyRecord) -> Figure | None:
    """Spread of truth minus prediction along the predicted value."""
    bins = residual_bins(record)
    if not bins:
        return None
    figure = sheet(WIDTH, 3.5)
    axes = figure.add_subplot()
    x = [b["predicted"] for b in bins]
    if len(bins) > 1:
        axes.fill_between(
            x,
            [b["low"] for b in bins],
            [b["high"] for b in bins],
            color=BLUE,
            alpha=0.15,
            lw=0,
            label="90% of rows",
        )
        axes.fill_between(
            x, [b["quarter"] for b in bins], [b["three_quarters"] for b in bins], color=BLUE, alpha=0.3, lw=0,
            label="half of the rows",
        )  # fmt: skip
    else:
        axes.plot(x * 2, [bins[0]["low"], bins[0]["high"]], color=BLUE, lw=2, label="90% of rows")
    axes.plot(x, [b["median"] for b in bins], "o-", color=BLUE, ms=5, lw=1.4, mec="white", label="median")
    axes.axhline(0, color=INK, lw=1)
    axes.set(xlabel="predicted value", ylabel="truth minus prediction")
    axes.legend(loc="upper left", ncols=3)
    axes.margins(y=0.18)
    axes.grid()
    plain_ticks(axes)
    return figure
