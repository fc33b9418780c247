"""Image augmentation: a training batch in, another version of it out, as TensorFlow ops drawn from a seed and a step.

Pixels are numbers of about 0 to 1 and targets are rows of numbers (one-hot classes, or one value), so that two images
can be mixed. Every function is the published one: cutout (DeVries & Taylor 2017), mixup (Zhang et al. 2018), cutmix
(Yun et al. 2019); shifts, turns and zooms repeat the pixel of the border where they look beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

Tensor = Any
STREAMS = 64  # independent draws a step
_FLIPPED = {  # spatial dimensions: axes of (rows, *spatial, channels)
    2: {"horizontal": (2,), "vertical": (1,), "both": (2, 1)},
    3: {"horizontal": (3,), "vertical": (2,), "both": (3, 2)},
}


class Dice:
    """Random tensors that depend on the seed, the step and how many were drawn before in the step.

    Parameters
    ----------
    seed, step : Tensor
        Scalars, int64.
    first : int
        Number of the first draw.
    """

    def __init__(self, seed: Tensor, step: Tensor, first: int = 0) -> None:
        self.seed, self.step, self.drawn = seed, step, first

    def _next(self) -> Tensor:
        self.drawn += 1
        return tf.stack([self.seed, self.step * STREAMS + self.drawn])

    def uniform(self, shape: Any) -> Tensor:
        """Numbers in [0, 1)."""
        return tf.random.stateless_uniform(shape, self._next())

    def within(self, shape: Any, amount: Tensor) -> Tensor:
        """Numbers in [-amount, amount)."""
        return (2.0 * self.uniform(shape) - 1.0) * amount

    def normal(self, shape: Any) -> Tensor:
        """Standard normal numbers."""
        return tf.random.stateless_normal(shape, self._next())

    def coin(self, shape: Any) -> Tensor:
        """Fair coins, logical."""
        return self.uniform(shape) < 0.5

    def beta(self, shape: Any, alpha: Tensor) -> Tensor:
        """Beta(alpha, alpha), from the logarithms of two gamma variates: those of a small alpha are below any float."""
        logs = []
        for _ in range(2):
            large = tf.random.stateless_gamma(shape, self._next(), alpha=alpha + 1.0)
            u = tf.maximum(self.uniform(shape), 1e-30)
            logs.append(tf.math.log(tf.maximum(large, 1e-30)) + tf.math.log(u) / alpha)
        return tf.sigmoid(logs[0] - logs[1])


def augment(
    x: Tensor, y: Tensor, w: Tensor, amounts: Mapping[str, Tensor], parts: frozenset[str], dice: Dice
) -> tuple[Tensor, Tensor, Tensor]:
    """Another version of a batch.

    Parameters
    ----------
    x : Tensor, shape (rows, *spatial, channels)
    y : Tensor, shape (rows, outputs)
    w : Tensor, shape (rows,)
        Weights; those of mixed rows are mixed, and targets in proportion to them, so that the weighted loss is the
        mean of both rows' own.
    amounts : mapping of str to Tensor
        "rotation" (degrees), "shift", "zoom", "cutout" (shares of a side), "contrast", "noise", "mixup", "cutmix".
    parts : frozenset of str
        What is on: names of ``amounts``, and "flip:horizontal", "flip:vertical" or "flip:both".
    dice : Dice
    """
    for part in sorted(p for p in parts if p.startswith("flip:")):
        x = _flip(x, part.removeprefix("flip:"), dice)
    if parts & {"rotation", "shift", "zoom"}:
        zero = tf.constant(0.0)
        turn, shift, zoom = (amounts[k] if k in parts else zero for k in ("rotation", "shift", "zoom"))
        x = _move(x, turn, shift, zoom, dice)
    if "contrast" in parts:
        x = _contrast(x, amounts["contrast"], dice)
    if "noise" in parts:
        x = x + dice.normal(tf.shape(x)) * amounts["noise"]
    if "cutout" in parts:
        x = x * (1.0 - _boxes(x, tf.fill(tf.shape(w), amounts["cutout"]), dice))
    if parts & {"mixup", "cutmix"}:
        x, y, w = _mix(x, y, w, amounts, parts, dice)
    return x, y, w


def _sides(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape[1:-1])


def _each(values: Tensor, x: Tensor) -> Tensor:
    """One number a row, shaped to be combined with ``x``."""
    return tf.reshape(values, (-1, *[1] * (len(x.shape) - 1)))


def _flip(x: Tensor, kind: str, dice: Dice) -> Tensor:
    """Mirror a random half of the rows, along each axis by a coin of its own."""
    for axis in _FLIPPED[len(_sides(x))][kind]:
        x = tf.where(_each(dice.coin(tf.shape(x)[:1]), x), tf.reverse(x, [axis]), x)
    return x


def _move(x: Tensor, rotation: Tensor, shift: Tensor, zoom: Tensor, dice: Dice) -> Tensor:
    """Turn, shift and zoom each row by amounts of its own; series and volumes are shifted by whole pixels alone."""
    if len(_sides(x)) != 2:
        return _roll(x, shift, dice)
    rows, (height, width) = tf.shape(x)[:1], _sides(x)
    angle = dice.within(rows, rotation * (math.pi / 180.0))
    size = 1.0 / (1.0 + dice.within(rows, zoom))
    across, down = dice.within(rows, shift) * width, dice.within(rows, shift) * height
    cos, sin = tf.cos(angle) * size, tf.sin(angle) * size
    x0, y0 = (width - 1) / 2, (height - 1) / 2  # the middle stays where it is
    a = [cos, -sin, x0 - cos * (x0 + across) + sin * (y0 + down)]
    b = [sin, cos, y0 - sin * (x0 + across) - cos * (y0 + down)]
    zero = tf.zeros(rows)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x, transforms=tf.stack([*a, *b, zero, zero], 1), output_shape=(height, width), fill_value=0.0,
        interpolation="BILINEAR", fill_mode="NEAREST",
    )  # fmt: skip


def _roll(x: Tensor, shift: Tensor, dice: Dice) -> Tensor:
    for axis, side in enumerate(_sides(x), start=1):
        moved = tf.cast(tf.round(dice.within(tf.shape(x)[:1], shift) * side), tf.int32)
        place = tf.clip_by_value(tf.range(side) - moved[:, tf.newaxis], 0, side - 1)
        order = [0, axis, *(i for i in range(1, len(x.shape)) if i != axis)]
        back = [order.index(i) for i in range(len(order))]
        x = tf.transpose(tf.gather(tf.transpose(x, order), place, axis=1, batch_dims=1), back)
    return x


def _contrast(x: Tensor, amount: Tensor, dice: Dice) -> Tensor:
    """Stretch each row's distances from its mean of each channel by a factor around 1."""
    mean = tf.reduce_mean(x, axis=list(range(1, len(x.shape) - 1)), keepdims=True)
    return mean + (x - mean) * _each(1.0 + dice.within(tf.shape(x)[:1], amount), x)


