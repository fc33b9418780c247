"""What a study would run, laid out before trial 0; raises whatever would stop it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from autoreg.backends import Backend, get_backend, opening_seconds
from autoreg.custom_metrics import tried
from autoreg.data import load_table, make_split, refold
from autoreg.evaluation import Problem, class_weights
from autoreg.metrics import Metric, get_metric
from autoreg.space import Space, resolve
from autoreg.spec import Study, load_study
from autoreg.spec_split import PUBLISHED
from autoreg.starts import starts
from autoreg.trial import Choice, Dimension, Params, Range, Rows, Split, Table

if TYPE_CHECKING:
    import pandas as pd


MANY_CELLS, MANY_ROWS = 80_000, 10_000
"""Cells of a table, and rows, beyond which one fold is enough, where the study does not say how many: as many fits of so many more
configurations find a better one (`benchmarks/onefold.py`), and few rows in five folds want more regularization than many."""
MOST_CELLS, LEAST_ROWS, WORTHWHILE = 6_000_000, 20_000, 2.5
"""Cells of the table that trials see where the study does not say how many rows; so many rows at least, and all of a table that
has not ``WORTHWHILE`` times as many."""


@dataclass(frozen=True)
class Prior:
    """What an earlier study hands on to the next one of its name.

    Attributes
    ----------
    rule : mapping
        Of its holdout: rows keep their sides. Empty where the new study makes its own.
    warm : mapping of str to tuple of Params
        Configurations by backend, tried right after the defaults.
    """

    rule: Mapping[str, Any] = field(default_factory=dict)
    warm: Mapping[str, tuple[Params, ...]] = field(default_factory=dict)


NO_PRIOR = Prior()


@dataclass(frozen=True)
class StudyPlan:
    """What a study would run, known before trial 0.

    Attributes
    ----------
    study : Study
    table : Table
    split : Split
    metric : Metric
    backends : dict of str to Backend
    resolved : dict of str to Space
    block : int
        Trials a backend runs in its turn.
    digest : str
        Names the study: data, split and search without their budgets.
    problem : Problem
    prior : Prior
        What an earlier study handed on.
    """

    study: Study
    table: Table
    split: Split
    metric: Metric
    backends: dict[str, Backend]
    resolved: dict[str, Space]
    block: int
    digest: str
    problem: Problem = field(repr=False)
    prior: Prior = NO_PRIOR

    @property
    def spaces(self) -> dict[str, Mapping[str, Dimension]]:
        """Every backend's names with their dimensions."""
        return {name: space.dimensions for name, space in self.resolved.items()}

    @property
    def defaults(self) -> dict[str, dict[str, Any]]:
        """Every backend's default configuration, its first trial."""
        return {name: dict(space.default) for name, space in self.resolved.items()}

    def opening(self, name: str) -> float:
        """Seconds that a backend's first block can be expected to take; 0 where nothing is known."""
        backend, fits = self.backends[name], self.block * len(self.split.folds)
        return opening_seconds(backend, self.spaces[name], self.problem.sizes(backend.encoding), fits)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided while reading the table, and the backends that the trials do not reach."""
        search = self.study.search
        names = list(self.backends)
        missed = names[-(-search.trials // self.block) :] if search.sampler in ("tpe", "random") else []
        notes = (*self.table.notes, *self._of_many_rows())
        if not missed:
            return notes
        told = (
            f"search.trials: {search.trials} are too few for a turn of every backend ({self.block} trials each): "
            f"{', '.join(missed)} may not be tried; give {len(names) * self.block} or more, or fewer backends"
        )
        return (*notes, told)

    def _of_many_rows(self) -> list[str]:
        """What is done otherwise where rows are many."""
        split, lines = self.split, list[str]()
        seen, every = len(split.tried), len(split.search)
        if split.sample is not None:
            lines.append(
                f"search.rows: trials see a sample of {seen:,} of {every:,} rows; what is shipped is fitted on all of them"
            )
        if len(split.folds) == 1 and not self.study.split.reproduce:
            lines.append(
                f"split.folds: {seen:,} rows are many, so every trial is fitted once and scored on {len(split.folds[0].score):,} of them; "
                "finalists are fitted on fresh folds all the same"
            )
        return lines


def plan(study: Study | str | Path, data: pd.DataFrame | None = None, prior: Prior = NO_PRIOR) -> StudyPlan:
    """Load the data, divide it and lay out the search; raises whatever would stop the study before trial 0.

    Parameters
    ----------
    study : Study, str or Path
    data : pandas.DataFrame, optional
        The table, instead of the study's own source.
    prior : Prior
        What an earlier study hands on.

    Raises
    ------
    StudyError, DataError
        One line each: which option or column, what was expected, what was found.
    """
    study = study if isinstance(study, Study) else load_study(study)
    if study.split.reproduce:
        # Its authors tried everything they list, whatever came out.
        study = study.updated(search={"race": False, "prune": False})
    backends = {name: get_backend(name) for name in study.search.backends}
    table = load_table(study.data, study.name, study.folder, data)
    metric = tried(get_metric(study.search.metric, table.task), table.target, table.n_classes, table.weight)
    most, enough = most_rows(study, table), enough_rows(study, table)
    split = make_split(table, study.split, study.search.seed, prior.rule or None, most, enough)
    rows = split.folds[0].train if study.split.reproduce else split.search
    weight = class_weights(table, rows, study.search.class_weight == "balanced")
    problem = Problem(table, split, metric, weight)
    spaces = {
        name: replace(space, warm=(*prior.warm.get(name, ()), *space.warm))
        for name, space in _resolved(study, backends, problem).items()
    }
    block = _block(study, table, split)
    digest = _digest(study, table, split, spaces, block, prior)
    planned = StudyPlan(study, table, split, metric, backends, spaces, block, digest, problem, prior)
    if study.split.estimate == "nested":
        every = np.arange(len(table.target))
        return redivided(planned, every, every[:0], study.search.seed)
    return planned


def redivided(planned: StudyPlan, search: Rows, holdout: Rows, seed: int) -> StudyPlan:
    """The same study over other rows: its folds, weights and search spaces are those of ``search``.

    Raises
    ------
    DataError
        A fold would train on one class, or all rows of a part weigh 0.
    """
    study, table = planned.study, planned.table
    split = refold(table, replace(planned.split, search=search, holdout=holdout), study.split, seed)
    weight = class_weights(table, search, study.search.class_weight == "balanced")
    problem = Problem(table, split, planned.metric, weight)
    return replace(
        planned, split=split, problem=problem, resolved=_resolved(study, planned.backends, problem)
    )


def _resolved(study: Study, backends: Mapping[str, Backend], problem: Problem) -> dict[str, Space]:
    """Every backend's space; a search that learns from its trials begins with what did well on other tables."""
    search, exact = study.search, problem.published
    learns = search.sampler == "tpe" and not exact and problem.table.image is None

    def space(name: str, backend: Backend) -> Space:
        sizes = problem.sizes(backend.encoding)
        first = starts(name, sizes.rows, sizes.task == "regression") if learns else ()
        return resolve(backend, sizes, search.space(name), search.sampler, exact, first)

    return {name: space(name, backend) for name, backend in backends.items()}


