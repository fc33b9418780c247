"""The division of a published experiment: the rows that its authors trained on, and those that they scored."""

from __future__ import annotations

import math

import numpy as np

from autoreg.errors import DataError
from autoreg.spec_split import SplitSpec
from autoreg.trial import Fold, Rows, Split, Table

REPRODUCE = "reproduce"
"""Mode of the rule of such a split."""


def published_split(table: Table, spec: SplitSpec) -> Split:
    """One fold as the authors had it; nothing is held out.

    ``order = "shuffled"`` takes the rows, and their order, of scikit-learn's ``train_test_split``; ``"first"`` trains
    on the first rows. Of the train rows the last ``validation`` share stops training, as with Keras'
    ``validation_split``; where that is 0, the scored rows do.

    Raises
    ------
    DataError
        Too few rows for what is asked, one class to train on, or a table with groups or times.
    """
    for name in ("group", "time"):
        if getattr(table, name) is not None:
            raise DataError(
                f"data.{name}: a published split (split.reproduce) takes rows as they come; leave data.{name} out"
            )
    train, score = _divided(table, spec)
    kept = math.floor(len(train) * (1.0 - spec.validation))
    fitted, stop = (train[:kept], train[kept:]) if spec.validation else (train, score)
    if not len(fitted) or not len(stop):
        raise DataError(
            f"split.validation = {spec.validation:g} leaves {len(fitted)} rows to train on and {len(stop)} to stop by; "
            "give more rows or another share"
        )
    if table.task != "regression" and len(np.unique(table.target[fitted])) < 2:
        raise DataError("data.target: the train rows are all of one class; change split.train or split.order")
    rule = {
        "mode": REPRODUCE, "train": spec.train, "order": spec.order, "random_state": spec.random_state,
        "stratify": spec.stratify, "validation": spec.validation,
    }  # fmt: skip
    every = np.arange(len(table.target))
    return Split(every, every[:0], (Fold(fitted, stop, score),), rule)


def _divided(table: Table, spec: SplitSpec) -> tuple[Rows, Rows]:
    """Train and test rows, in the order in which scikit-learn gives them."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(table.target))
    # 1 - .7 is .30000000000000004, of which scikit-learn would take one row more than of an author's .3.
    test = len(rows) - spec.train if isinstance(spec.train, int) else round(1.0 - spec.train, 12)
    shuffled = spec.order == "shuffled"
    if spec.stratify and table.task == "regression":
        raise DataError("split.stratify: there are no classes to keep shares of; leave it out")
    if test <= 0:
        raise DataError(f"split.train = {spec.train} leaves none of {len(rows)} rows to score; lower it")
    try:
        train, score = train_test_split(
            rows,
            test_size=test,
            random_state=spec.random_state if shuffled else None,
            shuffle=shuffled,
            stratify=table.target if spec.stratify else None,
        )
    except ValueError as error:
        raise DataError(f"split.train = {spec.train}: {' '.join(str(error).split())}") from error
    return np.asarray(train, np.int64), np.asarray(score, np.int64)


def is_published(split: Split) -> bool:
    """Whether a split is that of a published experiment, whose scored rows also stop or tune."""
    return split.rule.get("mode") == REPRODUCE
