"""What a registered model needs to predict: preprocessing as data, fitted members, their blend.

A copy of this file travels inside every registered model, so it imports nothing of autoreg, only numpy, pandas
and, lazily, the winner's library. In-process prediction runs the same code.
"""

from __future__ import annotations

import json
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
Matrix = NDArray[Any]
Chain = tuple["Preprocessor", Any, float]


class Member(Protocol):
    """A fitted model over encoded rows."""

    kind: str

    def predict(self, X: Matrix) -> Matrix:
        """Class probabilities (n, K), or values (n,), float64, for encoded rows ``X`` (n, columns) float32."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write files without pickle into ``folder`` and return what ``load_member`` needs besides, as JSON data."""


def sigmoid(z: Matrix) -> Matrix:
    """Logistic function, safe for large |z|."""
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, e) / (1.0 + e))


def softmax(z: Matrix) -> Matrix:
    """Probabilities over the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def two_columns(p: Matrix) -> Matrix:
    """Probability of the second class (n,) as probabilities of both (n, 2)."""
    return np.stack([1.0 - p, p], axis=1)


class LinearMember:
    """Scores ``X @ coef (columns, outputs) + intercept (outputs,)`` under identity, logistic or softmax link."""

    kind = "linear"

    def __init__(self, coef: Matrix, intercept: Matrix, task: str) -> None:
        self.coef = np.asarray(coef, np.float64)
        self.intercept = np.asarray(intercept, np.float64)
        self.task = task

    def predict(self, X: Matrix) -> Matrix:
        """See ``Member``."""
        z = np.asarray(X, np.float64) @ self.coef + self.intercept
        if self.task == "regression":
            return np.asarray(z[:, 0])
        return two_columns(sigmoid(z[:, 0])) if self.task == "binary" else softmax(z)

    def save(self, folder: Path) -> dict[str, Any]:
        """See ``Member``."""
        np.savez(folder / "linear.npz", coef=self.coef, intercept=self.intercept)
        return {"task": self.task}

    @classmethod
    def load(cls, folder: Path, meta: dict[str, Any]) -> LinearMember:
        """Read what ``save`` wrote."""
        with np.load(folder / "linear.npz", allow_pickle=False) as data:
            return cls(data["coef"], data["intercept"], meta["task"])


class BoosterMember:
    """An XGBoost booster over columns f0..fn that holds exactly the rounds to predict with.

    ``levels`` is 0 for a number, else the number of levels; regression values are ``prediction * scale + shift``.
    """

    kind = "booster"

    def __init__(
        self, booster: Any, levels: Sequence[int], task: str, scale: float = 1.0, shift: float = 0.0
    ) -> None:
        self.booster, self.levels, self.task = booster, tuple(levels), task
        self.scale, self.shift = scale, shift

    def predict(self, X: Matrix) -> Matrix:
        """See ``Member``."""
        p = np.asarray(self.booster.predict(booster_matrix(X, self.levels)), np.float64)
        if self.task == "regression":
            return np.asarray(p * self.scale + self.shift)
        return two_columns(p) if self.task == "binary" else p

    def save(self, folder: Path) -> dict[str, Any]:
        """See ``Member``."""
        self.booster.save_model(folder / "booster.ubj")
        return {"levels": list(self.levels), "task": self.task, "scale": self.scale, "shift": self.shift}

    @classmethod
    def load(cls, folder: Path, meta: dict[str, Any]) -> BoosterMember:
        """Read what ``save`` wrote."""
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(folder / "booster.ubj")
        return cls(booster, meta["levels"], meta["task"], meta["scale"], meta["shift"])


def booster_matrix(X: Matrix, levels: Sequence[int], **fields: Any) -> Any:
    """Encoded rows as an ``xgboost.DMatrix``; category codes outside their levels become missing."""
    import xgboost

    X = np.asarray(X, np.float32)
    names = [f"f{i}" for i in range(X.shape[1])]
    kinds = ["c" if n else "q" for n in levels]
    if any(levels):
        top = np.array([n if n else np.inf for n in levels])
        X = np.where((top > X) & ((X >= 0) | ~np.isfinite(top)), X, np.nan).astype(np.float32)
    return xgboost.DMatrix(X, feature_names=names, feature_types=kinds, enable_categorical=True, **fields)


class NetworkMember:
    """A Keras model that gives logits; for regression, values are ``output * scale + shift``."""

    kind = "network"

    def __init__(self, model: Any, task: str, scale: float = 1.0, shift: float = 0.0) -> None:
        self.model, self.task, self.scale, self.shift = model, task, scale, shift

    def predict(self, X: Matrix) -> Matrix:
        """See ``Member``."""
        X = np.asarray(X, np.float32)
        blocks = [np.asarray(self.model(X[i : i + 8192], training=False)) for i in range(0, len(X), 8192)]
        z = np.concatenate(blocks).astype(np.float64)
        if self.task == "regression":
            return np.asarray(z[:, 0] * self.scale + self.shift)
        return two_columns(sigmoid(z[:, 0])) if self.task == "binary" else softmax(z)

    def save(self, folder: Path) -> dict[str, Any]:
        """See ``Member``."""
        with warnings.catch_warnings():
            # TensorFlow's variables know no copy keyword, which NumPy 2 deprecates.
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept", DeprecationWarning)
            self.model.save(folder / "network.keras")
        return {"task": self.task, "scale": self.scale, "shift": self.shift}

    @classmethod
    def load(cls, folder: Path, meta: dict[str, Any]) -> NetworkMember:
        """Read what ``save`` wrote; safe mode refuses code inside the file."""
        import keras

        model = keras.saving.load_model(folder / "network.keras", compile=False, safe_mode=True)
        return cls(model, meta["task"], meta["scale"], meta["shift"])


MEMBERS: dict[str, Any] = {m.kind: m for m in (LinearMember, BoosterMember, NetworkMember)}


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
    """Row codes (n,) and the canonical text of each code; the last code is that of missing values."""
    import pandas as pd

    codes, found = pd.factorize(column)
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

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Encode raw rows to float32 (n, encoded columns); ValueError names a text that is no number or date."""
        s, raw = self.state, self.raw(frame)
        blocks = [np.clip(raw, -3e38, 3e38)]  # float32 has no more
        if s["dense"]:
            holes = np.isnan(raw)
            z = (np.where(holes, s["fill"], raw) - s["mean"]) * s["scale"]
            blocks = [np.clip(z, -CLIP, CLIP), holes[:, s["holes"]]]
        blocks += [self._category(frame[entry["name"]], entry) for entry in s["category"]]
        for entry in s["text"]:
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


