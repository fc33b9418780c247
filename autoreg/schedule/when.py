"""A time table in cron's five fields, read once and said again in the words of every scheduler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from autoreg.errors import UsageError

FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
ITEM = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d{1,4}))?", re.ASCII)
Slot = Literal["day", "hour", "minute"]


@dataclass(frozen=True)
class When:
    """The values of every field, sorted; all of a field's values mean "any". Sunday is day 0 of the week."""

    minute: tuple[int, ...]
    hour: tuple[int, ...]
    day: tuple[int, ...]
    month: tuple[int, ...]
    weekday: tuple[int, ...]

    @property
    def cron(self) -> str:
        """Five fields that every cron reads alike: numbers, lists and stars."""
        spans = (60, 24, 31, 12, 7)
        fields = (self.minute, self.hour, self.day, self.month, self.weekday)
        return " ".join(
            "*" if len(values) == span else ",".join(map(str, values))
            for values, span in zip(fields, spans, strict=True)
        )

    @property
    def calendar(self) -> str:
        """The same as systemd's OnCalendar, in UTC."""

        def listed(values: tuple[int, ...], span: int) -> str:
            return "*" if len(values) == span else ",".join(f"{value:02d}" for value in values)

        days = "" if len(self.weekday) == 7 else ",".join(DAYS[d].title() for d in self.weekday) + " "
        date = f"*-{listed(self.month, 12)}-{listed(self.day, 31)}"
        return f"{days}{date} {listed(self.hour, 24)}:{listed(self.minute, 60)}:00 UTC"

    @property
    def slot(self) -> Slot:
        """The coarsest unit of time in which it never comes twice."""
        if len(self.minute) > 1:
            return "minute"
        return "hour" if len(self.hour) > 1 else "day"


def read_when(at: str) -> When:
    """Read five fields of cron, or a macro such as ``@daily``.

    Numbers, names of months and days, lists, ranges and steps. A day of the month together with a day of the week
    is refused: cron runs on either, systemd on both, and others disagree about steps.

    Raises
    ------
    UsageError
        Names the field.
    """
    words = MACROS.get(at.strip().lower(), at).split()
    if len(words) != 5:
        raise UsageError(
            f"--at: expected five fields such as '0 3 * * 1' (minute hour day month weekday), found {at!r:.80}"
        )
    found = [_field(word, *field) for word, field in zip(words, FIELDS, strict=True)]
    minute, hour, day, month, weekday = found
    weekday = tuple(sorted({d % 7 for d in weekday}))
    if len(day) < 31 and len(weekday) < 7:
        raise UsageError(
            "--at: a day of the month and a day of the week together mean different things to different schedulers; "
            "leave one of them *"
        )
    if all(min(day) > LONGEST[m - 1] for m in month):
        raise UsageError(f"--at: '{at}' never comes; no such day is in these months")
    return When(minute, hour, day, month, weekday)


def _field(text: str, name: str, low: int, high: int) -> tuple[int, ...]:
    values: set[int] = set()
    for item in text.split(","):
        found = ITEM.fullmatch(item)
        if not found:
            raise UsageError(
                f"--at: {name}: cannot read {item!r:.40}; give numbers, *, lists, ranges or steps"
            )
        first, last, step = found.groups()
        if first == "*" and last is not None:
            raise UsageError(f"--at: {name}: cannot read {item!r:.40}; a range has two numbers")
        start = low if first == "*" else _number(first, name, low, high)
        end = high if first == "*" or (last is None and step) else start
        end = _number(last, name, low, high) if last is not None else end
        if end < start or (step is not None and int(step) == 0):
            raise UsageError(f"--at: {name}: '{item}' is empty; a range rises, a step is above 0")
        values |= set(range(start, end + 1, int(step or 1)))
    return tuple(sorted(values))


def _number(word: str, name: str, low: int, high: int) -> int:
    names = {"month": MONTHS, "day of week": DAYS}.get(name, ())
    if word.lower() in names:
        return names.index(word.lower()) + (name == "month")
    if not word.isdecimal() or not low <= int(word[:9]) <= high:
        raise UsageError(f"--at: {name}: expected {low} to {high}, found {word!r:.40}")
    return int(word)
