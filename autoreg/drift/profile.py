"""What a study remembers of the rows its champion was trained on: shares and quantiles, no rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.data.hashing import digests
from autoreg.drift.reduced import reduced
from autoreg.serving import parse, spelled, text_of, texts
from autoreg.trial import Floats, Rows, Table

FORMAT = 1
EDGES = 99
"""Quantiles kept of a number: percentiles."""
ROWS_AN_EDGE = 10
LEVELS = 50
Words = NDArray[np.object_]


def profile(table: Table, rows: Rows, hashed: bool = False) -> dict[str, Any]:
    """A reference of some rows to compare later ones with; weights do not count.

    Of a number or date up to 99 quantiles are kept, each between at least 10 rows on average, with the counts of
    rows between them and at them; of a category or boolean the counts of its 50 most frequent levels and of all
    others together; of a text its number of words, as a number. The extremes are not kept. Of images the features are
    those of ``reduced``; their shape and columns are kept besides.

    Parameters
    ----------
    table : Table
    rows : Rows
        The champion's training rows.
    hashed : bool
        Name levels and classes by 64 bits of BLAKE2b. That hides names from a reader, not from one who can guess
        them and try.

    Returns
    -------
    dict
        JSON data.
    """
    if table.image:
        about = {"image": list(table.image), "columns": list(table.kinds)}
        return profile(reduced(table), rows, hashed) | about
    features = {}
    for name, kind in table.kinds.items():
        column = table.features[name].iloc[rows]
        features[name] = {"kind": kind} | _entry(column, kind, hashed)
    target = np.asarray(table.target)[rows]
    if table.task == "regression":
        label = {"kind": "numeric"} | of_numbers(np.asarray(target, np.float64))
    else:
        label = {"kind": "category"} | of_words(class_words(table, rows), hashed, levels=len(table.classes))
    return {
        "format": FORMAT,
        "rows": len(rows),
        "task": table.task,
        "hashed": hashed,
        "features": features,
        "label": label,
    }


def _entry(column: Any, kind: str, hashed: bool) -> dict[str, Any]:
    return of_words(words_of(column), hashed) if is_word(kind) else of_numbers(values_of(column, kind))


def is_word(kind: str) -> bool:
    """Whether a kind of feature is described by levels; else by numbers."""
    return kind in ("category", "boolean")


def class_words(table: Table, rows: Rows) -> Words:
    """Class labels of some rows as text."""
    words: Words = np.array([text_of(label) or "" for label in table.classes], dtype=object)
    return np.asarray(words[np.asarray(table.target)[rows]])


def words_of(column: Any) -> Words:
    """Canonical texts of a column (n,), None where missing."""
    codes, words = texts(column)
    return np.asarray(np.array(words, dtype=object)[codes])


def values_of(column: Any, kind: str) -> Floats:
    """A column as numbers (n,): itself, days since 1970, or the number of words; NaN where it is none.

    A word that spells no number is missing, as in training.
    """
    code = getattr(column.dtype, "kind", "O")
    if kind == "date" and code == "M":
        return np.asarray(parse(column, "date"))
    if kind == "numeric" and code in "biuf":
        plain = column.to_numpy(np.float64, na_value=np.nan)
        return np.where(np.isfinite(plain), plain, np.nan)
    codes, words = texts(column)
    if kind == "text":
        found = [None if word is None else float(len(word.split())) for word in words]
    else:
        found = [None if word is None else spelled(word, kind) for word in words]
    values = np.array([np.nan if value is None else value for value in found], np.float64)
    return np.where(np.isfinite(values), values, np.nan)[codes]


def of_numbers(values: Floats) -> dict[str, Any]:
    """Missing rows, quantiles and counts of numbers (n,), NaN where missing."""
    present = values[~np.isnan(values)]
    count = int(min(EDGES, len(present) // ROWS_AN_EDGE))
    levels = np.arange(1, count + 1) / (count + 1)
    edges = np.unique(np.quantile(present, levels, method="inverted_cdf")) if count else np.empty(0)
    return {
        "missing": int(len(values) - len(present)),
        "edges": edges.tolist(),
        "counts": cells(present, edges).tolist(),
    }


def cells(values: Floats, edges: Sequence[float] | Floats) -> NDArray[np.int64]:
    """Rows between and at the edges: below the first, at the first, between it and the second, ... (2 e + 1,)."""
    edges = np.asarray(edges, np.float64)
    below = np.searchsorted(edges, values, "left")
    at = below < len(edges)
    at[at] = edges[below[at]] == values[at]
    return np.bincount(2 * below + at, minlength=2 * len(edges) + 1)


def of_words(words: Words, hashed: bool, levels: int = LEVELS) -> dict[str, Any]:
    """Missing rows, counts of the most frequent levels (falling, ties by name), and of all the others together."""
    counts = counted(words)
    missing = counts.pop(None, 0)
    ranked = sorted(counts, key=lambda word: (-counts[word], str(word)))
    kept = [str(word) for word in ranked[:levels]]
    return {
        "missing": missing,
        "levels": {named(word, hashed): counts[word] for word in kept},
        "other": sum(counts[word] for word in ranked[levels:]),
    }


def counted(words: Words) -> dict[Any, int]:
    """How often every word is there."""
    import pandas as pd

    codes, found = pd.factorize(words, use_na_sentinel=False)
    counts = np.bincount(codes, minlength=len(found)).tolist()
    return {None if word is None or word != word else word: n for word, n in zip(found, counts, strict=True)}


def named(word: str, hashed: bool) -> str:
    """A level's name in a profile."""
    return f"{int(digests([word])[0]):016x}" if hashed else word


def known(entry: Mapping[str, Any]) -> int:
    """Rows of a profile's feature that have a value."""
    if "edges" in entry:
        return int(sum(entry["counts"]))
    return int(sum(entry["levels"].values()) + entry["other"])
