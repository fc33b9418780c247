"""The words of regularization: one penalty, written the same way for every backend.

``loss + alpha * (l1_ratio * sum|w| + (1 - l1_ratio) / 2 * sum w^2)`` is glmnet's form (Friedman, Hastie & Tibshirani
2010), which every backend translates to its own names at its edge. What the loss is, and so what one ``alpha`` means,
is not the same for all:

- sklearn: the weighted mean over rows of the log loss, or of half the squared error of the standardised target;
  ``w`` are the coefficients, intercepts are free.
- keras: the same mean in every batch, but of the log loss or the whole squared error of the standardised target, so
  that in regression the same ``alpha`` weighs half as much as in sklearn; ``w`` are the kernels of the layers that
  ``penalty_layers`` names. Adam takes its steps along the slope of the sum of both.
- xgboost: in every leaf the sum over its rows, not the mean, of the log loss or half the squared error of the
  standardised target, to second order and with weights of mean 1; ``w`` is the value of the leaf. There ``alpha``
  is on the scale of the summed second derivatives: 1 weighs as much as one row does in regression, or four even
  odds of two classes (XGBoost doubles these derivatives for more classes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PENALTIES = ("none", "l1", "l2", "elasticnet")

SWITCHED_OFF: Mapping[str, Mapping[str, str | float]] = {
    "penalty": {"penalty": "none", "alpha": 0.0, "l1_ratio": 0.0},
    **{
        name: {name: 0.0}
        for name in (
            "dropout", "input_dropout", "weight_decay", "label_smoothing", "kernel_l1", "kernel_l2", "bias_l1",
            "bias_l2", "activity_l1", "activity_l2", "gamma", "min_child_weight", "spatial_dropout", "rotation",
            "shift", "zoom", "contrast", "noise", "cutout", "mixup", "cutmix",
        )
    },
    "flip": {"flip": "none"},
    "subsample": {"subsample": 1.0},
    "colsample": {"colsample": 1.0},
}  # fmt: skip
"""Every regularizer by the name that says how strong it is, and what to set for it to have no effect."""

SEPARATED = "separated_by"
"""Told of a fit without penalty whose weights have no best value: what separates its classes."""


@dataclass(frozen=True)
class Penalty:
    """A penalty kind with its strength.

    Attributes
    ----------
    kind : str
        One of ``PENALTIES``.
    alpha : float
        Strength, >= 0; 0 means no penalty whatever the kind.
    l1_ratio : float
        Share of L1 in [0, 1].
    """

    kind: str
    alpha: float
    l1_ratio: float

    @property
    def l1(self) -> float:
        """Factor of ``sum |w|``."""
        return self.alpha * self.l1_ratio

    @property
    def l2(self) -> float:
        """Factor of ``sum w^2 / 2``."""
        return self.alpha * (1.0 - self.l1_ratio)


def effective(kind: str, alpha: float, l1_ratio: float) -> Penalty:
    """Return the penalty that a combination of searched names really asks for.

    In a flat search space every name has a value in every trial; here those that the kind does not use take
    the value they have in effect (``l1`` has ratio 1, ``none`` has strength 0), so that what is logged is true.

    >>> effective("l1", 0.5, 0.3)
    Penalty(kind='l1', alpha=0.5, l1_ratio=1.0)
    >>> effective("l2", 0.0, 0.3).kind
    'none'
    """
    if kind not in PENALTIES:
        raise ValueError(f"penalty must be one of {PENALTIES}, not {kind!r}")
    if kind == "none" or alpha <= 0:
        return Penalty("none", 0.0, 0.0)
    return Penalty(kind, float(alpha), {"l1": 1.0, "l2": 0.0}.get(kind, float(l1_ratio)))
