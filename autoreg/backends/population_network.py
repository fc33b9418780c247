"""The forward and the backward pass of all members, written by hand; every tensor is (members, rows, units).

Dropout multiplies by 0 or 1 here; its factor ``lift = 1 / keep`` is folded into the kernel that comes next (``folded``).
A sum of two layers' outputs, as a residual network has it, then carries the factor of both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from autoreg.backends.layers import EPSILON, Shape
from autoreg.backends.population_math import (
    ACTIVATIONS,
    Normalized,
    normalize,
    normalize_backward,
    root,
    row_sum,
)
from autoreg.backends.population_records import Batches, Key, Members

Tensor = Any
Name = tuple[str, int]
Values = dict[Name, Tensor]


class Pass(NamedTuple):
    """What one hidden layer leaves for the backward pass: before and after activation, after dropout, after the skip."""

    z: Tensor
    a: Tensor
    dropped: Tensor
    out: Tensor
    mask: Tensor | None
    norm: Normalized | None


def weight_shapes(shape: Shape) -> dict[Name, tuple[int, int]]:
    """Name and shape of every array of a member, in the order of ``keras.Model.get_weights``; vectors are one row."""
    out: dict[Name, tuple[int, int]] = {}
    for i, (inputs, units) in enumerate(shape.sizes):
        out["kernel", i] = inputs, units
        out |= {(kind, i): (1, units) for kind in shape.vectors(i)}
    return out


def each(v: Tensor) -> Tensor:
    """(members,) as (members, 1, 1)."""
    return v[:, tf.newaxis, tf.newaxis]


def folded(key: Key, own: Members, i: int) -> Tensor | None:
    """The dropout factor of the input of dense layer ``i``, (members,); None where no member has any."""
    if i == 0:
        return own.input_lift if "input_dropout" in key.parts else None
    return own.lift if "dropout" in key.parts else None


def valid_rows(batch: Batches) -> Tensor:
    """1.0 on the rows of a batch, 0.0 on the places beyond its size: (members, width, 1)."""
    return tf.cast(tf.range(tf.shape(batch.w)[1]) < tf.cast(batch.size, tf.int32)[:, tf.newaxis], tf.float32)[
        :, :, tf.newaxis
    ]


def forward(
    key: Key, value: Values, x: Tensor, masks: list[Tensor | None], batch: Batches
) -> tuple[list[Pass], Tensor]:
    """Train-time pass: what every hidden layer leaves, and the outputs."""
    passes = []
    for i, name in enumerate(key.shape.activations):
        z, norm = tf.matmul(x, value["kernel", i]), None
        if key.shape.norm == "none":
            z += value["bias", i]
        else:
            over_rows = key.shape.norm == "batch"
            count = each(batch.size) if over_rows else tf.constant(float(key.shape.hidden[i]))
            norm = normalize(z, 1 if over_rows else 2, valid_rows(batch) if over_rows else None, count)
            z = norm.standard * value["gamma", i] + value["beta", i]
        a = ACTIVATIONS[name].forward(z)
        dropped = a if masks[i] is None else a * masks[i]
        x = x + dropped if key.shape.adds(i) else dropped
        passes.append(Pass(z, a, dropped, x, masks[i], norm))
    last = len(passes)
    return passes, tf.matmul(x, value["kernel", last]) + value["bias", last]


def predict(key: Key, value: Values, x: Tensor) -> Tensor:
    """Outputs without dropout, batch normalization by the moving statistics."""
    for i, name in enumerate(key.shape.activations):
        z = tf.matmul(x, value["kernel", i])
        if key.shape.norm == "none":
            z += value["bias", i]
        elif key.shape.norm == "batch":
            scale = value["gamma", i] / root(value["variance", i] + EPSILON)
            z = z * scale + (value["beta", i] - value["mean", i] * scale)
        else:
            norm = normalize(z, 2, None, tf.constant(float(key.shape.hidden[i])))
            z = norm.standard * value["gamma", i] + value["beta", i]
        a = ACTIVATIONS[name].forward(z)
        x = x + a if key.shape.adds(i) else a
    last = len(key.shape.hidden)
    return tf.matmul(x, value["kernel", last]) + value["bias", last]


def backward(
    key: Key, value: Values, passes: list[Pass], g: Tensor, x: Tensor, own: Members, batch: Batches
) -> Values:
    """Gradients of every trained array of the loss whose gradient by the outputs is ``g``; no penalty of weights.

    Parameters
    ----------
    x : Tensor
        Input of the first dense layer.
    """
    grads: Values = {}
    out_g = g  # by the output of layer ``i``, where ``g`` is by its dense part
    for i in range(len(passes), -1, -1):
        layer_in = passes[i - 1].out if i else x
        factor = folded(key, own, i)
        grads["kernel", i] = tf.matmul(layer_in, g if factor is None else g * each(factor), transpose_a=True)
        if "bias" in key.shape.vectors(i):
            grads["bias", i] = row_sum(g)
        if i:
            g = tf.matmul(g, value["kernel", i], transpose_b=True)
            out_g = g + out_g if key.shape.adds(i) else g
            g = _through_hidden(key, value, passes[i - 1], out_g, own, batch, i - 1, grads)
    return grads


def _through_hidden(
    key: Key, value: Values, p: Pass, g: Tensor, own: Members, batch: Batches, i: int, grads: Values
) -> Tensor:
    """From the gradient by a hidden layer's output to the one by its dense part; notes those of its normalization."""
    activation = ACTIVATIONS[key.shape.activations[i]]
    plain = "activity" not in key.parts
    if activation.gated and plain:
        g = activation.backward(g, p.z, p.dropped)
    else:
        g = g if p.mask is None else g * p.mask
        g = (
            g
            if plain
            else g + _activity(p.a, own, i) * (valid_rows(batch) / each(tf.maximum(batch.size, 1.0)))
        )
        g = activation.backward(g, p.z, p.a)
    if p.norm is None:
        return g
    g, grads["gamma", i], grads["beta", i] = normalize_backward(g, value["gamma", i], p.norm)
    return g


def _activity(a: Tensor, own: Members, i: int) -> Tensor:
    """Gradient of the activity penalty of hidden layer ``i``; Keras takes its mean over the batch."""
    return each(own.activity_l1[:, i]) * tf.sign(a) + each(2.0 * own.activity_l2[:, i]) * a
