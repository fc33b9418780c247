"""A finished study as a page, as figures and as a model card, each drawn from its ``StudyRecord`` alone.

matplotlib is loaded by the first call that draws.
"""

from __future__ import annotations

import json

from autoreg.record import StudyRecord
from autoreg.report.card import model_card
from autoreg.report.summary import summary

__all__ = ["artifacts", "model_card", "render", "summary"]


def artifacts(record: StudyRecord) -> dict[str, str | bytes]:
    """The page and its figures by path (``"report.html"``, ``"figures/finalists.svg"``), every figure drawn once.

    The same record gives the same bytes. The page needs no other file, no network and no script. What the record
    says nothing of is left out.
    """
    from autoreg.report.catalogue import drawings
    from autoreg.report.page import page

    drawn = drawings(record)
    files: dict[str, str | bytes] = {f"figures/{name}.svg": drawing.file() for name, drawing in drawn.items()}
    if record.report.get("published"):
        files["published.json"] = json.dumps(record.report["published"], indent=1)
    return {"report.html": page(record, {n: drawing.inline() for n, drawing in drawn.items()}), **files}


def render(record: StudyRecord) -> str:
    """The page alone; see ``artifacts``."""
    return str(artifacts(record)["report.html"])
