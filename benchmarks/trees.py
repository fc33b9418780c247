"""What trees that grow leaf by leaf bring a search over boosted trees, for as much time.

    python benchmarks/trees.py FOLDER [--sets abalone ...] [--rows 8000] [--configs 20] [--minutes 1] [--draws 400] [--out trees.csv]
    python benchmarks/trees.py FOLDER --searches 25 [--sets ...] [--draw 0]

Random configurations of the built-in space are scored in three folds level by level, and with trees that grow where the loss falls
most, however deep, to a number of leaves drawn from each of several ranges (FOLDER as for `peers.py`, whose tables are none of these; at
most ``--rows`` of each). Printed are loss and time of every range over those of the same configurations level by level (geometric mean),
and then what searches find in which two of three configurations grow leaf by leaf, against searches where none does: smallest loss
after as much time, in the median trial of a table. A table that is in the CSV is not fitted again.

--searches runs whole searches over boosted trees instead, of so many seconds, with `max_leaves = 0` and with the built-in range, and prints
the loss of what they ship on a fifth of the table that they did not see.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from csv_lines import keep, known

SETS = (
    "abalone", "wine_quality_red", "kc1", "bike_sharing_hourly", "electricity", "titanic", "australian", "kr-vs-kp",
    "blood-transfusion", "caravan", "arrhythmia", "shipped:diabetes", "shipped:breast_cancer", "shipped:digits",
)  # fmt: skip
RANGES = ((4, 16), (8, 64), (16, 128))
SHARE = 2 / 3
"""Of configurations that grow leaf by leaf: what a range that may be off has."""
TIMES = (4, 8, 12)
FIELDS = ("set", "config", "range", "leaves", "loss", "seconds")
LEVELS = "levels"


def ways(rng):
    """{way to grow: leaves}, 0 level by level; the same place in every range."""
    place = rng.uniform()
    return {LEVELS: 0} | {f"{low} to {high}": round(low * (high / low) ** place) for low, high in RANGES}


def fitted(name, args):
    """Lines of the CSV."""
    from portfolio import planned_on

    from autoreg.evaluation import Candidate, evaluate
    from autoreg.space import Proposer
    from autoreg.trial import State

    planned = planned_on(name, args.folder, args.rows, "xgboost")
    began, rng = time.perf_counter(), np.random.default_rng(0)
    backend, space = planned.backends["xgboost"], planned.resolved["xgboost"]
    proposer = Proposer(space, "random", 7, "xgboost")
    for n in range(1, args.configs + 1):
        params = dict(proposer.ask(n, None, {}).params)
        for way, leaves in ways(rng).items():
            result = evaluate(backend, [Candidate(params | {"max_leaves": leaves}, n)], planned.problem)[0]
            if result.state is State.COMPLETE:
                values = (name, n, way, leaves, f"{result.loss:.6g}", f"{result.seconds:.4g}")
                yield dict(zip(FIELDS, values, strict=True))
        if time.perf_counter() - began > 60 * args.minutes:
            return


def shipped(name, args, own):
    """Loss of what a whole search ships, on rows that it did not see."""
    from configurations import apart, mean_loss

    from autoreg import tune
    from autoreg.spec import parse_study

    train, test, study = apart(name, args.folder, args.rows, args.draw)
    search = {"backends": ["xgboost"], "timeout": args.searches, "trials": 3000, "seed": args.draw}
    study |= {"search": search | {"xgboost": own}, "split": {"estimate": "none"}}
    package = tune(parse_study(study), train, tracking="off").package
    return mean_loss(package.task, package.classes, test[study["data"]["target"]], package.predict_raw(test))


def searches(args):
    print("| set | levels | leaves, too | ratio |\n|---|---|---|---|")
    ratios = []
    for name in args.sets:
        levels, leaves = (shipped(name, args, own) for own in ({"max_leaves": 0}, {}))
        ratios.append(leaves / levels)
        print(f"| {name} | {levels:.6g} | {leaves:.6g} | {ratios[-1]:.3f} |", flush=True)
    print(f"| all {len(ratios)} | | | {np.exp(np.mean(np.log(ratios))):.3f} |")


def by_way(lines):
    """{way to grow: array of (loss, seconds) by configuration}."""
    found = {}
    for line in lines:
        values = float(line["loss"]), float(line["seconds"])
        found.setdefault(line["range"], {})[int(line["config"])] = values
    common = sorted(set.intersection(*(set(values) for values in found.values())))
    return {way: np.array([values[n] for n in common]) for way, values in found.items()}


def searched(levels, leaves, share, budgets, draws):
    """Mean log of the smallest loss that searches of so much time find; a share of configurations grows leaf by leaf."""
    rng, smallest = np.random.default_rng(0), np.zeros((draws, len(budgets)))
    for draw in range(draws):
        tried = np.where(rng.uniform(size=(len(levels), 1)) < share, leaves, levels)
        tried = tried[rng.permutation(len(levels))]
        best, spent = np.minimum.accumulate(tried[:, 0]), np.cumsum(tried[:, 1])
        smallest[draw] = best[np.maximum(0, np.searchsorted(spent, budgets, "right") - 1)]
    return np.log(smallest).mean(axis=0)


def printed(heads, rows):
    """A table of logarithms with their mean, as ratios."""
    print("\n| set | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
    for name, values in [*rows.items(), (f"all {len(rows)}", np.mean(list(rows.values()), axis=0))]:
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in np.exp(values)) + " |")


def tables(lines, draws):
    ratios, gains, names = {}, {}, dict.fromkeys(line["set"] for line in lines)
    for name in names:
        found = by_way([line for line in lines if line["set"] == name])
        levels = found.pop(LEVELS)
        budgets = np.array(TIMES) * np.median(levels[:, 1])
        base = searched(levels, levels, 0.0, budgets, draws)
        ratios[name] = [
            ratio
            for leaves in found.values()
            for ratio in (
                np.log(leaves / levels)[:, 0].mean(),
                np.log(leaves.sum(axis=0) / levels.sum(axis=0))[1],
            )
        ]
        gains[name] = np.concatenate(
            [searched(levels, leaves, SHARE, budgets, draws) - base for leaves in found.values()]
        )
    ranges = [f"{low} to {high}" for low, high in RANGES]
    printed([f"{way}: {what}" for way in ranges for what in ("loss", "time")], ratios)
    printed([f"{way} after {many}" for way in ranges for many in TIMES], gains)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--configs", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=1.0, help="at most, of a table")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("trees.csv"))
    parser.add_argument("--searches", type=float, help="seconds")
    parser.add_argument("--draw", type=int, default=0)
    args = parser.parse_args()
    if args.searches:
        searches(args)
        return
    for name in args.sets:
        if any(line["set"] == name for line in known(args.out)):
            continue
        found = list(fitted(name, args))
        keep(args.out, FIELDS, found)
        print(f"{name}: {len(found)} fits", flush=True)
    tables(known(args.out), args.draws)


if __name__ == "__main__":
    main()
