"""Can a boosted model tell old rows from new ones? Where it cannot, nothing that matters to a model has moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.backends import Fit, FitJob, get_backend
from autoreg.data import encode
from autoreg.drift.reduced import reduced
from autoreg.record import plain
from autoreg.trial import Choice, Encoded, Floats, Fold, Params, Range, Rows, Scalar, Sizes, Table

MOST_ROWS = 20_000
FEWEST = 50
FOLDS = 5
TOP = 5
SETTINGS: Params = {"eta": 0.1, "rounds": 60, "max_depth": 4, "min_child_weight": 5.0, "alpha": 5.0}


@dataclass(frozen=True)
class Adversarial:
    """How well old rows can be told from new ones.

    Attributes
    ----------
    auc : float
        Out of fold; .5 where they look alike. NaN where it could not be judged.
    low, high : float
        95 % interval.
    top : tuple of (str, float)
        At most 5 features with their shares of the splits' total gain.
    rows_old, rows_new : int
        Rows it rests on.
    left_out : tuple of str
        Features that did not take part: dates, which move on by themselves.
    reason : str
        Why it could not be judged.
    """

    auc: float = math.nan
    low: float = math.nan
    high: float = math.nan
    top: tuple[tuple[str, float], ...] = ()
    rows_old: int = 0
    rows_new: int = 0
    left_out: tuple[str, ...] = ()
    reason: str = ""

    @property
    def differs(self) -> bool:
        """Whether the interval lies above one half."""
        return self.low > 0.5

    def as_json(self) -> dict[str, Any]:
        """The record as JSON data, unknown numbers as None."""
        found: dict[str, Any] = plain({"differs": self.differs, **asdict(self)})
        return found


def adversarial(table: Table, old: Rows, new: Rows, seed: int) -> Adversarial:
    """Train a small boosted model to tell old rows from new ones, out of fold.

    Folds keep groups whole. The area under the ROC curve is taken within folds and averaged, since scores of
    different models do not compare. Its variance is that of LeDell, Petersen & van der Laan (2015), from the
    influence of every row, rows of one group summed up, times ``1 + K / (K - 1)`` because the training parts of
    K folds overlap (Nadeau & Bengio 2003): without that factor 1 of 10 intervals lay above one half where nothing had
    moved. Images are told apart by the features of ``reduced``. Above 20,000 rows a random sample is taken, in which the smaller side keeps up to half.

    Parameters
    ----------
    table : Table
    old, new : Rows
        Positions, disjoint.
    seed : int
    """
    rng, table = np.random.default_rng([seed, 0xAD7]), reduced(table)
    old, new = _sample(np.asarray(old), np.asarray(new), rng)
    dates = tuple(name for name, kind in table.kinds.items() if kind == "date")
    nothing = Adversarial(rows_old=len(old), rows_new=len(new), left_out=dates)
    kinds = {name: kind for name, kind in table.kinds.items() if kind != "date"}
    if min(len(old), len(new)) < FEWEST:
        return replace(nothing, reason=f"{len(old)} old and {len(new)} new rows; it takes {FEWEST} of each")
    if not kinds:
        return replace(nothing, reason="no feature besides dates")
    rows = np.concatenate([old, new])
    side = np.repeat([0, 1], [len(old), len(new)])
    group = None if table.group is None else _codes(table.group[rows])
    if group is not None and group.max() + 1 < 2 * FOLDS:
        return replace(nothing, reason=f"{group.max() + 1} groups; it takes {2 * FOLDS}")
    mixed = replace(
        table, features=table.features[list(kinds)].iloc[rows].reset_index(drop=True), kinds=kinds, target=side,
        task="binary", classes=("old", "new"), weight=None, group=None, time=None, id=None,
    )  # fmt: skip
    part = _folds(side, group, rng)
    both = [k for k in range(FOLDS) if len(np.unique(side[part == k])) == 2]
    if not both:
        return replace(nothing, reason="no fold holds both old and new rows: the groups are all of one side")
    scores, gains = _scores(mixed, part, both, seed)
    auc, se = cross_validated_auc(side, scores, part, both, group)
    half = 1.959964 * se * math.sqrt(1 + FOLDS / (FOLDS - 1))
    low, high = max(0.0, auc - half), min(1.0, auc + half)
    return replace(nothing, auc=auc, low=low, high=high, top=_top(gains))


def _sample(old: Rows, new: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    if len(old) + len(new) > MOST_ROWS:
        few = min(len(old), len(new), MOST_ROWS // 2)
        sizes = (few, MOST_ROWS - few) if len(old) < len(new) else (MOST_ROWS - few, few)
        old, new = (rng.choice(rows, k, replace=False) for rows, k in zip((old, new), sizes, strict=True))
    return np.sort(old), np.sort(new)


def _codes(group: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(np.unique(group.astype(str), return_inverse=True)[1])


def _folds(side: Rows, group: Rows | None, rng: np.random.Generator) -> Rows:
    """Fold of every row (n,): whole groups at random, else both sides in equal shares."""
    if group is not None:
        return np.asarray((rng.permutation(int(group.max()) + 1) % FOLDS)[group])
    shuffled = rng.permutation(len(side))
    order = shuffled[np.argsort(side[shuffled], kind="stable")]
    part = np.empty(len(side), np.int64)
    part[order] = np.arange(len(side)) % FOLDS
    return part


def _scores(table: Table, part: Rows, folds: Sequence[int], seed: int) -> tuple[Floats, dict[str, float]]:
    """Out-of-fold probabilities of being new (n,), and the gain of every feature over all folds."""
    backend = get_backend("xgboost")
    scores, gains = np.full(len(part), np.nan), dict.fromkeys(table.kinds, 0.0)
    for k in folds:
        fold = Fold(np.flatnonzero(part != k), np.empty(0, np.int64), np.flatnonzero(part == k))
        data, _ = encode(table, fold, "tree", None)
        sizes = Sizes("binary", len(data.train), len(data.columns), 2)
        fit = backend.fit([FitJob(_params(sizes), data, (seed + k) % 2**31)])[0]
        if not isinstance(fit, Fit) or data.score is None:
            raise RuntimeError(f"adversarial model, fold {k}: {getattr(fit, 'reason', 'no rows to score')}")
        scores[fold.score] = fit.member.predict(data.score.X)[:, 1]
        for name, gain in _gains(fit, data, table).items():
            gains[name] += gain
    return scores, gains


def _params(sizes: Sizes) -> Params:
    """Every name of the backend's space: ours, else the library's default, else the lower end of the range."""
    backend = get_backend("xgboost")
    given: dict[str, Scalar] = {**backend.default(sizes), **SETTINGS}
    for name, dimension in backend.space(sizes).items():
        if not isinstance(dimension, Choice):
            given.setdefault(name, dimension.low if isinstance(dimension, Range) else dimension)
    return given


def _gains(fit: Fit, data: Encoded, table: Table) -> dict[str, float]:
    """Total gain by raw feature; columns of a text are named after it."""
    booster: Any = getattr(fit.member, "booster", None)
    found: dict[str, float] = {}
    for column, gain in booster.get_score(importance_type="total_gain").items():
        name = data.columns[int(column[1:])]
        while name and name not in table.kinds:
            name = name.rpartition(" ")[0]
        found[name] = found.get(name, 0.0) + float(gain)
    return found


def _top(gains: dict[str, float]) -> tuple[tuple[str, float], ...]:
    total = sum(gains.values())
    ranked = sorted(gains.items(), key=lambda item: -item[1])[:TOP]
    return tuple((name, gain / total) for name, gain in ranked if gain > 0)


def cross_validated_auc(
    side: Rows, scores: Floats, part: Rows, folds: Sequence[int], group: Rows | None
) -> tuple[float, float]:
    """Mean over folds of the area under the ROC curve, and its standard error (LeDell et al. 2015).

    The influence of a new row is the share of old rows below it, less the area, over the share of new rows; that
    of an old row likewise. Rows of one group are summed before squaring.

    Parameters
    ----------
    side : ndarray of {0, 1}, shape (n,)
    scores : ndarray, shape (n,)
    part : ndarray, shape (n,)
        Fold of every row.
    folds : sequence of int
        Those to count, each with rows of both sides.
    group : ndarray, shape (n,), or None
    """
    areas, influence = [], np.zeros(len(side))
    for k in folds:
        rows = np.flatnonzero(part == k)
        up = side[rows] == 1
        old, new = np.sort(scores[rows[~up]]), np.sort(scores[rows[up]])
        below = _beaten(old, scores[rows[up]])
        above = 1.0 - _beaten(new, scores[rows[~up]])
        area = float(below.mean())
        areas.append(area)
        influence[rows[up]] = (below - area) / (len(folds) * len(new))
        influence[rows[~up]] = (above - area) / (len(folds) * len(old))
    total = influence if group is None else np.bincount(group, influence)
    return float(np.mean(areas)), float(np.sqrt((total**2).sum()))


def _beaten(ranked: Floats, values: Floats) -> Floats:
    """Share of ranked values below each value, equal ones half."""
    both = np.searchsorted(ranked, values, "left") + np.searchsorted(ranked, values, "right")
    return np.asarray(both / (2 * len(ranked)))
