"""Folds and recipes stacked into the tensors that a population's epoch takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from autoreg.backends.common import standardised, target_scale
from autoreg.backends.layers import Recipe
from autoreg.backends.population_records import Members, Progress, Rows
from autoreg.trial import Encoded, Part

_USUAL = frozenset({"dropout", "l1", "l2", "decay"})
_USES: dict[str, Callable[[Recipe], Any]] = {
    "dropout": lambda r: r.dropout,
    "input_dropout": lambda r: r.input_dropout,
    "l1": lambda r: any(r.kernel_l1),
    "l2": lambda r: any(r.kernel_l2),
    "bias": lambda r: r.bias_l1 or r.bias_l2,
    "activity": lambda r: any(r.activity_l1) or any(r.activity_l2),
    "decay": lambda r: r.weight_decay,
    "smoothing": lambda r: r.label_smoothing,
}


def parts_used(recipes: Sequence[Recipe]) -> frozenset[str]:
    """What some recipe needs of the program.

    What searches vary comes together or not at all: a part that nobody uses changes no bit of a result and little of its
    time, another trace would cost more.
    """
    used = frozenset(name for name, use in _USES.items() if any(use(recipe) for recipe in recipes))
    return used | _USUAL if used else used


def scaling(data: Encoded) -> tuple[float, float]:
    """Shift and scale that standardise a regression target over the train part; (0, 1) for classes."""
    return target_scale(data.train) if data.task == "regression" else (0.0, 1.0)


def new_progress(members: int) -> Progress:
    """The standing of members before their first epoch."""
    zero, no = tf.zeros(members, tf.int32), tf.zeros(members, tf.bool)
    return Progress(
        best=tf.fill((members,), np.float32(np.inf)), best_epoch=zero, wait=zero, active=~no, failed=no
    )


def _floats(values: Iterable[Any]) -> Any:
    return tf.constant(np.array(list(values), np.float32))


def stack_recipes(
    recipes: Sequence[Recipe],
    slots: Sequence[int],
    seeds: Sequence[int],
    epochs: Sequence[int],
    has_stop: Sequence[bool],
) -> Members:
    """Each member's own numbers, one entry a member in every argument."""
    same = ("min_delta", "kernel_l1", "kernel_l2", "bias_l1", "bias_l2", "activity_l1", "activity_l2")
    return Members(
        **{name: _floats(getattr(r, name) for r in recipes) for name in same},
        slot=tf.constant(slots, tf.int32),
        seed=tf.constant(seeds, tf.int64),
        epochs=tf.constant(epochs, tf.int32),
        patience=tf.constant([r.patience for r in recipes], tf.int32),
        has_stop=tf.constant(has_stop),
        by_accuracy=tf.constant([r.monitor == "accuracy" for r in recipes]),
        rate=_floats(r.learning_rate for r in recipes),
        decay=_floats(r.weight_decay for r in recipes),
        smoothing=_floats(r.label_smoothing for r in recipes),
        keep=_floats(1.0 - r.dropout for r in recipes),
        input_keep=_floats(1.0 - r.input_dropout for r in recipes),
        lift=_floats(1.0 / (1.0 - r.dropout) for r in recipes),
        input_lift=_floats(1.0 / (1.0 - r.input_dropout) for r in recipes),
    )


def round_up(rows: int) -> int:
    """The next multiple of 16.

    Vector instructions take 16 numbers at a time and round exponentials of a remainder otherwise; without one, a member
    gets the same bits wherever it stands and whatever the number of threads.
    """
    return -(-rows // 16) * 16


def stack_rows(slots: Sequence[Encoded]) -> Rows:
    """Training and stop rows of every slot, as the program takes them."""
    trains = [_arrays(data, data.train) for data in slots]
    counts = np.array([len(data.train) for data in slots], np.int32)
    size = round_up(max(len(data.stop) if data.stop else 0 for data in slots))
    stops = [_padded(_arrays(data, data.stop or _no_rows(data)), size) for data in slots]
    x, y, w = (np.concatenate(part) for part in zip(*trains, strict=True))
    stop_x, stop_y, stop_w = (np.concatenate(part) for part in zip(*stops, strict=True))
    starts = (np.cumsum(counts) - counts).astype(np.int32)
    arrays = (x, y, w, starts, counts, stop_x, stop_y, stop_w, np.int32(size))
    return Rows(*(tf.convert_to_tensor(a) for a in arrays))


def _no_rows(data: Encoded) -> Part:
    return Part(data.train.X[:0], data.train.y[:0], None)


def _arrays(data: Encoded, part: Part) -> tuple[NDArray[Any], ...]:
    """Inputs, targets and weights of mean 1 of a part."""
    y = standardised(part, *scaling(data)) if data.task == "regression" else part.y
    alike = part.weight is None or not np.any(part.weight)
    weight = np.ones(len(part)) if alike else np.asarray(part.weight, np.float64)
    weight = weight if alike else weight / weight.mean()
    kind = np.int32 if data.task == "multiclass" else np.float32
    return np.asarray(part.X, np.float32), np.asarray(y, kind), np.asarray(weight, np.float32)


def _padded(arrays: tuple[NDArray[Any], ...], size: int) -> tuple[NDArray[Any], ...]:
    """Stop rows padded with zeros to ``size``; the weights sum to 1."""
    x, y, w = arrays
    more = size - len(y)
    w = (w / max(len(w), 1)).astype(np.float32)
    return np.pad(x, ((0, more), (0, 0))), np.pad(y, (0, more)), np.pad(w, (0, more))
