"""Finalists against each other on the same fresh cells: paired differences, corrected errors, and two rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoreg.selection.shortlist import Simplicity
from autoreg.trial import Floats

TIE = 0.1
"""Differences below so many standard errors are ties for the rule ``best``."""


@dataclass(frozen=True)
class Comparison:
    """Finalists by how bad they are; smaller is better.

    Attributes
    ----------
    mean : ndarray, shape (F,)
        Mean badness over the cells.
    difference, se : ndarray, shape (F,)
        Against the finalist with the smallest mean: mean paired difference and its corrected standard error.
    best, one_se : int
        What each rule names.
    """

    mean: Floats
    difference: Floats
    se: Floats
    best: int
    one_se: int


def corrected_se(differences: Floats, ratio: float) -> float:
    """Standard error of a mean over cells of repeated cross-validation (Nadeau and Bengio 2003).

    Parameters
    ----------
    differences : ndarray, shape (J,)
        One per cell.
    ratio : float
        Rows that score over rows that fit, in one cell.

    Returns
    -------
    float
        ``sqrt((1 / J + ratio) * s^2)``, NaN for fewer than two cells.
    """
    j = len(differences)
    return math.sqrt((1 / j + ratio) * float(np.var(differences, ddof=1))) if j > 1 else math.nan


def compare(badness: Floats, ratio: float, simple: Sequence[Simplicity]) -> Comparison:
    """Compare finalists over fresh cells.

    ``best`` takes the smallest mean, ties within a tenth of a standard error going to the simpler; ``one_se`` the
    simplest within one standard error of the smallest mean (Breiman et al. 1984, with paired errors).

    Parameters
    ----------
    badness : ndarray, shape (F, J)
        The user's metric turned so that smaller is better; cells in which any is undefined do not count.
    ratio : float
        Rows that score over rows that fit, in one cell.
    simple : sequence of tuple
        Sorts the simpler first.
    """
    known = badness[:, np.isfinite(badness).all(axis=0)]
    if not known.shape[1]:
        raise ValueError("no cell in which every finalist has a score")
    mean = known.mean(axis=1)
    top = min(range(len(mean)), key=lambda i: (mean[i], simple[i]))
    differences = known - known[top]
    se = np.array([corrected_se(d, ratio) for d in differences])
    difference = differences.mean(axis=1)

    def simplest(limit: float) -> int:
        near = [i for i in range(len(mean)) if i == top or difference[i] <= limit * se[i]]
        return min(near, key=lambda i: simple[i])

    return Comparison(mean, difference, se, simplest(TIE), simplest(1.0))
