"""A corpus of bad tables by name: what each does to a good one, and what autoreg must make of it.

The tables themselves are in the modules of ``HOMES``; each is a function that spoils the good table of one task.
``every_case`` gathers them.
"""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 60
EVERY = ("binary", "multiclass", "regression")
TWO = ("binary", "regression")
SPLIT, SEARCH = ("folds", "holdout", "stop", "estimate"), ("metric", "class_weight")
HOMES = ("bad_columns", "bad_rows", "bad_frames", "bad_targets", "bad_files", "bad_places", "bad_inputs")
CASES: dict[str, "Case"] = {}


@dataclass(frozen=True)
class Case:
    """One bad table.

    Attributes
    ----------
    make : callable
        Gets the good table and an empty folder; gives what ``way`` says.
    way : {"command", "tune", "fit"}
        The source for the command line; a frame for ``autoreg.tune``; or the arguments of ``fit``.
    refused : str
        Part of the one line that refuses the table; empty where it works.
    note : str
        Part of what is said about a table that works.
    first : bool
        Whether its task is the first of those that the table is spoiled for.
    rows : callable or None
        Where the rows to predict cannot be read from the source again.
    """

    name: str
    task: str
    make: Callable[[pd.DataFrame, Path], Any]
    way: str
    refused: str = ""
    note: str = ""
    fast: bool = False
    first: bool = True
    draws: bool = False
    rows: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def works(self) -> bool:
        return not self.refused


def good(task: str, rows: int = ROWS) -> pd.DataFrame:
    """A table that is easy to learn: two numbers, a category, and the target ``y``."""
    rng = np.random.default_rng(7)
    t = pd.DataFrame({"a": rng.normal(size=rows).round(4), "b": rng.normal(size=rows).round(4)})
    t["c"] = rng.choice(["red", "green", "blue"], rows)
    signal = t["a"] - t["b"] + (t["c"] == "red") + 0.5 * rng.normal(size=rows)
    if task == "regression":
        t["y"] = (10 * signal).round(3)
    elif task == "binary":
        t["y"] = np.where(signal > 0.3, "yes", "no")
    else:
        t["y"] = np.select([signal < -0.4, signal < 0.9], ["low", "mid"], "high")
    return t


def _case(way: str, wrap: Callable[..., Any], tasks: tuple[str, ...], words: dict[str, Any]) -> Any:
    known = {k: words.pop(k) for k in ("refused", "note", "fast", "draws", "rows") if k in words}

    def keep(build: Callable[..., Any]) -> Callable[..., Any]:
        for task in tasks or EVERY:
            told = {
                k: v.get(task, "") if k in ("refused", "note") and isinstance(v, dict) else v
                for k, v in known.items()
            }
            # Of a case of several tasks one is enough for every run of the tests.
            told["first"] = task == (tasks or EVERY)[0]
            told["fast"] = bool(known.get("fast")) and told["first"]
            name = f"{build.__name__}-{task}"
            assert name not in CASES, f"two cases are named {name}"
            CASES[name] = Case(name, task, wrap(build), way, options=words, **told)
        return build

    return keep


def column(*tasks: str, form: str = "csv", **words: Any) -> Any:
    """A case that spoils a frame, which is then written as CSV or Parquet; unnamed keys go into the study."""

    def wrap(build: Callable[..., Any]) -> Callable[..., Any]:
        def make(t: pd.DataFrame, folder: Path) -> str:
            found = build(t)
            t = t if found is None else found
            if form == "parquet":
                t.to_parquet(folder / "t.parquet", index=False)
            else:
                t.to_csv(folder / "t.csv", index=False)
            return str(folder / f"t.{form}")

        return make

    return _case("command", wrap, tasks, words)


def file(*tasks: str, name: str = "t.csv", **words: Any) -> Any:
    """A case that gives the bytes of a file."""

    def wrap(build: Callable[..., Any]) -> Callable[..., Any]:
        def make(t: pd.DataFrame, folder: Path) -> str:
            (folder / name).write_bytes(build(t))
            return str(folder / name)

        return make

    return _case("command", wrap, tasks, words)


def place(*tasks: str, **words: Any) -> Any:
    """A case that gives the text of ``data.source``."""
    return _case("command", lambda build: build, tasks, words)


def frame(*tasks: str, **words: Any) -> Any:
    """A case that gives a frame which no file can hold."""

    def wrap(build: Callable[..., Any]) -> Callable[..., Any]:
        def make(t: pd.DataFrame, folder: Path) -> pd.DataFrame:
            found = build(t)
            return t if found is None else found

        return make

    return _case("tune", wrap, tasks, words)


def passed(*tasks: str, **words: Any) -> Any:
    """A case that gives the arguments of ``fit`` of the estimators, X first."""
    return _case("fit", lambda build: lambda t, folder: build(t), tasks, words)


def every_case() -> dict[str, Case]:
    """All cases by name."""
    for home in HOMES:
        importlib.import_module(home)
    return CASES


def study(case: Case, name: str, source: str, backend: str) -> str:
    """The text of the study file of a case: three trials, two folds."""
    sections: dict[str, dict[str, Any]] = {
        "data": {"source": source, "target": "y"},
        "split": {"folds": 2},
        # Trials end the search; the limit is only there for a hang.
        "search": {"backends": [backend], "trials": 3, "timeout": "5m"},
    }
    for key, value in case.options.items():
        where = "split" if key in SPLIT else "search" if key in SEARCH else "data"
        sections[where][key] = value
    lines = [f"name = {json.dumps(name)}"]
    for section, keys in sections.items():
        lines += [
            f"[{section}]",
            *(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in keys.items()),
        ]
    return "\n".join(lines) + "\n"
