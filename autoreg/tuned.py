"""What running a study gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from autoreg.record import StudyRecord
from autoreg.report import summary
from autoreg.serving import Package


@dataclass(frozen=True)
class TuneResult:
    """What a study gave.

    Attributes
    ----------
    status : str
        "tuned", or "skipped" when the study was finished already.
    report : dict
        The contract's JSON object.
    package : Package or None
        Predicts raw rows; None when the study was skipped.
    judged : Package or None
        What the estimate is of: the same, unless ``package`` was fitted once more with the held-out rows.
    record : StudyRecord or None
        Everything the study found; None when it was skipped.
    explained : callable or None
        Makes the record again with its explanations, where the study was run with ``explain=False``.
    """

    status: str
    report: dict[str, Any]
    package: Package | None = None
    judged: Package | None = None
    record: StudyRecord | None = None
    explained: Callable[[], StudyRecord] | None = field(default=None, repr=False)

    @property
    def run_id(self) -> str:
        """The study's parent run; empty without tracking."""
        return str(self.report.get("run_id") or "")

    def as_json(self) -> dict[str, Any]:
        """The contract's JSON object."""
        return {**self.report, "status": self.status}

    def _repr_html_(self) -> str | None:
        """The result in a notebook."""
        return summary(self.record) if self.record else None
