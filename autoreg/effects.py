"""What a published experiment shows of one trial: both accuracies, the classification report, the columns without weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.serving import LinearMember, Member
from autoreg.trial import Encoded, Floats, Scalar

REPORT = "classification_report"
TRAIN, TEST = "train_accuracy", "test_accuracy"
REMOVED, KEPT = "removed", "kept"
KEPT_TEXT = 3000
"""Characters of a trial's details that its run keeps beside its figures: a tag holds 8,000 of all."""


def effects(
    data: Encoded, member: Member, predictions: NDArray[Any], fitted: NDArray[Any], classes: Sequence[Scalar]
) -> dict[str, Any]:
    """JSON data that shows the effect of a penalty on one fold.

    Parameters
    ----------
    data : Encoded
        With a score part.
    member : Member
    predictions, fitted : ndarray, shape (n, K) or (n,)
        Of the score part and of the train part.
    classes : sequence
        Class labels in the order of the codes; empty for regression.

    Returns
    -------
    dict
        ``train_accuracy`` and ``test_accuracy`` (shares of rows) and ``classification_report`` (scikit-learn's text)
        for classes; ``removed`` and ``kept`` (encoded columns whose weights are all 0, and the others) for linear models.
    """
    found: dict[str, Any] = {}
    if data.score is not None and data.n_classes:
        truth, guess = data.score.y.astype(np.int64), predictions.argmax(axis=1)
        found[TRAIN] = float(np.mean(fitted.argmax(axis=1) == data.train.y))
        found[TEST] = float(np.mean(guess == truth))
        found[REPORT] = _report(truth, guess, classes)
    if isinstance(member, LinearMember):
        found |= _columns(data.columns, member.coef)
    return found


def _report(truth: NDArray[Any], guess: NDArray[Any], classes: Sequence[Scalar]) -> str:
    from sklearn.metrics import classification_report

    # A model held back so far that it never names a class has no precision there; scikit-learn's own report says 0 too.
    text: str = classification_report(
        truth, guess, labels=range(len(classes)), target_names=list(map(str, classes)), zero_division=0.0
    )
    return text


def _columns(columns: Sequence[str], coef: Floats) -> dict[str, list[str]]:
    used = (coef != 0).any(axis=1).tolist()
    return {
        REMOVED: [name for name, yes in zip(columns, used, strict=True) if not yes],
        KEPT: [name for name, yes in zip(columns, used, strict=True) if yes],
    }


def figures(details: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among a trial's details."""
    return {name: float(value) for name, value in details.items() if isinstance(value, float)}
