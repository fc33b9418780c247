"""The records that flow through autoreg: tables, folds, parameters, results. Frozen, without behaviour of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["numeric", "boolean", "category", "date", "text"]
Encoding = Literal["dense", "tree"]
Scalar = str | int | float | bool
Params = Mapping[str, Scalar]
Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
"""Row positions in a table."""

# Names that mean the same for every backend, in the order in which they are shown.
CANONICAL = ("penalty", "alpha", "l1_ratio", "dropout", "patience")


class OutOfTime(Exception):
    """The deadline passed while a trial was computed; it is abandoned and leaves no trace."""


class State(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True)
class Table:
    """A loaded table, parsed once and clean after that.

    Attributes
    ----------
    name, source : str
        Name of the study's data and where it came from (any password removed).
    features : pandas.DataFrame
        Raw feature columns, one row per example, index 0..n-1; never the target, id, group, time or weight.
    kinds : mapping of str to Kind
        Kind of every feature column.
    target : ndarray, shape (n,)
        Class codes 0..K-1 (int64), or values (float64) for regression.
    task : Task
    classes : tuple
        Class labels in the order of the codes; empty for regression.
    weight : ndarray, shape (n,), or None
        Non-negative sample weights.
    group, time, id : ndarray, shape (n,), or None
        Group labels (rows of one group stay together), sortable times, stable row keys.
    fingerprint : str
        Hash of the content, 16 hex digits.
    notes : tuple of str
        What was decided while loading, in words for the user.
    image : tuple of int, or None
        Every row is an image: the features in order, reshaped to (..., channels). Two numbers are a series, four a volume.
    scale : {"auto", "standard", "none", "unit"}
        What the dense encoding does with numbers; see ``data.preprocess.fit_preprocessor``.
    suspects : tuple of str
        Features that tell the target all alone, so that they may give it away.
    """

    name: str
    source: str
    features: pd.DataFrame
    kinds: Mapping[str, Kind]
    target: NDArray[Any]
    task: Task
    classes: tuple[Scalar, ...]
    fingerprint: str
    weight: Floats | None = None
    group: NDArray[Any] | None = None
    time: NDArray[Any] | None = None
    id: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    image: tuple[int, ...] | None = None
    scale: str = "auto"
    suspects: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.classes)


@dataclass(frozen=True)
class Fold:
    """Row positions of one fold. ``stop`` decides when training ends, ``score`` judges.

    They never overlap, but for a published experiment that is repeated as its authors ran it.
    """

    train: Rows
    stop: Rows
    score: Rows


@dataclass(frozen=True)
class Split:
    """How a table is divided.

    Attributes
    ----------
    search : Rows
        Rows that the search may use.
    holdout : Rows
        Rows that are looked at once, at the very end.
    folds : tuple of Fold
        Folds over ``tried``; positions are those of the table.
    rule : mapping
        Mode, salt, fraction and key columns, so that a row never changes side in a later study.
    sample : Rows or None
        The rows of ``search`` that trials see where they are too many for every trial to see all.
    """

    search: Rows
    holdout: Rows
    folds: tuple[Fold, ...]
    rule: Mapping[str, Any]
    sample: Rows | None = None

    @property
    def tried(self) -> Rows:
        """Rows that trials see; what is shipped is fitted on all of ``search``."""
        return self.search if self.sample is None else self.sample


@dataclass(frozen=True)
class Part:
    """Encoded rows: ``X`` float32 (n, columns); ``y`` as in ``Table.target``; ``weight`` float64 (n,) or None."""

    X: NDArray[np.float32]
    y: NDArray[Any]
    weight: Floats | None = None

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Encoded:
    """One fold in one encoding, the preprocessing fitted on its train part alone.

    Attributes
    ----------
    train : Part
    stop : Part or None
        None where there are too few rows: then networks and boosters train for a fixed number of rounds.
    score : Part or None
        None when refitting.
    columns : tuple of str
        Names of the encoded columns.
    levels : tuple of int
        Per column: 0 for a number, else the number of levels of a categorical code ("tree" encoding only).
    task : Task
    n_classes : int
        0 for regression.
    image : tuple of int, or None
        As in ``Table``: how the columns of ``X`` reshape.
    """

    train: Part
    stop: Part | None
    score: Part | None
    columns: tuple[str, ...]
    levels: tuple[int, ...]
    task: Task
    n_classes: int
    image: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TrialResult:
    """What the evaluation of one configuration gave. Losses: smaller is better, means over rows of the score part.

    Attributes
    ----------
    state : State
    params : Params
        Effective parameters under canonical names (what was really fitted).
    native : Params
        The same in the library's own names, prefixed ("xgboost.reg_lambda").
    loss : float
        Mean over evaluated folds of the internal loss; NaN when failed.
    loss_se : float
        Standard error of ``loss`` over rows.
    fold_losses : tuple of float
        One per evaluated fold.
    cv, cv_se, train : float
        The user's metric on the score parts (mean over folds, standard error) and on the train parts.
    rounds : tuple of int
        Best stopping point of each fold (epochs or boosting rounds; 0 where the model has none).
    complexity : float
        Effective number of parameters, mean over folds.
    predictions : ndarray, shape (n,) or (n, K), float32, or None
        Out-of-fold predictions by table row; NaN where not predicted.
    curves : mapping of str to ndarray
        "train_loss" and "stop_loss" by epoch or round, means over folds; of networks "train_accuracy" and
        "stop_accuracy" too, where a published experiment is judged by accuracy.
    seconds : float
        Fit and predict time.
    reason : str
        Why the trial failed or was pruned.
    details : mapping
        What a published experiment shows of a trial besides; see ``effects.effects``.
    """

    state: State
    params: Params
    native: Params = field(default_factory=dict)
    loss: float = float("nan")
    loss_se: float = float("nan")
    fold_losses: tuple[float, ...] = ()
    cv: float = float("nan")
    cv_se: float = float("nan")
    train: float = float("nan")
    rounds: tuple[int, ...] = ()
    complexity: float = float("nan")
    predictions: NDArray[np.float32] | None = None
    curves: Mapping[str, Floats] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial as the ledger keeps it.

    Attributes
    ----------
    number : int
        Position in the study's one global sequence, over all backends.
    backend : str
    asked : Params
        The sampler's own coded parameters, enqueued again on replay.
    result : TrialResult
    started, ended : float
        Seconds since the epoch.
    run_id : str
        The run that holds it, empty while it is in memory alone.
    """

    number: int
    backend: str
    asked: Params
    result: TrialResult
    started: float = 0.0
    ended: float = 0.0
    run_id: str = ""


