"""Text columns: which words count, how much, and how they are folded into few columns."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.serving import STEPS, texts, weights, words_of

HASHED_COLUMNS = 64
MOST_COLUMNS, FEWEST_COLUMNS, ROWS_A_COLUMN = 128, 16, 10
MOST_WORDS = 3_000
FEWEST_ROWS = 2
WORDS_TO_FOLD = 5
"""Texts with fewer words than that on average, such as names, are not folded: their words do not go together."""
Array = NDArray[Any]


def fit_text(column: Any, name: str) -> dict[str, Any]:
    """Learn how a text column becomes numbers.

    Words that at least 2 rows have are weighed by term frequency and inverse document frequency. Of short texts (fewer
    than 5 such words on average) the commonest words become a column each. Of longer ones the 3,000 commonest are
    folded into columns by a truncated singular value decomposition (latent semantic analysis, Deerwester et al.
    1990). There is one column for ten rows, from 16 to 128. Columns are centred, and have a mean square of 1
    together, so that they stand beside standardised numbers. Where no word is in two rows, words are hashed into 64
    columns.

    Parameters
    ----------
    column : pandas.Series
    name : str

    Returns
    -------
    dict
        JSON data for ``serving.Preprocessor``; an entry without "words" is hashed.
    """
    codes, found = texts(column)
    rows = np.bincount(codes, minlength=len(found))
    hole = any(text is None and count for text, count in zip(found, rows, strict=True))
    entry = {"name": name, "dims": HASHED_COLUMNS, "hole": int(hole)}
    here = zip(found, rows, strict=True)
    bags = [Counter(words_of(text)) if text and count else Counter() for text, count in here]
    ranked = _ranked(bags, rows)
    if not ranked:
        return entry
    most = int(np.clip(len(codes) // ROWS_A_COLUMN, FEWEST_COLUMNS, MOST_COLUMNS))
    long = (
        sum(count for _, count in ranked) >= WORDS_TO_FOLD * rows[[text is not None for text in found]].sum()
    )
    ranked = ranked[: MOST_WORDS if long else most]
    words = [word for word, _ in ranked]
    idf = np.log((1 + len(codes)) / (1 + np.array([count for _, count in ranked]))) + 1
    place = {word: i for i, word in enumerate(words)}
    matrix = _matrix([Counter({place[w]: c for w, c in bag.items() if w in place}) for bag in bags], idf)
    return entry | {"words": words, "idf": idf.tolist()} | _fold(matrix, codes, most)


def _ranked(bags: list[Counter[str]], rows: Array) -> list[tuple[str, int]]:
    """Words of at least two rows and in how many they are, the commonest first, ties by the word."""
    document: Counter[str] = Counter()
    for bag, count in zip(bags, rows.tolist(), strict=True):
        for word in bag:
            document[word] += count
    ranked = sorted(document.items(), key=lambda item: (-item[1], item[0]))
    return [(word, count) for word, count in ranked if count >= FEWEST_ROWS]


def _matrix(bags: list[Counter[int]], idf: Array) -> Any:
    """Weights of the words of every different text, sparse."""
    from scipy.sparse import csr_array

    parts = [weights(bag, idf) for bag in bags]
    starts = np.cumsum([0, *(len(which) for which, _ in parts)])
    which, w = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return csr_array((w, which, starts), shape=(len(bags), len(idf)))


def _fold(matrix: Any, codes: Array, most: int) -> dict[str, Any]:
    """The map of words to columns (empty: a column each), and what centres and scales these."""
    table, unit, fold = matrix[codes], 1.0, list[list[int]]()
    if table.shape[1] > most:
        from sklearn.utils.extmath import randomized_svd

        right = randomized_svd(table, most, n_iter=4, random_state=0)[2].T
        unit = float(np.abs(right).max()) / STEPS
        fold = np.rint(right / unit).astype(int).tolist()
    dense = table @ (np.array(fold) * unit) if fold else table.toarray()
    mean = dense.mean(axis=0)
    spread = float(np.sqrt(((dense - mean) ** 2).mean()))
    scale = 1 / spread if spread > 1e-9 else 0.0
    return {"dims": dense.shape[1], "map": fold, "unit": unit, "mean": mean.tolist(), "scale": scale}


def text_columns(entry: dict[str, Any]) -> list[str]:
    """Names of the columns of a text: its words, or numbers with the two words that weigh most."""
    name, words = entry["name"], entry.get("words")
    if not words:
        out = [f"{name} #{i}" for i in range(entry["dims"])]
    elif not entry["map"]:
        out = [f"{name}: {word}" for word in words]
    else:
        top = np.argsort(-np.abs(np.array(entry["map"])), axis=0, kind="stable")[:2].T
        out = [f"{name} #{i} {words[a]}/{words[b]}" for i, (a, b) in enumerate(top.tolist())]
    return out + [f"{name} missing"] * entry["hole"]