def _boxes(x: Tensor, share: Tensor, dice: Dice) -> Tensor:
    """1 inside a box around a random pixel of each row and 0 outside; its sides are ``share`` (rows,) of the image's.

    As in the papers a box may reach beyond the border, where it ends.
    """
    mask = tf.ones_like(x[..., :1])
    for axis, side in enumerate(_sides(x), start=1):
        size = tf.round(share * side)
        start = tf.floor(dice.uniform(tf.shape(share)) * side) - tf.floor(size / 2)
        place = tf.range(side, dtype=tf.float32)[tf.newaxis] - start[:, tf.newaxis]
        inside = tf.cast((place >= 0) & (place < size[:, tf.newaxis]), x.dtype)
        mask *= tf.reshape(inside, [-1, *(side if i == axis else 1 for i in range(1, len(x.shape)))])
    return mask


def _mix(
    x: Tensor, y: Tensor, w: Tensor, amounts: Mapping[str, Tensor], parts: frozenset[str], dice: Dice
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix each row with the next one of its batch, whose order is random; by a coin where both ways are on."""
    rows = tf.shape(w)
    other = tf.roll(x, 1, 0)
    mixed, share = x, tf.ones_like(w)  # share: how much of the target stays the row's own
    if "mixup" in parts:
        share = dice.beta(rows, amounts["mixup"])
        mixed = _each(share, x) * x + _each(1.0 - share, x) * other
    if "cutmix" in parts:
        sides = _sides(x)
        mask = _boxes(x, (1.0 - dice.beta(rows, amounts["cutmix"])) ** (1.0 / len(sides)), dice)
        cut = tf.where(mask > 0, other, x)
        area = 1.0 - tf.reduce_mean(mask, axis=list(range(1, len(x.shape))))
        heads = dice.coin(rows) if "mixup" in parts else tf.zeros(rows, tf.bool)
        mixed, share = tf.where(_each(heads, x), mixed, cut), tf.where(heads, share, area)
    own, theirs = share * w, (1.0 - share) * tf.roll(w, 1, 0)
    total = own + theirs
    part = tf.math.divide_no_nan(own, total)[:, tf.newaxis]
    return mixed, part * y + (1.0 - part) * tf.roll(y, 1, 0), total
