"""What a fitted estimator shows: its score with an interval, its trials, its report; and how its models are pickled."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.parcel import packed, unpacked
from autoreg.record import StudyRecord
from autoreg.report import model_card, render, summary
from autoreg.serving import Package
from autoreg.trial import CANONICAL


@dataclass(frozen=True)
class Score:
    """How well the fitted model does on new rows, as honestly as was asked for.

    Attributes
    ----------
    value : float
        In the metric.
    interval : tuple of float
        95 % interval, (low, high); NaN where there is none.
    kind : str
        "holdout": rows that nothing touched before, looked at once. "nested": the whole search repeated in outer folds.
        "cv_corrected": cross-validation, corrected for having chosen the best of many trials; "cv": not even that.
    metric : str
    greater_is_better : bool
    """

    value: float
    interval: tuple[float, float]
    kind: str
    metric: str
    greater_is_better: bool


def score_of(told: Mapping[str, Any], metric: str, greater_is_better: bool) -> Score:
    """The most honest one of a result's estimates."""
    wanted = "nested" if told.get("kind") == "nested" else "holdout"
    for kind in (wanted, "cv_corrected", "cv"):
        if _number(told.get(kind)) is not None:
            ends = _number(told.get(f"{kind}_low")), _number(told.get(f"{kind}_high"))
            low, high = (math.nan if end is None else end for end in ends)
            return Score(float(told[kind]), (low, high), kind, metric, greater_is_better)
    return Score(math.nan, (math.nan, math.nan), "cv", metric, greater_is_better)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def trials_frame(record: StudyRecord) -> pd.DataFrame:
    """One row per trial: its place, the common parameters, the backend's own, scores and state."""
    found = {name for trial in record.trials for name in trial.params}
    own = sorted(found - set(CANONICAL))
    names = [name for name in CANONICAL if name in found] + own
    rows = [
        {"number": t.number, "backend": t.backend, "state": t.state}
        | {name: t.params.get(name) for name in names}
        | {
            "loss": t.loss,
            "loss_se": t.loss_se,
            f"cv_{record.metric}": t.cv,
            f"cv_{record.metric}_se": t.cv_se,
        }
        | {
            f"train_{record.metric}": t.train,
            "complexity": t.complexity,
            "seconds": t.seconds,
            "reason": t.reason,
        }
        for t in record.trials
    ]
    return pd.DataFrame(rows).set_index("number", drop=False).rename_axis(None)


@dataclass(frozen=True)
class StudyReport:
    """Everything a search found; draws itself in a notebook.

    Attributes
    ----------
    record : StudyRecord
    """

    record: StudyRecord

    def save(self, path: str | Path) -> Path:
        """Write the report.

        Parameters
        ----------
        path : str or Path
            Ends in ``.html`` (one file, opens without a network), ``.md`` (a card) or ``.json`` (all that is known).

        Raises
        ------
        ValueError
            Another ending.
        """
        path = Path(path)
        writers = {".html": render, ".md": model_card, ".json": StudyRecord.to_json}
        if path.suffix.lower() not in writers:
            raise ValueError(f"path: expected a name that ends in .html, .md or .json; found '{path}'")
        path.write_text(writers[path.suffix.lower()](self.record), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        """The whole page in a frame of its own, so that its style stays with it."""
        page = html.escape(render(self.record), quote=True)
        frame = f'<iframe srcdoc="{page}" style="width:100%;height:720px;border:1px solid #8886"></iframe>'
        return summary(self.record) + frame


class Parcel:
    """A package that is pickled as the files it is saved as, and unpacked when it is first asked for.

    Parameters
    ----------
    package : Package or None
    content : bytes
        What ``packed`` gave, where there is no package yet.
    """

    def __init__(self, package: Package | None, content: bytes = b"") -> None:
        self._package, self._content = package, content

    @property
    def package(self) -> Package:
        """Predicts raw rows."""
        if self._package is None:
            self._package, self._content = unpacked(self._content), b""
        return self._package

    def _bytes(self) -> bytes:
        return self._content if self._package is None else packed(self._package)

    def __reduce__(self) -> tuple[Any, ...]:
        return Parcel, (None, self._bytes())
