"""Fitted models over encoded rows; each saves itself without pickle."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .checks import check_archive, check_network

Matrix = NDArray[Any]


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

    kind, file = "linear", "linear.npz"

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
        np.savez(folder / self.file, coef=self.coef, intercept=self.intercept)
        return {"task": self.task}

    @classmethod
    def load(cls, folder: Path, meta: dict[str, Any]) -> LinearMember:
        """Read what ``save`` wrote."""
        check_archive(folder / cls.file, ("coef.npy", "intercept.npy"))
        with np.load(folder / cls.file, allow_pickle=False) as data:
            return cls(data["coef"], data["intercept"], meta["task"])


class BoosterMember:
    """An XGBoost booster over columns f0..fn that holds exactly the rounds to predict with.

    ``levels`` is 0 for a number, else the number of levels; regression values are ``prediction * scale + shift``.
    """

    kind, file = "booster", "booster.ubj"

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
        self.booster.save_model(folder / self.file)
        return {"levels": list(self.levels), "task": self.task, "scale": self.scale, "shift": self.shift}

    @classmethod
    def load(cls, folder: Path, meta: dict[str, Any]) -> BoosterMember:
        """Read what ``save`` wrote."""
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(folder / cls.file)
        return cls(booster, meta["levels"], meta["task"], meta["scale"], meta["shift"])


def booster_matrix(X: Matrix, levels: Sequence[int], kind: Any = None, **fields: Any) -> Any:
    """Encoded rows as an ``xgboost.DMatrix``, or another ``kind`` of it; category codes outside their levels become missing."""
    import xgboost

    X = np.asarray(X, np.float32)
    names = [f"f{i}" for i in range(X.shape[1])]
    kinds = ["c" if n else "q" for n in levels]
    if any(levels):
        top = np.array([n if n else np.inf for n in levels])
        X = np.where((top > X) & ((X >= 0) | ~np.isfinite(top)), X, np.nan).astype(np.float32)
    if X.size < 500_000:  # more threads would take longer to meet than to read it
        fields["nthread"] = 1
    kind = xgboost.DMatrix if kind is None else kind
    return kind(X, feature_names=names, feature_types=kinds, enable_categorical=True, **fields)


def rows_at_once(model: Any) -> int:
    """Rows that a Keras model predicts at a time: fewer where a layer is wide, which then holds at most 128 MiB."""
    widest = max(int(np.prod(layer.output.shape[1:])) for layer in model.layers)
    return max(1, min(8192, 2**25 // max(1, widest)))


class NetworkMember:
    """A Keras model that gives logits; for regression, values are ``output * scale + shift``.

    A model that is asked again and again, as a server is, is traced into a graph: a call of a few rows then takes a fraction
    of the time. Who asks once or twice does not wait for that.
    """

    kind, file = "network", "network.keras"
    OFTEN = 3

    def __init__(self, model: Any, task: str, scale: float = 1.0, shift: float = 0.0) -> None:
        self.model, self.task, self.scale, self.shift = model, task, scale, shift
        self.call, self.asked = partial(model, training=False), 0

    def predict(self, X: Matrix) -> Matrix:
        """See ``Member``."""
        X = np.asarray(X, np.float32)
        n, call = rows_at_once(self.model), self._called()
        blocks = [np.asarray(call(X[i : i + n])) for i in range(0, len(X), n)]
        z = np.concatenate(blocks).astype(np.float64)
        if self.task == "regression":
            return np.asarray(z[:, 0] * self.scale + self.shift)
        return two_columns(sigmoid(z[:, 0])) if self.task == "binary" else softmax(z)

    def _called(self) -> Any:
        self.asked += 1
        if self.asked >= self.OFTEN and isinstance(self.call, partial):  # a server counts in several threads
            import tensorflow as tf

            rows = tf.TensorSpec((None, *self.model.inputs[0].shape[1:]), tf.float32)
            self.call = tf.function(partial(self.model, training=False), input_signature=[rows])
        return self.call

    def save(self, folder: Path) -> dict[str, Any]:
        """See ``Member``."""
        with warnings.catch_warnings():
            # TensorFlow's variables know no copy keyword, which NumPy 2 deprecates.
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept", DeprecationWarning)
            self.model.save(folder / self.file)
        return {"task": self.task, "scale": self.scale, "shift": self.shift}

    @classmethod
    def load(cls, folder: Path, meta: dict[str, Any]) -> NetworkMember:
        """Read what ``save`` wrote; layers from elsewhere are refused, and by safe mode code inside the file."""
        import keras

        check_network(folder / cls.file)
        model = keras.saving.load_model(folder / cls.file, compile=False, safe_mode=True)
        return cls(model, meta["task"], meta["scale"], meta["shift"])


MEMBERS: dict[str, Any] = {m.kind: m for m in (LinearMember, BoosterMember, NetworkMember)}
