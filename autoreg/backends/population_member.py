"""A trained member of a population: predicts with NumPy alone, becomes an ordinary Keras model when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.backends.layers import EPSILON, Recipe, Shape, Weights
from autoreg.backends.population_keras import build_model, compile_model
from autoreg.backends.population_ramps import Ramps
from autoreg.serving import NetworkMember, sigmoid, softmax, two_columns
from autoreg.trial import Task

Array = NDArray[Any]
BLOCK = 8192  # rows predicted at a time
_SELU = (1.0507009873554805, 1.6732632423543772)


def _gelu(z: Array) -> Array:
    from scipy.special import erf

    return np.asarray(0.5 * z * (1.0 + erf(z * np.float32(np.sqrt(0.5)))))


def _elu(z: Array, slope: float = 1.0) -> Array:
    return np.where(z > 0, z, np.float32(slope) * np.expm1(np.minimum(z, 0)))


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "elu": _elu,
    "selu": lambda z: np.float32(_SELU[0]) * _elu(z, _SELU[1]),
    "silu": lambda z: z * sigmoid(z),
    "gelu": _gelu,
    "linear": lambda z: z,
}


class PopulationMember:
    """A fitted network as plain arrays. See ``autoreg.serving.Member``.

    Parameters
    ----------
    shape, recipe : Shape, Recipe
    weights : list of ndarray
        In the order of ``keras.Model.get_weights``.
    task : Task
    scale, shift : float
        Regression values are ``output * scale + shift``.
    ramps : Ramps, optional
        What stands beside the columns.
    """

    kind = "network"

    def __init__(
        self,
        shape: Shape,
        recipe: Recipe,
        weights: Weights,
        task: Task,
        scale: float = 1.0,
        shift: float = 0.0,
        ramps: Ramps | None = None,
    ) -> None:
        self.shape, self.recipe, self.weights, self.task = shape, recipe, weights, task
        self.scale, self.shift, self.ramps = scale, shift, ramps

    @cached_property
    def model(self) -> Any:
        """The ordinary Keras model, compiled, so that it saves, predicts and goes on training."""
        model = build_model(self.shape, self.recipe, self.weights, ramps=self.ramps)
        compile_model(model, self.recipe, self.task)
        return model

    def predict(self, X: Array) -> Array:
        """See ``Member``."""
        X = np.asarray(X, np.float32)
        blocks = [self._outputs(X[i : i + BLOCK]) for i in range(0, len(X), BLOCK)]
        z = np.concatenate(blocks).astype(np.float64) if blocks else np.zeros((0, self.shape.outputs))
        if self.task == "regression":
            return np.asarray(z[:, 0] * self.scale + self.shift)
        return two_columns(sigmoid(z[:, 0])) if self.task == "binary" else softmax(z)

    def save(self, folder: Path) -> dict[str, Any]:
        """See ``Member``; ``NetworkMember.load`` reads it."""
        return NetworkMember(self.model, self.task, self.scale, self.shift).save(folder)

    @np.errstate(all="ignore")
    def _outputs(self, x: Array) -> Array:
        """Logits or standardised values of some rows."""
        arrays = iter(self.weights)
        x = x if self.ramps is None else self.ramps.apply(x)
        for i, name in enumerate(self.shape.activations):
            z = x @ next(arrays)
            z = z + next(arrays) if self.shape.norm == "none" else self._normalize(z, arrays)
            a = np.asarray(_FUNCTIONS[name](z), np.float32)
            x = x + a if self.shape.adds(i) else a
        return np.asarray(x @ next(arrays) + next(arrays))

    def _normalize(self, z: Array, arrays: Iterator[Array]) -> Array:
        gamma, beta = next(arrays), next(arrays)
        if self.shape.norm == "batch":
            mean, variance = next(arrays), next(arrays)
        else:
            mean, variance = z.mean(axis=1, keepdims=True), z.var(axis=1, keepdims=True)
        return np.asarray((z - mean) / np.sqrt(variance + np.float32(EPSILON)) * gamma + beta)
