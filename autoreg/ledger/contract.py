"""What a ledger is: it keeps a study's trials, in memory or in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autoreg.metrics import Metric
from autoreg.trial import Extension, Floats, TrialRecord, Turn


@dataclass(frozen=True)
class StudyHeader:
    """What identifies a study and is written on its parent run.

    Attributes
    ----------
    name, digest : str
    metric : Metric
        The user's metric, which names the runs' metrics.
    kept : ndarray
        Table rows whose predictions are kept, in order.
    shape : tuple of int
        Shape of a trial's predictions over the table.
    params : mapping
        Settings shown on the parent run.
    files : callable
        Gives the artifacts by name; asked when a run is described, not when a study goes on.
    dataset : mapping of str to str
        ``name``, ``digest``, ``source``, ``source_type``, ``schema``, ``profile`` of the data.
    fresh : bool
        Start a new generation instead of continuing the study.
    tags : mapping of str to str
        Set on the parent run beside its own.
    folder : str
        Folder of the study file; where it is in a git repository, its commit is noted.
    private : bool
        Keep the trials' predictions on this machine, not in the store, and only until the study ends.
    """

    name: str
    digest: str
    metric: Metric
    kept: NDArray[np.int64]
    shape: tuple[int, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    files: Callable[[], Mapping[str, str | bytes]] = dict
    dataset: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False
    folder: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    private: bool = False


@dataclass
class History:
    """What the ledger already knows of a study.

    Attributes
    ----------
    records : dict of int to TrialRecord
        Finished trials by number; their predictions are fetched when asked for.
    drops : dict of str to int
        Backends that were dropped, with the first trial number that no longer is theirs.
    result : dict or None
        ``report`` (the contract's JSON) and ``budget`` of a finished study.
    looks : int
        How often the holdout was looked at before.
    extensions : list of Extension
        Ranges that became wider, in order.
    attempts : dict of int to int
        Trials without a result that were under way when a driver died: how many drivers died so. Empty after a stop
        that the driver lived to see.
    turns : list of Turn
        Turns that the clock made shorter or took away, in order.
    """

    records: dict[int, TrialRecord] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    looks: int = 0
    extensions: list[Extension] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)


class Ledger(Protocol):
    """Keeps a study's trials. ``waited`` counts the seconds the search was held up by it."""

    experiment_id: str
    run_id: str
    waited: float

    def begin(self, header: StudyHeader) -> History:
        """Find or create the study's parent run and return what is known."""

    def resume(self) -> None:
        """Mark the study as running again."""

    def attempt(self, numbers: Sequence[int]) -> None:
        """Note that trials are about to be computed, so that it is known should they take the driver down."""

    def record(self, record: TrialRecord) -> None:
        """Keep a finished trial; returns before it is written."""

    def predictions(self, record: TrialRecord) -> NDArray[np.float32] | None:
        """Out-of-fold predictions of a finished trial, over table rows."""

    def curves(self, record: TrialRecord) -> Mapping[str, Floats]:
        """Curves of a finished trial; empty where there are none."""

    def drop(self, drops: Mapping[str, int]) -> None:
        """Keep which backends were dropped, and when."""

    def extend(self, extensions: Sequence[Extension]) -> None:
        """Keep which ranges became wider, and when."""

    def cut(self, turns: Sequence[Turn]) -> None:
        """Keep which turns the clock made shorter or took away."""

    def flush(self) -> None:
        """Return when everything is written."""

    def news(self) -> list[str]:
        """What became of the store since this was last asked, in words for the watch."""

    def finish(
        self,
        result: dict[str, Any],
        metrics: Mapping[str, float],
        note: str,
        files: Mapping[str, str | bytes],
    ) -> None:
        """Mark the study as finished; ``note`` (Markdown) describes it, ``files`` by path are its artifacts."""

    def settle(self) -> None:
        """Say of a finished study that it is finished, where a crash left its run open."""

    def abandon(self, status: str) -> None:
        """Leave an unfinished study in a state that says so ("KILLED" or "FAILED")."""


class MemoryLedger:
    """Keeps everything in memory, for ``tracking="off"``."""

    def __init__(self) -> None:
        self.experiment_id, self.run_id, self.waited = "", "", 0.0
        self.history = History()

    def begin(self, header: StudyHeader) -> History:
        """See ``Ledger``."""
        known = self.history
        return History(
            dict(known.records), dict(known.drops), known.result,
            extensions=list(known.extensions), turns=list(known.turns),
        )  # fmt: skip

    def resume(self) -> None:
        """See ``Ledger``."""

    def attempt(self, numbers: Sequence[int]) -> None:
        """See ``Ledger``: what dies with the driver has nothing to tell the next one."""

    def record(self, record: TrialRecord) -> None:
        """See ``Ledger``."""
        self.history.records[record.number] = record

    def predictions(self, record: TrialRecord) -> NDArray[np.float32] | None:
        """See ``Ledger``."""
        return self.history.records.get(record.number, record).result.predictions

    def curves(self, record: TrialRecord) -> Mapping[str, Floats]:
        """See ``Ledger``."""
        return self.history.records.get(record.number, record).result.curves

    def drop(self, drops: Mapping[str, int]) -> None:
        """See ``Ledger``."""
        self.history.drops = dict(drops)

    def extend(self, extensions: Sequence[Extension]) -> None:
        """See ``Ledger``."""
        self.history.extensions = list(extensions)

    def cut(self, turns: Sequence[Turn]) -> None:
        """See ``Ledger``."""
        self.history.turns = list(turns)

    def flush(self) -> None:
        """See ``Ledger``."""

    def news(self) -> list[str]:
        """See ``Ledger``: memory is never away."""
        return []

    def finish(
        self,
        result: dict[str, Any],
        metrics: Mapping[str, float],
        note: str,
        files: Mapping[str, str | bytes],
    ) -> None:
        """See ``Ledger``."""
        self.history.result = result

    def settle(self) -> None:
        """See ``Ledger``."""

    def abandon(self, status: str) -> None:
        """See ``Ledger``."""