@dataclass(frozen=True)
class Choice:
    """A search dimension: one of these values."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Range:
    """A search dimension: a number between ``low`` and ``high``.

    Attributes
    ----------
    low, high : float
        Ends, both included.
    log : bool
        Uniform on a logarithmic scale.
    integer : bool
        Whole numbers only.
    off : bool
        Exact 0 is possible too; the sampler sees it as a zone below ``low``.
    extend : bool
        The search may move an end that its best trials crowd.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    off: bool = False
    extend: bool = False


Dimension = Scalar | Choice | Range
"""What a study gives for a name: a scalar fixes, a choice chooses, a range is searched."""


@dataclass(frozen=True)
class Extension:
    """A range that became wider while the study ran.

    Attributes
    ----------
    number : int
        First trial that is asked of the wider range.
    backend, name : str
    low, high : float
        Its ends from then on.
    """

    number: int
    backend: str
    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Turn:
    """A turn that the clock made shorter, or took away.

    Attributes
    ----------
    number : int
        First trial that would be, or is, of this turn.
    backend : str
    trials : int
        Trials that it has. 0: the backend sits out from here on, until another turn of its is noted.
    """

    number: int
    backend: str
    trials: int


@dataclass(frozen=True)
class Sizes:
    """What a backend may know of the data before it is asked for a space.

    Attributes
    ----------
    task : Task
    rows : int
        Rows of a fold's train part.
    columns : int
        Encoded columns.
    n_classes : int
        0 for regression.
    image : tuple of int, or None
        As in ``Table``.
    """

    task: Task
    rows: int
    columns: int
    n_classes: int
    image: tuple[int, ...] | None = None

    @property
    def outputs(self) -> int:
        """Number of scores a model produces per row: 1 for binary and regression, else the classes."""
        return self.n_classes if self.task == "multiclass" else 1


class Watch(Protocol):
    """Hears what a running study does, to show it to a person. Calls come from the driver's thread, in order."""

    def say(self, message: str) -> None:
        """One line of words: a decision, a warning, where to look."""

    def planned(self, trials: int, seconds: float) -> None:
        """The search begins, with its budget of trials and of seconds."""

    def trial(self, record: TrialRecord, replayed: bool) -> None:
        """A trial is over (or was looked up in the ledger: ``replayed``)."""

    def stage(self, name: str) -> None:
        """The study enters a stage: "data", "search", "refit", "holdout", "register"."""


class Silent:
    """A Watch that says nothing."""

    def say(self, message: str) -> None: ...  # noqa: D102
    def planned(self, trials: int, seconds: float) -> None: ...  # noqa: D102
    def trial(self, record: TrialRecord, replayed: bool) -> None: ...  # noqa: D102
    def stage(self, name: str) -> None: ...  # noqa: D102


SILENT = Silent()
