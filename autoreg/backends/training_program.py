"""A network over images in training: Keras' layers and optimizers in a step that is traced once for a shape.

What differs between trials of one shape (penalties, dropout, learning rate, strengths of augmentation) is kept in
variables, so that they share the trace. Penalties are added to the gradient as in a population, and decay acts on kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autoreg.backends.augment import Dice, augment
from autoreg.backends.convolution import layer_outputs
from autoreg.backends.images import AMOUNTS, ImageRecipe, ImageShape
from autoreg.backends.layers import Recipe, Weights
from autoreg.trial import Task

Tensor = Any
JUDGED = 2**24  # numbers that the widest layer holds while rows are judged
KEPT = 8  # programs that a process keeps: TensorFlow does not give all of a dropped one back, some 6 MB stay
RATES = ("dropout", "input_dropout", "learning_rate", "weight_decay", "label_smoothing", "bias_l1", "bias_l2")
LAYERED = ("kernel_l1", "kernel_l2", "activity_l1", "activity_l2")
_MASKS = 0x5DEECE66D  # keeps the seeds of dropout apart from those of augmentation
_PLACES = 4096  # dropout layers a step


@dataclass(frozen=True)
class Key:
    """What a program is traced for; ``parts`` are those of ``Augment``, and "activity"."""

    shape: ImageShape
    task: Task
    optimizer: str
    parts: frozenset[str]


class _Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Calls a function while training; never part of a saved model."""

    def __init__(self, drop: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.drop = drop

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """See ``keras.layers.Layer``."""
        return self.drop(x) if training else x


class Program:
    """A network, its optimizer and its dials; ``load`` makes it new, ``step`` trains it on some rows."""

    def __init__(self, key: Key) -> None:
        self.key, layers = key, key.shape.kernels
        self.dials = {name: _variable(()) for name in (*RATES, *AMOUNTS, "spatial_dropout")}
        self.dials |= {name: _variable((layers - name.startswith("activity"),)) for name in LAYERED}
        self.seed, self.at = _variable((), tf.int64), _variable((), tf.int64)
        inputs, logits, found = layer_outputs(key.shape, _no_penalties(layers), self._dropout)
        self.model = keras.Model(inputs, [logits, *found])
        self.trained = self.model.trainable_variables
        self.kernels = [v for v in self.trained if v.path.endswith("kernel")]
        kind = keras.optimizers.SGD if key.optimizer == "sgd" else keras.optimizers.Adam
        self.optimizer = kind()
        self.optimizer.build(self.trained)
        spec = tf.TensorSpec
        x, y, w = (
            spec((None, key.shape.pixels), tf.float32),
            spec((None, key.shape.dense.outputs), tf.float32),
            spec((None,), tf.float32),
        )
        self.step = tf.function(
            self._step, autograph=False, input_signature=[x, y, w, spec((None,), tf.int64)]
        )
        self.judge = tf.function(self._judge, autograph=False, input_signature=[x, y, w])

    def load(self, own: ImageRecipe, weights: Weights, seed: int) -> None:
        """Start a network anew."""
        for name in (*RATES, *LAYERED):
            self.dials[name].assign(getattr(own.recipe, name))
        for name in AMOUNTS:
            self.dials[name].assign(getattr(own.augment, name))
        self.dials["spatial_dropout"].assign(own.spatial_dropout)
        self.seed.assign(seed)
        self.at.assign(0)
        self.model.set_weights(weights)
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        self.optimizer.learning_rate = own.recipe.learning_rate

    def initial_weights(self, seed: int) -> Weights:
        """Glorot-uniform kernels and zero biases (and neutral normalizations), in the order of the model."""
        rng, out = np.random.default_rng(seed), []
        for v in self.model.weights:
            name, shape = v.path.rsplit("/", 1)[-1], tuple(v.shape)
            if name != "kernel":
                out.append(np.full(shape, name in ("gamma", "moving_variance"), np.float32))
                continue
            field_size = int(np.prod(shape[:-2]))
            limit = np.sqrt(6.0 / (field_size * (shape[-2] + shape[-1])))
            out.append(rng.uniform(-limit, limit, shape).astype(np.float32))
        return out

    def weights(self) -> Weights:
        """The present weights, in the order of the model."""
        return [np.array(v) for v in self.model.get_weights()]

    @property
    def judged_rows(self) -> int:
        """Rows judged at a time."""
        widest = max(int(np.prod(layer.output.shape[1:])) for layer in self.model.layers)
        return max(16, min(512, JUDGED // widest))

    def _dropout(self, kind: str, i: int) -> Any:
        name = {"input": "input_dropout", "block": "spatial_dropout", "hidden": "dropout"}[kind]
        place = {"input": 0, "block": 1, "hidden": 2}[kind] + 3 * i

        def drop(x: Tensor) -> Tensor:
            shape, rate = tf.shape(x), self.dials[name]
            if kind == "block":  # whole filters
                middle = tf.ones(len(x.shape) - 2, tf.int32)
                shape = tf.concat([shape[:1], middle, shape[-1:]], 0)
            seed = tf.stack([tf.bitwise.bitwise_xor(self.seed, _MASKS), self.at * _PLACES + place])
            keep = tf.random.stateless_uniform(shape, seed) >= rate
            return tf.where(keep, x / (1.0 - rate), 0.0)

        return _Dropout(drop)

    def _step(self, x: Tensor, y: Tensor, w: Tensor, rows: Tensor) -> Tensor:
        """Train on some rows; the sum of their weighted losses without penalty."""
        x, y, w = (tf.gather(t, rows) for t in (x, y, w))
        if self.key.parts - {"activity"}:
            seen = tf.reshape(x, (-1, *self.key.shape.image))
            x, y, w = augment(seen, y, w, self.dials, self.key.parts, Dice(self.seed, self.at))
        count = tf.cast(tf.shape(rows)[0], tf.float32)
        variables = [v.value for v in self.trained]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits, *found = self.model(tf.reshape(x, (-1, self.key.shape.pixels)), training=True)
            plain, smooth = row_losses(self.key.task, logits, y, self.dials["label_smoothing"])
            total = tf.reduce_sum(w * smooth)
            total += self._activity(found) if "activity" in self.key.parts else 0.0
            total /= count
        grads = tape.gradient(total, variables)
        self.optimizer.apply([g + self._pull(v) for g, v in zip(grads, self.trained, strict=True)])
        self.at.assign_add(1)
        return tf.reduce_sum(w * plain)

    def _layered(self, name: str) -> list[Tensor]:
        """A dial's numbers, one a layer; indexing the variable itself would keep its graph alive for ever."""
        return list(tf.unstack(self.dials[name].read_value()))

    def _activity(self, found: list[Tensor]) -> Tensor:
        """Activity penalty, summed over the rows; Keras takes its mean over the batch."""
        l1, l2 = self._layered("activity_l1"), self._layered("activity_l2")
        return tf.add_n(
            [
                l1[i] * tf.reduce_sum(tf.abs(a)) + l2[i] * tf.reduce_sum(tf.square(a))
                for i, a in enumerate(found)
            ]
        )

    def _pull(self, variable: Any) -> Tensor:
        """The penalty's gradient of one array; decoupled decay of a kernel is done on the way."""
        value, dials = tf.convert_to_tensor(variable.value), self.dials
        for i, kernel in enumerate(self.kernels):
            if kernel is variable:
                variable.assign(value * (1.0 - dials["learning_rate"] * dials["weight_decay"]))
                l1, l2 = self._layered("kernel_l1")[i], self._layered("kernel_l2")[i]
                return l1 * tf.sign(value) + 2.0 * l2 * value
        if variable.path.rsplit("/", 1)[-1] in ("bias", "beta"):
            return dials["bias_l1"] * tf.sign(value) + 2.0 * dials["bias_l2"] * value
        return tf.zeros_like(value)

    def _judge(self, x: Tensor, y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums over rows of the loss and of right guesses, without dropout, penalty or augmentation."""
        logits = self.model(x, training=False)[0]
        loss = row_losses(self.key.task, logits, y, tf.constant(0.0))[0]
        if self.key.task == "multiclass":
            right = tf.equal(tf.argmax(logits, 1), tf.argmax(y, 1))
        else:
            right = tf.equal(logits[:, 0] > 0, y[:, 0] > 0.5)
        return tf.reduce_sum(w * loss), tf.reduce_sum(w * tf.cast(right, tf.float32))


def _variable(shape: tuple[int, ...], kind: Any = tf.float32) -> Any:
    return tf.Variable(tf.zeros(shape, kind), trainable=False)


def _no_penalties(layers: int) -> Recipe:
    """What the layers of the network in training are built with: its penalties are the step's."""
    zeros = (0.0,) * layers
    return Recipe(
        zeros, zeros, zeros[1:], zeros[1:], bias_l1=0.0, bias_l2=0.0, dropout=0.0, input_dropout=0.0,
        learning_rate=0.0, weight_decay=0.0, label_smoothing=0.0, patience=0, monitor="loss", min_delta=0.0,
        batch_size=0, epochs=0, optimizer="adam",
    )  # fmt: skip


@lru_cache(maxsize=KEPT)
def program(key: Key) -> Program:
    """The program for a key, traced once in a process and used by one fit after another."""
    return Program(key)


def row_losses(task: Task, z: Tensor, y: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of every row (rows,) without and with label smoothing; ``z`` and ``y`` are (rows, outputs)."""
    if task == "regression":
        loss = tf.square(z - y)[:, 0]
        return loss, loss
    if task == "binary":
        soft = y + smoothing * (0.5 - y)
        return tuple(tf.nn.softplus(z)[:, 0] - (z * target)[:, 0] for target in (y, soft))
    soft = y + smoothing * (1.0 / y.shape[1] - y)
    return tuple(tf.nn.softmax_cross_entropy_with_logits(target, z) for target in (y, soft))
