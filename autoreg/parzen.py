"""Where good configurations are dense and others are not: the arithmetic of multivariate TPE, over whole arrays.

The estimator is Optuna's (Bergstra et al. 2011; Watanabe 2023, arXiv:2304.11127): a kernel at every observation, as wide as the
gap to its neighbours, and a prior over the whole range. What is drawn from the same random state agrees with Optuna's to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
RECENT = 25
"""Observations that weigh 1; older ones the less, the older they are."""
LOG_ROOT = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Axis:
    """One parameter, as numbers.

    Attributes
    ----------
    choices : int
        How many values it has, numbered from 0; 0 where it is a number.
    low, high : float
        Ends of a number.
    log : bool
        Whether the kernels lie on its logarithm.
    step : float
        Grid of the values from ``low`` on; 0 for any value.
    """

    choices: int = 0
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: float = 0.0

    def scaled(self, values: Floats) -> Floats:
        """Values where the kernels are."""
        return np.log(values) if self.log else values

    @property
    def ends(self) -> tuple[float, float]:
        """Where the kernels are cut off."""
        ends = self.scaled(np.array([self.low - self.step / 2, self.high + self.step / 2]))
        return float(ends[0]), float(ends[1])

    def valued(self, scaled: Floats) -> Floats:
        """Values from where the kernels are, on the grid."""
        values = np.exp(scaled) if self.log else scaled
        if self.step:
            values = self.low + np.round((values - self.low) / self.step) * self.step
            return np.clip(values, self.low, self.high)
        return values


class Parzen:
    """A density over configurations: one product of kernels for each observation, and one for the prior.

    Parameters
    ----------
    axes : sequence of Axis
    observed : ndarray, shape (n, number of axes)
        In order of time.
    """

    def __init__(self, axes: Sequence[Axis], observed: Floats) -> None:
        self.axes = axes
        weights = np.append(_weights(len(observed)), 1.0)
        self.weights = weights / weights.sum()
        self.choices = {
            j: _frequencies(observed[:, j], axis.choices) for j, axis in enumerate(axes) if axis.choices
        }
        self.numbers = [j for j, axis in enumerate(axes) if not axis.choices]
        ends = np.array([axes[j].ends for j in self.numbers]).reshape(-1, 2)
        self.low, self.high = ends[:, :1], ends[:, 1:]
        scaled = np.array([axes[j].scaled(observed[:, j]) for j in self.numbers]).reshape(
            len(self.numbers), -1
        )
        self.mu = np.append(scaled, (self.low + self.high) / 2, axis=1)
        self.sigma = np.append(_widths(scaled, self.low, self.high), self.high - self.low, axis=1)
        self.below, self.above = (self.low - self.mu) / self.sigma, (self.high - self.mu) / self.sigma

    def sample(self, random: np.random.RandomState, size: int) -> Floats:
        """Configurations drawn from the density, shape (size, number of axes)."""
        drawn = np.empty((size, len(self.axes)))
        kernels = random.choice(len(self.weights), p=self.weights, size=size)
        for j, frequencies in self.choices.items():
            cumulated = np.cumsum(frequencies[kernels], axis=1)
            cumulated[:, -1] = 1.0
            drawn[:, j] = (cumulated < random.rand(size)[:, None]).sum(axis=1)
        if self.numbers:
            low, high = self.below[:, kernels], self.above[:, kernels]
            share = random.uniform(size=low.shape)
            z = np.clip(ndtri(ndtr(low) + share * (ndtr(high) - ndtr(low))), low, high)
            scaled = z * self.sigma[:, kernels] + self.mu[:, kernels]
            for j, row in zip(self.numbers, scaled, strict=True):
                drawn[:, j] = self.axes[j].valued(row)
        return drawn

    def log_density(self, points: Floats) -> Floats:
        """Logarithm of the density at every point, shape (points,)."""
        total = np.tile(np.log(self.weights), (len(points), 1))
        for j, frequencies in self.choices.items():
            total += np.log(frequencies).T[points[:, j].astype(np.int64)]
        # A kernel's centre lies between the ends, so neither tail is close to 1.
        inside = 1.0 - ndtr(self.below) - ndtr(-self.above)
        total -= np.log(inside.prod(axis=0))
        continuous = []
        for row, j in enumerate(self.numbers):
            axis, mu, sigma = self.axes[j], self.mu[row], self.sigma[row]
            if axis.step:
                values, place = np.unique(points[:, j], return_inverse=True)
                left, right = (axis.scaled(values + side * axis.step / 2)[:, None] for side in (-1, 1))
                total += _log_mass((left - mu) / sigma, (right - mu) / sigma)[place]
            else:
                continuous.append(row)
        if continuous:
            total -= self._half_squares(points, continuous)
        top = total.max(axis=1, keepdims=True)
        return np.asarray(np.log(np.exp(total - top).sum(axis=1)) + top[:, 0])

    def _half_squares(self, points: Floats, rows: list[int]) -> Floats:
        """Minus the logarithm of the normal density of some numbers together, shape (points, kernels): squares as products."""
        middle = (self.low[rows] + self.high[rows]) / 2
        at = (
            np.array([self.axes[self.numbers[row]].scaled(points[:, self.numbers[row]]) for row in rows])
            - middle
        )
        mu, precision = self.mu[rows] - middle, self.sigma[rows] ** -2
        squares = (at * at).T @ precision - 2 * (at.T @ (mu * precision)) + (mu * mu * precision).sum(axis=0)
        return np.asarray(0.5 * (squares - np.log(precision.prod(axis=0))) + LOG_ROOT * len(rows))


def likeliest(axes: Sequence[Axis], good: Floats, others: Floats, seed: int, candidates: int = 24) -> Floats:
    """Of some configurations drawn where good ones are, the one that is the least likely among the others.

    Parameters
    ----------
    axes : sequence of Axis
    good, others : ndarray, shape (n, number of axes)
        In order of time.
    seed : int
    candidates : int

    Returns
    -------
    ndarray, shape (number of axes,)
    """
    near = Parzen(axes, good)
    drawn = near.sample(np.random.RandomState(seed), candidates)
    best = np.argmax(near.log_density(drawn) - Parzen(axes, others).log_density(drawn))
    return np.asarray(drawn[best])


def _weights(n: int) -> Floats:
    return np.append(np.linspace(1.0 / max(n, 1), 1.0, max(n - RECENT, 0)), np.ones(min(n, RECENT)))


def _frequencies(observed: Floats, choices: int) -> Floats:
    """Of every kernel the probability of each value, shape (n + 1, choices)."""
    n = len(observed)
    counts = np.full((n + 1, choices), 1.0 / (n + 1 if n else choices))
    counts[np.arange(n), observed.astype(np.int64)] += 1.0
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _widths(scaled: Floats, low: Floats, high: Floats) -> Floats:
    """Of every kernel the larger gap to a neighbour, in bounds; the outermost have none to the ends of the range."""
    n = scaled.shape[1]
    if not n:
        return scaled
    order = np.argsort(scaled, axis=1)
    sorted_gaps = np.diff(np.take_along_axis(scaled, order, axis=1), axis=1, prepend=low, append=high)
    widths = np.maximum(sorted_gaps[:, :-1], sorted_gaps[:, 1:])
    if n >= 2:
        widths[:, 0], widths[:, -1] = sorted_gaps[:, 1], sorted_gaps[:, -2]
    found = np.empty_like(widths)
    np.put_along_axis(found, order, widths, axis=1)
    return np.clip(found, (high - low) / min(100.0, n + 2.0), high - low)


def _log_mass(left: Floats, right: Floats) -> Floats:
    """Logarithm of the standard normal mass between two points, in the tail where both are precise.

    It is minus infinity beyond some 38 widths, where the prior's kernel alone counts.
    """
    flipped = left > 0
    left, right = np.where(flipped, -right, left), np.where(flipped, -left, right)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(ndtr(right) - ndtr(left)))
