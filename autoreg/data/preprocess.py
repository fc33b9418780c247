"""Preprocessing fitted on the train part of a fold alone; what it learns is plain data for ``serving.Preprocessor``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.data.pixels import scale_of
from autoreg.data.text import fit_text, text_columns
from autoreg.serving import TRUTH, Preprocessor, calendar, parse, spelled, texts
from autoreg.trial import Encoded, Encoding, Floats, Fold, Part, Rows, Table

MOST_LEVELS = 60
RARE_SHARE = 0.005
PARTS = ("month", "weekday", "hour")
VOID_LIMIT = 50
TINY = 1e-30
Array = NDArray[Any]


def fit_preprocessor(table: Table, rows: Rows, encoding: Encoding) -> Preprocessor:
    """Learn an encoding from some rows of a table.

    Dense: numbers and days are filled with the median, standardised (0 where the rows hold one value) and clipped
    at 10 standard deviations, with an indicator column where some are missing; booleans are 0 and 1; dates add
    month, weekday and hour as points on a circle where these vary; categories become one column a level. Tree:
    numbers stay raw with NaN, but for a power of two where single precision has no room for them; categories become
    codes. In both, levels rarer than .5 % of the rows (at least 2) or beyond the 60 most frequent share one rare
    level, which also takes unseen ones; text becomes at most 128 columns of weighed words (see ``text.fit_text``).
    Images, in both: every pixel in its place, scaled by one rule for the whole image so that the range of the rows,
    or 0 to 255 for bytes, becomes 0 to 1.

    ``table.scale`` changes what becomes of numbers and days in the dense encoding: "standard" does not clip, "none"
    leaves them raw, "unit" divides pixels (whole numbers from 0 to 255) by 255 and others by their largest size.

    Parameters
    ----------
    table : Table
    rows : Rows
        Positions to learn from; nothing is read of other rows, except which words of a column mean "missing".
    encoding : {"dense", "tree"}

    Returns
    -------
    Preprocessor
        Its ``state`` is JSON data with, besides, ``columns`` (names) and ``levels`` (as in ``Encoded``).
    """
    if table.image:
        return _fit_image(table, rows, encoding)
    names: dict[str, list[str]] = {kind: [] for kind in ("numeric", "boolean", "category", "date", "text")}
    for name, kind in table.kinds.items():
        names[kind].append(name)
    frame = table.features.iloc[rows]
    dense = encoding == "dense"
    state: dict[str, Any] = {
        "dense": dense,
        "numeric": names["numeric"] + names["boolean"],
        "booleans": len(names["boolean"]),
        "void": _void(table, names),
    }
    state["date"] = [_fit_date(frame[n], n, state["void"].get(n, ())) for n in names["date"]]
    state["category"] = [_fit_category(frame[n], n, dense) for n in names["category"]]
    state["text"] = [fit_text(frame[n], n) for n in names["text"]]
    if dense:
        state |= _fit_numbers(Preprocessor(state).raw(frame), state, table.scale)
    else:
        state |= _fit_powers(Preprocessor(state).raw(frame))
    state["columns"], state["levels"] = _columns(state)
    if not state["columns"]:  # words that are one level in these rows; a matrix needs a column all the same
        state["category"][0]["skip"] = 0
        state["columns"], state["levels"] = _columns(state)
    return Preprocessor(state)


def _fit_image(table: Table, rows: Rows, encoding: Encoding) -> Preprocessor:
    low, high = scale_of(table.features.iloc[rows])
    names = list(table.kinds)
    state = {"dense": encoding == "dense", "image": list(table.image or ()), "numeric": names}
    state |= {"low": low, "high": high, "columns": names, "levels": [0] * len(names)}
    return Preprocessor(state)


def _void(table: Table, names: dict[str, list[str]]) -> dict[str, list[str]]:
    """Words that spell no number (or date) in columns that were judged to be numbers (or dates) all the same."""
    out = {}
    for kind in ("numeric", "date"):
        for name in names[kind]:
            if getattr(table.features[name].dtype, "kind", "O") == "O":
                words = texts(table.features[name])[1]
                odd = [w for w in words if w is not None and (w in TRUTH or spelled(w, kind) is None)]
                if odd:
                    out[name] = odd[:VOID_LIMIT]
    return out


def _fit_date(column: Any, name: str, void: Any) -> dict[str, Any]:
    """Which parts of the calendar a date column brings besides its day: those that vary."""
    turns = calendar(parse(column, "date", void), PARTS, cyclic=False)[:, 1:].T
    parts = [p for p, turn in zip(PARTS, turns, strict=True) if len(np.unique(turn[~np.isnan(turn)])) > 1]
    return {"name": name, "parts": parts}


def _fit_category(column: Any, name: str, dense: bool) -> dict[str, Any]:
    """Levels by falling frequency, ties by text; None stands for missing values; a rare level comes last."""
    codes, words = texts(column)
    counts: dict[str | None, int] = {}
    for word, count in zip(words, np.bincount(codes, minlength=len(words)).tolist(), strict=True):
        counts[word] = counts.get(word, 0) + count
    missing = counts.pop(None, 0)
    ranked = sorted((w for w, c in counts.items() if c), key=lambda w: (-counts[w], w or ""))
    least = max(2.0, RARE_SHARE * len(codes))
    levels: list[str | None] = [w for w in ranked if counts[w] >= least][:MOST_LEVELS]
    bucket = len(levels) < len(ranked)
    levels += [None] if dense and missing else []
    width = len(levels) + bucket
    # Of two columns the second says all; the dropped one is the commonest level, which unseen ones then equal.
    skip = int(dense and width <= 2)
    return {
        "name": name,
        "levels": levels,
        "rare": len(levels) if bucket else -1,
        "width": width,
        "skip": skip,
    }


def _fit_numbers(raw: Array, state: dict[str, Any], how: str) -> dict[str, Any]:
    """Median, mean and reciprocal standard deviation of every numeric column, and those that get an indicator."""
    kinds = _numeric_kinds(state)
    fill, missing = _medians(raw)
    fill[kinds == "turn"] = 0.0
    fill[kinds == "boolean"] = np.floor(fill[kinds == "boolean"])
    filled = np.where(np.isnan(raw), fill, raw)
    mean, spread = (filled.mean(axis=0), filled.std(axis=0)) if len(raw) else (fill, np.zeros(len(fill)))
    varies = (spread > 1e-13 * np.abs(mean)) & (spread > 1e-150)  # below that it is rounding
    as_is = varies & ((kinds == "turn") | (kinds == "boolean"))
    scale = np.where(varies & ~as_is, 1.0 / np.where(varies, spread, 1.0), as_is)
    if how in ("none", "unit"):
        as_is = np.ones(len(fill), bool)
        scale = np.where(kinds == "numeric", _unit(filled), 1.0) if how == "unit" else np.ones(len(fill))
    holes = np.flatnonzero((missing > 0) & (missing < len(raw)) & (kinds != "turn"))
    return {
        "fill": fill.tolist(),
        "mean": np.where(as_is, 0.0, mean).tolist(),
        "scale": scale.tolist(),
        "holes": holes.tolist(),
        **({} if how == "auto" else {"clip": None}),
    }


def _fit_powers(raw: Array) -> dict[str, Any]:
    """The power of two for every column, 0 but where single precision would take all its numbers for 0 or infinite."""
    size = np.abs(raw)
    largest = np.fmax.reduce(size, axis=0, initial=0.0)
    smallest = np.fmin.reduce(np.where(size > 0, size, np.inf), axis=0, initial=np.inf)
    far = (largest > 0) & ((largest < TINY) | (smallest > 1 / TINY))
    return {"powers": np.where(far, 100 - np.frexp(largest)[1], 0).tolist()} if far.any() else {}


def _unit(filled: Array) -> Array:
    """What every column is multiplied by so that it is about 1 at most."""
    largest = np.abs(filled).max(axis=0, initial=0.0)
    bright = largest.max(initial=0.0)
    if 128 <= bright <= 255 and filled.min(initial=0.0) >= 0 and (filled == np.floor(filled)).all():
        return np.full(len(largest), 1.0 / 255.0)
    return np.asarray(1.0 / np.where(largest > 0, largest, 1.0))


def _medians(raw: Array) -> tuple[Array, Array]:
    """Median of the present values of every column (0 where there are none), and the number of missing ones."""
    missing = np.isnan(raw).sum(axis=0)
    fill = np.zeros(raw.shape[1])
    whole = (missing == 0) & (len(raw) > 0)
    fill[whole] = np.median(np.ascontiguousarray(raw[:, whole].T), axis=1)
    for j in np.flatnonzero((missing > 0) & (missing < len(raw))):
        fill[j] = np.median(raw[~np.isnan(raw[:, j]), j])
    return fill, missing


def _numeric_kinds(state: dict[str, Any]) -> Array:
    """Per column of ``Preprocessor.raw``: "numeric", "boolean", or "turn" for a point on a circle."""
    booleans = state["booleans"]
    kinds = ["numeric"] * (len(state["numeric"]) - booleans) + ["boolean"] * booleans
    for entry in state["date"]:
        kinds += ["numeric"] + ["turn"] * (2 if state["dense"] else 1) * len(entry["parts"])
    return np.array(kinds, dtype="U7")


def _columns(state: dict[str, Any]) -> tuple[list[str], list[int]]:
    """Names of the encoded columns and their numbers of levels."""
    dense = state["dense"]
    names = list(state["numeric"])
    for entry in state["date"]:
        turns = (
            [f"{part} {f}" for part in entry["parts"] for f in ("sin", "cos")] if dense else entry["parts"]
        )
        names += [entry["name"], *(f"{entry['name']} {turn}" for turn in turns)]
    names += [f"{names[j]} missing" for j in state["holes"]] if dense else []
    levels = [0] * len(names)
    for entry in state["category"]:
        if dense:
            shown = ["missing" if level is None else level for level in entry["levels"]]
            shown += ["rare"] * (entry["rare"] >= 0)
            names += [f"{entry['name']}={level}" for level in shown[entry["skip"] :]]
        else:
            names.append(entry["name"])
        levels += [0] * (len(names) - len(levels)) if dense else [max(1, entry["width"])]
    for entry in state["text"]:
        names += text_columns(entry)
    return names, levels + [0] * (len(names) - len(levels))


def encode(
    table: Table, fold: Fold, encoding: Encoding, weight: Floats | None
) -> tuple[Encoded, Preprocessor]:
    """Encode the parts of a fold, the preprocessing fitted on its train part alone.

    Parameters
    ----------
    table : Table
    fold : Fold
    encoding : {"dense", "tree"}
    weight : ndarray, shape (rows of the table,), or None
        Sample weights, already multiplied by class weights.

    Returns
    -------
    Encoded
        ``stop`` and ``score`` are None where the fold has no such rows.
    Preprocessor
        What encodes new rows in the same way.
    """
    preprocessor = fit_preprocessor(table, fold.train, encoding)

    def part(rows: Rows) -> Part:
        X = preprocessor.transform(table.features.iloc[rows])
        return Part(X, table.target[rows], None if weight is None else np.asarray(weight, np.float64)[rows])

    encoded = Encoded(
        train=part(fold.train),
        stop=part(fold.stop) if len(fold.stop) else None,
        score=part(fold.score) if len(fold.score) else None,
        columns=tuple(preprocessor.state["columns"]),
        levels=tuple(preprocessor.state["levels"]),
        task=table.task,
        n_classes=table.n_classes,
        image=table.image,
    )
    return encoded, preprocessor
