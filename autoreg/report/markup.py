"""HTML that is safe by construction: text becomes markup only by being escaped, or by coming out of ``el``."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from autoreg.report.wording import clean, clipped, counted

LISTED = 100
"""Entries of a list that are shown; the rest is counted."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Escape, after taking out what is not printable."""
    return value if isinstance(value, Html) else Html(html.escape(clean(value)))


def raw(value: Any) -> Html:
    """Escape our own words, whose spaces at the ends matter."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def el(tag: str, *children: Any, **attributes: str) -> Html:
    """An element; children that are not ``Html`` are escaped. ``cls`` is the class."""
    told = "".join(f' {"class" if k == "cls" else k}="{html.escape(v)}"' for k, v in attributes.items())
    return Html(f"<{tag}{told}>{''.join(map(text, children))}</{tag}>")


def words(*parts: Any) -> Html:
    """Parts of a sentence one after the other, spaces kept; what comes from a user must be ``Html`` already."""
    return Html("".join(map(raw, parts)))


def code(value: Any, length: int = 120) -> Html:
    """A name as the user wrote it."""
    return el("code", clipped(value, length))


def together(parts: Iterable[Html]) -> Html:
    """Elements one after the other."""
    return Html("\n".join(parts))


def table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Iterable[int] = (), marked: Iterable[int] = (),
    cls: str = "",
) -> Html:  # fmt: skip
    """A table; ``numbers`` are columns set to the right, ``marked`` rows that stand out."""
    right, bold = set(numbers), set(marked)

    def cells(tag: str, row: Sequence[Any]) -> Html:
        return Html("".join(el(tag, c, **({"cls": "n"} if i in right else {})) for i, c in enumerate(row)))

    body = [
        el("tr", cells("td", row), **({"cls": "marked"} if i in bold else {})) for i, row in enumerate(rows)
    ]
    whole = el("table", el("thead", el("tr", cells("th", head))), el("tbody", together(body)), cls=cls)
    return el("div", whole, cls="scroll")


def bullets(items: Sequence[Any], listed: int = LISTED) -> Html:
    """A list; what is beyond ``listed`` is counted."""
    shown = [el("li", item if isinstance(item, Html) else clipped(item, 600)) for item in items[:listed]]
    if len(items) > listed:
        shown.append(el("li", f"and {len(items) - listed:,} more", cls="more"))
    return el("ul", together(shown))


def chips(names: Sequence[str], listed: int = 60) -> Html:
    """Names side by side; what is beyond ``listed`` is counted."""
    shown = [code(name, 60) for name in names[:listed]]
    if len(names) > listed:
        shown.append(el("span", f"and {counted(len(names) - listed, 'more column')}", cls="more"))
    return el("p", Html(" ".join(shown)), cls="chips")


def figure(svg: str | None, caption: str = "") -> Html:
    """A drawing with its caption; nothing where there is no drawing."""
    if svg is None:
        return Html("")
    told = el("figcaption", caption) if caption else Html("")
    return el("figure", Html(svg), told)


def pairs(rows: Sequence[tuple[str, Any]]) -> Html:
    """Names with their values."""
    return el("dl", together([words(el("dt", name), el("dd", value)) for name, value in rows]))
