"""A first study for a table: what its columns look like, and the commented file that says so."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.data.load import load_table
from autoreg.data.sources import read_source
from autoreg.errors import DataError, UsageError, did_you_mean
from autoreg.secrets import redact
from autoreg.spec import DataSpec
from autoreg.trial import Table

TARGET_NAMES = ("target", "label", "class", "y", "outcome", "response")
ID_NAME = re.compile(r"(^|[_\W])(id|uuid|guid|key|nr|number)$|[a-z](Id|ID)$", re.I)
GROUP_NAME = re.compile(
    r"patient|customer|client|user|subject|person|household|group|site|store|family|session|device", re.I
)
TIME_NAME = re.compile(r"date|time|year|month|day|_at$|_on$", re.I)
WEIGHT_NAME = re.compile(r"^(sample_?|case_?|survey_?)?weights?$|importance|^fnlwgt$|^wgt$", re.I)
FEWEST_OF_GROUP = 2.0
RARE_SHARE = 0.1
FEW_ROWS = 500
LISTED = 12


@dataclass(frozen=True)
class Hint:
    """A line that the study may need: a key of [data], its value, and why it is suggested."""

    key: str
    value: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """What a table looks like, for a study of it.

    Attributes
    ----------
    source, target : str
    table : Table
        The table as a study would read it.
    hints : list of Hint
    drops : list of Hint
        Columns that may tell the target by themselves.
    """

    source: str
    target: str
    table: Table
    hints: list[Hint]
    drops: list[Hint]


def read_columns(source: str, folder: Path) -> pd.DataFrame:
    """The table that a source names, as it was read.

    Raises
    ------
    DataError
        Missing, damaged, or no table; an SQL source, which needs a query.
    """
    if re.match(r"(?!https?:|file:)\w[\w+.-]*://", source):
        raise DataError(
            f"DATA: '{redact(source)}' is a database, which needs a query: start from studies/template.toml instead"
        )
    try:
        found = read_source(DataSpec(source=source, target="target"), folder)
    except DataError as error:
        raise DataError(str(error).replace("data.source:", "DATA:", 1)) from None
    if found.image:
        raise DataError(f"DATA: '{redact(source)}' holds images: start from studies/template.toml instead")
    frame: pd.DataFrame = found.frame
    return frame.rename(columns=str)


def likely_targets(columns: Sequence[str]) -> list[str]:
    """Columns by how likely they are what is to be predicted: by name, then the last one, then the others."""
    by_name = [c for name in TARGET_NAMES for c in columns if c.lower() == name]
    ending = [c for c in columns if re.search(r"(?i)(^|_)(target|label|class|outcome)$", c)]
    return list(dict.fromkeys([*by_name, *ending, *reversed(columns)]))


def check_target(target: str, columns: Sequence[str]) -> str:
    """The name of a column, or a clear error.

    Raises
    ------
    UsageError
        There is no such column.
    """
    if target in columns:
        return target
    same = [c for c in columns if c.lower() == target.lower()]
    hint = f" (did you mean '{same[0]}'?)" if same else did_you_mean(target, columns)
    raise UsageError(f"--target: the table has no column '{target}'{hint if len(hint) < 300 else ''}")


def look_at(frame: pd.DataFrame, source: str, target: str) -> Findings:
    """Read a table as a study would, and note what its columns may be.

    Parameters
    ----------
    frame : pandas.DataFrame
        See ``read_columns``.
    source, target : str

    Raises
    ------
    DataError
        The table cannot be used with this target.
    """
    table = load_table(DataSpec(source=source, target=target), "init", Path.cwd(), frame)
    others = [c for c in frame.columns if c != target]
    found = [hint for c in others if (hint := _role(frame[c], table.kinds.get(c, ""))) is not None]
    first: dict[str, Hint] = {}
    for hint in found:
        first.setdefault(hint.key, hint)
    reason = "alone it tells the target almost perfectly: is it known when predicting?"
    return Findings(
        source, target, table, list(first.values()), [Hint("drop", c, reason) for c in table.suspects]
    )


def _role(column: Any, kind: str) -> Hint | None:
    """What a column may be besides a feature."""
    name, present = str(column.name), column.dropna()
    if not len(present) or getattr(column.dtype, "kind", "O") == "c":
        return None
    try:
        different = present.nunique()
    except TypeError:  # lists and the like
        return None
    fractions = getattr(column.dtype, "kind", "O") == "f" and bool((present % 1 != 0).any())
    if kind == "date" or (TIME_NAME.search(name) and different > len(column) / 2 and kind != "category"):
        return Hint(
            "time",
            name,
            "later rows are scored by models of earlier ones; needed where the future is predicted",
        )
    if WEIGHT_NAME.search(name) and kind == "numeric" and bool((present >= 0).all()):
        return Hint("weight", name, "if it says how much a row counts, and not what somebody weighs")
    if fractions:
        return None
    if ID_NAME.search(name) and different == len(column):
        return Hint(
            "id",
            name,
            "every row has its own value; keeps a row on its side of the holdout when rows are added",
        )
    per_value = len(present) / different
    if (
        (GROUP_NAME.search(name) or ID_NAME.search(name))
        and per_value >= FEWEST_OF_GROUP
        and different > LISTED
    ):
        return Hint(
            "group", name, f"{different} values over {len(column)} rows; keeps the rows of one value together"
        )
    return None


def study_text(found: Findings, name: str, out: Path) -> str:
    """The study file.

    Parameters
    ----------
    found : Findings
    name : str
        Name of the study.
    out : Path
        Where it will lie: relative data paths start there.
    """
    table = found.table
    columns = len(table.features.columns)
    what = {"binary": "two classes", "multiclass": f"{len(table.classes)} classes", "regression": "a number"}
    head = f"""\
