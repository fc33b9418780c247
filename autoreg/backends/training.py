"""Trains networks over images one by one: epochs of steps, early stopping, best weights restored."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from autoreg.backends import Fit, FitFailure, FitJob, always
from autoreg.backends.common import NO_ROW, counted, mean_weight, standardised, target_scale, unit_weights
from autoreg.backends.convolution import ImageMember, fit_zca
from autoreg.backends.images import (
    ImageRecipe,
    ImageShape,
    native_image_names,
    read_image_recipe,
    read_shape,
)
from autoreg.backends.layers import Weights, complexity, native_names
from autoreg.backends.training_program import Key, Program, program
from autoreg.trial import Encoded, OutOfTime, Params, Part, Scalar

Arrays = tuple[Any, Any, Any]
MOVES = frozenset({"rotation", "shift", "zoom"})


def fit_images(
    jobs: Sequence[FitJob], params: Sequence[Params], in_time: Callable[[], bool] = always
) -> list[Fit | FitFailure]:
    """Fit jobs with their effective parameters; outcomes in the order of the jobs.

    Raises
    ------
    OutOfTime
        ``in_time`` said no between two steps.
    """
    return [fit_image(job, own, in_time) for job, own in zip(jobs, params, strict=True)]


@dataclass
class Course:
    """How a training went.

    Attributes
    ----------
    train, stop, accuracy : list of float
        By epoch: mean losses without penalty, and share of right guesses on the stop part.
    best : float
        What early stopping has seen best, smaller is better.
    rounds : int
        Epochs that ``weights`` have seen.
    weights : list of ndarray or None
    """

    train: list[float] = field(default_factory=list)
    stop: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    best: float = math.inf
    rounds: int = 0
    weights: Weights | None = None

    @property
    def failed(self) -> bool:
        """Whether a loss of the last epoch is not finite."""
        return not all(math.isfinite(curve[-1]) for curve in (self.train, self.stop) if curve)

    def improves(self, own: ImageRecipe) -> bool:
        """Whether the last epoch is the best yet, as Keras' early stopping has it; notes it if so."""
        if not self.stop or not own.early_stopping:
            return True
        value = -self.accuracy[-1] if own.recipe.monitor == "accuracy" else self.stop[-1]
        better = value < self.best - own.recipe.min_delta
        self.best = value if better else self.best
        return better


def fit_image(job: FitJob, params: Params, in_time: Callable[[], bool] = always) -> Fit | FitFailure:
    """Fit one job with its effective parameters."""
    started, data = time.perf_counter(), job.data
    train = counted(data.train)
    if not len(train):
        return FitFailure(NO_ROW, params)
    if data.image is None:
        raise ValueError("a network over images was given rows that are none")
    shape = read_shape(params, data.image, data.n_classes if data.task == "multiclass" else 1)
    own = read_image_recipe(params)
    scaling = target_scale(train) if data.task == "regression" else (0.0, 1.0)
    machine = program(Key(shape, data.task, own.recipe.optimizer, _parts(own)))
    weights = machine.initial_weights(job.seed)
    if shape.zca:
        weights[:2] = fit_zca(train.X, own.zca_epsilon)
    machine.load(own, weights, job.seed)
    stop = None if job.rounds else _stop_part(data)
    rows = _arrays(data, train, scaling), None if stop is None else _arrays(data, stop, scaling)
    course = _train(machine, own, job, rows, in_time)
    seconds = time.perf_counter() - started
    if course.weights is None or course.failed:
        reason = f"the loss became NaN or infinite in epoch {len(course.train)}: the network diverged"
        return FitFailure(reason, params, seconds)
    return _fit(job, params, shape, own, course, scaling, seconds)


def _fit(
    job: FitJob,
    params: Params,
    shape: ImageShape,
    own: ImageRecipe,
    course: Course,
    scaling: tuple[float, float],
    seconds: float,
) -> Fit:
    assert course.weights is not None
    shift, scale = scaling
    told = {"train_loss": course.train} | ({"stop_loss": course.stop} if course.stop else {})
    with np.errstate(over="ignore"):  # the square of a target beyond 1e154 is infinite, the fit is not
        curves = {name: np.array(curve) * scale * scale for name, curve in told.items()}
    native: dict[str, Scalar] = {
        **native_names(own.recipe, shape.dense),
        **native_image_names(shape, own),
    }
    trained = course.weights[2:] if shape.zca else course.weights
    return Fit(
        member=ImageMember(shape, own, course.weights, job.data.task, scale, shift),
        params=params,
        native=native,
        rounds=course.rounds,
        complexity=complexity([w for w in trained if w.ndim >= 2]),
        curves=curves,
        seconds=seconds,
    )


def _parts(own: ImageRecipe) -> frozenset[str]:
    """What the program is traced for. Turn, shift and zoom are one operation, so that they come together or not at all."""
    activity = any(own.recipe.activity_l1) or any(own.recipe.activity_l2)
    parts = own.augment.parts | ({"activity"} if activity else set())
    return parts | MOVES if parts & MOVES else parts


def _stop_part(data: Encoded) -> Part | None:
    part = None if data.stop is None else counted(data.stop)
    return part if part is not None and len(part) else None


def _arrays(data: Encoded, part: Part, scaling: tuple[float, float]) -> Arrays:
    """Rows (rows, pixels), targets (rows, outputs) and weights of mean 1 (rows,) as tensors."""
    if data.task == "multiclass":
        y: NDArray[Any] = np.eye(data.n_classes, dtype=np.float32)[part.y]
    else:
        y = (standardised(part, *scaling) if data.task == "regression" else part.y)[:, np.newaxis]
    weight = unit_weights(part, mean_weight(part)).weight
    weight = np.ones(len(part)) if weight is None else weight
    return tuple(tf.constant(np.asarray(a, np.float32)) for a in (part.X, y, weight))


def _train(
    machine: Program,
    own: ImageRecipe,
    job: FitJob,
    parts: tuple[Arrays, Arrays | None],
    in_time: Callable[[], bool],
) -> Course:
    """Epoch after epoch to the end; the stop part is looked at after each."""
    train, stop = parts
    course, wait = Course(), 0
    for epoch in range(1, (job.rounds or own.recipe.epochs) + 1):
        course.train.append(_epoch(machine, train, own.recipe.batch_size, (job.seed, epoch), in_time))
        if stop is not None:
            loss, accuracy = _judged(machine, stop, in_time)
            course.stop.append(loss)
            course.accuracy.append(accuracy)
        if course.failed:
            return course
        wait += 1
        if course.improves(own):
            course.weights, course.rounds, wait = machine.weights(), epoch, 0
        elif wait >= own.recipe.patience:
            return course
    return course


def _epoch(
    machine: Program, train: Arrays, size: int, seed: tuple[int, int], in_time: Callable[[], bool]
) -> float:
    """One pass over the rows in a random order, in batches whose sizes differ by one at most; their mean loss."""
    count = len(train[2])
    order = np.random.default_rng(seed).permutation(count)
    total = 0.0
    for rows in np.array_split(order, -(-count // size)):
        if not in_time():
            raise OutOfTime
        total += float(machine.step(*train, tf.constant(rows)))
    return total / count


def _judged(machine: Program, stop: Arrays, in_time: Callable[[], bool]) -> tuple[float, float]:
    """Mean loss and accuracy of the stop part."""
    count, size, sums = len(stop[2]), machine.judged_rows, np.zeros(2)
    for i in range(0, count, size):
        if not in_time():
            raise OutOfTime
        sums += [float(v) for v in machine.judge(*(part[i : i + size] for part in stop))]
    return float(sums[0] / count), float(sums[1] / count)
