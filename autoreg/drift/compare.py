"""Today's rows against a profile: how far every feature moved, and whether more than sampling would move it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoreg.drift.profile import cells, class_words, counted, is_word, named, values_of, words_of
from autoreg.drift.reduced import reduced
from autoreg.errors import DataError
from autoreg.record import plain
from autoreg.trial import Floats, Rows, Table

BINS = 10
SOME, STRONG = 0.1, 0.25
ALPHA = 0.05
MOST_UNSEEN = 20
Verdict = Literal["none", "some", "strong"]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Moved:
    """How one feature, or the label, moved.

    Attributes
    ----------
    name, kind : str
        The kind it had in the profile.
    verdict : {"none", "some", "strong"}
    psi : float
        Population stability index, over at most 10 bins of a number or the levels of a category, missing values
        a cell of their own.
    noise : float
        What ``psi`` is expected to be at these numbers of rows when nothing moved.
    p : float
        Of the test that nothing moved, Holm-adjusted over the features.
    ks, ks_error : float
        Kolmogorov and Smirnov's distance of the present values at the stored quantiles; the true one is at most
        ``ks_error`` larger. NaN where there are no numbers.
    missing_then, missing_now : float
        Shares.
    unseen : tuple of str
        At most 20 levels that the profile does not know, the most frequent first.
    unseen_share : float
        Rows of such levels; NaN where the profile left levels unnamed, which they may be.
    note : str
        What else there is to say.
    """

    name: str
    kind: str
    verdict: Verdict = "none"
    psi: float = math.nan
    noise: float = math.nan
    p: float = math.nan
    ks: float = math.nan
    ks_error: float = math.nan
    missing_then: float = math.nan
    missing_now: float = math.nan
    unseen: tuple[str, ...] = ()
    unseen_share: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class Drift:
    """Rows now against a profile.

    Attributes
    ----------
    rows_then, rows_now : int
    features : tuple of Moved
        Worst first.
    label : Moved or None
        None where the kind of target changed.
    fresh : tuple of str
        Features of today that the profile does not know.
    image : tuple of int, or None
        Shape of the images of which the features are patches and measures.
    """

    rows_then: int
    rows_now: int
    features: tuple[Moved, ...]
    label: Moved | None
    fresh: tuple[str, ...] = ()
    image: tuple[int, ...] | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst of any feature and the label."""
        found = [m.verdict for m in (*self.features, *((self.label,) if self.label else ()))]
        return max(found, key=("none", "some", "strong").index, default="none")

    def as_json(self) -> dict[str, Any]:
        """The record as JSON data, unknown numbers as None."""
        found: dict[str, Any] = plain({"verdict": self.verdict, **asdict(self)})
        return found


def compare(profile: Mapping[str, Any], table: Table, rows: Rows) -> Drift:
    """Compare some rows with the rows of a profile.

    The stability index is taken over shares smoothed after Laplace, one row a cell, spread as the shares of both
    samples together, so that smoothing itself looks like no drift. Without drift its mean is about
    ``(cells - 1) * (1 / n_then + 1 / n_now)`` (Yurdakul & Naranjo 2020), which is ``noise``. Categories are tested
    by chi-squared over their cells; numbers by the same over their bins and by Kolmogorov and Smirnov, the smaller
    p-value doubled; all p-values are adjusted after Holm (1979). A verdict needs p < .05 besides an index above .1
    ("some") or .25 ("strong"). Rows count as independent: where they come in groups, p-values are too small.

    Parameters
    ----------
    profile : mapping
        From ``profile``.
    table : Table
        Today's.
    rows : Rows
        Those to compare, such as ``new_rows``.

    Raises
    ------
    DataError
        The profile is of images, and today's are of another shape or none.
    """
    rows, image = np.asarray(rows), table.image if "image" in profile else None
    if "image" in profile:
        if image != tuple(profile["image"]):
            raise DataError(
                f"data.image: the champion knows images of shape {profile['image']}, today's table has "
                f"{list(image) if image else 'none'}; set data.image to the champion's, or start a new study"
            )
        table = reduced(table)
    if not len(rows):
        return Drift(profile["rows"], 0, (), None)
    moved, hashed = [], bool(profile["hashed"])
    for name, entry in profile["features"].items():
        moved.append(_feature(name, entry, table, rows, hashed))
    adjusted = holm(np.array([m.p for m in moved]))
    found = [_judged(replace(m, p=float(p))) for m, p in zip(moved, adjusted, strict=True)]
    found.sort(key=_badness, reverse=True)
    fresh = tuple(name for name in table.kinds if name not in profile["features"])
    return Drift(profile["rows"], len(rows), tuple(found), _label(profile, table, rows, hashed), fresh, image)


def _badness(m: Moved) -> tuple[int, float]:
    return ("none", "some", "strong").index(m.verdict), m.psi if math.isfinite(m.psi) else math.inf


def _judged(m: Moved) -> Moved:
    """With the verdict that index and p-value give; one that was given before stays."""
    if m.verdict == "none" and m.psi > SOME and m.p < ALPHA:
        return replace(m, verdict="strong" if m.psi > STRONG else "some")
    return m


def _feature(name: str, entry: Mapping[str, Any], table: Table, rows: Rows, hashed: bool) -> Moved:
    kind, base = entry["kind"], Moved(name, entry["kind"])
    if name not in table.kinds:
        note = "the column is missing today, or the same in all rows"
        return replace(base, verdict="strong", note=note)
    column = table.features[name].iloc[rows]
    if is_word(kind):
        moved = _words(base, entry, words_of(column), hashed)
    else:
        moved = _numbers(base, entry, values_of(column, kind))
    if table.kinds[name] != kind:
        moved = replace(moved, note=f"it was {kind} and is {table.kinds[name]} today")
    elif kind == "date":
        moved = replace(moved, note="dates move on by themselves")
    return moved


