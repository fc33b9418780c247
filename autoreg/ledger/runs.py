"""What is written of a trial: pure functions from records to names, numbers and arrays, and back."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from autoreg.effects import KEPT_TEXT, figures
from autoreg.ledger.contract import StudyHeader
from autoreg.metrics import Metric
from autoreg.trial import CANONICAL, State, TrialRecord, TrialResult

ARTIFACT = "trial.npz"
RESULT, RECORD = "result.json", "record.json"
CURVE_POINTS = 25
"""Points of a curve in a run: each is a row that the store writes, which is most of the cost of tracking a trial."""
STATUS = {State.COMPLETE: "FINISHED", State.PRUNED: "KILLED", State.FAILED: "FAILED"}


def trial_metrics(record: TrialRecord, metric: Metric) -> dict[str, float]:
    """Metrics of a trial's run by name; what is not finite is left out.

    A pruned trial went through some of the folds alone, which may be the easier ones: it has no ``loss`` and no score that
    a list could sort among those of all folds.
    """
    r, name = record.result, metric.name
    scores = {
        f"cv_{name}": r.cv,
        f"cv_{name}_se": r.cv_se,
        f"train_{name}": r.train,
        f"gap_{name}": metric.badness(r.cv) - metric.badness(r.train),
        "loss": r.loss,
        "loss_se": r.loss_se,
    }
    found = {
        **({"pruned_loss": r.loss} if r.state is State.PRUNED else scores),
        "fit_seconds": r.seconds,
        "complexity": r.complexity,
        "best_round": float(np.mean(r.rounds)) if any(r.rounds) else math.nan,
        **figures(r.details),
    }
    return {key: float(value) for key, value in found.items() if math.isfinite(value)}


def trial_params(record: TrialRecord) -> dict[str, str]:
    """Parameters of a trial's run: the canonical names of every backend alike, then its own, prefixed.

    A canonical name that a backend does not have is 0, which means "off" everywhere, so that runs of all backends
    can be laid side by side.
    """
    params = record.result.params
    canonical = {n: _alike(n, params.get(n, 0)) for n in CANONICAL}
    own = {f"{record.backend}.{n}": shown(v) for n, v in sorted(params.items()) if n not in CANONICAL}
    return canonical | own | {n: shown(v) for n, v in sorted(record.result.native.items())}


def _alike(name: str, value: Any) -> str:
    """A canonical parameter as text, the same text for the same value in every backend: 0.0 and not 0 where it is a share."""
    return shown(float(value) if isinstance(value, int) and name != "patience" else value)


def shown(value: Any) -> str:
    """A parameter as text; numbers in their shortest exact form."""
    return repr(value) if isinstance(value, float) else str(value)


def run_name(record: TrialRecord) -> str:
    """Readable name of a trial's run, such as ``xgboost #12 l2``."""
    return f"{record.backend} #{record.number} {record.result.params.get('penalty', '')}".strip()


def pack(record: TrialRecord) -> str:
    """Everything of a record but its arrays, as JSON."""
    r = record.result
    kept = {
        "params": dict(r.params), "native": dict(r.native), "loss": r.loss, "loss_se": r.loss_se,
        "fold_losses": r.fold_losses, "cv": r.cv, "cv_se": r.cv_se, "train": r.train, "rounds": r.rounds,
        "complexity": r.complexity, "seconds": round(r.seconds, 4), "reason": r.reason[:500],
    }  # fmt: skip
    if r.details:
        short = len(json.dumps(dict(r.details))) <= KEPT_TEXT
        kept["details"] = dict(r.details) if short else figures(r.details)
    return json.dumps({key: None if _is_nan(v) else v for key, v in kept.items()})


def unpack(number: int, backend: str, state: str, asked: str, packed: str, run_id: str) -> TrialRecord:
    """The record that ``pack`` wrote, its predictions left where they are."""
    raw: dict[str, Any] = {
        key: math.nan if value is None else value for key, value in json.loads(packed).items()
    }
    raw |= {"fold_losses": tuple(raw["fold_losses"]), "rounds": tuple(raw["rounds"])}
    return TrialRecord(number, backend, json.loads(asked), TrialResult(State(state), **raw), run_id=run_id)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def saved_arrays(record: TrialRecord, header: StudyHeader, whole: bool = False) -> bytes:
    """A trial's kept predictions and its curves as the content of an npz file, without pickle.

    Of a private study the predictions are left out, unless the ``whole`` is asked for, which stays on this machine.
    """
    r = record.result
    arrays: dict[str, Any] = {name: np.asarray(curve) for name, curve in r.curves.items()}
    if r.predictions is not None and (whole or not header.private):
        arrays["predictions"] = r.predictions[header.kept]
    content = io.BytesIO()
    # Predictions hardly shrink, and compressing them is most of a quick trial's cost.
    np.savez(content, **arrays)
    return content.getvalue()


def withheld(record: TrialRecord, arrays: bytes) -> bool:
    """Whether a trial's artifact lacks the predictions that the trial made."""
    if record.result.state is not State.COMPLETE:
        return False
    with np.load(io.BytesIO(arrays), allow_pickle=False) as data:
        return "predictions" not in data


def load_curves(path: Path | BinaryIO) -> dict[str, NDArray[Any]]:
    """The curves in what ``saved_arrays`` gave."""
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files if name != "predictions"}


def load_predictions(path: Path | BinaryIO, header: StudyHeader) -> NDArray[np.float32] | None:
    """Read what ``saved_arrays`` gave, spread over the table's rows again."""
    with np.load(path, allow_pickle=False) as data:
        if "predictions" not in data:
            return None
        whole = np.full(header.shape, np.nan, np.float32)
        whole[header.kept] = data["predictions"]
        return whole


def thinned_curves(record: TrialRecord) -> Iterator[tuple[str, int, float]]:
    """(name, step, value) of every point of a trial's curves that is kept."""
    for name, curve in record.result.curves.items():
        steps, values = thin(np.asarray(curve))
        for step, value in zip(steps, values, strict=True):
            if math.isfinite(value):
                yield name, int(step), float(value)


def thin(curve: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """At most ``CURVE_POINTS`` steps of a curve, both ends among them."""
    steps = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), CURVE_POINTS)).round().astype(np.int64))
    return steps, curve[steps]
