"""Raw rows to an encoded matrix; all that was learned for it is plain data."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .images import pixels, scaled
from .words import folded

if TYPE_CHECKING:
    import pandas as pd

Matrix = NDArray[Any]

# What pandas takes for missing in a CSV file, and "?": so a value means the same wherever it comes from.
MISSING = {
    "", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "NaT", "None", "n/a", "nan", "null",
}  # fmt: skip
TRUTH, EPOCH = {"false": 0.0, "true": 1.0}, datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
HUGE, CLIP = 1e150, 10.0  # squares of HUGE stay finite; CLIP is in standard deviations


def text_of(value: Any) -> str | None:
    """One spelling for equal values: 1, 1.0 and " 1 " are "1", True and "True" are "true"; None if missing."""
    text = str(value).strip()
    if text in MISSING:
        return None
    if text.lower() in ("true", "false"):
        return text.lower()
    return text.partition(".")[0] if re.fullmatch(r"-?\d+\.0*", text) else text


def texts(column: pd.Series) -> tuple[NDArray[np.int64], list[str | None]]:
    """Row codes (n,) and the canonical text of each code; the last code is that of missing values.

    Raises
    ------
    ValueError
        A cell holds a list or another nested value; the message names the column.
    """
    import pandas as pd

    try:
        codes, found = pd.factorize(column)
    except (TypeError, NotImplementedError):  # the second of Arrow's lists
        name = str(getattr(column, "name", ""))
        raise ValueError(
            f"column {name!r}: expected one value a cell, found a list or another nested value"
        ) from None
    return np.where(codes < 0, len(found), codes).astype(np.int64), [*(text_of(v) for v in found), None]


def spelled(text: str, kind: str) -> float | None:
    """The number ("numeric"; 0 and 1 for false and true) or days since 1970 ("date", ISO) a text spells, or None."""
    if kind == "numeric":
        return float(text) if NUMBER.fullmatch(text) else TRUTH.get(text)
    try:
        when = datetime.fromisoformat(text if text[4:5] == "-" else "")
    except ValueError:
        return None
    return (when.replace(tzinfo=when.tzinfo or UTC) - EPOCH).total_seconds() / 86400


def parse(column: pd.Series, kind: str, void: Sequence[str] = ()) -> Matrix:
    """Numbers or days (n,) from dates or text; NaN where missing or in ``void``; else ValueError names the value."""
    if kind == "date" and getattr(column.dtype, "kind", "O") == "M":
        column = column.dt.tz_convert(None) if getattr(column.dtype, "tz", None) else column
        moments = column.to_numpy("datetime64[us]")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 86_400e6)
    if kind == "numeric" and getattr(column.dtype, "kind", "O") == "m":
        return np.asarray(column.dt.total_seconds(), np.float64)
    codes, words = texts(column)
    values = [np.nan if word is None or word in void else spelled(word, kind) for word in words]
    if None in values:
        word, what = words[values.index(None)], "a number" if kind == "numeric" else "an ISO date"
        raise ValueError(f"column {str(column.name)!r}: expected {what}, found {word!r:.80}")
    return np.array(values, np.float64)[codes]


def numbers(frame: pd.DataFrame, names: Sequence[str], void: dict[str, list[str]]) -> Matrix:
    """Columns as numbers (n, names), NaN where missing or infinite; numeric columns are taken as one block."""
    out, plain = np.empty((len(frame), len(names))), np.zeros(len(names), bool)
    for i, dtype in enumerate(frame.dtypes.loc[list(names)]):
        plain[i] = getattr(dtype, "kind", "O") in "biuf"
        if not plain[i]:
            out[:, i] = parse(frame[names[i]], "numeric", void.get(names[i], ()))
    if plain.any():
        block = frame[[name for name, yes in zip(names, plain, strict=True) if yes]]
        out[:, plain] = block.to_numpy(np.float64, na_value=np.nan)
    out[~np.isfinite(out)] = np.nan
    return np.clip(out, -HUGE, HUGE, out=out)


def calendar(day: Matrix, parts: Sequence[str], cyclic: bool) -> Matrix:
    """Days since 1970, then month (0..11), weekday (Monday 0) and hour, each as sine and cosine if cyclic."""
    known = np.where(np.isnan(day), 0.0, day)
    months = np.floor(known).astype(np.int64).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    cycles = {"month": (months, 12), "weekday": (np.floor(known) + 3, 7), "hour": (known * 24, 24)}
    out = [day]
    for value, period in (cycles[part] for part in parts):
        turn = np.where(np.isnan(day), np.nan, value % period)
        out += [np.sin(turn * 2 * np.pi / period), np.cos(turn * 2 * np.pi / period)] if cyclic else [turn]
    return np.stack(out, axis=1)


def hashed(column: pd.Series, dims: int) -> Matrix:
    """Signed bag of words (n, dims), rows of length 1 (Weinberger et al. 2009), and last whether it is missing."""
    codes, words = texts(column)
    out = np.zeros((len(words), dims + 1))
    for row, text in zip(out, words, strict=True):
        for word in re.findall(r"\w+", (text or "").lower()):
            code = zlib.crc32(word.encode())
            row[code % dims] += 1.0 if code >> 31 else -1.0
        row /= np.linalg.norm(row) or 1.0
        row[dims] = text is None
    return np.asarray(out[codes])


class Preprocessor:
    """Turns raw rows into an encoded matrix; all it learned is plain data.

    Parameters
    ----------
    state : dict
        JSON data made by ``autoreg.data.preprocess.fit_preprocessor``.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def transform(self, frame: pd.DataFrame | Matrix) -> NDArray[np.float32]:
        """Encode raw rows to float32 (n, encoded columns); ValueError names a text that is no number or date.

        Images may come as a block of pixels (n, pixels) as well.
        """
        s = self.state
        if "image" in s:
            block = frame if isinstance(frame, np.ndarray) else pixels(frame, s["numeric"])
            return scaled(block, s["low"], s["high"])
        if isinstance(frame, np.ndarray):
            raise TypeError("a table is encoded by the names of its columns")
        raw = self.raw(frame)
        if "powers" in s:
            raw = np.ldexp(raw, s["powers"])
        blocks = [np.clip(raw, -3e38, 3e38)]  # float32 has no more
        if s["dense"]:
            holes = np.isnan(raw)
            z = (np.where(holes, s["fill"], raw) - s["mean"]) * s["scale"]
            most = s.get("clip", CLIP)
            blocks = [np.clip(z, *((-3e38, 3e38) if most is None else (-most, most))), holes[:, s["holes"]]]
        blocks += [self._category(frame[entry["name"]], entry) for entry in s["category"]]
        for entry in s["text"]:
            if "words" in entry:
                blocks.append(folded(*texts(frame[entry["name"]]), entry))
                continue
            blocks.append(hashed(frame[entry["name"]], entry["dims"])[:, : entry["dims"] + entry["hole"]])
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="same_kind")

    def raw(self, frame: pd.DataFrame) -> Matrix:
        """Numbers, then days and parts of dates (n, columns), before anything is filled or scaled."""
        s = self.state
        blocks = [numbers(frame, s["numeric"], s["void"])]
        for entry in s["date"]:
            day = parse(frame[entry["name"]], "date", s["void"].get(entry["name"], ()))
            blocks.append(calendar(day, entry["parts"], s["dense"]))
        return np.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0]

    def _category(self, column: pd.Series, entry: dict[str, Any]) -> Matrix:
        """One-hot columns, or one column of codes: unseen levels go to the rare one, else to none (0, NaN)."""
        codes, words = texts(column)
        place, width = {level: i for i, level in enumerate(entry["levels"])}, entry["width"]
        if self.state["dense"]:
            rows = np.concatenate([np.eye(width), np.zeros((1, width))])
            return rows[[place.get(word, entry["rare"]) for word in words]][codes][:, entry["skip"] :]
        found = [-1 if word is None else place.get(word, entry["rare"]) for word in words]
        return np.where(np.array(found) < 0, np.nan, found)[codes][:, None]
