"""How many more rounds boosted trees want when they are fitted again on all rows, where smaller folds told when to stop.

    python benchmarks/rounds.py FOLDER [--sets abalone ...] [--folds 5] [--trials 10] [--minutes 1] [--draws 2] [--rows 3000]
        [--out rounds.csv]

Random configurations are scored in folds, each of which stops early, and fitted on all training rows with so many times the mean of
their stopping points: rows of all over rows of a fold, to the power of 0 (as many), 0.5, 1 ... A fifth of the table that was kept apart
judges (FOLDER as for `peers.py`, at most ``--rows`` of each; the tables are none of its own). Printed is the test loss over that of
power 0: the mean of the four configurations with the best cross-validated loss (geometric), and that of their averaged predictions,
by table and over tables. A table and draw that is in the CSV is not fitted again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from csv_lines import keep, known

SETS = (
    "abalone", "wine_quality_red", "kc1", "bike_sharing_hourly", "electricity", "titanic", "australian", "kr-vs-kp",
    "blood-transfusion", "caravan", "shipped:diabetes", "shipped:breast_cancer", "shipped:digits",
)  # fmt: skip
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
BEST = 4
FIELDS = ("set", "draw", "folds", "more_rows", "kind", *(f"power_{power:g}" for power in POWERS))


def cut(chain, rounds):
    """A model of a package with only its first rounds."""
    from autoreg.serving import BoosterMember

    preprocessor, member, weight = chain
    fewer = BoosterMember(member.booster[:rounds], member.levels, member.task, member.scale, member.shift)
    return preprocessor, fewer, weight


def again(bench, record, more):
    """Predictions of a configuration that is fitted on all rows, by power. Rounds follow each other, so one fit holds them all."""
    from autoreg.refit import refit
    from autoreg.selection import stopping_point

    found = stopping_point(record.result.rounds)
    wanted = [round(found * more**power) for power in POWERS]
    # Without patience the rounds are taken as they are.
    longer = replace(record.result, rounds=(max(wanted),), params={**record.result.params, "patience": 0})
    chain = refit(bench.planned, replace(record, result=longer), None, 1)[0]
    return [bench.predicted([cut(chain, rounds)]) for rounds in wanted]


def judged(name, draw, args):
    """Two lines of the CSV: losses by power of single models, and of the average of the best."""
    from configurations import Bench

    bench = Bench(name, args.folder, args.rows, args.folds, draw)
    split = bench.planned.split
    more = len(split.search) / np.mean([len(fold.train) for fold in split.folds])
    stopped = [r for r in bench.records(args.trials, args.minutes) if r.result.params["patience"]]
    best = sorted(stopped, key=lambda record: record.result.loss)[:BEST]
    predictions = np.array([again(bench, record, more) for record in best])
    single = np.exp(np.mean([[np.log(bench.loss(p)) for p in powers] for powers in predictions], axis=0))
    together = [bench.loss(p) for p in predictions.mean(axis=0)]
    at = (name, draw, args.folds, f"{more:.3f}")
    return [
        dict(zip(FIELDS, (*at, kind, *(f"{loss:.6g}" for loss in losses)), strict=True))
        for kind, losses in (("single", single), ("average", together))
    ]


def tables(lines):
    for kind in ("single", "average"):
        print(f"\n| {kind} | more rows | " + " | ".join(f"{power:g}" for power in POWERS) + " |")
        print("|---" * (len(POWERS) + 2) + "|")
        means = []
        for name in dict.fromkeys(line["set"] for line in lines):
            some = [line for line in lines if line["set"] == name and line["kind"] == kind]
            losses = np.array([[float(line[f"power_{power:g}"]) for power in POWERS] for line in some])
            means.append(np.log(losses / losses[:, :1]).mean(axis=0))
            more = np.mean([float(line["more_rows"]) for line in some])
            told = " | ".join(f"{ratio:.3f}" for ratio in np.exp(means[-1]))
            print(f"| {name} | {more:.2f} | {told} |")
        told = " | ".join(f"{ratio:.3f}" for ratio in np.exp(np.mean(means, axis=0)))
        print(f"| all {len(means)} | | {told} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=1.0, help="at most, of a table and draw")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=Path("rounds.csv"))
    args = parser.parse_args()
    for draw in range(args.draws):
        for name in args.sets:
            had = {(line["set"], int(line["draw"]), int(line["folds"])) for line in known(args.out)}
            if (name, draw, args.folds) in had:
                continue
            keep(args.out, FIELDS, judged(name, draw, args))
            print(f"{name}, draw {draw}", flush=True)
    tables([line for line in known(args.out) if int(line["folds"]) == args.folds])


if __name__ == "__main__":
    main()
