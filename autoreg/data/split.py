"""The holdout by a stable hash, folds over the rest, and in every fold a part that decides when training stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.data.holdout import hold_out
from autoreg.data.published import published_split
from autoreg.errors import DataError
from autoreg.spec import SplitSpec
from autoreg.trial import Floats, Fold, Rows, Split, Table

FEWEST_STOP_ROWS = 20
FEWEST_STOP_OF_CLASS = 3
QUANTILES = 10
FOLDS, FEWEST_GROUPS = 5, 20
"""Groups that a score part has at the least where trials see a sample, or one fold."""
Array = NDArray[Any]


def make_split(
    table: Table,
    spec: SplitSpec,
    seed: int,
    rule: Mapping[str, Any] | None = None,
    most: int | None = None,
    enough: int | None = None,
) -> Split:
    """Divide a table into a holdout and folds with train, stop and score parts.

    The holdout depends on the rows alone, never on ``seed``: a row is in it when the hash of its key (its group,
    else its id, else its features) falls below the fraction, or when its time is at or after a cutoff. The salt is
    the first of 0, 1, ... for which the share of rows and every class (or quarter of the target's range) come
    within one standard deviation of what is expected, or else the nearest to it. Folds are stratified by class
    or target quantile, keep groups whole, or, with a time column, train on earlier rows and score later ones.
    ``reproduce`` takes the division of a published experiment instead.

    Parameters
    ----------
    table : Table
    spec : SplitSpec
    seed : int
        Shuffles the folds; with a time column it shifts their cutoffs.
    rule : mapping, optional
        ``Split.rule`` of an earlier study, so that every row keeps its side.
    most : int, optional
        Rows that folds may divide: of more, a sample of so many.
    enough : int, optional
        Rows of which one fold tells as much as is needed: of more, there is one fold alone.

    Raises
    ------
    DataError
        Too few rows, groups or times; a fold would train on one class; a part in which every row weighs 0;
        group and time together.
    """
    if spec.reproduce:
        return published_split(table, spec)
    if table.group is not None and table.time is not None:
        raise DataError(
            "data.group and data.time cannot be combined: rows of a group would part; leave one out"
        )
    if spec.estimate == "none":
        made, held = {"mode": "none"}, np.zeros(len(table.target), bool)
    else:
        made, held = hold_out(table, spec, _strata(table, 2, quantiles=4), rule)
    search = np.flatnonzero(~held)
    sample = sampled(table, search, most, seed)
    tried = search if sample is None else sample
    folds = _folds_of(table, tried, spec, seed)
    if enough is not None and len(tried) > enough and _tells(table, folds[-1]):
        folds = folds[-1:]  # in order of time the last one trains on most rows
    holdout = np.flatnonzero(held)
    _check_weights(table.weight, folds, holdout)
    return Split(search, holdout, tuple(folds), made, sample)


def refold(table: Table, split: Split, spec: SplitSpec, seed: int) -> Split:
    """The same rows that trials see in folds of another seed; with a time column their cutoffs are shifted.

    Raises
    ------
    DataError
        A fold would train on one class, or all rows of a part weigh 0.
    """
    folds = _folds_of(table, split.tried, spec, seed)
    _check_weights(table.weight, folds, split.holdout)
    return replace(split, folds=tuple(folds))


def sampled(table: Table, search: Rows, most: int | None, seed: int) -> Rows | None:
    """So many of these rows, every stratum in its share; whole groups; with a time column evenly over time.

    None where all may be seen, and where so many rows would be of too few groups.
    """
    if most is None or len(search) <= most:
        return None
    rng = np.random.default_rng([seed, 0x5A3])
    share = most / len(search)
    if table.group is not None:
        if share * _groups(table.group, search) < FEWEST_GROUPS * FOLDS:
            return None
        shares = np.array([share, 1 - share])
        part = _assign(table.group[search], _strata(table, 2)[search], shares, rng)
        return np.asarray(search[part == 0])
    if table.time is not None:
        order = np.argsort(table.time[search], kind="stable")
    else:
        order = _ordered(_strata(table, 2)[search], rng)
    return np.sort(search[_every(order, share, rng.uniform())])


def stop_part(table: Table, spec: SplitSpec, rows: Rows, most: int, seed: int) -> Rows:
    """At most so many of these rows, which tell a last fit when to stop; in order of time, too, the newest are learned from."""
    share = min(spec.stop, most / len(rows))
    whenever = replace(table, time=None)
    return _stop(whenever, rows, _strata(table, spec.folds), share, np.random.default_rng([seed, 0x570]))


def _tells(table: Table, fold: Fold) -> bool:
    """Whether one fold tells enough: its score part is not of a few groups."""
    return table.group is None or _groups(table.group, fold.score) >= FEWEST_GROUPS


def _groups(group: Array, rows: Rows) -> int:
    """Groups that these rows are of."""
    return len(np.unique(group[rows].astype(str)))


def _every(order: Rows, share: float, start: float) -> Rows:
    """A systematic sample of an order, from a start in [0, 1): within one of its share of every run of it."""
    ticks = np.floor(np.arange(len(order) + 1) * share + start)
    return np.asarray(order[np.diff(ticks) > 0])


def _folds_of(table: Table, search: Rows, spec: SplitSpec, seed: int) -> list[Fold]:
    rng = np.random.default_rng([seed, 0x5EED])
    strata = _strata(table, spec.folds)
    _check_size(table, search, spec.folds)
    folds = []
    for score, train in _folds(table, search, strata, spec.folds, rng):
        stop = _stop(table, train, strata, spec.stop, rng)
        folds.append(Fold(np.setdiff1d(train, stop, assume_unique=True), stop, score))
    _check_classes(table, folds)
    return folds


def _strata(table: Table, folds: int, quantiles: int = QUANTILES) -> Rows:
    """What folds are balanced by (n,): class codes, or the quantile bin of the target."""
    if table.task != "regression":
        return np.asarray(table.target, np.int64)
    n = len(table.target)
    rank = np.empty(n, np.int64)
    rank[np.argsort(table.target, kind="stable")] = np.arange(n)
    return np.asarray(rank * max(1, min(quantiles, n // (2 * folds))) // n)


def _folds(
    table: Table, search: Rows, strata: Rows, folds: int, rng: np.random.Generator
) -> list[tuple[Rows, Rows]]:
    """Score and training rows of every fold."""
    if table.time is not None:
        return _time_folds(table.time, search, folds, rng)
    if table.group is not None:
        part = _assign(table.group[search], strata[search], np.full(folds, 1 / folds), rng)
    else:
        part = np.empty(len(search), np.int64)
        part[_ordered(strata[search], rng)] = np.arange(len(search)) % folds
    return [(search[part == k], search[part != k]) for k in range(folds)]


def _ordered(strata: Rows, rng: np.random.Generator) -> Rows:
    """Positions sorted by stratum, in random order within each."""
    shuffled = rng.permutation(len(strata))
    return np.asarray(shuffled[np.argsort(strata[shuffled], kind="stable")])


def _assign(group: Array, strata: Rows, shares: Array, rng: np.random.Generator) -> Rows:
    """A part for every row (n,): groups stay whole, parts come near their shares of every stratum.

    Greedy, the largest groups first (Sechidis et al. 2011 for whole groups): each goes to the part whose strata
    then miss their shares least.
    """
    names, which = np.unique(group.astype(str), return_inverse=True)
    profile = np.zeros((len(names), int(strata.max()) + 1))
    np.add.at(profile, (which, strata), 1)
    profile = profile[:, profile.any(axis=0)]
    profile = np.column_stack([profile, profile.sum(axis=1)]) / np.append(profile.sum(axis=0), profile.sum())
    order = rng.permutation(len(names))
    order = order[np.argsort(-profile[order, -1], kind="stable")]
    lack = np.outer(shares, np.ones(profile.shape[1]))  # what every part still wants of every stratum
    place = np.empty(len(names), np.int64)
    for g in order:
        # Of sum((lack - profile)^2) only the mixed term depends on the part.
        best = int(np.argmax(lack @ profile[g]))
        place[g] = best
        lack[best] -= profile[g]
    return np.asarray(place[which])


def _time_folds(time: Array, search: Rows, folds: int, rng: np.random.Generator) -> list[tuple[Rows, Rows]]:
    """Expanding windows: fold k trains on the rows before its cutoff and scores those up to the next one."""
    rows = search[np.argsort(time[search], kind="stable")]
    starts = np.unique(time[rows], return_index=True)[1]
    if len(starts) <= folds:
        raise DataError(
            f"data.time: {len(starts)} different times outside the holdout are too few for split.folds = {folds}; "
            f"lower split.folds to {max(2, len(starts) - 1)}"
        )
    first = len(rows) / (folds + 1) * rng.uniform(0.8, 1.2)
    wanted = np.linspace(first, len(rows), folds + 1)[:-1]
    cuts: list[int] = []
    for k, position in enumerate(wanted):  # equal times stay together; every block keeps at least one time
        low = 1 if not cuts else int(np.searchsorted(starts, cuts[-1])) + 1
        allowed = starts[low : len(starts) - (folds - 1 - k)]
        cuts.append(int(allowed[np.argmin(np.abs(allowed - position))]))
    ends = [*cuts[1:], len(rows)]
    return [(np.sort(rows[a:b]), np.sort(rows[:a])) for a, b in zip(cuts, ends, strict=True)]


def _stop(table: Table, train: Rows, strata: Rows, share: float, rng: np.random.Generator) -> Rows:
    """The rows of a training part that decide when training ends; empty where they would be too few to tell."""
    none = np.empty(0, np.int64)
    if share == 0:
        return none
    if table.time is not None:
        times = table.time[train]
        later = np.sort(times)[max(0, len(train) - round(share * len(train)) - 1)]
        chosen = times > later
    elif table.group is not None:
        chosen = _assign(table.group[train], strata[train], np.array([share, 1 - share]), rng) == 0
    else:
        chosen = np.zeros(len(train), bool)
        start = rng.uniform()
        chosen[_every(_ordered(strata[train], rng), share, start)] = True
    enough = min(chosen.sum(), (~chosen).sum()) >= FEWEST_STOP_ROWS
    for side in (chosen, ~chosen) if table.task != "regression" else ():
        counts = np.bincount(table.target[train[side]], minlength=table.n_classes)
        enough = enough and counts.min() >= FEWEST_STOP_OF_CLASS
    return train[chosen] if enough else none


def _check_size(table: Table, search: Rows, folds: int) -> None:
    if len(search) < 2 * folds:
        raise DataError(
            f"split.folds = {folds} needs at least {2 * folds} rows outside the holdout, found {len(search)}; "
            "give more rows or lower split.folds"
        )
    if table.group is not None:
        here = _groups(table.group, search)
        if here < folds:
            total = len(np.unique(table.group.astype(str)))
            raise DataError(
                f"data.group: {here} of {total} groups are outside the holdout, split.folds = {folds} needs as many; "
                "lower split.folds or leave data.group out"
            )


def _check_classes(table: Table, folds: list[Fold]) -> None:
    if table.task == "regression":
        return
    for i, fold in enumerate(folds):
        found = np.unique(table.target[fold.train])
        if len(found) < 2:
            kind = "time" if table.time is not None else "group" if table.group is not None else "class"
            only = table.classes[int(found[0])]
            raise DataError(
                f"data.target: fold {i} would train on class {only!r} alone (folds by {kind}); "
                "give more rows of the other classes or lower split.folds"
            )


def _check_weights(weight: Floats | None, folds: list[Fold], holdout: Rows) -> None:
    """Refuse a part in which no row counts: nothing could be learned from it, or judged by it."""
    if weight is None:
        return
    parts = [("the holdout", holdout)]
    for i, fold in enumerate(folds):
        named = (("train", fold.train), ("stop", fold.stop), ("score", fold.score))
        parts += [(f"the {name} part of fold {i}", rows) for name, rows in named]
    for name, rows in parts:
        if len(rows) and not weight[rows].sum() > 0:
            raise DataError(
                f"data.weight: all {len(rows)} rows of {name} have weight 0; "
                "leave rows of weight 0 out of the table, give more rows a weight above 0 or lower split.folds"
            )
