"""Rows that are images: their pixels as one block of numbers, scaled by one rule for the whole image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Matrix = NDArray[Any]
CELLS = 4_000_000
"""Numbers scaled at a time: float64 copies of a whole table of images would not fit."""


def pixel_names(shape: Sequence[int]) -> list[str]:
    """Column names of images that came without: ``pixel_0``, ``pixel_1``, ... in C order of the shape."""
    return [f"pixel_{i}" for i in range(math.prod(shape))]


def spelled_shape(shape: Sequence[int]) -> str:
    """A shape in words: ``28 x 28, 1 channel``."""
    size, channels = " x ".join(map(str, shape[:-1])), shape[-1]
    return f"{size}, {channels} channel{'s' * (channels != 1)}"


def block_of(images: Matrix, shape: Sequence[int]) -> Matrix:
    """Images (n, *shape), flat (n, pixels), or without their only channel, as rows of pixels (n, pixels).

    Raises
    ------
    ValueError
        Any other shape.
    """
    images, shape = np.asarray(images), tuple(shape)
    known = {shape, (math.prod(shape),), *((shape[:-1],) if shape[-1] == 1 else ())}
    if images.ndim < 2 or images.shape[1:] not in known:
        wanted = ", ".join(map(str, shape))
        raise ValueError(
            f"expected images of shape (n, {wanted}) or flat (n, {math.prod(shape)}), found {images.shape}"
        )
    return images.reshape(len(images), math.prod(shape))


def pixels(frame: pd.DataFrame, names: Sequence[str]) -> Matrix:
    """Columns by name as one block (n, names); ValueError names a column that holds no numbers."""
    part = frame if list(frame.columns) == list(names) else frame[list(names)]
    odd = [i for i, dtype in enumerate(part.dtypes) if getattr(dtype, "kind", "O") not in "biuf"]
    if not odd:
        dtypes = set(part.dtypes)
        plain = len(dtypes) == 1 and isinstance(next(iter(dtypes)), np.dtype)
        block = part.to_numpy() if plain else part.to_numpy(np.float64, na_value=np.nan)
        return np.asarray(block)
    out = np.empty(part.shape)
    for i in range(part.shape[1]):
        try:
            out[:, i] = part.iloc[:, i].to_numpy(np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise ValueError(
                f"column {str(names[i])!r}: expected pixels as numbers, found other values"
            ) from None
    return out


def scaled(block: Matrix, low: float, high: float) -> NDArray[np.float32]:
    """``(x - low) / (high - low)`` as float32 (n, pixels), the same for equal values of any dtype; nothing is clipped.

    Raises
    ------
    ValueError
        A pixel is missing or infinite.
    """
    if block.dtype == np.uint8:
        # One rounding here and two below give the same: a double has digits enough for both.
        if low == 0 and high == np.float32(high):
            return np.divide(block, np.float32(high), dtype=np.float32)
        return np.asarray(((np.arange(256.0) - low) / (high - low)).astype(np.float32)[block])  # 256 values
    out = np.empty(block.shape, np.float32)
    step = max(1, CELLS // max(1, block.shape[1]))
    for i in range(0, len(block), step):
        part = (np.asarray(block[i : i + step], np.float64) - low) / (high - low)
        if not np.isfinite(part).all() or np.abs(part).max(initial=0.0) > 3e38:
            row = i + int(np.flatnonzero(~(np.abs(part) <= 3e38).all(axis=1))[0])
            raise ValueError(f"row {row + 1} has pixels that are missing or infinite; images must be whole")
        out[i : i + step] = part
    return out
