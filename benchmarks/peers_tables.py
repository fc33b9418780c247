"""The tables and the figure of `peers.py`, from its CSV."""

import math

import numpy as np
from peers_contenders import CONTENDERS
from peers_math import (
    BASE,
    FLOOR,
    by_set,
    compared,
    difference,
    interval,
    normalized,
    ranks,
    table_of,
    verdict,
)

OURS, BY_HAND = "autoreg", "optuna"


def tables(cells, losses):
    """All tables in Markdown.

    Parameters
    ----------
    cells : list of dict
        Of the CSV.
    losses : callable
        A cell's losses of its test rows, in their order.
    """
    frame = table_of(cells)
    parts = []
    for budget, mine in frame.groupby("budget"):
        parts += [f"# {budget:g} seconds", *_of_budget(mine, losses)]
    return "\n\n".join(parts) + "\n"


def _of_budget(frame, losses):
    names = [name for name in CONTENDERS if name in set(frame["contender"])]
    wide, left_out = compared(frame)
    wide = wide[names]
    if left_out:
        said = ", ".join(f"{name} seed {seed}" for name, seed in left_out)
        yield f"Left out, for not every contender has been run there: {said}."
    if len(wide):
        yield _scores(frame, wide)
        yield _summary(wide)
        if OURS in names:
            yield _versus(frame, wide, losses)
    yield _costs(frame, names)
    yield from filter(None, (_trials(frame), _failures(frame)))


def markdown(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(x).replace("|", "\\|") for x in line) + " |" for line in lines)


def number(value, form=".2f"):
    return "" if value is None or math.isnan(value) else format(value, form)


def _scores(frame, wide):
    """The main score on every set; the best in bold."""
    tasks = frame.drop_duplicates("set").set_index("set")["task"]
    means, rows = wide.groupby("set", sort=False).mean(), []
    fails = wide.isna().groupby("set", sort=False).any()
    for name, row in means.iterrows():
        shown = [
            "failed" if math.isnan(v) else f"{_short(v)}" + (" (failed at times)" if fails.loc[name, c] else "")
            for c, v in row.items()
        ]  # fmt: skip
        shown = [f"**{s}**" if row.iloc[i] == row.min() else s for i, s in enumerate(shown)]
        rows.append([name, "RMSE" if tasks[name] == "regression" else "log loss", *shown])
    return "Scores of the test rows, mean over seeds, small is good:\n\n" + markdown(
        ["set", "score", *wide], rows
    )


def _short(value):
    return f"{value:.4f}" if value < 100 else f"{value:,.0f}"


def _summary(wide):
    scaled, places = by_set(wide, normalized), by_set(wide, ranks)
    rows = []
    for name in wide:
        mean, low, high = interval(scaled[name].dropna())
        rows.append([name, number(places[name].mean()), number(mean), _ends(low, high), *_failed(wide[name])])
    lost = [name for name in dict.fromkeys(wide.index.get_level_values("set")) if name not in scaled.index]
    said = (
        f"Mean rank over {_sets(len(places))}, who failed on a set being last there. Normalized score: 0 default XGBoost, 1 the "
        f"best of all, cut at {FLOOR:g}, which is also the score of who failed; interval: 95 % over sets."
    )
    if BASE not in wide:
        said += " It has not been run here, so nobody has such a score."
    elif lost:
        said += f" Without {', '.join(lost)}, where nobody was better than default XGBoost."
    return said + "\n\n" + markdown(["contender", "mean rank", "normalized", "interval", "failed"], rows)


def _sets(count):
    return f"{count} set" + "s" * (count != 1)


def _ends(low, high):
    return "" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"


def _failed(column):
    return [f"{int(column.isna().sum())} of {len(column)}"]


def _versus(frame, wide, losses):
    """autoreg against every other, set by set on the same rows."""
    cells = {(r["set"], r["seed"], r["contender"]): r for r in frame.to_dict("records")}
    scaled, rows = by_set(wide, normalized), []
    for other in wide.columns.drop(OURS):
        said = {}
        for name in dict.fromkeys(wide.index.get_level_values("set")):
            seeds = wide.loc[name].index
            said[name] = judged_set([
                (cells[name, seed, OURS], cells[name, seed, other]) for seed in seeds
            ], losses)  # fmt: skip
        counts = [sum(v == kind for v in said.values()) for kind in ("win", "tie", "loss")]
        mean, low, high = interval((scaled[OURS] - scaled[other]).dropna())
        lost = ", ".join(name for name, v in said.items() if v == "loss")
        rows.append([other, "/".join(map(str, counts)), number(mean, "+.2f"), _ends(low, high), lost])
    return (
        f"{OURS} against the others: sets won, tied (within two standard errors of the paired losses of the test rows) and lost; mean "
        "difference of the normalized scores, 95 % over sets:\n\n"
        + markdown(["against", "win/tie/loss", "difference", "interval", "lost on"], rows)
    )


