"""Labels that look wrong: a challenger may seem better only because it has learned to doubt every answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FEWEST = 5
SURE = 0.01
DOUBT = 0.25


@dataclass(frozen=True)
class Doubts:
    """New rows whose labels both models contradict.

    Attributes
    ----------
    rows : ndarray of bool, shape (n,)
        Which of the rows that were compared.
    new, old : (int, int)
        How many of how many rows that the champion's study did not have, and that it had.
    """

    rows: NDArray[np.bool_]
    new: tuple[int, int]
    old: tuple[int, int]

    @property
    def line(self) -> str:
        """What was found, in words."""
        return (
            f"{self.new[0]} of {self.new[1]} new rows have a label that both models contradict "
            f"({self.old[0]} of {self.old[1]} older rows)"
        )


def doubtful(truth: Array, champion: Array, challenger: Array, new: NDArray[np.bool_]) -> Doubts | None:
    """New labels that look wrong, where they are clearly more than there were among older rows.

    A label is contradicted when champion and challenger name the same other class, and the champion gives the label
    a probability below .25. A world that has changed is no such case: there the challenger, which has learned
    from it, sides with the label. "Clearly" means p < .01 in Fisher's exact test (one-sided) on the two shares.

    Parameters
    ----------
    truth : ndarray of int, shape (n,)
        Codes of the classes.
    champion, challenger : ndarray, shape (n, K)
        Probabilities on rows that neither has trained on.
    new : ndarray of bool, shape (n,)
        Rows that the champion's study did not have.

    Returns
    -------
    Doubts or None
    """
    from scipy.stats import fisher_exact

    named = champion.argmax(axis=1)
    against = (named == challenger.argmax(axis=1)) & (named != truth)
    against &= champion[np.arange(len(truth)), truth] < DOUBT
    now, then = (int((against & side).sum()) for side in (new, ~new))
    many, few = int(new.sum()), int((~new).sum())
    if now < FEWEST or not few:
        return None
    if float(fisher_exact([[now, many - now], [then, few - then]], "greater").pvalue) >= SURE:
        return None
    return Doubts(against & new, (now, many), (then, few))
