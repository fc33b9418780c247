"""Columns that tell the target all alone, and rows that are there more than once.

A column is judged by how well its value tells the target of rows that it was not fitted on: every row is foretold
from the other rows of the same value, or, where there are none, from its two neighbours on each side.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoreg.data.alone import ALMOST, NAMED, Told, bands, foretell
from autoreg.data.hashing import bits, mix, row_hashes
from autoreg.serving import numbers, parse, spelled, texts

MOST_ROWS, FEWEST_ROWS = 2_000, 20
CELLS = 4_000_000
"""At most about that many cells (rows, columns and classes) are looked at."""
COPIES = 0.01
SHOWN = 5
TOKENS = 64
FEWEST_WITH_TOKEN = 5
WORDS = {"auc": "AUC", "skill": "errors avoided", "r2": "R²"}
ASK = "is it known before the answer is? drop it, or name it in data.trusted"
Array = NDArray[Any]


class Findings(NamedTuple):
    """What was found: the names of suspect features, and every finding in words."""

    suspects: tuple[str, ...]
    notes: list[str]


def find_leaks(
    features: Any,
    kinds: Mapping[str, str],
    target: Array,
    n_classes: int,
    *,
    name: str = "",
    group: Array | None = None,
    trusted: Collection[str] = (),
) -> Findings:
    """Look for features that give the target away, and for rows that are copies of others.

    Equal rows, and all but one row of a group, are set aside first; of the others at most 2,000 are looked at, chosen
    by their hash and evenly over the classes. Suspect is a feature whose value alone reaches an area under the ROC
    curve of .98 (two classes), avoids 96 % of the errors of naming the commonest class (more), or an R² of the
    ranks of .98 (regression) on rows that it was not fitted on, where chance would do so less than once in 1,000
    such tables; .95, 90 % and .9 are enough where its name holds the target's. So is one whose few values are bands
    of a regression's target. Missing values are a value. Of text, the first word, the last one and whether it has
    each of the 64 commonest are looked at.

    Parameters
    ----------
    features : pandas.DataFrame, n rows
    kinds : mapping of str to Kind
    target : ndarray, shape (n,)
        Codes or values.
    n_classes : int
        0 for a regression.
    name : str
        The target's.
    group : ndarray, shape (n,), optional
    trusted : collection of str
        Features that are not looked at.
    """
    first = _different(features, kinds, target)
    notes = _copies(len(target), len(first), group is not None)
    if group is not None:
        first = first[np.sort(np.unique(group[first], return_index=True)[1])]
    rows = _sample(first, target, n_classes, len(kinds))
    if len(rows) < FEWEST_ROWS:
        return Findings((), notes)
    frame, y = features.iloc[rows], target[rows]
    views = _views(frame, kinds, [n for n in kinds if n not in trusted])
    told = foretell(views.values, views.loose, y, n_classes)
    found = _judged(views, told, y, rows, name)
    return Findings(found.suspects, notes + found.notes)


class _Views(NamedTuple):
    """Columns to judge, and the feature ("" for the whole row) and the part of it that each is."""

    values: Array
    loose: Array
    owners: list[str]
    parts: list[str]


def _different(features: Any, kinds: Mapping[str, str], target: Array) -> Array:
    """Positions of the first of equal rows (features and target), in the order of their hashes."""
    hashes = row_hashes(features, kinds, list(kinds)) + mix(bits(target))
    return np.asarray(np.unique(hashes, return_index=True)[1])


def _copies(n: int, different: int, grouped: bool) -> list[str]:
    """A note where more than 1 % of the rows are copies."""
    count = n - different
    if grouped or count <= COPIES * n:
        return []
    return [
        f"{count} rows ({count / n:.1%}) are exact copies of others, answer included, so a model may be scored on rows "
        "that it was trained on: where a case was entered twice, remove copies or name the case in data.group"
    ]


def _sample(order: Array, target: Array, n_classes: int, columns: int) -> Array:
    """The first rows, of every class about as many."""
    most = int(np.clip(CELLS // max(1, columns * max(1, n_classes)), 4 * FEWEST_ROWS, MOST_ROWS))
    if not n_classes or len(order) <= most:
        return order[:most]
    y = target[order]
    counts = np.sort(np.bincount(y, minlength=n_classes))
    # the largest number a class for which all together are at most ``most``
    below = np.concatenate([[0], np.cumsum(counts)[:-1]])
    share = (most - below) // np.arange(n_classes, 0, -1)
    each = int(share[np.argmax(share <= counts)])
    by_class = np.argsort(y, kind="stable")
    place = np.empty(len(y), np.int64)
    starts = np.cumsum(np.bincount(y, minlength=n_classes)) - np.bincount(y, minlength=n_classes)
    place[by_class] = np.arange(len(y)) - starts[y[by_class]]
    return np.asarray(order[place < each])


def _views(frame: Any, kinds: Mapping[str, str], names: list[str]) -> _Views:
    """All columns of numbers; words as codes, and text by some of its words; last how many values a row lacks."""
    plain = [n for n in names if getattr(frame[n].dtype, "kind", "O") in "biuf"]
    blocks: list[Array] = [numbers(frame, plain, {})] if plain else []
    owners, parts, loose = list(plain), [""] * len(plain), [False] * len(plain)
    for name in [n for n in names if n not in set(plain)]:
        for part, values, ordered in _parts(frame[name], kinds[name]):
            blocks.append(values[:, None])
            owners.append(name)
            parts.append(part)
            loose.append(not ordered)
    whole = np.array([not part for part in parts], bool)
    values = np.concatenate(blocks, axis=1) if blocks else np.empty((len(frame), 0))
    holes = np.isnan(values[:, whole])
    if (holes.any(axis=0)).sum() > 1:
        values = np.column_stack([values, holes.sum(axis=1)])
        owners, parts, loose = [*owners, ""], [*parts, ""], [*loose, False]
    return _Views(values, np.array(loose, bool), owners, parts)


def _parts(column: Any, kind: str) -> Iterator[tuple[str, Array, bool]]:
    """Views of one column that is no plain number: which part, its values, and whether they have an order."""
    codes, words = texts(column)
    if kind in ("numeric", "boolean", "date"):
        scale = "date" if kind == "date" else "numeric"
        if getattr(column.dtype, "kind", "O") == "M":
            yield "", parse(column, "date"), True
        else:
            found = [None if w is None else spelled(w, scale) for w in words]
            yield "", np.array([np.nan if v is None else v for v in found], np.float64)[codes], True
        return
    missing = np.array([w is None for w in words])
    yield "", np.where(missing[codes], np.nan, codes), False
    if kind != "text":
        return
    split = [re.findall(r"\w+", (w or "").lower()) for w in words]
    for part, place in (("its first word", 0), ("its last word", -1)):
        known: dict[str, int] = {}
        ends = np.array([known.setdefault(s[place], len(known)) if s else np.nan for s in split], np.float64)
        yield part, ends[codes], False
    counts = Counter(word for code in codes.tolist() for word in set(split[code]))
    for word, count in counts.most_common(TOKENS):
        if FEWEST_WITH_TOKEN <= count <= len(codes) - FEWEST_WITH_TOKEN:
            yield f"the word {word!r}", np.array([word in s for s in split], np.float64)[codes], False


def _judged(views: _Views, told: Told, y: Array, rows: Array, name: str) -> Findings:
    """The best view of every feature that is suspect, and a note on each; many notes are one."""
    least = np.array([(NAMED if _alike(o, name) else ALMOST)[told.measure] for o in views.owners])
    suspect = told.certain & (told.values >= least)
    why = {
        j: f"{WORDS[told.measure]} {told.values[j]:.3f} on rows it was not fitted on".replace(" 0.", " .")
        for j in np.flatnonzero(suspect)[np.argsort(-told.values[suspect], kind="stable")]
    }
    if told.measure == "r2":
        why |= {
            j: "its values are bands of it"
            for j, owner in enumerate(views.owners)
            if owner and j not in why and bands(views.values[:, j], y)
        }
    best: dict[str, str] = {}
    for j, reason in why.items():
        owner = views.owners[j]
        if owner not in best:
            best[owner] = (
                f"{_part(views, j, y, told)}alone tells the target ({reason}{_in_order(views, j, rows)})"
            )
    whole = best.pop("", None)
    names = tuple(owner for owner in dict.fromkeys(views.owners) if owner in best)
    notes = [f"warning: column {o!r} {best[o]}: {ASK}" for o in names[:SHOWN]]
    if more := names[SHOWN:]:
        listed = ", ".join(map(repr, more[:20])) + (" ..." if len(more) > 20 else "")
        notes.append(f"warning: {len(more)} more columns each alone tell the target: {listed}: {ASK}")
    if whole and not names:
        notes.append(f"warning: how many values a row lacks {whole}: are they missing because of the answer?")
    return Findings(names, notes)


def _alike(feature: str, target: str) -> bool:
    """Whether a feature's name holds the target's."""
    short, long = (re.sub(r"[\W_]", "", text.lower()) for text in (target, feature))
    return len(short) > 2 and short in long


def _part(views: _Views, j: int, y: Array, told: Told) -> str:
    """Which part of a column it is: a word of a text, or that it is missing."""
    if views.parts[j]:
        return f"by {views.parts[j]} "
    holes = np.isnan(views.values[:, [j]]).astype(np.float64)
    n_classes = {"r2": 0, "auc": 2}.get(told.measure, int(y.max()) + 1)
    gaps = foretell(holes, np.array([True]), y, n_classes).values[0]
    return "by where it is missing " if gaps >= ALMOST[told.measure] else ""


def _in_order(views: _Views, j: int, rows: Array) -> str:
    """A hint where a column of numbers goes with the order of the rows."""
    x = views.values[:, j]
    if views.loose[j] or np.isnan(x).any() or len(np.unique(x)) < 0.9 * len(x):
        return ""
    ranks = np.argsort(np.argsort(x, kind="stable")).astype(np.float64)
    there = np.argsort(np.argsort(rows, kind="stable")).astype(np.float64)
    return "; it goes with the order of the rows" if abs(np.corrcoef(ranks, there)[0, 1]) > 0.99 else ""
