"""Everything a finished study found, as one plain record: the report and the model card are drawn from it alone."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1

REPRODUCED = "scored on the rows it was stopped or tuned on: these numbers show an effect, not how well the model does on new rows"
"""What every page says of a study that repeats a published experiment."""

Number = float | None
"""None where a value is undefined or was not computed."""


@dataclass(frozen=True)
class TrialRow:
    """One trial of the search. ``cv``, ``cv_se``, ``train`` are in the user's metric; ``loss`` is the internal loss.

    ``details`` and ``curves`` are those of a published experiment's trials alone: ``train_accuracy``, ``test_accuracy``,
    ``classification_report``, ``removed``, ``kept``; at most 200 points a curve, from the first step to the last.
    """

    number: int
    backend: str
    state: str
    loss: Number
    loss_se: Number
    cv: Number
    cv_se: Number
    train: Number
    complexity: Number
    seconds: float
    params: dict[str, Any]
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[Number]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finalist:
    """A configuration scored again on fresh repeats of the folds, in the user's metric.

    Attributes
    ----------
    number, backend : int, str
        Its trial.
    default : bool
        True for a library's default configuration.
    search, fresh : float or None
        Score of the search, and mean over the fresh cells.
    difference, difference_se : float or None
        How much worse than the best finalist (positive = worse), with the Nadeau-Bengio standard error.
    complexity : float or None
        Effective parameters, mean over the fresh cells.
    best, one_se : bool
        Whether that rule names it.
    cells : list of float or None
        Its score in every fresh cell, repeat by repeat.
    """

    number: int
    backend: str
    default: bool
    params: dict[str, Any]
    search: Number
    fresh: Number
    difference: Number
    difference_se: Number
    complexity: Number
    best: bool = False
    one_se: bool = False
    cells: list[Number] = field(default_factory=list)


@dataclass(frozen=True)
class Shipping:
    """One way to ship: "refit", "bag" or "blend", with its out-of-fold score; ``models`` is None where it was not built."""

    kind: str
    score: Number
    models: int | None
    chosen: bool = False


@dataclass(frozen=True)
class Shipped:
    """What was registered.

    Attributes
    ----------
    kind : str
        "refit", "bag" or "blend".
    options : list of Shipping
        The ways that were weighed.
    weights : list of dict
        ``number``, ``backend``, ``weight`` of every configuration in it.
    blend_gain, blend_gain_se : float or None
        How much better the cross-fitted blend scored than the cross-fitted best single one (positive = better).
    temperature, threshold : float or None
        What probabilities are divided by on the logit scale, and the cut for the second class; None where not fitted.
    bytes, microseconds : float
        Size on disk; time to predict one row, in a batch of 1,000 (or of all) holdout rows.
    why : str
        The reason in words.
    """

    kind: str
    options: list[Shipping]
    weights: list[dict[str, Any]]
    blend_gain: Number
    blend_gain_se: Number
    temperature: Number
    threshold: Number
    bytes: float
    microseconds: float
    why: str


@dataclass(frozen=True)
class Overtuning:
    """The best trial so far after ``trial``: its search score, and its fresh score where it was run again."""

    trial: int
    number: int
    search: Number
    fresh: Number


@dataclass(frozen=True)
class Worth:
    """What a regularizer of the winner is worth: the change of the metric when it is switched off (positive = it helps)."""

    name: str
    value: Any
    difference: Number
    difference_se: Number


@dataclass(frozen=True)
class Importance:
    """How much worse the metric gets when a column of the holdout is shuffled, mean and standard error over shuffles."""

    column: str
    mean: Number
    se: Number


@dataclass(frozen=True)
class Judged:
    """The winner's predictions on the judged rows, summed up: no single row of the data is in it.

    Attributes
    ----------
    rows : int
    confusion : list of list of float
        Rows (or weight) by true class (outer) and predicted class (inner); empty for regression.
    reliability : list of dict
        Per bin of the predicted probability (of the second class, or of the predicted class when there are more):
        ``predicted`` (mean), ``observed`` (share that was right), ``rows``.
    residuals : list of dict
        Per bin of the predicted value: ``predicted`` (mean), ``low``, ``quarter``, ``median``, ``three_quarters``,
        ``high`` (5, 25, 50, 75, 95 % points of truth - prediction), ``rows``. Regression only.
    """

    rows: int
    confusion: list[list[float]] = field(default_factory=list)
    reliability: list[dict[str, Number]] = field(default_factory=list)
    residuals: list[dict[str, Number]] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """A trial that is drawn beside others.

    Attributes
    ----------
    number, name : int, str
    curves : dict of str to list of float
        Means over its folds: "train_loss", "stop_loss", and whatever else was followed; evenly thinned where long.
    steps : int
        Epochs or rounds that the curves go over.
    surface : list of list of float
        What it predicts over the plane, from the bottom row up: the probability of the second class, the most probable
        class, or the value.
    """

    number: int
    name: str
    curves: dict[str, list[Number]]
    steps: int = 0
    surface: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Plane:
    """A table of two numbers and a target, to be drawn: only of studies that repeat a published experiment.

    Attributes
    ----------
    columns : list of str
    x, y : list of float
        Lowest and highest value of each axis.
    rows : list of list of float
        ``[first, second, target, 1 for a training row or 0]`` of every row.
    """

    columns: list[str]
    x: list[float]
    y: list[float]
    rows: list[list[float]]


@dataclass(frozen=True)
class StudyRecord:
    """A finished study.

    Attributes
    ----------
    report : dict
        The result as scripts get it (status, best, estimate, model, trials, seconds).
    metric, greater_is_better, task, target, classes : str, bool, str, str, list of str
    source, fingerprint, rows, columns, search_rows, holdout_rows, folds, repeats : ...
        The data, and how it was divided; ``repeats`` is the number of fresh repeats.
    rule : str
        "best" or "one_se".
    trials : list of TrialRow
    searched : dict
        backend -> name -> ``{"low", "high", "log", "off", "pinned"}`` or ``{"values"}``.
    events : list of str
        What happened on the way, in words: dropped backends, extended ranges, what was left out for lack of time.
    finalists : list of Finalist
        Best fresh score first.
    shipped : Shipped
    overtuning : list of Overtuning
        One entry whenever the best trial changed.
    curves : dict of str to list of float
        "train_loss" and "stop_loss" of the winner by epoch or round, means over its fresh fits that still trained;
        empty for models without.
    best_round : float or None
        Median best stopping point of the fits that the curves show.
    judged : Judged or None
    removed, kept : list of str
        Encoded columns whose weights an L1 penalty set to 0 in most of the winner's linear models, and the others.
    worth : list of Worth
    importance : list of Importance
        Most important first.
    cautions : list of str
        Why a figure may mislead.
    image : list of int, or None
        The rows are images of this shape, channels last.
    tensor : str
        Type of the array of images that the registered model takes; empty where it takes columns.
    shown : list of Shown
        Trials to be drawn side by side.
    plane : Plane or None
        The table behind their surfaces.
    """

    report: dict[str, Any]
    metric: str
    greater_is_better: bool
    task: str
    target: str
    classes: list[str]
    source: str
    fingerprint: str
    rows: int
    columns: int
    search_rows: int
    holdout_rows: int
    folds: int
    repeats: int
    rule: str
    trials: list[TrialRow]
    searched: dict[str, dict[str, dict[str, Any]]]
    events: list[str]
    finalists: list[Finalist]
    shipped: Shipped
    overtuning: list[Overtuning]
    curves: dict[str, list[float]]
    best_round: Number
    judged: Judged | None
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    worth: list[Worth] = field(default_factory=list)
    importance: list[Importance] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    image: list[int] | None = None
    tensor: str = ""
    shown: list[Shown] = field(default_factory=list)
    plane: Plane | None = None
    format: int = FORMAT

    def to_json(self) -> str:
        """JSON text; NaN and infinities become null."""
        return json.dumps(plain(dataclasses.asdict(self)), indent=1)

    @classmethod
    def from_json(cls, text: str) -> StudyRecord:
        """Read what ``to_json`` wrote.

        Raises
        ------
        ValueError
            Not such a text, or of another format.
        """
        from pydantic import TypeAdapter

        raw = json.loads(text)
        written = raw.get("format", FORMAT) if isinstance(raw, dict) else FORMAT
        if written != FORMAT:  # asked first: of another format nothing else need fit
            raise ValueError(
                f"a newer autoreg wrote it (format {written!r:.20}, this one reads {FORMAT}); upgrade autoreg here"
            )
        return TypeAdapter(cls).validate_json(text)


def plain(value: Any) -> Any:
    """Data as JSON knows it: NaN and infinities become None, numpy scalars Python's, unknown objects text."""
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)
