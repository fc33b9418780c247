"""One look for all figures, and matplotlib's SVG made fit to stand in a page beside others.

Colours are Okabe and Ito's (2008), which people with any common colour blindness can tell apart; a backend has its
own marker as well.
"""

from __future__ import annotations

import html
import io
import itertools
import math
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoreg.report.wording import clipped, finite, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.2
"""Inches of a figure that is as wide as the page."""
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
INK, GREY, FAINT = "#24292f", "#6b7280", "#d8dce2"
KNOWN = {"sklearn": (BLUE, "o"), "xgboost": (ORANGE, "s"), "keras": (GREEN, "^")}
OTHERS = ((PURPLE, "D"), (YELLOW, "v"), (SKY, "P"))
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "autoreg",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.8,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa1ab",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "text.color": INK,
    "xtick.color": "#9aa1ab",
    "ytick.color": "#9aa1ab",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": "#e8eaee",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
}
_one_at_a_time = threading.Lock()


def look(backend: str, known: Sequence[str]) -> tuple[str, str]:
    """Colour and marker of a backend."""
    if backend in KNOWN:
        return KNOWN[backend]
    others = [name for name in known if name not in KNOWN]
    return OTHERS[others.index(backend) % len(OTHERS)] if backend in others else OTHERS[0]


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib with this look and none of the user's settings; what was set before comes back."""
    import matplotlib

    with _one_at_a_time, matplotlib.rc_context(), warnings.catch_warnings():
        # Names may be in any script; the reader's browser has the letters that matplotlib measures as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams  # releases differ in what their types say of its keys
        settings.update(STYLE)
        yield


