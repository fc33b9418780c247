"""Networks over images as ordinary Keras models: flat rows in, logits out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.backends.images import ImageRecipe, ImageShape
from autoreg.backends.layers import EPSILON, MOMENTUM, Recipe, Weights
from autoreg.backends.population_keras import compile_model, hidden_layer, regularizer, regularizers
from autoreg.serving import NetworkMember
from autoreg.trial import Task

Drop = Callable[[str, int], Any]
"""The dropout layer of a kind ("input", "block", "hidden") and a place, or None for none."""


def fit_zca(X: NDArray[np.float32], epsilon: float) -> Weights:
    """ZCA whitening of training rows as kernel and bias of a dense layer (Bell & Sejnowski 1997).

    ``(x - mean) U diag(1 / sqrt(s + epsilon)) U^T`` for the covariance ``U diag(s) U^T``: pixels lose their
    correlations and stay pixels.

    Parameters
    ----------
    X : ndarray, shape (rows, columns)
    epsilon : float
        Added to every variance, so that directions in which the rows hardly differ are not blown up.
    """
    rows = np.asarray(X, np.float64)
    mean = rows.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov(rows - mean, rowvar=False, bias=True).reshape(len(mean), -1))
    kernel = (axes / np.sqrt(np.maximum(variance, 0.0) + epsilon)) @ axes.T
    return [kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)]


def layer_outputs(shape: ImageShape, recipe: Recipe, drop: Drop) -> tuple[Any, Any, list[Any]]:
    """Input, logits and the activations of every block and hidden layer, as Keras tensors.

    The blocks are convolution, normalization if any, activation, pool if any, dropout.
    """
    import keras

    x = inputs = keras.Input((shape.pixels,), dtype="float32")
    if shape.zca:
        x = keras.layers.Dense(shape.pixels, trainable=False, name="zca")(x)
    x = _dropped(x, drop("input", 0))
    found = []
    if shape.filters:
        x = keras.layers.Reshape(shape.image)(x)
        for i in range(len(shape.filters)):
            x = convolved(shape, recipe, i)(x)
            found.append(x)
            x = _dropped(_pool(shape)(x), drop("block", i))
        x = _head(shape)(x)
    blocks = len(shape.filters)
    own = replace(recipe, kernel_l1=recipe.kernel_l1[blocks:], kernel_l2=recipe.kernel_l2[blocks:],
                  activity_l1=recipe.activity_l1[blocks:], activity_l2=recipe.activity_l2[blocks:])  # fmt: skip
    for i in range(len(shape.dense.hidden)):
        before, x = x, hidden_layer(shape.dense, own, i)(x)
        found.append(x)
        x = _dropped(x, drop("hidden", i))
        x = keras.layers.Add()([before, x]) if shape.dense.adds(i) else x
    options = regularizers(own, len(shape.dense.hidden))
    return inputs, keras.layers.Dense(shape.dense.outputs, **options)(x), found


def _dropped(x: Any, layer: Any) -> Any:
    return x if layer is None else layer(x)


def _kind(shape: ImageShape, name: str) -> Any:
    """The layer of Keras for the number of sides: ``_kind(shape, "Conv{}D")``."""
    import keras

    return getattr(keras.layers, name.format(len(shape.image) - 1))


def convolved(shape: ImageShape, recipe: Recipe, i: int) -> Callable[[Any], Any]:
    """Convolution ``i`` with its normalization, activation and activity regularizer, as a function of a Keras tensor."""
    import keras

    activity = regularizer(recipe.activity_l1[i], recipe.activity_l2[i])
    options = regularizers(recipe, i)
    size = (shape.filters[i], shape.kernel_size)
    make = _kind(shape, "Conv{}D")
    if shape.dense.norm != "batch":
        return make(  # type: ignore[no-any-return]
            *size, padding="same", activation=shape.activations[i], activity_regularizer=activity, **options
        )
    beta = regularizer(recipe.bias_l1, recipe.bias_l2)

    def stack(x: Any) -> Any:
        kernel = options.get("kernel_regularizer")
        x = make(*size, padding="same", use_bias=False, kernel_regularizer=kernel)(x)
        norm = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, beta_regularizer=beta)
        return keras.layers.Activation(shape.activations[i], activity_regularizer=activity)(norm(x))

    return stack


def _pool(shape: ImageShape) -> Callable[[Any], Any]:
    if shape.pool == "none":
        return lambda x: x
    return _kind(shape, "MaxPooling{}D" if shape.pool == "max" else "AveragePooling{}D")(2)  # type: ignore[no-any-return]


def _head(shape: ImageShape) -> Any:
    import keras

    return keras.layers.Flatten() if shape.head == "flatten" else _kind(shape, "GlobalAveragePooling{}D")()


def build_model(shape: ImageShape, own: ImageRecipe, weights: Weights, seed: int = 0) -> Any:
    """The network as an ordinary functional Keras model of logits (or standardised values), not compiled.

    Parameters
    ----------
    shape, own : ImageShape, ImageRecipe
    weights : list of ndarray
        In the order of ``keras.Model.get_weights``.
    seed : int
        Seed of the dropout masks, should the model go on training.
    """
    import keras

    def drop(kind: str, i: int) -> Any:
        rate = {
            "input": own.recipe.input_dropout,
            "block": own.spatial_dropout,
            "hidden": own.recipe.dropout,
        }[kind]
        if not rate:
            return None
        if kind == "block":
            return _kind(shape, "SpatialDropout{}D")(rate, seed=seed + 1000 + i)
        return keras.layers.Dropout(rate, seed=seed + (i + 1 if kind == "hidden" else 0))

    inputs, logits, _ = layer_outputs(shape, own.recipe, drop)
    model = keras.Model(inputs, logits)
    model.set_weights(weights)
    return model


class ImageMember:
    """A fitted network over images as plain arrays; its Keras model is built when asked. See ``autoreg.serving.Member``.

    Parameters
    ----------
    shape, own : ImageShape, ImageRecipe
    weights : list of ndarray
        In the order of ``keras.Model.get_weights``.
    task : Task
    scale, shift : float
        Regression values are ``output * scale + shift``.
    """

    kind = "network"

    def __init__(
        self,
        shape: ImageShape,
        own: ImageRecipe,
        weights: Weights,
        task: Task,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> None:
        self.shape, self.own, self.weights, self.task = shape, own, weights, task
        self.scale, self.shift = scale, shift

    @cached_property
    def model(self) -> Any:
        """The ordinary Keras model, compiled, so that it saves, predicts and goes on training."""
        model = build_model(self.shape, self.own, self.weights)
        compile_model(model, self.own.recipe, self.task)
        return model

    @property
    def served(self) -> NetworkMember:
        """The member that a saved one becomes."""
        return NetworkMember(self.model, self.task, self.scale, self.shift)

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """See ``Member``."""
        return self.served.predict(X)

    def save(self, folder: Path) -> dict[str, Any]:
        """See ``Member``; ``NetworkMember.load`` reads it."""
        return self.served.save(folder)
