"""What goes into and out of a population's epoch, as tuples of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from autoreg.backends.layers import Shape
from autoreg.trial import Task

Tensor = Any


@dataclass(frozen=True)
class Key:
    """What a program is traced for.

    Attributes
    ----------
    shape : Shape
    task : Task
    optimizer : {"adam", "sgd"}
    parts : frozenset of str
        What some member needs: "dropout", "input_dropout", "l1", "l2", "bias", "activity", "decay", "smoothing";
        and "accuracy" where its curves are wanted.
    """

    shape: Shape
    task: Task
    optimizer: str
    parts: frozenset[str]


class Rows(NamedTuple):
    """The rows of every data slot, one slot after the other.

    ``x`` (rows, columns), ``y``, ``w`` (rows,) are the training rows, those of a slot from ``starts`` on for ``counts``
    (slots,); ``stop_*`` likewise, every slot padded to ``stop_size`` rows with weight 0. Weights of a slot have mean 1 over
    its training rows, and sum 1 over its stop rows.
    """

    x: Tensor
    y: Tensor
    w: Tensor
    starts: Tensor
    counts: Tensor
    stop_x: Tensor
    stop_y: Tensor
    stop_w: Tensor
    stop_size: Tensor


class Members(NamedTuple):
    """What is each member's own: (members,), or (members, layers) for penalties of kernels and activities.

    ``keep`` is 1 less the dropout rate and ``lift`` its reciprocal, taken outside the graph: a remainder of fewer than 16
    reciprocals is rounded otherwise there.
    """

    slot: Tensor
    seed: Tensor
    epochs: Tensor
    patience: Tensor
    has_stop: Tensor
    by_accuracy: Tensor
    min_delta: Tensor
    rate: Tensor
    decay: Tensor
    smoothing: Tensor
    keep: Tensor
    input_keep: Tensor
    lift: Tensor
    input_lift: Tensor
    kernel_l1: Tensor
    kernel_l2: Tensor
    bias_l1: Tensor
    bias_l2: Tensor
    activity_l1: Tensor
    activity_l2: Tensor


class Progress(NamedTuple):
    """Where each member stands; all (members,)."""

    best: Tensor
    best_epoch: Tensor
    wait: Tensor
    active: Tensor
    failed: Tensor


class Batches(NamedTuple):
    """An epoch's batches: row numbers, targets and weights (steps, members, width), and sizes (steps, members).

    A weight is the row's sample weight over the batch's size, 0 on places beyond it. Indexed by a step, one batch.
    """

    rows: Tensor
    y: Tensor
    w: Tensor
    size: Tensor


def _specs(cls: Any, *groups: tuple[tuple[str, ...], Any]) -> Any:
    """Specifications of a tuple of float vectors, but for the groups."""
    special = {name: spec for names, spec in groups for name in names}
    return cls(*(special.get(name, tf.TensorSpec((None,), tf.float32)) for name in cls._fields))


def signature(key: Key) -> list[Any]:
    """Specifications of ``(Rows, Members, Progress, epoch, steps, width)``: no size is fixed but the columns and layers."""
    label = tf.int32 if key.task == "multiclass" else tf.float32
    scalar, matrix = tf.TensorSpec((), tf.int32), tf.TensorSpec((None, key.shape.columns), tf.float32)
    labels, whole, logical, wide = (tf.TensorSpec((None,), t) for t in (label, tf.int32, tf.bool, tf.int64))
    layers = len(key.shape.hidden)
    kernels, hidden = (tf.TensorSpec((None, n), tf.float32) for n in (layers + 1, layers))
    rows = _specs(
        Rows,
        (("x", "stop_x"), matrix),
        (("y", "stop_y"), labels),
        (("starts", "counts"), whole),
        (("stop_size",), scalar),
    )
    members = _specs(
        Members,
        (("slot", "epochs", "patience"), whole),
        (("seed",), wide),
        (("has_stop", "by_accuracy"), logical),
        (("kernel_l1", "kernel_l2"), kernels),
        (("activity_l1", "activity_l2"), hidden),
    )
    progress = _specs(Progress, (("best_epoch", "wait"), whole), (("active", "failed"), logical))
    return [rows, members, progress, scalar, scalar, scalar]
