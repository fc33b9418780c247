"""The parameters of an estimator as a study, and a study's errors in the words of somebody who called ``fit``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from autoreg.errors import DataError, Interrupted, NoTrialCompleted, StudyError, UsageError
from autoreg.estimator.inputs import Inputs
from autoreg.metrics import Metric, register_metric
from autoreg.spec import Study, parse_study

FOLDS = 5
HOLDOUT = 0.2
FEWEST_TO_HOLD_OUT = 100
"""Rows from which on ``holdout="auto"`` holds rows out; of fewer, a fifth says next to nothing."""
FEWEST_GROUPS_TO_HOLD_OUT = 20
SOURCE = "rows passed to fit"

SAID = [
    (r"^(study|command line): ", ""),
    (r"data\.target: column '[^']*'", "y"),
    (r"data\.target: fold", "y: fold"),
    (r"data\.weight: column '[^']*'", "sample_weight"),
    (r"data\.weight: all", "sample_weight: all"),
    (r"data\.group: column '[^']*'", "groups"),
    (r"data\.(source|target|weight|group|task|drop|id|time): ", ""),
    (r"data\.group and data\.\w+ both name '[^']*'", "groups"),
    (r"make it plain or name it in data\.drop", "make it plain or leave it out of X"),
    (r"or name it in data\.drop", "or leave it out of X"),
    (r"[;,] (or )?set data\.task[^;]*", ""),
    (r",? (or|and) lower split\.folds( to \d+)?( or leave data\.group out)?", ""),
    (r"; lower split\.folds to \d+", ""),
    (r"lower split\.folds or leave data\.group out", "give more groups or leave groups out"),
    (r"or leave data\.weight out", "or leave sample_weight out"),
    (r"leave data\.group out", "leave groups out"),
    (r"split\.holdout", "holdout"),
    (r"split\.folds = (\d+)", r"\1 folds"),
    (r"^split: ", ""),
    (r"search\.seed", "random_state"),
    (r"search\.(sklearn|xgboost|keras)\.", r"space: \1."),
    (r"search\.", ""),
    (r"registry\.model|^name", "name"),
    (r"\(--(timeout|trials)\)", r"(\1)"),
]
"""Patterns of a study's words, and what they are for an estimator; in this order."""


def plainly(message: str) -> str:
    """A study's message without the keys of a study file.

    >>> plainly("data.target: column 'y' is 3 in every row; there is nothing to predict")
    'y is 3 in every row; there is nothing to predict'
    """
    for pattern, words in SAID:
        message = re.sub(pattern, words, message)
    return message


@contextmanager
def said_plainly() -> Iterator[None]:
    """Raise what Python and scikit-learn users expect.

    Raises
    ------
    ValueError
        A parameter or the data cannot be used.
    TypeError
        A cell of X holds something that is neither a number nor a text.
    RuntimeError
        No trial was completed.
    KeyboardInterrupt
        Ctrl-C.
    """
    try:
        yield
    except NoTrialCompleted as error:
        raise RuntimeError(plainly(str(error))) from error
    except (StudyError, DataError, UsageError) as error:
        words = plainly(str(error))
        if "holds values of type" in words:
            raise TypeError(f"argument must be a string or a number: {words}") from error
        raise ValueError(words) from error
    except Interrupted:
        raise KeyboardInterrupt from None


def as_study(params: Mapping[str, Any], inputs: Inputs, seed: int) -> Study:
    """The study that an estimator's parameters ask for.

    Parameters
    ----------
    params : mapping
        Of the estimator, by name.
    inputs : Inputs
    seed : int

    Raises
    ------
    ValueError, StudyError
        A value that cannot be used.
    """
    metric, backends = params["metric"], params["backends"]
    if isinstance(metric, Metric):
        register_metric(metric)
        metric = metric.name
    names = [backends] if isinstance(backends, str) else list(backends)
    k = 0 if inputs.classes is None else len(inputs.classes)
    task = "regression" if not k else "binary" if k == 2 else "multiclass"
    data = {"source": SOURCE, "target": inputs.target, "task": task}
    data |= {key: name for key in ("weight", "group") if (name := getattr(inputs, key))}
    search = {
        "trials": params["trials"],
        "timeout": params["timeout"],
        "backends": names,
        "metric": metric,
        "seed": seed,
        "class_weight": "balanced" if _balanced(params.get("class_weight")) else "none",
        **_space(params["space"], names),
    }
    return parse_study(
        {
            "name": _name(params),
            "data": data,
            "split": _split(params["holdout"], inputs),
            "select": {"refit_full": _refit_full(params["refit_full"])},
            "search": search,
        }
    )


def _name(params: Mapping[str, Any]) -> str:
    tracking, name = params["tracking"], params["name"]
    if tracking not in ("off", "mlflow"):
        raise ValueError(f"tracking: expected 'off' or 'mlflow', found {tracking!r}")
    if tracking == "mlflow" and not name:
        raise ValueError("tracking='mlflow' needs a name, for the experiment and the registered model")
    return str(name or "autoreg")


def _refit_full(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"refit_full: expected True or False, found {value!r}")
    return bool(value)


def _balanced(class_weight: Any) -> bool:
    if class_weight is None or isinstance(class_weight, dict):
        return False
    if isinstance(class_weight, str) and class_weight == "balanced":
        return True
    raise ValueError(f"class_weight: expected None, 'balanced' or a dict of weights, found {class_weight!r}")


def _space(space: Any, backends: Sequence[str]) -> dict[str, Any]:
    if space is None:
        return {}
    if not isinstance(space, Mapping) or not all(isinstance(v, Mapping) for v in space.values()):
        raise ValueError(
            "space: expected a dict such as {'sklearn': {'alpha': {'low': 1e-4, 'high': 1, 'log': True}}}"
        )
    for name in space:
        if name not in backends:
            raise ValueError(f"space: {name!r} is not among backends ({', '.join(backends)})")
    return {name: dict(dimensions) for name, dimensions in space.items()}


def _split(holdout: Any, inputs: Inputs) -> dict[str, Any]:
    """Folds, and what is held out."""
    folds, few = dict[str, int](), len(inputs.frame) < FEWEST_TO_HOLD_OUT
    if inputs.group is not None:
        groups = inputs.frame[inputs.group].nunique()
        few = few or groups < FEWEST_GROUPS_TO_HOLD_OUT
        if groups < 2:
            raise ValueError("groups: all rows are of one group; at least 2 groups are needed")
        folds = {"folds": groups} if groups < FOLDS else folds
    if isinstance(holdout, str) and holdout in ("auto", "nested"):
        if holdout == "nested":
            return {**folds, "estimate": "nested"}
        return {**folds, "estimate": "none"} if few else {**folds, "holdout": HOLDOUT}
    if holdout is None or (isinstance(holdout, int | float) and holdout == 0):
        return {**folds, "estimate": "none"}
    if isinstance(holdout, str):
        raise ValueError(
            f"holdout: expected 'auto', 'nested', a share from 0.05 to 0.5, or None; found {holdout!r}"
        )
    return {**folds, "holdout": holdout}
