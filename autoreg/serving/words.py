"""Text as numbers: words weighed by how rare they are, folded into few columns; all that was learned is plain data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 999  # the map of words is kept in whole numbers up to this
CLIP = 10.0


def words_of(text: str) -> list[str]:
    """Words in lower case; of one that joins letters and digits ("C85") also its letters.

    >>> words_of("Cabin C85")
    ['cabin', 'c85', 'c']
    """
    found = []
    for word in re.findall(r"\w+", text.lower()):
        found.append(word)
        if not (word.isalpha() or word.isdigit()):
            found += [part for part in re.findall(r"[^\W\d_]+", word) if part != word]
    return found


def weights(counts: Counter[int], idf: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which words a text has, and their weights (1 + ln count) idf, of length 1 (Salton and Buckley 1988)."""
    which = np.fromiter(counts, np.int64, len(counts))
    w = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * idf[which]
    return which, w / (np.linalg.norm(w) or 1.0)


def folded(
    codes: NDArray[np.int64], found: Sequence[str | None], entry: dict[str, Any]
) -> NDArray[np.float64]:
    """Columns of a text (n, dims), and last whether it is missing where ``entry["hole"]`` says so.

    A row is the weights of its words, times the map of words to columns where there is one; then it is centred and
    scaled. A missing text is 0 everywhere, the mean.
    """
    place, idf = {word: i for i, word in enumerate(entry["words"])}, np.array(entry["idf"], np.float64)
    dims, mean = entry["dims"], np.array(entry["mean"], np.float64)
    fold = np.array(entry["map"], np.float64) * entry["unit"] if entry["map"] else None
    out = np.zeros((len(found), dims + entry["hole"]))
    for row, text in zip(out, found, strict=True):
        if text is None:
            row[dims:] = 1.0
            continue
        which, w = weights(Counter(place[word] for word in words_of(text) if word in place), idf)
        if fold is None:
            row[which] = w
        else:
            row[:dims] = w @ fold[which]
        row[:dims] = np.clip((row[:dims] - mean) * entry["scale"], -CLIP, CLIP)
    return np.asarray(out[codes])