def sheet(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG: the part between the tags, its size in points, and what it shows in words."""

    body: str
    width: float
    height: float
    alt: str

    def inline(self) -> str:
        """For a page: as wide as there is room, up to its design width."""
        label = html.escape(self.alt)
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{label}" '
            f'style="max-width:{self.width * 1.43:.0f}px">{self.body}</svg>'
        )

    def file(self) -> bytes:
        """A file of its own."""
        size = f'width="{self.width:g}pt" height="{self.height:g}pt" viewBox="0 0 {self.width:g} {self.height:g}"'
        return (
            '<?xml version="1.0" encoding="utf-8"?>\n'
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f"{size}><title>{html.escape(self.alt)}</title>{self.body}</svg>\n"
        ).encode()


def drawn(name: str, figure: Figure, alt: str) -> Drawing:
    """Write a figure as SVG whose ids start with its name, so that figures of one page do not clash."""
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None})
    text = target.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"\s*<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))

    def rewrite(tag: re.Match[str]) -> str:
        kept = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag[0])
        kept = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", kept)
        # Releases differ in how they write a font; its family is given once, around everything.
        kept = re.sub(r'font: (?:(bold|\d+) )?([\d.]+px) [^;"]*', r"font-weight: \1; font-size: \2", kept)
        return re.sub(r'font-family: [^;"]*;? ?', "", kept)

    # Text between the tags, where a column's name may look like an id, is left as it is.
    body = re.sub(r"<[^>]*>", rewrite, body)
    width, height = (72 * inches for inches in figure.get_size_inches())
    around = f'<g font-family="{FONTS}" stroke-linejoin="round" stroke-linecap="butt">'
    return Drawing(f"{around}{body.strip()}</g>", float(width), float(height), alt)


def label(value: Any, length: int = 28) -> str:
    """A name short enough for an axis."""
    return clipped(value, length)


def robust(values: Sequence[float], greater_is_better: bool, margin: float = 0.06) -> tuple[float, float]:
    """Limits of an axis of scores that a few very bad ones do not blow up.

    The good end is kept; the bad end reaches at most four times as far from the median as the best one, or as the
    middle half is wide.
    """
    import numpy as np

    bad = np.sort([-v if greater_is_better else v for v in values])
    first, quarter, middle, upper = np.quantile(bad, [0.0, 0.25, 0.5, 0.75])
    reach = middle + 4 * max(middle - first, upper - quarter)
    end = min(bad[-1], reach) if reach > first else bad[-1]
    pad = margin * (end - first) or 0.05 * abs(end) or 0.5
    low, high = first - pad, end + pad
    return (-float(high), -float(low)) if greater_is_better else (float(low), float(high))


def squeezed(values: Sequence[float], limits: tuple[float, float]) -> list[float]:
    """Values, those beyond the limits moved onto them."""
    return [min(max(v, limits[0]), limits[1]) for v in values]


def beyond(axes: Axes, count: int) -> None:
    """Say how many points are drawn on the rim because they lie beyond it."""
    if count:
        axes.text(
            0.99, 1.01, f"{count} beyond the rim, drawn on it", transform=axes.transAxes, ha="right", va="bottom",
            fontsize=7.5, color=GREY,
        )  # fmt: skip


def tick_words(values: Sequence[float]) -> list[str]:
    """Ticks as text: as many places as their steps need, thousands apart, millions and billions shortened.

    >>> tick_words([0.85, 0.9]), tick_words([1234.5, 1235.0]), tick_words([0.0, 2e6])
    (['0.85', '0.90'], ['1,234.5', '1,235.0'], ['0M', '2M'])
    """
    known = sorted({v for v in values if finite(v)})
    if not known:
        return ["" for _ in values]
    most = max(abs(known[0]), abs(known[-1]))
    steps = [after - before for before, after in itertools.pairwise(known)]
    step = min(steps, default=most)
    if not 0 <= most < 1e12 or 0 < step < 1e-6:
        return [f"{v:.4g}" for v in values]
    unit, suffix = next(((u, name) for u, name in ((1e9, "B"), (1e6, "M")) if most >= u), (1.0, ""))
    places = 0
    while places < 7 and step > 0 and abs(round(step / unit, places) - step / unit) > 1e-3 * step / unit:
        places += 1
    return [f"{v / unit:,.{places}f}{suffix}" for v in values]


def plain_ticks(axes: Axes, which: str = "xy") -> None:
    """Numbers on the axes without powers and offsets, and not too many of them side by side."""
    from matplotlib.ticker import Formatter, MaxNLocator

    class Words(Formatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return tick_words([float(x)])[0]

        def format_ticks(self, values: Any) -> list[str]:
            return tick_words([float(v) for v in values])

    for name in which:
        axis = axes.xaxis if name == "x" else axes.yaxis
        if name == "x":
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(Words())


def decades(axes: Axes, low: float, high: float, extra: Sequence[tuple[float, str]] = ()) -> None:
    """Ticks at powers of ten on an x axis that shows logarithms to base 10; ``extra`` ticks come on top."""

    def inside(mantissas: Sequence[int], step: int) -> list[tuple[float, str]]:
        at = [(e + math.log10(m), m * 10.0**e) for e in range(first, last + 1, step) for m in mantissas]
        return [(place, _power(value)) for place, value in at if low - 0.02 <= place <= high + 0.02]

    first, last = math.floor(low), math.ceil(high)
    marks = inside((1,), max(1, math.ceil((last - first) / 4)))
    if len(marks) < 2:
        marks = inside((1, 2, 5), 1) or [(low, short(10**low, 2))]
    every = [*extra, *marks]
    axes.set_xticks([at for at, _ in every], [text for _, text in every])


def _power(value: float) -> str:
    return f"{value:g}" if 1e-3 <= value <= 1e3 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def thin(values: Sequence[float], most: int = 200) -> tuple[list[int], list[float]]:
    """Places (from 1) and values of a curve, evenly thinned, both ends kept; gaps left out."""
    n = len(values)
    chosen = range(n) if n <= most else sorted({round(i * (n - 1) / (most - 1)) for i in range(most)})
    kept = [(i + 1, float(values[i])) for i in chosen if finite(values[i])]
    return [at for at, _ in kept], [v for _, v in kept]
