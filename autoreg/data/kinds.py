"""What kind of values every feature column holds, and the columns made clean."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoreg.errors import DataError
from autoreg.serving import NUMBER, TRUTH, parse, spelled, texts
from autoreg.trial import Kind

MOST = 0.95
VOID_LIMIT = 50
TEXT_LEVELS = 60
TEXT_SHARE = 0.5
IDENTIFIER_ROWS = 50
EXACT = 2**53
DIGITS = 300
"""Longer whole numbers are beyond a double, and far longer ones are none that Python converts."""
Array = NDArray[Any]
Judged = tuple[Kind, Any, str]


def clean_features(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Kind], list[str]]:
    """Decide the kind of every column and clean its values.

    Numbers stay as they are, infinite ones become missing. Text counts as numbers (or ISO dates) when at least
    95 % of the present values are, and the others are at most 50 different words, which then mean "missing", in
    training and in serving alike; a column of codes with leading zeros stays a category. Words such as "NA", "?",
    "null" or blanks are missing everywhere. Other text is "text" (weighed words) when it has more than 60 different
    values and mostly different ones, else "category". Columns without any value, with one value in all rows, or
    with a separate word or a running number per row are left out. Every such decision is a note.

    Parameters
    ----------
    frame : pandas.DataFrame
        Feature columns alone, names distinct.

    Returns
    -------
    features : pandas.DataFrame
        Index 0..n-1.
    kinds : dict of str to Kind
    notes : list of str

    Raises
    ------
    DataError
        Values that cannot be features (lists, complex numbers), or no feature is left.
    """
    notes = _Notes()
    columns: dict[str, Any] = {}
    kinds: dict[str, Kind] = {}
    plain = _plain_block(frame, notes)
    for name in frame.columns:
        if name in plain:
            kind, values, reason = plain[name]
        else:
            kind, values, reason = judge(frame[name], notes)
        if reason:
            notes.add(reason, name)
        else:
            if kind == "text":
                notes.add(TEXT, name)
            columns[name], kinds[name] = values, kind
    if not columns:
        raise DataError(
            f"data.source: no feature is left; {'; '.join(notes.lines()) or 'the table has one column'}"
        )
    return pd.DataFrame(columns), kinds, notes.lines()


class _Notes:
    """Decisions gathered by what was decided, so that a hundred columns make one line."""

    def __init__(self) -> None:
        self.by_reason: dict[str, list[str]] = {}

    def add(self, reason: str, column: str) -> None:
        self.by_reason.setdefault(reason, []).append(str(column))

    def lines(self) -> list[str]:
        return [f"{_listed(columns)}: {reason}" for reason, columns in self.by_reason.items()]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"column{'s' * (len(names) > 1)} {', '.join(f'{name!r:.100}' for name in names[:20])}{more}"


EMPTY = "left out, no value is present"
CONSTANT = "left out, the value is the same in all rows"
INEXACT = "whole numbers beyond 2**53 lose digits as a feature; an identifier belongs in data.id"
TEXT = "text: its words are weighed by how rare they are and become at most 128 columns, learned from training rows alone"
COUNTER = "left out, it counts the rows"
IDENTIFIER = "left out, every row has its own word; name it in data.id if it identifies rows"


def _plain_block(frame: Any, notes: _Notes) -> dict[str, Judged]:
    """Columns of ordinary numeric dtype, judged as one block."""
    plain = [n for n, dtype in frame.dtypes.items() if isinstance(dtype, np.dtype) and dtype.kind in "iuf"]
    if not plain:
        return {}
    block = frame[plain].to_numpy(np.float64)
    infinite = np.isinf(block)
    block = np.where(infinite, np.nan, block) if infinite.any() else block
    low, high = np.fmin.reduce(block, axis=0), np.fmax.reduce(block, axis=0)
    holes: Any = np.isnan(block).any(axis=0)
    out: dict[str, Judged] = {}
    for j, name in enumerate(plain):
        values = frame[name].to_numpy()
        if infinite[:, j].any():
            notes.add("infinite values count as missing", name)
            values = block[:, j].copy()
        if max(-low[j], high[j]) > EXACT and values.dtype.kind in "iu":
            notes.add(INEXACT, name)
        reason = EMPTY if np.isnan(low[j]) else CONSTANT if low[j] == high[j] and not holes[j] else ""
        if not reason and _is_counter(name, block[:, j]):
            reason = COUNTER
        out[name] = ("numeric", values, reason)
    return out


def _is_counter(name: str, values: Array) -> bool:
    """Whether a column named like an index rises by one from row to row."""
    named = re.search(r"(^|[_ .-])(id|index|idx|rownames?|no|nr)$|^unnamed: \d+$", name, re.IGNORECASE)
    named = named or re.search(r"[a-z]I[dD]$", name)
    return bool(named and len(values) > 1 and (np.diff(values) == 1).all())


def judge(column: Any, notes: _Notes) -> Judged:
    """Kind, clean values, and the reason to leave a column out (empty: keep it)."""
    name, code = str(column.name), getattr(column.dtype, "kind", "O")
    if code == "c":
        raise DataError(
            f"data.source: column '{name}' holds complex numbers; split it or name it in data.drop"
        )
    if code == "m":
        notes.add("durations are taken in seconds; give seconds when predicting", name)
        column, code = pd.Series(column.dt.total_seconds().to_numpy(), name=name), "f"
    if code in "iuf":
        values = column.to_numpy(np.float64, na_value=np.nan)
        values = np.where(np.isinf(values), np.nan, values)
        return "numeric", values, _reason(values)
    if code == "M":
        day = parse(column, "date")
        return "date", as_moments(day), _reason(day)
    try:
        codes, words = texts(column)
    except ValueError:
        raise DataError(
            f"data.source: column '{name}' holds values of type {nested(column)}; make it plain or name it in data.drop"
        ) from None
    if odd := unspeakable(words):
        raise DataError(f"data.source: column '{name}' holds text that is no Unicode, {odd}; repair it")
    return _judge_words(name, codes, words, isinstance(column.dtype, pd.CategoricalDtype), notes)


def unspeakable(words: list[str | None]) -> str:
    """The first word that cannot be written as UTF-8, spelled so that it can; empty where all can."""
    if not _written("".join(filter(None, words))):
        return next((ascii(word)[:80] for word in words if word and not _written(word)), "")
    return ""


def _written(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def nested(column: Any) -> str:
    """The type of the first value that holds other values; empty where every value is one thing."""
    plain = isinstance(column.dtype, pd.StringDtype) or getattr(column.dtype, "kind", "O") != "O"
    for value in () if plain else column:
        try:
            hash(value)
        except TypeError:
            return type(value).__name__
    return ""


def _judge_words(name: str, codes: Array, words: list[str | None], declared: bool, notes: _Notes) -> Judged:
    """Judge a column by its texts; ``declared``: the user made it a category, so it is one."""
    n = len(codes)
    row_words = np.array(words, dtype=object)[codes]
    counts: dict[str, int] = {}
    for word, count in zip(words, np.bincount(codes, minlength=len(words)).tolist(), strict=True):
        if word is not None and count:
            counts[word] = counts.get(word, 0) + count
    present = sum(counts.values())
    if not counts or (len(counts) == 1 and present == n):
        return "category", row_words, CONSTANT if counts else EMPTY
    if set(counts) <= {"true", "false"}:
        truths = np.array([None if w is None else w == "true" for w in words], dtype=object)[codes]
        return "boolean", truths.astype(bool) if present == n else truths, ""
    for kind in () if declared else ("numeric", "date"):
        odd = _odd_words(kind, counts)
        if odd is None:
            continue
        if odd:
            share = 1 - sum(counts[w] for w in odd) / present
            shown = ", ".join(map(repr, odd[:5])) + (", ..." if len(odd) > 5 else "")
            what = "numbers" if kind == "numeric" else "ISO dates"
            notes.add(f"{share:.1%} of the values are {what}, so {shown} count as missing", name)
            return kind, row_words, ""
        values = np.array([np.nan if w is None else spelled(w, kind) for w in words], np.float64)[codes]
        values[~np.isfinite(values)] = np.nan
        if any(word.isdigit() and (len(word) > DIGITS or int(word) > EXACT) for word in counts):
            notes.add(INEXACT, name)
        return kind, values if kind == "numeric" else as_moments(values), _reason(values)
    if any("," in w and NUMBER.fullmatch(w.replace(",", "")) for w in list(counts)[:50]):
        notes.add(
            "looks like numbers with commas and is taken as words; write 1234.5 instead of 1,234.5", name
        )
    return _word_kind(counts, declared), row_words, _identifier(counts, n, declared)


def _odd_words(kind: str, counts: dict[str, int]) -> list[str] | None:
    """Words that are no numbers (or dates) in a column that mostly holds such; None where it does not."""
    if kind == "numeric" and any(re.match(r"0\d", word) for word in counts):
        return None  # codes such as 00501
    odd = [word for word in counts if word in TRUTH or spelled(word, kind) is None]
    few = sum(counts[word] for word in odd) <= (1 - MOST) * sum(counts.values())
    return odd if few and len(odd) <= VOID_LIMIT and len(odd) < len(counts) else None


def _word_kind(counts: dict[str, int], declared: bool) -> Kind:
    if declared or len(counts) <= TEXT_LEVELS:
        return "category"
    words = np.mean([len(word.split()) for word in counts])
    share = len(counts) / sum(counts.values())
    return "text" if share > TEXT_SHARE or (words >= 3 and share > TEXT_SHARE / 5) else "category"


def _identifier(counts: dict[str, int], n: int, declared: bool) -> str:
    """Reason to leave out a column where every row has its own single word."""
    own = len(counts) == n >= IDENTIFIER_ROWS and not any(re.search(r"\s", word) for word in counts)
    return IDENTIFIER if own and not declared else ""


def as_moments(day: Array) -> Array:
    """Days since 1970 as datetime64[us], NaN as NaT."""
    known = np.where(np.isnan(day), 0.0, day)
    moments = np.round(known * 86_400e6).astype(np.int64).astype("datetime64[us]")
    return np.where(np.isnan(day), np.datetime64("NaT", "us"), moments)


def _reason(values: Array) -> str:
    """Reason to leave out a column of numbers, NaN where missing."""
    present = values[~np.isnan(values)]
    if not len(present):
        return EMPTY
    return CONSTANT if len(present) == len(values) and present.min() == present.max() else ""
