"""What was decided between turns, as data for a tag or a line of the spool, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any

from autoreg.trial import Extension, Turn

DECIDED: Mapping[str, Callable[[Any], Any]] = {
    "drops": lambda value: {str(name): int(number) for name, number in dict(value or {}).items()},
    "extensions": lambda value: [Extension(*row) for row in value or ()],
    "turns": lambda value: [Turn(*row) for row in value or ()],
}
"""By kind, what reads its data; None is nothing."""


def plain(kind: str, value: Any) -> Any:
    """Decisions of a kind as data: rows, not tables, for a tag holds 5,000 characters and there may be dozens of them."""
    return dict(value) if kind == "drops" else [astuple(row) for row in value]