def _label(profile: Mapping[str, Any], table: Table, rows: Rows, hashed: bool) -> Moved | None:
    entry, numeric = profile["label"], table.task == "regression"
    if numeric != ("edges" in entry):
        return None
    base = Moved("target", entry["kind"])
    if numeric:
        return _judged(_numbers(base, entry, np.asarray(table.target[rows], np.float64)))
    return _judged(_words(base, entry, class_words(table, rows), hashed))


def _numbers(base: Moved, entry: Mapping[str, Any], values: Floats) -> Moved:
    """A number against its stored quantiles."""
    then, edges = np.asarray(entry["counts"], np.int64), np.asarray(entry["edges"], np.float64)
    present = values[~np.isnan(values)]
    now, bins = cells(present, edges), coarse(then)
    shares = (entry["missing"], len(values) - len(present))
    tested = _cells(base, _sums(bins, then), _sums(bins, now), shares)
    if not then.sum() or not len(present):
        return tested
    at = np.cumsum(then) / then.sum() - np.cumsum(now) / len(present)
    ks = float(np.abs(at).max())
    error = float(max(then[::2].max() / then.sum(), 0.0))
    p = min(1.0, 2 * min(tested.p, ks_p(ks, int(then.sum()), len(present))))
    return replace(tested, ks=ks, ks_error=min(error, 1 - ks), p=p)


def _sums(bins: Counts, counts: Counts) -> Floats:
    return np.bincount(bins, counts).astype(np.float64)


def coarse(counts: Counts, bins: int = BINS) -> Counts:
    """A bin for every cell (n,): the tenth of the rows in which the middle of the cell lies."""
    total = max(1, int(counts.sum()))
    middle = (np.cumsum(counts) - counts / 2) / total
    found = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return np.asarray(np.unique(found, return_inverse=True)[1])


def ks_p(distance: float, then: int, now: int) -> float:
    """Asymptotic p-value of Kolmogorov and Smirnov's two-sample distance; too large where values are equal."""
    from scipy.special import kolmogorov

    return float(kolmogorov(math.sqrt(then * now / (then + now)) * distance))


def _words(base: Moved, entry: Mapping[str, Any], words: Any, hashed: bool) -> Moved:
    """A category against its stored levels; what the profile did not name is one cell."""
    counts = counted(words)
    missing = counts.pop(None, 0)
    now = {named(str(word), hashed): count for word, count in counts.items()}
    levels = entry["levels"]
    strange = {word: count for word, count in now.items() if word not in levels}
    then = np.array([*levels.values(), entry["other"]], np.float64)
    today = np.array([*(now.get(word, 0) for word in levels), sum(strange.values())], np.float64)
    moved = _cells(base, then, today, (entry["missing"], missing))
    if entry["other"]:
        return moved
    unseen = sorted(strange, key=lambda word: (-strange[word], word))[:MOST_UNSEEN]
    return replace(moved, unseen=tuple(unseen), unseen_share=sum(strange.values()) / len(words))


def _cells(base: Moved, then: Floats, now: Floats, missing: tuple[int, int]) -> Moved:
    """Stability index, its noise and chi-squared over cells and the missing values."""
    then, now = np.append(then, missing[0]), np.append(now, missing[1])
    keep = then + now > 0
    shares = missing[0] / max(1.0, then.sum()), missing[1] / max(1.0, now.sum())
    index, noise = psi(then[keep], now[keep])
    p = chi2_p(then[keep], now[keep])
    return replace(base, psi=index, noise=noise, p=p, missing_then=shares[0], missing_now=shares[1])


def psi(then: Floats, now: Floats) -> tuple[float, float]:
    """Stability index of counts over cells, none of them empty in both, and its mean without drift."""
    k, (n, m) = len(then), (then.sum(), now.sum())
    if not n or not m:
        return math.nan, math.nan
    pooled = (then + now) / (n + m)
    p, q = (then + k * pooled) / (n + k), (now + k * pooled) / (m + k)
    return float(((q - p) * np.log(q / p)).sum()), float((k - 1) * (1 / n + 1 / m))


def chi2_p(then: Floats, now: Floats) -> float:
    """P-value of Pearson's chi-squared that two samples over cells come from one distribution.

    Cells are joined, the rarest first, until 5 rows are expected of each in the smaller sample (Cochran 1954).
    """
    from scipy.stats import chi2

    n, m = then.sum(), now.sum()
    if not n or not m:
        return 1.0
    pairs, group = [np.zeros(2)], np.column_stack([then, now])
    for cell in group[np.argsort(group.sum(axis=1), kind="stable")]:
        if pairs[-1].sum() * min(n, m) / (n + m) >= 5.0:
            pairs.append(np.zeros(2))
        pairs[-1] = pairs[-1] + cell
    if len(pairs) < 2:
        return 1.0
    found = np.array(pairs).T
    even = found.sum(axis=0) * np.array([[n], [m]]) / (n + m)
    return float(chi2.sf(((found - even) ** 2 / even).sum(), len(pairs) - 1))


def holm(p: Floats) -> Floats:
    """P-values adjusted after Holm (1979); NaN stays and does not count."""
    out = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    out[order] = np.minimum(1.0, steps)
    return out
