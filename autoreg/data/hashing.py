"""Stable hashes of rows and tables: the same on every machine, under every version of pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.serving import numbers, parse, spelled, texts

CELLS = 100_000
"""Numbers hashed at a time: as many as the processor keeps near."""
Array = NDArray[Any]
Hashes = NDArray[np.uint64]


def digests(words: Sequence[str]) -> Hashes:
    """64 bits of BLAKE2b of each word."""
    joined = b"".join(
        hashlib.blake2b(w.encode("utf-8", "surrogatepass"), digest_size=8).digest() for w in words
    )
    return np.frombuffer(joined, "<u8").astype(np.uint64)


def mix(x: Hashes) -> Hashes:
    """Finalizer of SplitMix64 (Steele et al. 2014): every bit of the input moves every bit of the output."""
    x = np.asarray(x, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def bits(values: Array) -> Hashes:
    """The 64 bits of floats, with one zero and one NaN."""
    values = np.where(np.isnan(values), np.nan, np.asarray(values, np.float64) + 0.0)
    return np.ascontiguousarray(values).view(np.uint64)


def row_hashes(frame: Any, kinds: Mapping[str, str], columns: Sequence[str]) -> Hashes:
    """One 64-bit hash per row of some columns: the same for equal values in any order and dtype of the columns.

    A value that spells a number is hashed as that number whatever the kind of its column, so that one odd word
    more in a later table does not change the hash of every row.

    Parameters
    ----------
    frame : pandas.DataFrame
    kinds : mapping of str to Kind
    columns : sequence of str

    Returns
    -------
    ndarray, shape (n,), uint64
    """
    total = np.zeros(len(frame), np.uint64)
    salts = dict(zip(columns, digests(columns), strict=True))
    dtypes = dict(zip(frame.columns, frame.dtypes, strict=True))
    plain = [n for n in columns if getattr(dtypes[n], "kind", "O") in "biuf"]
    step = max(1, CELLS // max(1, len(frame)))
    for part in (plain[i : i + step] for i in range(0, len(plain), step)):
        salt = np.array([salts[name] for name in part])[:, None]
        total += mix(bits(numbers(frame, part, {}).T) ^ salt).sum(axis=0, dtype=np.uint64)
    for name in set(columns) - set(plain):
        total += mix(_values(frame[name], kinds.get(name, "category")) ^ salts[name])
    return total


def _values(column: Any, kind: str) -> Hashes:
    if kind == "date" and getattr(column.dtype, "kind", "O") == "M":
        return bits(parse(column, "date"))
    codes, words = texts(column)
    found = [
        None if word is None else spelled(word, "date" if kind == "date" else "numeric") for word in words
    ]
    values = bits(np.array([np.nan if value is None else value for value in found], np.float64))
    number = np.array([word is None or value is not None for word, value in zip(words, found, strict=True)])
    return np.asarray(np.where(number, values, digests([word or "" for word in words]))[codes])


def fingerprint(arrays: Mapping[str, Array | None], features: Any, kinds: Mapping[str, str]) -> str:
    """SHA-256 of a table's content: names, kinds and values of its features in order, and what goes with them.

    Numbers count as float64, dates as days since 1970, everything else as canonical text in UTF-8.

    Returns
    -------
    str
        16 hex digits.
    """
    state = hashlib.sha256(str(len(features)).encode())
    for name, kind in kinds.items():
        column = features[name]
        state.update(f"\x1d{name}\x1f{kind}\x1f".encode("utf-8", "surrogatepass"))
        if getattr(column.dtype, "kind", "O") in "biuf":
            state.update(bits(column.to_numpy()).astype("<u8").tobytes())
        elif getattr(column.dtype, "kind", "O") == "M":
            state.update(bits(parse(column, "date")).astype("<u8").tobytes())
        else:
            state.update(_joined(column))
    for name, values in arrays.items():
        if values is not None:
            state.update(f"\x1d{name}\x1e".encode())
            number = values.dtype.kind in "biuf"
            state.update(bits(values).astype("<u8").tobytes() if number else _joined(values.astype(str)))
    return state.hexdigest()[:16]


def _joined(values: Any) -> bytes:
    codes, words = texts(values)
    coded = np.array(["\x1e" if word is None else word for word in words], dtype=object)[codes]
    return "\x1f".join(coded.tolist()).encode("utf-8", "surrogatepass")
