"""The words of regularization: one penalty, written the same way for every backend.

All backends minimise ``mean loss + alpha * (l1_ratio * sum|w| + (1 - l1_ratio) / 2 * sum w^2)``, glmnet's form
(Friedman, Hastie & Tibshirani 2010), and translate it to their own names at their edge.
"""

from __future__ import annotations

from dataclasses import dataclass

PENALTIES = ("none", "l1", "l2", "elasticnet")


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
