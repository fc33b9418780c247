"""Piecewise-linear inputs: beside a number, where it lies in each quantile bin of the train part.

A ramp is ``clip((x - a) / (b - a), 0, 1)`` for the bin ``[a, b]`` (Gorishniy, Rubachev & Babenko 2022, without their learned
part): the first layer then bends at the quantiles of every column instead of having to learn where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.trial import Encoded, Part

FEWEST = 4  # different values of a column that has ramps: below, the network tells them apart anyway
NARROWEST = 1e-4  # width of a bin, in standard deviations: what is narrower joins its neighbour


@dataclass(frozen=True, eq=False)
class Ramps:
    """Ramps of some columns.

    Attributes
    ----------
    inputs : int
        Columns before.
    columns : ndarray of int, shape (ramps,)
        Column that each ramp reads.
    starts, widths : ndarray of float32, shape (ramps,)
        ``a`` and ``b - a``.
    """

    inputs: int
    columns: NDArray[np.int64]
    starts: NDArray[np.float32]
    widths: NDArray[np.float32]

    def apply(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """The columns, then the ramps: float32 (rows, inputs + ramps)."""
        X = np.asarray(X, np.float32)
        return np.hstack([X, np.clip((X[:, self.columns] - self.starts) / self.widths, 0.0, 1.0)])

    def layers(self, inputs: Any) -> Any:
        """The same of a Keras tensor, in ordinary layers of which none is trained."""
        import keras

        select = np.zeros((self.inputs, len(self.columns)), np.float32)
        select[self.columns, np.arange(len(self.columns))] = 1.0
        pick = keras.layers.Dense(len(self.columns), use_bias=False, trainable=False, name="ramp_columns")
        scale = keras.layers.Normalization(
            mean=self.starts.tolist(), variance=np.square(self.widths, dtype=np.float64).tolist()
        )
        x = keras.layers.ReLU(max_value=1.0)(scale(pick(inputs)))
        pick.set_weights([select])
        return keras.layers.Concatenate()([inputs, x])


def fit_ramps(X: NDArray[np.float32], bins: int) -> Ramps | None:
    """Ramps between the quantiles of each column of train rows; None where no column has enough different values."""
    columns, starts, widths = [], [], []
    for j in range(X.shape[1]):
        if len(np.unique(X[:, j])) < FEWEST:
            continue
        edges = _edges(np.quantile(X[:, j], np.linspace(0.0, 1.0, bins + 1)).astype(np.float32))
        columns.append(np.full(len(edges) - 1, j))
        starts.append(edges[:-1])
        widths.append(np.diff(edges))
    if not columns:
        return None
    return Ramps(X.shape[1], np.concatenate(columns), np.concatenate(starts), np.concatenate(widths))


def _edges(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edges at least ``NARROWEST`` apart, both ends among them where they are."""
    kept = [found[0]]
    for edge in found[1:]:
        if edge - kept[-1] >= NARROWEST:
            kept.append(edge)
    return np.array(kept, np.float32)


def widened(data: Encoded, ramps: Ramps) -> Encoded:
    """A fold with ramps beside its columns."""

    def part(p: Part) -> Part:
        return replace(p, X=ramps.apply(p.X))

    names = tuple(f"{data.columns[j]} from {a:.4g}" for j, a in zip(ramps.columns, ramps.starts, strict=True))
    return replace(
        data,
        train=part(data.train),
        stop=data.stop and part(data.stop),
        score=None,
        columns=data.columns + names,
        levels=data.levels + (0,) * len(names),
    )
