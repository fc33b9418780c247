"""How contenders are compared: ranks, scores from the default to the best, ties, intervals. Pure: numbers in, numbers out."""

import math

import numpy as np
import pandas as pd

BASE = "xgboost"
"""The contender that others are measured by: XGBoost's defaults."""
FLOOR = -1.0
"""A normalized score is cut here, and one who failed gets it."""
TIE = 2.0
"""Standard errors within which two contenders are equal."""
DRAWS = 10_000


def ranks(losses):
    """Rank of every contender, 1 the smallest loss; all without a loss (NaN) share the last places."""
    return losses.fillna(np.inf).rank(method="average")


def normalized(losses, base=BASE):
    """0 for the base, 1 for the best, cut at ``FLOOR``; None where nobody is better than the base, or the base failed."""
    start, best = losses.get(base, math.nan), losses.min()
    if not best < start:
        return None
    return ((start - losses) / (start - best)).clip(lower=FLOOR).fillna(FLOOR)


def difference(ours, theirs):
    """(mean, standard error) of how much smaller our losses of the same rows are."""
    found = np.asarray(theirs, float) - np.asarray(ours, float)
    return found.mean(), found.std(ddof=1) / math.sqrt(len(found))


def verdict(differences):
    """Whether we win, tie or lose on a set, from one (mean, standard error) a seed.

    The test rows of several seeds overlap, so that seeds do not make the error of a set smaller.
    """
    mean, error = np.mean(differences, axis=0)
    return "tie" if abs(mean) <= TIE * error else "win" if mean > 0 else "loss"


def interval(values, seed=0):
    """(mean, low, high): 95 % by drawing the values, one of every set, with replacement; NaN ends for a single one."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()) if len(values) else math.nan, math.nan, math.nan
    draws = np.random.default_rng(seed).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def balanced_error(truth, right):
    """Standard error of a balanced accuracy: of the mean of as many shares as there are classes.

    A share is drawn one success and one failure towards the middle, so that a class of few rows, all right, is not sure.
    """
    truth, right = np.asarray(truth), np.asarray(right, bool)
    spread = []
    for k in np.unique(truth):
        n, good = (truth == k).sum(), right[truth == k].sum()
        share = (good + 1) / (n + 2)
        spread.append(share * (1 - share) / n)
    return math.sqrt(sum(spread)) / len(spread)


def table_of(cells):
    """Cells of the CSV with numbers as numbers, and `loss`: log loss or RMSE, NaN unless the status is ok."""
    frame = pd.DataFrame(cells)
    numbers = [
        c for c in frame if c not in ("contender", "set", "task", "status", "made_of", "note", "error")
    ]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    frame["loss"] = frame["log_loss"].where(frame["task"] != "regression", frame["rmse"])
    frame["loss"] = frame["loss"].where(frame["status"] == "ok")
    return frame


def compared(frame):
    """(losses by (set, seed) and contender, cells left out because not everybody has run them)."""
    wide = frame.pivot_table(
        index=["set", "seed"], columns="contender", values="loss", dropna=False, sort=False
    )
    run = frame.assign(run=1).pivot_table(
        index=["set", "seed"], columns="contender", values="run", sort=False
    )
    whole = run.reindex_like(wide).notna().all(axis=1)
    asked = run.notna().any(axis=1).reindex(wide.index, fill_value=False)
    return wide[whole], list(wide.index[asked & ~whole])


def by_set(wide, score):
    """Mean over seeds, a row a set, of what ``score`` says of every cell; cells of which it says None are left out."""
    found = {key: score(row) for key, row in wide.iterrows()}
    rows = {key: row for key, row in found.items() if row is not None}
    if not rows:
        return pd.DataFrame(columns=wide.columns, dtype=float)
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return frame.groupby([name for name, _ in rows], sort=False).mean()
