"""Tables of the comparison, the rows that nobody sees, and what an answer about them is worth."""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SMALLEST = 1e-7
"""Probabilities are cut here, about where single precision ends: one sure mistake costs at most 16."""


@dataclass(frozen=True)
class Entry:
    name: str
    path: Path
    target: str
    task: str
    known_as: str = ""


def read_index(folder):
    """Name -> entry of INDEX.csv (columns name, file, target, task; openml_name and matches_openml where known)."""
    place, found = Path(folder, "INDEX.csv"), {}
    if not place.exists():
        sys.exit(
            f"{place} is not there: FOLDER must hold the tables and an INDEX.csv with name, file, target, task"
        )
    with place.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and (absent := [c for c in ("name", "file", "target", "task") if c not in rows[0]]):
        sys.exit(f"{place}: column {absent[0]!r} is missing, found {', '.join(rows[0])}")
    for row in rows:
        known_as = row.get("openml_name", "") if row.get("matches_openml") == "yes" else ""
        found[row["name"]] = Entry(
            row["name"], Path(folder, row["file"]), row["target"], row["task"], known_as.lower()
        )
    return found


def read(entry):
    """The table without rows that have no target; classes as text, for not everybody takes 2 and 1, or true and false."""
    frame = pd.read_csv(entry.path) if entry.path.suffix == ".csv" else pd.read_parquet(entry.path)
    frame = frame[frame[entry.target].notna()].reset_index(drop=True)
    for name in frame.select_dtypes(exclude=["number", "bool"]):  # any pandas reads objects as it likes to
        column = frame[name].astype(object)
        frame[name] = column.where(column.notna(), None)
    if entry.task != "regression":
        frame[entry.target] = pd.Series([_spelled(v) for v in frame[entry.target]], dtype=object)
    return frame


def _spelled(value):
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return f"class {int(value) if whole else value}"


def divided(frame, entry, seed, test_rows=0.2):
    """(training rows, test rows); every class has its share in both."""
    from sklearn.model_selection import train_test_split

    strata = None if entry.task == "regression" else frame[entry.target]
    if strata is not None and (rare := strata.value_counts()).min() < 2:
        sys.exit(
            f"{entry.name}: {rare.index[-1]!r} has one row, which cannot be in both parts; leave the set out"
        )
    parts = train_test_split(frame, test_size=test_rows, random_state=seed, stratify=strata)
    return tuple(part.reset_index(drop=True) for part in parts)


def aligned(probabilities, names, classes):
    """Probabilities (n, K) in the order of ``classes``; 0 for a class that is not among ``names``.

    Raises
    ------
    ValueError
        A column of a class that does not exist, or values that are no probabilities.
    """
    probabilities = np.asarray(probabilities, float)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(names):
        raise ValueError(f"probabilities of shape {probabilities.shape} for {len(names)} classes")
    if strange := sorted(set(names) - set(classes)):
        raise ValueError(f"probabilities of {strange[0]!r}, which is none of the classes")
    if not np.isfinite(probabilities).all() or (probabilities < -1e-6).any():
        raise ValueError("probabilities that are negative or no numbers")
    found = np.zeros((len(probabilities), len(classes)))
    found[:, [classes.index(name) for name in names]] = probabilities
    return found / found.sum(axis=1, keepdims=True)


def judged(answer, truth, classes):
    """(scores by name, {losses: of every row, log loss or squared error; of classes also truth, as codes, and right})."""
    if not classes:
        return _values(np.asarray(answer["values"], float), np.asarray(truth, float))
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    truth, labels = np.asarray(truth, str), np.asarray(answer["labels"], str)
    if len(labels) != len(truth):
        raise ValueError(f"{len(labels)} labels for {len(truth)} rows")
    p = aligned(answer["probabilities"], answer["names"], classes)
    codes = np.array([classes.index(t) for t in truth])
    losses = -np.log(np.clip(p[np.arange(len(p)), codes], SMALLEST, 1))
    present = np.unique(codes)
    areas = [roc_auc_score(codes == k, p[:, k]) for k in present[-1:] if len(classes) == 2]
    areas = areas or [roc_auc_score(codes == k, p[:, k]) for k in present if len(present) > 1]
    return {
        "log_loss": losses.mean(),
        "auc": np.mean(areas),
        "balanced_accuracy": balanced_accuracy_score(truth, labels),
        "accuracy": (truth == labels).mean(),
    }, {"losses": losses, "truth": codes, "right": truth == labels}


def _values(values, truth):
    if values.shape != truth.shape or not np.isfinite(values).all():
        raise ValueError(f"predictions of shape {values.shape}, not all numbers, for {len(truth)} rows")
    losses = (values - truth) ** 2
    return {"rmse": np.sqrt(losses.mean()), "r2": 1 - losses.mean() / truth.var()}, {"losses": losses}
