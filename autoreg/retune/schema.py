"""Today's table against the one that the champion knows: every difference in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoreg.data.kinds import clean_features
from autoreg.data.sources import read_source
from autoreg.data.target import read_target
from autoreg.errors import DataError
from autoreg.retune.champion import Champion
from autoreg.serving import parse
from autoreg.spec import Study
from autoreg.trial import Table

if TYPE_CHECKING:
    import pandas as pd

ROLES = ("target", "id", "group", "time", "weight")
SHOWN = 20
READ_AS_NUMBERS = ("numeric", "boolean")


@dataclass(frozen=True)
class Differences:
    """How today's table differs from the champion's.

    Attributes
    ----------
    fatal : tuple of str
        The champion, or the study, cannot do without what is gone or changed.
    other : tuple of str
        What it can live with.
    """

    fatal: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """All of them, the fatal ones first."""
        return self.fatal + self.other

    def error(self, champion: Champion) -> DataError:
        """One line that names every fatal difference."""
        more = f" and {len(self.fatal) - SHOWN} more" if len(self.fatal) > SHOWN else ""
        return DataError(
            f"data.source: today's table does not fit the champion ({champion.version.uri}): "
            f"{'; '.join(self.fatal[:SHOWN])}{more}; repair the table, or tune a model of another name"
        )


def of_table(champion: Champion, table: Table) -> Differences:
    """Differences of a table that could be read and divided."""
    gone = [f"column {n!r} is missing" for n in champion.package.columns if n not in table.kinds]
    changed, harmless = _kinds(champion, table.features, table.kinds)
    other, classes = _new_columns(champion, list(table.kinds)), list(table.classes)
    target, lines = _target(champion, table.task, classes)
    return Differences((*gone, *changed, *target), (*harmless, *other, *lines))


def of_source(champion: Champion, study: Study, data: pd.DataFrame | None) -> Differences:
    """Differences of a table that the study stumbled over, as far as it can be read."""
    frame = read_source(study.data, study.folder)[0] if data is None else data
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        return Differences()
    frame = frame.set_axis(names, axis=1)
    used = {role: getattr(study.data, role) for role in ROLES}
    fatal = [f"column {n!r} (data.{role}) is missing" for role, n in used.items() if n and n not in names]
    fatal += [f"column {n!r} (data.drop) is missing" for n in study.data.drop if n not in names]
    kept = [n for n in names if n not in used.values() and n not in study.data.drop]
    features, kinds = frame[kept], dict[str, str]()
    with suppress(DataError):
        features, found, _ = clean_features(frame[kept])
        kinds = {**found}
    for name in champion.package.columns:
        if name not in kept:
            fatal.append(f"column {name!r} is missing")
        elif kinds and name not in kinds:
            fatal.append(f"column {name!r} is empty today, or the same in all rows")
    changed, harmless = _kinds(champion, features, kinds)
    fatal, other = [*fatal, *changed], [*harmless, *_new_columns(champion, kept)]
    with suppress(DataError, KeyError):
        _, task, classes = read_target(frame[study.data.target].dropna(), study.data.task, [])
        found_fatal, found_other = _target(champion, task, list(classes))
        fatal, other = [*fatal, *found_fatal], [*other, *found_other]
    return Differences(tuple(fatal), tuple(other))


def _new_columns(champion: Champion, names: Sequence[str]) -> list[str]:
    known = set(champion.package.columns)
    return [f"column {name!r} is new: the champion does not use it" for name in names if name not in known]


def _kinds(champion: Champion, features: Any, kinds: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Columns of another kind than they were: those that the champion cannot read any more, and the others."""
    fatal, other = [], []
    for name, entry in champion.profile.get("features", {}).items():
        then, now = entry["kind"], kinds.get(name)
        if now is None or now == then:
            continue
        line, why = f"column {name!r} was {then} and is {now} today", _unreadable(features[name], then)
        if why:
            fatal.append(f"{line}: the champion cannot read it ({why})")
        else:
            other.append(f"{line}: the champion reads it as before")
    return fatal, other


def _unreadable(column: Any, kind: str) -> str:
    """Why a column cannot be read as a kind; empty where it can."""
    try:
        if kind in READ_AS_NUMBERS or kind == "date":
            parse(column, "date" if kind == "date" else "numeric")
    except ValueError as error:
        return str(error).partition(": ")[2] or str(error)
    return ""


def _target(champion: Champion, task: str, today: Sequence[Any]) -> tuple[list[str], list[str]]:
    """What is another target altogether, and classes that came and went."""
    package = champion.package
    changed = [f"the target was {package.task} and is {task} today"] if package.task != task else []
    if "regression" in (package.task, task):
        return changed, []
    new = [label for label in today if label not in set(package.classes)]
    gone = [label for label in package.classes if label not in set(today)]
    lines = [f"class {label!r} is new: the champion cannot predict it" for label in new]
    return changed, [*lines, *(f"class {label!r} no longer occurs" for label in gone)]


def suspected(names: Sequence[str]) -> str:
    """Why a retune stops at columns that look as if they held the answer."""
    shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    it, look = ("it", "looks") if len(names) == 1 else ("they", "look")
    return (
        f"kept: column{'s' * (len(names) > 1)} {shown} {look} as if {it} held the answer; "
        f"name {'it' if it == 'it' else 'them'} in data.drop, or in data.trusted where {it} "
        f"{'is' if it == 'it' else 'are'} known before the answer is"
    )
