"""One network at a time, through Keras' own layers, losses and optimizers, a whole epoch in one graph function."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import Fit, FitFailure, FitJob
from autoreg.backends.layers import (
    Recipe,
    Weights,
    build_model,
    compile_model,
    complexity,
    initial_weights,
    native_names,
    read_recipe,
    read_shape,
)
from autoreg.serving import NetworkMember
from autoreg.trial import Part, Scalar, Task


def fit_one(job: FitJob, params: dict[str, Scalar]) -> Fit | FitFailure:
    """Fit one job with effective parameters ``params``."""
    started = time.perf_counter()
    data = job.data
    outputs = data.n_classes if data.task == "multiclass" else 1
    shape, recipe = read_shape(params, len(data.columns), outputs), read_recipe(params)
    model = build_model(shape, recipe, initial_weights(shape, job.seed), job.seed)
    compile_model(model, recipe, data.task)
    scale, shift = target_scale(data.train, data.task)
    run = _Run(model, recipe, data.task, (scale, shift), job)
    best = run.train()
    if best is None:
        return FitFailure(
            "the training loss became NaN or infinite: the network diverged",
            params,
            time.perf_counter() - started,
        )
    epoch, weights, curves = best
    model.set_weights(weights)
    return Fit(
        member=NetworkMember(model, data.task, scale, shift),
        params=params,
        native=native_names(recipe, shape),
        rounds=epoch,
        complexity=complexity([w for w in weights if w.ndim == 2]),
        curves=curves,
        seconds=time.perf_counter() - started,
    )


def target_scale(train: Part, task: Task) -> tuple[float, float]:
    """Scale and shift that standardise a regression target over the train part; (1, 0) for classes."""
    if task != "regression":
        return 1.0, 0.0
    shift = float(np.average(train.y, weights=train.weight))
    scale = float(np.sqrt(np.average((train.y - shift) ** 2, weights=train.weight)))
    return scale if scale > 0 else 1.0, shift


def unit_weight(part: Part) -> NDArray[np.float32]:
    """Sample weights scaled to mean 1, or ones."""
    weight = np.ones(len(part)) if part.weight is None else np.asarray(part.weight, np.float64)
    return np.asarray(weight / weight.mean(), np.float32)


class _Run:
    """The training of one model."""

    def __init__(
        self, model: Any, recipe: Recipe, task: Task, scaling: tuple[float, float], job: FitJob
    ) -> None:
        import tensorflow as tf

        self.model, self.recipe, self.task, self.job = model, recipe, task, job
        self.scale, self.shift = scaling
        self.rng = np.random.default_rng([job.seed, 1])
        self.train_part = [tf.constant(a) for a in self._arrays(job.data.train)]
        stop = job.data.stop if not job.rounds else None
        self.stop_part = None if stop is None else [tf.constant(a) for a in self._arrays(stop)]
        self.steps = -(-len(job.data.train) // recipe.batch_size)
        model.optimizer.build(model.trainable_variables)
        self.epoch = tf.function(self._epoch)
        self.judge = tf.function(self._judge)

    def _arrays(self, part: Part) -> tuple[NDArray[Any], ...]:
        y = (part.y - self.shift) / self.scale if self.task == "regression" else part.y
        kind = np.int32 if self.task == "multiclass" else np.float32
        return part.X, np.asarray(y, kind), unit_weight(part)

    def _rows(self, y: Any, z: Any, smoothing: float = 0.0) -> Any:
        """Loss per row of logits or values ``z``."""
        import tensorflow as tf

        if self.task == "regression":
            return tf.square(z[:, 0] - y)
        if self.task == "binary":
            soft = y * (1 - smoothing) + 0.5 * smoothing
            return tf.nn.sigmoid_cross_entropy_with_logits(soft, z[:, 0])
        k = z.shape[1]
        soft = tf.one_hot(y, k) * (1 - smoothing) + smoothing / k
        return tf.nn.softmax_cross_entropy_with_logits(soft, z)

    def _epoch(self, order: Any) -> Any:
        """Every step of one epoch over rows in ``order``; the mean training loss without penalty and smoothing."""
        import tensorflow as tf

        X, y, w = self.train_part
        n = len(order)
        total = tf.constant(0.0)
        for s in tf.range(self.steps):
            rows = order[s * n // self.steps : (s + 1) * n // self.steps]
            target, weight = tf.gather(y, rows), tf.gather(w, rows)
            with tf.GradientTape() as tape:
                z = self.model(tf.gather(X, rows), training=True)
                loss = tf.reduce_mean(weight * self._rows(target, z, self.recipe.label_smoothing))
                loss += tf.add_n([tf.constant(0.0), *self.model.losses])
            variables = self.model.trainable_variables
            self.model.optimizer.apply(tape.gradient(loss, variables), variables)
            total += tf.reduce_sum(weight * self._rows(target, z))
        return total / tf.cast(n, tf.float32)

    def _judge(self, X: Any, y: Any, w: Any) -> Any:
        """Mean loss and accuracy of a part."""
        import tensorflow as tf

        z = self.model(X, training=False)
        guess = tf.cast(z[:, 0] > 0 if z.shape[1] == 1 else tf.argmax(z, 1), y.dtype)
        hit = tf.cast(guess == y, tf.float32)
        return tf.reduce_mean(w * self._rows(y, z)), tf.reduce_mean(w * hit)

    def train(self) -> tuple[int, Weights, dict[str, NDArray[Any]]] | None:
        """Best epoch, its weights and the curves; None when the loss is not finite."""
        train, stop, best, wait = [], [], np.inf, 0
        epoch, weights = 0, None
        for e in range(1, (self.job.rounds or self.recipe.epochs) + 1):
            train.append(float(self.epoch(self.rng.permutation(len(self.job.data.train)).astype(np.int32))))
            if not np.isfinite(train[-1]):
                return None
            if self.stop_part is None:
                epoch = e
                continue
            loss, accuracy = (float(v) for v in self.judge(*self.stop_part))
            if not np.isfinite(loss):
                return None
            stop.append(loss)
            value, wait = loss if self.recipe.monitor == "loss" else -accuracy, wait + 1
            if value < best - self.recipe.min_delta:
                best, wait, epoch, weights = value, 0, e, self.model.get_weights()
            if wait >= self.recipe.patience:
                break
        curves = {"train_loss": np.array(train) * self.scale**2}
        if stop:
            curves["stop_loss"] = np.array(stop) * self.scale**2
        return epoch, weights if weights is not None else self.model.get_weights(), curves
