"""Many networks of one shape as one tensor program: a whole epoch of all of them is one graph function.

Every tensor has the members as its first axis. Gradients are written by hand; each member has its own penalties,
dropout, learning rate, decay, rows and stopping rule, and none of it mixes with the others'.

What keeps it fast changes nothing of the mathematics. A trained array is kept as ``u = w / learning rate``: Adam's step
does not depend on the rate, so TensorFlow's fused Adam kernel, with rate 1, serves members of different rates. Dropout's
noise is drawn once a step for all members; each takes its own window of it, by its seed. And nothing is compiled for a
size: members, rows, steps and batch width are unknown to the graph, so one trace serves all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from autoreg.backends.layers import MOMENTUM, Weights
from autoreg.backends.population_math import hits, row_losses
from autoreg.backends.population_network import (
    Name,
    Pass,
    Values,
    backward,
    each,
    folded,
    forward,
    predict,
    weight_shapes,
)
from autoreg.backends.population_records import Batches, Key, Members, Progress, Rows, signature

Tensor = Any
WINDOWS = 96  # rows of dropout noise beyond a batch: so many windows to choose from
STOP_ROWS = 512  # rows of the stop part judged at a time
BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7  # the defaults of Keras


@lru_cache(maxsize=8)
def program(key: Key) -> Program:
    """The program for a key, traced once in a process and used by one block after another."""
    return Program(key)


class Program:
    """The graph, and the weights of the members that it trains at present."""

    def __init__(self, key: Key) -> None:
        self.key = key
        shapes = weight_shapes(key.shape)
        self.names = tuple(shapes)
        self.trained = tuple(name for name in shapes if name[0] not in ("mean", "variance"))
        slots = 2 if key.optimizer == "adam" else 0
        self.values = {name: _empty(s) for name, s in shapes.items()}
        self.best = {name: _empty(s) for name, s in shapes.items()}
        self.moments = {name: [_empty(shapes[name]) for _ in range(slots)] for name in self.trained}
        self.epoch = tf.function(self._epoch, autograph=False, input_signature=signature(key))

    @property
    def members(self) -> int:
        """Members in training."""
        return int(tf.shape(self.values[self.names[0]])[0])

    def load(self, weights: list[Weights], own: Members) -> None:
        """Take new members in, with their first weights in Keras' order."""
        for i, name in enumerate(self.names):
            stacked = (
                np.stack([w[i] for w in weights]).astype(np.float32).reshape(-1, *self.values[name].shape[1:])
            )
            scale = np.reshape(own.rate, (-1, 1, 1)) if name in self.trained else 1.0
            self.values[name].assign((stacked / scale).astype(np.float32))
            self.best[name].assign(stacked)
            for moment in self.moments.get(name, ()):
                moment.assign(np.zeros_like(stacked))

    def best_weights(self, which: NDArray[np.int64]) -> list[Weights]:
        """The best weights of some members, in Keras' order and shapes."""
        return self._apart({name: tf.gather(self.best[name], which) for name in self.names})

    def weights(self, own: Members) -> list[Weights]:
        """The present weights of all members, in Keras' order and shapes."""
        return self._apart({name: self._value(own, name) for name in self.names})

    def _apart(self, values: Values) -> list[Weights]:
        arrays = [v.numpy() if name[0] == "kernel" else v.numpy()[:, 0] for name, v in values.items()]
        return [list(member) for member in zip(*arrays, strict=True)]

    def keep(self, which: NDArray[np.int64]) -> None:
        """Keep some members alone, in this order."""
        for name in self.names:
            for variable in (self.values[name], self.best[name], *self.moments.get(name, ())):
                variable.assign(tf.gather(variable, which))

    def _epoch(
        self, rows: Rows, own: Members, at: Progress, epoch: Tensor, steps: Tensor, width: Tensor
    ) -> tuple[Tensor, ...]:
        """Train every member for one epoch, judge it, note who improved, who is done and who failed.

        Returns the progress and the epoch's mean training and stop losses without penalty, (members,); then, where they
        are wanted, the shares of rows guessed right in training, as it went on, and of the stop rows.
        """
        batches = deal(rows, own, epoch, steps, width)
        window = self.windows(own, epoch, width)

        def body(s: Tensor, *totals: Tensor) -> tuple[Tensor, ...]:
            batch = Batches(*(tensor[s] for tensor in batches))
            masks = self.masks(own, epoch, s, window)
            found = self._step(rows, own, batch, masks, (epoch - 1) * steps + s + 1)
            return s + 1, *(total + new for total, new in zip(totals, found, strict=True))

        counted = 2 if "accuracy" in self.key.parts else 1
        start = (tf.constant(0), *(tf.zeros_like(own.rate) for _ in range(counted)))
        totals = tf.while_loop(lambda s, *_: s < steps, body, start)[1:]
        count = tf.cast(tf.gather(rows.counts, own.slot), tf.float32)
        train, *right = (total / count for total in totals)
        value = {name: self._value(own, name) for name in self.names}
        stop, accuracy = self._judge(rows, own, value)
        at, improved = _progress(own, at, epoch, train, stop, accuracy)
        self._note_best(value, improved)
        return at, train, stop, *([*right, accuracy] if right else [])

    def _value(self, own: Members, name: Name) -> Tensor:
        raw = self.values[name].read_value()
        return raw * each(own.rate) if name in self.trained else raw

    def windows(self, own: Members, epoch: Tensor, width: Tensor) -> Tensor:
        """Rows of dropout noise that each member takes in an epoch, (members, width)."""
        return hashed(own.seed, epoch, 2, tf.constant(WINDOWS + 1))[:, tf.newaxis] + tf.range(width)

    def masks(self, own: Members, epoch: Tensor, s: Tensor, window: Tensor) -> list[Tensor | None]:
        """Dropout's zeros and ones for the inputs and for every hidden layer; None where no member has any."""
        sizes = (self.key.shape.columns, *self.key.shape.hidden)
        rows, out = tf.shape(window)[1] + WINDOWS, []
        for i, size in enumerate(sizes):
            part, keep = ("dropout", own.keep) if i else ("input_dropout", own.input_keep)
            noise = tf.random.stateless_uniform((rows, size), tf.stack([epoch * len(sizes) + i, s]))
            out.append(tf.floor(tf.gather(noise, window) + each(keep)) if part in self.key.parts else None)
        return out

    def _step(
        self, rows: Rows, own: Members, batch: Batches, masks: list[Tensor | None], t: Tensor
    ) -> tuple[Tensor, ...]:
        """One step of every member: the sum of its rows' losses, and of its hits where they are wanted, (members,)."""
        raw = {name: self.values[name].read_value() for name in self.trained}
        value = {name: u * self._factor(own, name) for name, u in raw.items()}
        x = tf.gather(rows.x, batch.rows)
        x = x if masks[0] is None else x * masks[0]
        passes, z = forward(self.key, value, x, masks[1:], batch)
        smoothing = own.smoothing[:, tf.newaxis] if "smoothing" in self.key.parts else None
        loss, g = row_losses(self.key.task, z, batch.y, smoothing)
        grads = backward(self.key, value, passes, g * batch.w[:, :, tf.newaxis], x, own, batch)
        for name in self.trained:
            self._update(name, raw[name], grads[name], own, t)
        self._move_statistics(passes, batch)
        told = (loss, hits(self.key.task, z, batch.y)) if "accuracy" in self.key.parts else (loss,)
        return tuple(tf.reduce_sum(values * batch.w, 1) * batch.size for values in told)

    def _factor(self, own: Members, name: Name) -> Tensor:
        """What turns a kept array into the one that multiplies: learning rate, and dropout's factor for kernels."""
        dropout = folded(self.key, own, name[1]) if name[0] == "kernel" else None
        return each(own.rate if dropout is None else own.rate * dropout)

    def _update(self, name: Name, raw: Tensor, g: Tensor, own: Members, t: Tensor) -> None:
        """Add the penalty's gradient, decay, and take the optimizer's step."""
        variable, parts, (kind, i) = self.values[name], self.key.parts, name
        terms = [g]
        if kind == "kernel":
            terms += [each(own.kernel_l1[:, i]) * tf.sign(raw)] if "l1" in parts else []
            terms += [each(2.0 * own.kernel_l2[:, i] * own.rate) * raw] if "l2" in parts else []
        elif kind in ("bias", "beta") and "bias" in parts:
            terms += [each(own.bias_l1) * tf.sign(raw), each(2.0 * own.bias_l2 * own.rate) * raw]
        g = tf.add_n(terms) if len(terms) > 1 else g
        if kind == "kernel" and "decay" in parts:
            variable.assign(raw * each(1.0 - own.rate * own.decay))
        one = tf.constant(1.0)
        if self.key.optimizer == "sgd":
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=one, delta=g)
            return
        m, v = (moment.handle for moment in self.moments[name])
        time = tf.cast(t, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=m, v=v, beta1_power=BETA_1**time, beta2_power=BETA_2**time,
            lr=one, beta1=BETA_1, beta2=BETA_2, epsilon=ADAM_EPSILON, grad=g,
        )  # fmt: skip

    def _move_statistics(self, passes: list[Pass], batch: Batches) -> None:
        """Moving mean and variance of batch normalization."""
        if self.key.shape.norm != "batch":
            return
        for i, p in enumerate(passes):
            for kind, new in (("mean", p.norm.mean), ("variance", p.norm.variance)):  # type: ignore[union-attr]
                variable = self.values[kind, i]
                old = variable.read_value()
                variable.assign(old + (new - old) * (1.0 - MOMENTUM))

    def _judge(self, rows: Rows, own: Members, value: Values) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of every member on its stop part, without dropout and penalty; 0 where there is none."""
        first = own.slot[:, tf.newaxis] * rows.stop_size

        def body(at: Tensor, loss: Tensor, accuracy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            which = first + tf.range(at, tf.minimum(at + STOP_ROWS, rows.stop_size))
            z = predict(self.key, value, tf.gather(rows.stop_x, which))
            y, w = tf.gather(rows.stop_y, which), tf.gather(rows.stop_w, which)
            loss += tf.reduce_sum(w * row_losses(self.key.task, z, y, None)[0], 1)
            return at + STOP_ROWS, loss, accuracy + tf.reduce_sum(w * hits(self.key.task, z, y), 1)

        zero = tf.zeros_like(own.rate)
        _, loss, accuracy = tf.while_loop(
            lambda at, *_: at < rows.stop_size, body, (tf.constant(0), zero, zero)
        )
        return loss, accuracy

    def _note_best(self, value: Values, improved: Tensor) -> None:
        """Copy the arrays of the members that improved."""
        which = tf.cast(tf.where(improved)[:, 0], tf.int32)
        for name in self.names:
            updates = tf.gather(value[name], which)
            tf.raw_ops.ResourceScatterUpdate(resource=self.best[name].handle, indices=which, updates=updates)


def _empty(shape: tuple[int, int]) -> Any:
    """A variable for no member yet, of any number of them."""
    return tf.Variable(np.zeros((0, *shape), np.float32), shape=(None, *shape), trainable=False)


def hashed(seed: Tensor, epoch: Tensor, stream: int, size: Tensor) -> Tensor:
    """Numbers in [0, size), int32, one per member, from seed, epoch and stream alone (the finalizer of murmur3)."""
    h = (
        seed * 6364136223846793005
        + tf.cast(epoch, tf.int64) * 1442695040888963407
        + stream * 1442695040888963
    )
    for factor in (-49064778989728563, -4265267296055464877):
        h = tf.bitwise.bitwise_xor(h, tf.bitwise.right_shift(h, tf.constant(33, tf.int64))) * factor
    return tf.cast(tf.math.floormod(h, tf.cast(size, tf.int64)), tf.int32)


def deal(rows: Rows, own: Members, epoch: Tensor, steps: Tensor, width: Tensor) -> Batches:
    """An epoch's batches: the rows of a slot in a new random order, which each member enters at its own place.

    A member's rows are dealt to ``steps`` batches whose sizes differ by one row at most. All slots order their rows by the
    same numbers, so that nothing here depends on which other slots there are.
    """
    longest = tf.reduce_max(rows.counts)
    noise = tf.random.stateless_uniform((longest,), tf.stack([epoch, -1]))
    order = tf.argsort(tf.where(tf.range(longest) < rows.counts[:, tf.newaxis], noise, 2.0))
    count, slot = tf.gather(rows.counts, own.slot), own.slot[:, tf.newaxis]
    dealt = tf.range(steps + 1, dtype=tf.int64)[:, tf.newaxis] * tf.cast(count, tf.int64)
    edges = tf.cast(dealt // tf.cast(steps, tf.int64), tf.int32)
    start, size = edges[:-1], edges[1:] - edges[:-1]
    place = (start + hashed(own.seed, epoch, 1, count))[:, :, tf.newaxis] + tf.range(width)
    place = slot * longest + tf.math.floormod(place, count[:, tf.newaxis])
    picked = tf.gather(rows.starts, slot) + tf.gather(tf.reshape(order, (-1,)), place)
    valid = tf.range(width) < size[:, :, tf.newaxis]
    portion = tf.cast(size, tf.float32)
    weight = (
        tf.gather(rows.w, picked) * tf.cast(valid, tf.float32) / tf.maximum(portion, 1.0)[:, :, tf.newaxis]
    )
    return Batches(picked, tf.gather(rows.y, picked), weight, portion)


def _progress(
    own: Members, at: Progress, epoch: Tensor, train: Tensor, stop: Tensor, accuracy: Tensor
) -> tuple[Progress, Tensor]:
    """Early stopping as Keras has it, for every member: its new standing, and whether this epoch is its best yet."""
    finite = tf.math.is_finite(train) & (tf.math.is_finite(stop) | ~own.has_stop)
    value = tf.where(own.by_accuracy, -accuracy, stop)
    improved = at.active & finite & ((value < at.best - own.min_delta) | ~own.has_stop)
    wait = tf.where(improved, 0, at.wait + 1)
    failed = at.failed | (at.active & ~finite)
    done = failed | (own.has_stop & (wait >= own.patience)) | (epoch >= own.epochs)
    new = Progress(
        best=tf.where(improved, value, at.best),
        best_epoch=tf.where(improved, epoch, at.best_epoch),
        wait=wait,
        active=at.active & ~done,
        failed=failed,
    )
    return new, improved