def judged_set(pairs, losses):
    """Win, tie or loss on a set from (our cell, their cell) of every seed; a failure at any seed loses, two of them tie."""
    ours, theirs = (any(pair[i]["status"] != "ok" for pair in pairs) for i in (0, 1))
    if ours or theirs:
        return "tie" if ours and theirs else "loss" if ours else "win"
    return verdict([difference(losses(mine), losses(other)) for mine, other in pairs])


def _costs(frame, names):
    rows = []
    for name in names:
        mine = frame[frame["contender"] == name]
        spent = mine["fit_seconds"].fillna(mine["wall_seconds"])
        over = spent - mine["budget"]
        worst = mine.loc[over.idxmax(), "set"]
        rows.append([
            name, number(spent.median(), ".1f"), number(spent.max(), ".1f"), f"{over.max():+.1f} ({worst})",
            number(mine["predict_seconds"].max()), number(mine["peak_mb"].median(), ".0f"),
            number(mine["peak_mb"].max(), ".0f"), number(mine["trials"].median(), ".0f"),
            ", ".join(sorted(set(mine["made_of"]))),
        ])  # fmt: skip
    head = ["contender", "fit, median s", "longest", "beyond the budget", "predict, longest s", "memory, median MB",
            "most", "trials, median", "made of"]  # fmt: skip
    return (
        "Time and memory (all processes of a contender together; libraries are loaded before the clock starts):\n\n"
        + markdown(head, rows)
    )


def _trials(frame):
    """Trials per second, autoreg's beside those of the search by hand; nothing where not both have a set."""
    good = (
        frame[frame["status"] == "ok"]
        .groupby(["contender", "set"], sort=False)[["trials", "fit_seconds"]]
        .sum()
    )
    sets = [name for name in frame["set"].unique() if {(OURS, name), (BY_HAND, name)} <= set(good.index)]
    rows, ratios = [], []
    for name in sets:
        (ours, took), (theirs, spent) = good.loc[OURS, name], good.loc[BY_HAND, name]
        mine, hand = ours / took, theirs / spent
        ratios.append(mine / hand if hand else math.nan)
        rows.append(
            [name, f"{ours:.0f}", f"{mine:.2f}", f"{theirs:.0f}", f"{hand:.2f}", number(ratios[-1], ".1f")]
        )
    if not ratios:
        return ""
    rows.append(["geometric mean", "", "", "", "", number(np.exp(np.nanmean(np.log(ratios))), ".1f")])
    return (
        f"Trials per second of the whole fit, all seeds together. {OURS} stops a trial that is clearly worse after its first fold or a later one; its time "
        "has choosing, the estimate and the registered model in it:\n\n"
        + markdown(["set", f"{OURS}: trials", "a second", "by hand: trials", "a second", "ratio"], rows)
    )


def _failures(frame):
    bad = frame[frame["status"] != "ok"]
    if bad.empty:
        return ""
    rows = bad[["contender", "set", "seed", "status", "error"]].to_numpy().tolist()
    return "What failed:\n\n" + markdown(["contender", "set", "seed", "status", "why"], rows)


def figure(cells, place):
    """Normalized scores with their intervals, a panel a budget."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    frame = table_of(cells)
    budgets = sorted(frame["budget"].unique())
    fig, axes = plt.subplots(
        1, len(budgets), figsize=(1 + 4.5 * len(budgets), 3.6), squeeze=False, sharey=True
    )
    names = [name for name in reversed(CONTENDERS) if name in set(frame["contender"])]
    for axis, budget in zip(axes[0], budgets, strict=True):
        wide, _ = compared(frame[frame["budget"] == budget])
        scaled = by_set(wide, normalized)
        for name in (n for n in names if n in scaled):
            mean, low, high = interval(scaled[name].dropna())
            color = "tab:blue" if name.startswith(OURS) else "0.35"
            axis.plot([low, high], [name, name], color=color, lw=1.5)
            axis.plot([mean], [name], "o", color=color)
        axis.axvline(0, color="0.8", lw=0.8, zorder=0)
        axis.set(title=f"{budget:g} s, {_sets(len(scaled))}", xlabel="default XGBoost 0, best of all 1")
        axis.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    fig.savefig(place)
    plt.close(fig)