# {len(table.features)} rows, {columns} columns to predict from; {_plain(found.target)} is {what[table.task]}.
#   autoreg validate {out}      what would run
#   autoreg tune {out}          run it; the same command again goes on where it was stopped
# Lines that begin with "#:" are suggestions: remove the "#:" to use one."""
    named = [("name = " + _quoted(name), "of the study, its experiment in MLflow, and its model")]
    parts = [head, _lines(named), _data_part(found, out), _search_part(table), _split_part(table)]
    notes = [f"# - {_plain(note)}" for note in table.notes if "alone tell" not in note]
    if notes:
        parts.append(
            "\n".join(["# What was decided while reading; `autoreg validate` says it again:", *notes])
        )
    return "\n\n".join(parts) + "\n"


def _data_part(found: Findings, out: Path) -> str:
    rows = [
        (f"source = {_quoted(_from(out, found.source))}", "relative paths start in this file's folder"),
        (f"target = {_quoted(found.target)}", "the column to predict"),
        *((f"#: {h.key} = {_quoted(h.value)}", h.reason) for h in found.hints),
    ]
    if found.drops:
        names = ", ".join(_quoted(h.value) for h in found.drops)
        rows.append((f"#: drop = [{names}]", found.drops[0].reason))
    return "[data]\n" + _lines(rows)


def _search_part(table: Table) -> str:
    regression = table.task == "regression"
    own, others = ("rmse", '"mae", "r2"') if regression else ("log_loss", '"roc_auc", "accuracy", "f1"')
    rows = [
        (f'metric = "{own}"', f"what you care about; or {others}"),
        ('backends = ["sklearn", "xgboost", "keras"]', "linear models, boosted trees, neural networks"),
        ("trials = 60", "configurations to try, over all of them"),
        ('timeout = "10m"', "limit for the whole command"),
    ]
    counts = pd.Series(table.target).value_counts(normalize=True).sort_index()
    if not regression and counts.min() < RARE_SHARE / max(1, len(counts) - 1):
        label = _plain(str(table.classes[int(counts.to_numpy().argmin())]))
        rows.append(('#: class_weight = "balanced"', f"class {label} has {counts.min():.1%} of the rows"))
    return "[search]\n" + _lines(rows)


def _split_part(table: Table) -> str:
    rows = [
        ("holdout = 0.2", "this share of the rows is looked at once, at the very end"),
        (
            "#: folds = 5",
            "parts of the others, each of which scores what the rest trained; one of them where rows are many",
        ),
    ]
    if len(table.features) < FEW_ROWS:
        nested = "few rows: hold none back, repeat the whole search instead (takes five times as long)"
        rows.append(('#: estimate = "nested"', nested))
    return "[split]\n" + _lines(rows)


def _lines(rows: Sequence[tuple[str, str]]) -> str:
    """Keys with their comments, these in one column."""
    width = max(len(key) for key, _ in rows)
    return "\n".join(f"{key:<{width}}  # {comment}" for key, comment in rows)


def _from(out: Path, source: str) -> str:
    """A source as a file in ``out``'s folder has to name it."""
    if re.match(r"[A-Za-z][\w+.-]+:", source) or Path(source).expanduser().is_absolute():
        return source
    return os.path.relpath(source, out.parent)


def study_name(source: str) -> str:
    """A name for a study, from its data: ``churn`` of ``data/churn.csv``, ``iris`` of ``sklearn:load_iris``."""
    last = re.split(r"[/:]", source.partition("?")[0].rstrip("/"))[-1].partition(".")[0]
    last = re.sub(r"^(load|make|fetch)_", "", last) if source.startswith("sklearn:") else last
    return re.sub(r"[^\w-]+", "_", last).strip("_") or "study"


def _quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    """Text for a comment, which ends with its line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