def most_rows(study: Study, table: Table) -> int | None:
    """Rows that trials see at most; None for all, as for a nested estimate, which would be one of models of few rows."""
    asked = study.search.rows
    if asked == "all" or study.split.estimate == "nested":
        return None
    if isinstance(asked, int):
        return asked
    most = max(LEAST_ROWS, MOST_CELLS // int(table.features.shape[1]))
    # What is shipped gives a stop part and the held-out rows for it: not for a few rows more.
    return None if table.image is not None or len(table.target) < WORTHWHILE * most else most


def enough_rows(study: Study, table: Table) -> int | None:
    """Rows beyond which a trial has one fold; None where it has all folds whatever the rows."""
    named = "folds" in study.split.model_fields_set
    if named or table.image is not None or study.split.estimate == "nested":
        return None
    return max(MANY_ROWS, MANY_CELLS // int(table.features.shape[1]))


def _block(study: Study, table: Table, split: Split) -> int:
    """Trials in a turn: 8, fewer where a trial is heavy, so that every backend gets its turn early."""
    if study.search.block:
        return study.search.block
    rows = len(table.target) if split.sample is None else len(split.sample)
    work = rows * table.features.shape[1] * max(1, table.n_classes if table.n_classes > 2 else 1)
    return 8 if work < 2e6 else 4 if work < 2e7 else 2


def _digest(
    study: Study, table: Table, split: Split, spaces: Mapping[str, Space], block: int, prior: Prior
) -> str:
    """Same data, split and search give the same digest; budgets and where the data lies do not matter.

    The resolved spaces are part of it: a release with other built-in ranges searches another study. How they are searched, and
    what with at first, is not: a study that an earlier release has begun goes on.
    """
    sections = {
        "data": _named(study.data, {"source", "query", "image", "trusted"}, {"scale"})
        | {"fingerprint": table.fingerprint},
        "split": _named(study.split, set(), {"reproduce", *PUBLISHED}),
        "search": {
            key: value
            for key, value in study.search
            if key not in ("trials", "timeout", "trial_timeout", "rows", *spaces)
        },
        "spaces": {name: (dict(space.dimensions), dict(space.default)) for name, space in spaces.items()},
        "block": block,
    }
    if prior != NO_PRIOR:
        sections["prior"] = vars(prior)
    if split.sample is not None:
        sections["sample"] = len(split.sample)
    if len(split.folds) == 1 and not study.split.reproduce:
        sections["folds"] = 1
    text = json.dumps(sections, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _named(section: BaseModel, without: set[str], later: set[str]) -> dict[str, Any]:
    """A section as part of a digest; keys that came later count where they say something, so that old digests hold."""
    quiet = {key for key in later if getattr(section, key) == type(section).model_fields[key].default}
    return section.model_dump(exclude=without | quiet)


def _plain(value: Any) -> Any:
    return [type(value).__name__, *vars(value).items()] if isinstance(value, Choice | Range) else list(value)
