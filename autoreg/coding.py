"""Values of a search as its sampler sees them, "off" coded inside the numeric range.

A range that may be off is widened below its lower end by half its width (one third of the prior); coded values in that zone
decode to exact 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from autoreg.trial import Choice, Range, Scalar

if TYPE_CHECKING:
    import optuna

OFF_ZONE = 0.5


def _coded_low(d: Range) -> float:
    """Lower end of the coded range."""
    if not d.off:
        return d.low
    if d.log:
        return float(d.low / (d.high / d.low) ** OFF_ZONE)
    return d.low - OFF_ZONE * (d.high - d.low)


def decode(dimension: Choice | Range, coded: Scalar) -> Scalar:
    """The value that a coded one stands for."""
    if isinstance(dimension, Choice):
        return coded
    value = float(coded)
    if dimension.off and value < dimension.low:
        return 0 if dimension.integer else 0.0
    value = min(max(value, dimension.low), dimension.high)
    return round(value) if dimension.integer else value


def encode(dimension: Choice | Range, value: Scalar) -> Scalar | None:
    """The coded value that decodes to ``value``, or None when the dimension does not hold it."""
    if isinstance(dimension, Choice):
        return value if value in dimension.values else None
    if isinstance(value, str):
        return None
    if dimension.off and value == 0:
        low = _coded_low(dimension)
        return math.sqrt(low * dimension.low) if dimension.log else (low + dimension.low) / 2
    if not dimension.low <= value <= dimension.high:
        return None
    return round(value) if dimension.integer and not dimension.off else float(value)


def distribution(dimension: Choice | Range) -> optuna.distributions.BaseDistribution:
    """What Optuna is told of a dimension's coded values."""
    import optuna

    if isinstance(dimension, Choice):
        return optuna.distributions.CategoricalDistribution(dimension.values)
    if dimension.integer and not dimension.off:
        return optuna.distributions.IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log
        )
    return optuna.distributions.FloatDistribution(_coded_low(dimension), dimension.high, log=dimension.log)
