"""A finished study as a page, as figures and as a model card, each drawn from its ``StudyRecord`` alone.

matplotlib is loaded by the first call that draws.
"""

from __future__ import annotations

from autoreg.record import StudyRecord
from autoreg.report.card import model_card

__all__ = ["figures", "model_card", "render"]


def render(record: StudyRecord) -> str:
    """The study as one HTML page that needs no other file, no network and no script.

    The same record gives the same text, byte for byte.
    """
    from autoreg.report.catalogue import drawings
    from autoreg.report.page import page

    return page(record, {name: drawing.inline() for name, drawing in drawings(record).items()})


def figures(record: StudyRecord) -> dict[str, bytes]:
    """The figures of the page by file name (``"finalists.svg"``); what the record says nothing of is left out."""
    from autoreg.report.catalogue import drawings

    return {f"{name}.svg": drawing.file() for name, drawing in drawings(record).items()}