class Package:
    """A predictor over raw rows: the weighted mean of members, each behind its own preprocessing.

    Parameters
    ----------
    members : list of (Preprocessor, Member, float)
        The weights sum to 1.
    task : str
    classes : tuple
        Labels in the order of the probabilities.
    columns : list of str
        Raw feature columns that must be present.
    """

    def __init__(
        self, members: list[Chain], task: str, classes: Sequence[Any], columns: Sequence[str]
    ) -> None:
        self.members, self.task, self.classes, self.columns = members, task, tuple(classes), list(columns)

    def predict_raw(self, frame: pd.DataFrame) -> Matrix:
        """Class probabilities (n, K), or values (n,), for raw rows; columns may come in any order, their names as text.

        Raises
        ------
        ValueError
            A feature column is missing or occurs twice; the message names it.
        """
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        counts = Counter(frame.columns)
        if missing := ", ".join(repr(c) for c in self.columns if not counts[c]):
            raise ValueError(f"missing column(s) {missing}: the model needs {len(self.columns)} columns")
        if twice := ", ".join(repr(c) for c in self.columns if counts[c] > 1):
            raise ValueError(f"column(s) {twice} given more than once: rename or remove the others")
        if not len(frame):
            return np.empty((0, len(self.classes)) if self.classes else 0)
        total: Matrix | None = None
        for preprocessor, member, weight in self.members:
            part = weight * member.predict(preprocessor.transform(frame))
            total = part if total is None else total + part
        if total is None:
            raise ValueError("the package holds no member")
        return total

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Column ``prediction`` (label or value) and, for classes, ``probability_<class>`` for each of them."""
        import pandas as pd

        raw = self.predict_raw(frame)
        if self.task == "regression":
            return pd.DataFrame({"prediction": raw}, index=frame.index)
        labels = np.array(self.classes, dtype=object)[raw.argmax(axis=1)]
        out: dict[str, Any] = {"prediction": pd.Series(labels, index=frame.index).infer_objects()}
        out |= {f"probability_{c}": raw[:, k] for k, c in enumerate(self.classes)}
        return pd.DataFrame(out, index=frame.index)

    def save(self, folder: Path) -> None:
        """Write the package: ``package.json`` and one folder a member. No pickle."""
        listed = []
        for i, (preprocessor, member, weight) in enumerate(self.members):
            place = folder / f"member_{i}"
            place.mkdir(parents=True)
            meta = member.save(place)
            listed.append({"kind": member.kind, "weight": weight, "meta": meta})
            (place / "preprocess.json").write_text(json.dumps(preprocessor.state), encoding="utf-8")
        about = {"format": FORMAT, "task": self.task, "classes": list(self.classes), "columns": self.columns}
        text = json.dumps({**about, "members": listed}, indent=1)
        (folder / "package.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> Package:
        """Read what ``save`` wrote.

        Raises
        ------
        ValueError
            The package was written in a format this code does not know.
        """
        folder = Path(folder)
        about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(
                f"package format {about['format']} is not {FORMAT}: use the version that wrote it"
            )
        members = []
        for i, entry in enumerate(about["members"]):
            place = folder / f"member_{i}"
            state = json.loads((place / "preprocess.json").read_text(encoding="utf-8"))
            member = MEMBERS[entry["kind"]].load(place, entry["meta"])
            members.append((Preprocessor(state), member, float(entry["weight"])))
        return cls(members, about["task"], about["classes"], about["columns"])
