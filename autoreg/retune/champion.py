"""What the registry and the ledger hold of the champion: enough to retune it from an empty folder."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import DataError, StudyError
from autoreg.ledger import read_files, read_summary
from autoreg.parcel import unpacked
from autoreg.planning import Prior
from autoreg.registry import JUDGED, Version, load_package, model_tags, version_at
from autoreg.serving import Package
from autoreg.spec import Study, read_study
from autoreg.trial import Params

LOOKS, LOOKS_RUN = "looks.npz", "autoreg.looks_run"
"""The file that counts looks, and the model's tag that says in which run its newest state lies."""
WARM = 3
"""Configurations that a backend hands on, the champion's own among them."""
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Looks:
    """How often rows have decided between two models.

    Attributes
    ----------
    keys : ndarray of uint64
        Sorted.
    counts : ndarray of int
    """

    keys: Keys = field(default_factory=lambda: np.empty(0, np.uint64))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def of(self, keys: Keys) -> NDArray[np.int64]:
        """The count of every key (n,)."""
        if not len(self.keys):
            return np.zeros(len(keys), np.int64)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.counts[place], 0)

    def more(self, keys: Keys) -> Looks:
        """The same after one more look at these rows; equal rows count once."""
        every, place = np.unique(np.concatenate([self.keys, np.unique(keys)]), return_inverse=True)
        added = np.concatenate([self.counts, np.ones(len(np.unique(keys)), np.int64)])
        return Looks(every, np.bincount(place, added, len(every)).astype(np.int64))

    def saved(self) -> bytes:
        """As a file of two arrays, no pickle."""
        file = io.BytesIO()
        np.savez(file, keys=self.keys, counts=self.counts)
        return file.getvalue()

    @classmethod
    def read(cls, content: bytes | None) -> Looks:
        """What ``saved`` gave; no looks where there is nothing."""
        if content is None:
            return cls()
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            return cls(found["keys"], found["counts"])


@dataclass(frozen=True)
class Champion:
    """The version that serves, with what its study left behind.

    Attributes
    ----------
    version : Version
    package : Package
    rule : mapping
        Of its holdout; empty where it held out no rows.
    metric : str
    promised : (float, float, float)
        Its estimate with the 95 % interval.
    warm : mapping of str to tuple of Params
        The best configurations of its study by backend.
    profile : mapping
        Its training table in figures; empty where an older study left none.
    keys : ndarray of uint64, or None
        A key for every row its study had.
    looks : Looks
        Which rows have decided between champions and challengers so far.
    """

    version: Version
    package: Package
    rule: Mapping[str, Any]
    metric: str
    promised: tuple[float, float, float]
    warm: Mapping[str, tuple[Params, ...]]
    profile: Mapping[str, Any] = field(default_factory=dict)
    keys: Keys | None = None
    looks: Looks = field(default_factory=Looks)

    @property
    def judged(self) -> Package:
        """The package as it was before a last fit with the held-out rows: what can be compared on these.

        Raises
        ------
        TrackingUnavailable, DataError
            It cannot be had.
        """
        return judged_package(self.version, self.package)

    @property
    def prior(self) -> Prior:
        """What it hands on. A cutoff in time does not bind the next study: its rows are newer."""
        return Prior({} if self.rule.get("mode") == "time" else self.rule, self.warm)


def study_of(name: str, alias: str) -> Study:
    """The study that made the version with this alias; its paths start in the current folder.

    Raises
    ------
    StudyError
        There is no such version, or its study came from Python and not from a file.
    """
    version = version_at(name, alias)
    if version is None:
        raise StudyError(
            f"model '{name}' has no version with the alias '{alias}'; see its versions in MLflow"
        )
    text = read_files(version.run_id, ("study.toml",)).get("study.toml")
    if text is None:
        raise StudyError(f"models:/{name}@{alias} was not tuned from a study file; give one")
    return read_study(text.decode(), f"models:/{name}@{alias}", Path.cwd())


def read_champion(name: str, alias: str) -> Champion | None:
    """The champion of a model, or None where nothing has its alias.

    Raises
    ------
    TrackingUnavailable, StudyError, DataError
        The store is away, or the version is not one of autoreg's.
    """
    version = version_at(name, alias)
    if version is None:
        return None
    summary = read_summary(version.run_id)
    files = read_files(version.run_id, ("split.json", "profile.json", "rows.npy"))
    estimate = summary.get("estimate", {})
    kind = estimate.get("kind", "holdout")
    promised = tuple(_number(estimate.get(f"{kind}{end}")) for end in ("", "_low", "_high"))
    rows = files.get("rows.npy")
    return Champion(
        version,
        load_package(version.uri),
        json.loads(files.get("split.json", b"{}")) if kind == "holdout" else {},
        str(estimate.get("metric", summary.get("metric", ""))),
        (promised[0], promised[1], promised[2]),
        warmest(summary.get("trials_table", ()), summary.get("best", {})),
        json.loads(files.get("profile.json", b"{}")),
        None if rows is None else np.load(io.BytesIO(rows), allow_pickle=False),
        _looks(name),
    )


def judged_package(version: Version, package: Package | None = None) -> Package:
    """What a version's estimate is of: models that have not seen its held-out rows.

    Parameters
    ----------
    version : Version
    package : Package, optional
        Its own, where that is loaded already.

    Raises
    ------
    DataError
        Its models have seen these rows, and those that had not are lost or damaged.
    """
    name = version.tags.get(JUDGED)
    if name is None:
        return load_package(version.uri) if package is None else package
    content = read_files(version.run_id, (name,)).get(name)
    told = "is not there"
    try:
        if content is not None:
            return unpacked(content)
    except ImportError:
        raise  # a library is missing here
    except Exception as error:  # whatever a library raises over a file that it cannot read
        told = f"is damaged ({' '.join(str(error).split())[:200]})"
    raise DataError(
        f"{name} of run {version.run_id} {told}: without it version {version.number} cannot be compared on rows that "
        "it was not trained on; restore the file, or let another version serve"
    )


def _looks(name: str) -> Looks:
    run_id = model_tags(name).get(LOOKS_RUN)
    return Looks.read(read_files(run_id, (LOOKS,)).get(LOOKS) if run_id else None)


def warmest(trials: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> dict[str, tuple[Params, ...]]:
    """The champion's configuration first, then the best ones of each backend by the search's loss."""
    found: dict[str, list[Params]] = {}
    ranked = sorted(
        (t for t in trials if t["state"] == "complete" and math.isfinite(t["loss"])),
        key=lambda t: (t["number"] != best.get("trial"), t["loss"], t["number"]),
    )
    for trial in ranked:
        listed, params = found.setdefault(trial["backend"], []), dict(trial["params"])
        if len(listed) < WARM and params not in listed:
            listed.append(params)
    return {name: tuple(listed) for name, listed in found.items()}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
