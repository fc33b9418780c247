"""Activations, normalizations and losses of a population, forward and backward; every tensor is (members, rows, units)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from autoreg.backends.layers import EPSILON
from autoreg.trial import Task

Tensor = Any


@dataclass(frozen=True)
class Activation:
    """An activation and its gradient ``(g, z, a) -> g * f'(z)``, where ``a = f(z)``.

    ``gated``: f' is 0 exactly where f is, and 1 elsewhere, so the dropped-out activation says all.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    gated: bool = False


def _silu_backward(g: Tensor, z: Tensor, a: Tensor) -> Tensor:
    s = tf.sigmoid(z)
    return g * (s + a * (1.0 - s))


def _gelu_backward(g: Tensor, z: Tensor, a: Tensor) -> Tensor:
    density = tf.exp(-0.5 * z * z) * (1.0 / math.sqrt(2.0 * math.pi))
    return g * (0.5 * (1.0 + tf.math.erf(z * math.sqrt(0.5))) + z * density)


_raw = tf.raw_ops
ACTIVATIONS = {
    "relu": Activation(tf.nn.relu, lambda g, z, a: _raw.ReluGrad(gradients=g, features=a), gated=True),
    "tanh": Activation(tf.tanh, lambda g, z, a: _raw.TanhGrad(y=a, dy=g)),
    "sigmoid": Activation(tf.sigmoid, lambda g, z, a: _raw.SigmoidGrad(y=a, dy=g)),
    "elu": Activation(tf.nn.elu, lambda g, z, a: _raw.EluGrad(gradients=g, outputs=a)),
    "selu": Activation(tf.nn.selu, lambda g, z, a: _raw.SeluGrad(gradients=g, outputs=a)),
    "silu": Activation(tf.nn.silu, _silu_backward),
    "gelu": Activation(lambda z: tf.nn.gelu(z, approximate=False), _gelu_backward),
    "linear": Activation(lambda z: z, lambda g, z, a: g),
}


@dataclass(frozen=True)
class Normalized:
    """What the backward pass of a normalization needs; ``valid`` is None over units."""

    standard: Tensor
    deviation: Tensor
    mean: Tensor
    variance: Tensor
    axis: int
    valid: Tensor | None
    count: Tensor


def row_sum(t: Tensor) -> Tensor:
    """Sum over rows, (members, 1, units).

    As a product with ones: unlike ``reduce_sum`` over this axis, it gives a member the same bits wherever it stands.
    """
    return tf.matmul(tf.ones((tf.shape(t)[0], 1, tf.shape(t)[1])), t)


def root(t: Tensor) -> Tensor:
    """Square root to divide by; TensorFlow would turn that into its inexact ``rsqrt`` but for the idle maximum."""
    return tf.maximum(tf.sqrt(t), 0.0)


def _sum(t: Tensor, axis: int) -> Tensor:
    return row_sum(t) if axis == 1 else tf.reduce_sum(t, axis, keepdims=True)


def normalize(z: Tensor, axis: int, valid: Tensor | None, count: Tensor) -> Normalized:
    """Standardise over rows (``axis`` 1, over the ``count`` rows where ``valid`` is 1) or over units (``axis`` 2)."""
    masked = z if valid is None else z * valid
    mean = _sum(masked, axis) / count
    centred = z - mean if valid is None else (z - mean) * valid
    variance = _sum(centred * centred, axis) / count
    deviation = root(variance + EPSILON)
    return Normalized(centred / deviation, deviation, mean, variance, axis, valid, count)


def normalize_backward(g: Tensor, gamma: Tensor, n: Normalized) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a normalization: of its input, of gamma and of beta (the latter summed over rows)."""
    d_gamma, d_beta = row_sum(g * n.standard), row_sum(g)
    h = g * gamma
    mean = _sum(h, n.axis) / n.count
    slope = _sum(h * n.standard, n.axis) / n.count
    d = (h - mean - n.standard * slope) / n.deviation
    return (d if n.valid is None else d * n.valid), d_gamma, d_beta


def row_losses(task: Task, z: Tensor, y: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:
    """Loss of every row (members, rows) without smoothing, and the gradient by ``z`` of the loss with it.

    Parameters
    ----------
    z : Tensor, shape (members, rows, outputs)
    y : Tensor, shape (members, rows)
        0.0 or 1.0; class codes (int32); or standardised values.
    smoothing : Tensor, shape (members, 1), or None
        Label smoothing as Keras has it: the share of the target that is spread evenly over the classes.
    """
    if task == "multiclass":
        return _softmax_losses(z, y, smoothing)
    z = z[:, :, 0]
    if task == "regression":
        return tf.square(z - y), 2.0 * (z - y)[:, :, tf.newaxis]
    soft = y if smoothing is None else y + smoothing * (0.5 - y)
    return tf.nn.softplus(z) - z * y, (tf.sigmoid(z) - soft)[:, :, tf.newaxis]


def _softmax_losses(z: Tensor, y: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:
    shape, k = tf.shape(z), z.shape[2]
    flat = _raw.SparseSoftmaxCrossEntropyWithLogits(
        features=tf.reshape(z, (-1, k)), labels=tf.reshape(y, (-1,))
    )
    g = tf.reshape(flat.backprop, shape)
    if smoothing is not None:
        g += smoothing[:, :, tf.newaxis] * (tf.one_hot(y, k) - 1.0 / k)
    return tf.reshape(flat.loss, shape[:2]), g


def hits(task: Task, z: Tensor, y: Tensor) -> Tensor:
    """1.0 where the likeliest class is the true one, (members, rows); 0.0 throughout for regression."""
    if task == "regression":
        return tf.zeros_like(y)
    guess = tf.argmax(z, 2, tf.int32) if task == "multiclass" else tf.cast(z[:, :, 0] > 0, tf.float32)
    return tf.cast(tf.equal(guess, y), tf.float32)
