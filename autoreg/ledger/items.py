"""What waits to be written, and what a store and its spool know together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autoreg.ledger.contract import History
from autoreg.ledger.decisions import DECIDED, plain
from autoreg.ledger.spool import Contents
from autoreg.secrets import redact


@dataclass
class Item:
    """One thing to write.

    Attributes
    ----------
    kind : {"trial", "drops", "extensions", "turns", "status"}
    number : int
        Of a trial.
    value : Any
        The trial's record, or None where the spool has it; what is written, for the others.
    kept : bool
        Whether the spool has it.
    run_id : str
        Run that was created for it and is not ended.
    """

    kind: Literal["trial", "drops", "extensions", "turns", "status"]
    number: int = -1
    value: Any = None
    kept: bool = False
    run_id: str = ""


def merged(history: History, kept: Contents) -> list[Item]:
    """Add to what the store knows what the spool knows; the store's counts. Returns what is to be delivered."""
    items = [Item("trial", n, kept=True) for n in sorted(kept.trials) if n not in history.records]
    history.records = {**kept.trials, **history.records}
    drops = {**kept.drops, **history.drops}
    if drops != history.drops:
        items.insert(0, Item("drops", value=drops, kept=True))
    if len(kept.extensions) > len(history.extensions):
        items.insert(0, Item("extensions", value=kept.extensions, kept=True))
        history.extensions = list(kept.extensions)
    if len(kept.turns) > len(history.turns):
        items.insert(0, Item("turns", value=kept.turns, kept=True))
        history.turns = list(kept.turns)
    history.drops = drops
    return items


def decision_tag(item: Item) -> tuple[str, str]:
    """Name and text of the tag that holds what was decided between turns."""
    return f"autoreg.{item.kind}", json.dumps(plain(item.kind, item.value), separators=(",", ":"))


def decided(tags: Mapping[str, str]) -> History:
    """What such tags of a study's run tell; no trials."""
    return History(
        **{kind: read(json.loads(tags.get(f"autoreg.{kind}", "null"))) for kind, read in DECIDED.items()}
    )


def first_line(error: BaseException | None) -> str:
    """What an error says, without passwords."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redact(lines[0])[:200]
