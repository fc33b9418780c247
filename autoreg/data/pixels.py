"""Features that are the pixels of images: checked and kept as one block, never judged column by column."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoreg.data.hashing import bits
from autoreg.data.leaks import Findings, find_leaks
from autoreg.errors import DataError
from autoreg.serving import pixels, spelled_shape
from autoreg.trial import Kind

CELLS = 1_000_000
"""Numbers worked on at a time: float64 copies of a whole table of images would not fit."""
MOST_JUDGED = 4096
"""Pixels that are asked one by one whether they tell the target alone."""
PATCHES = 64
"""Fields of the grid in which images are compared and explained."""
BYTE = 255.0
Array = NDArray[Any]


def pixel_features(
    frame: pd.DataFrame, shape: tuple[int, ...]
) -> tuple[pd.DataFrame, dict[str, Kind], list[str]]:
    """Columns in their order as the pixels of images of a shape.

    Every column is kept, also one that is the same in all rows. Whole numbers from 0 to 255 are stored as uint8,
    everything else as it is, or as float64 where columns differ.

    Parameters
    ----------
    frame : pandas.DataFrame
        Feature columns alone.
    shape : tuple of int
        Channels last.

    Returns
    -------
    features : pandas.DataFrame
        One block.
    kinds : dict of str to Kind
        All "numeric".
    notes : list of str

    Raises
    ------
    DataError
        Another number of columns than the shape has pixels, no numbers, missing pixels, or all of them equal.
    """
    wanted, names = math.prod(shape), [str(name) for name in frame.columns]
    if len(names) != wanted:
        raise DataError(
            f"data.image = {list(shape)} needs {wanted} pixel columns, the table has {len(names)} besides the "
            f"target; name the others in data.drop, or give the shape the images have"
        )
    try:
        block = pixels(frame, names)
    except ValueError as error:
        raise DataError(f"data.image: {error}; name the column in data.drop if it is no pixel") from None
    low, high = _range(block, names)
    if low == high:
        raise DataError(f"data.image: every pixel of every image is {low:g}; there is nothing to learn from")
    if block.dtype != np.uint8 and low >= 0 and high <= BYTE and _whole(block):
        block = block.astype(np.uint8)
    elif block.dtype.kind not in "u" and block.dtype != np.float32:
        block = np.asarray(block, np.float64)
    told = f"{len(block)} images of {spelled_shape(shape)}, pixels from {low:g} to {high:g}"
    return pd.DataFrame(block, columns=names), dict.fromkeys(names, "numeric"), [told]


def _range(block: Array, names: list[str]) -> tuple[float, float]:
    """Least and largest pixel; refuses missing ones."""
    low, high = np.inf, -np.inf
    for rows in strips(block):
        part = block[rows]
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            row, column = (int(at[0]) for at in np.nonzero(~np.isfinite(part)))
            raise DataError(
                f"data.image: a pixel is missing or infinite (row {rows.start + row + 1}, column {names[column]!r}); "
                "images must be whole: repair or remove these rows"
            )
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


def _whole(block: Array) -> bool:
    return block.dtype.kind in "biu" or all(
        bool((block[rows] == np.floor(block[rows])).all()) for rows in strips(block)
    )


def strips(block: Array) -> list[slice]:
    """Slices of rows of about ``CELLS`` numbers each."""
    step = max(1, CELLS // max(1, block.shape[1]))
    return [slice(i, i + step) for i in range(0, len(block), step)]


def pixel_leaks(
    features: pd.DataFrame, kinds: dict[str, Kind], target: Array, n_classes: int, **more: Any
) -> Findings:
    """``find_leaks`` in one line: a mark in a corner is found; images of more than 4,096 pixels are not asked."""
    if features.shape[1] > MOST_JUDGED:
        return Findings((), [])
    suspects, notes = find_leaks(features, kinds, target, n_classes, **more)
    if not suspects:
        return Findings(suspects, notes)
    others = f", and so do {len(suspects) - 1} more" if suspects[1:] else ""
    first = next(place for place, note in enumerate(notes) if note.startswith("warning: column"))
    told = f"{notes[first].rpartition(': ')[0]}{others}: is there a mark in the images?"
    return Findings(suspects, [*notes[:first], told])


def image_fingerprint(features: pd.DataFrame, shape: Sequence[int]) -> bytes:
    """Digest of names, shape and values of pixels; whole numbers are uint8 by now, so dtypes do not matter."""
    state = hashlib.sha256(f"{list(shape)}{len(features)}".encode())
    state.update("\x1d".join(features.columns).encode("utf-8", "surrogatepass"))
    block = features.to_numpy()
    for rows in strips(block):
        part = block[rows] if block.dtype == np.uint8 else bits(block[rows]).astype("<u8")
        state.update(np.ascontiguousarray(part).tobytes())
    return state.digest()


def scale_of(features: pd.DataFrame) -> tuple[float, float]:
    """What becomes 0 and 1 in images of these rows: their range, or 0 and 255 where they are bytes."""
    block = features.to_numpy()
    low, high = (float(block.min()), float(block.max())) if block.size else (0.0, 1.0)
    if block.dtype == np.uint8 and high > BYTE // 2:
        return 0.0, BYTE
    return (low, high) if high > low else (low, low + 1.0)


def patches(shape: Sequence[int], most: int) -> dict[str, NDArray[np.int64]]:
    """Pixels (positions among the columns) by patch: a grid of at most ``most`` fields, channels together.

    Parameters
    ----------
    shape : sequence of int
        Channels last.
    most : int
        A square's number of fields, such as 64; a series is cut into as many pieces, a volume into about as many.
    """
    where = np.arange(math.prod(shape)).reshape(shape)
    axes = len(shape) - 1
    sides = [min(size, max(1, round(most ** (1 / axes)))) for size in shape[:-1]]
    cuts = [np.array_split(np.arange(size), side) for size, side in zip(shape[:-1], sides, strict=True)]
    labels = {1: ("steps",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}[axes]
    found = {}
    for parts in product(*cuts):
        name = ", ".join(f"{label} {_ends(part)}" for label, part in zip(labels, parts, strict=True))
        found[name] = where[np.ix_(*parts)].reshape(-1)
    return found


def _ends(part: Array) -> str:
    return f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0])
