"""Configurations to begin a search with: learned on tables that no comparison uses, judged on each of them by the others.

    python benchmarks/portfolio.py FOLDER --out portfolio.csv [--backends xgboost,keras,sklearn] [--many 48] [--rows 3000]
    python benchmarks/portfolio.py --out portfolio.csv          (the tables below, from what is there)

FOLDER holds an INDEX.csv (columns name, file, target, task). Every backend is given the same configurations on every table: its default
and ``--many`` drawn from its own ranges. A table's losses (three folds, out of fold) are made comparable as regret: 0 the best of
all that were tried there, 1 the backend's default, at most 1 (so that one table where everything fails does not decide). A portfolio is
grown greedily: the next configuration is the one that lowers the mean over tables of the regret of the best so far the most for what
it costs. Time is counted in the median trial of a table.

What is printed, by backend: the mean regret after so much time, of the portfolio *chosen without the table at hand*, and of random
configurations (mean over 200 orders); then the portfolio of all tables. A table that is done is not run again.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
from csv_lines import known
from peers_data import read, read_index

SETS = (
    "kr-vs-kp", "kc1", "blood-transfusion", "australian", "titanic", "electricity", "caravan", "abalone",
    "wine_quality_red", "bike_sharing_hourly", "shipped:wine", "shipped:breast_cancer", "shipped:digits",
    "shipped:diabetes", "arrhythmia", "madelon",
)  # fmt: skip
"""None of `peers.py`. Of electricity and bikes a sample of rows, whose order in time plays no part here."""
FIELDS = ("set", "backend", "config", "loss", "seconds", "params")
SIZE, TIMES = 8, (1, 2, 3, 5, 8, 12, 20)


def table(name, folder, rows):
    """(frame, name of its target, its task)."""
    if name.startswith("shipped:"):
        from sklearn import datasets

        frame = getattr(datasets, f"load_{name.removeprefix('shipped:')}")(as_frame=True).frame
        target, task = "target", "regression" if name.endswith("diabetes") else "auto"
    else:
        entry = read_index(folder)[name]
        frame, target = read(entry), entry.target
        task = "regression" if entry.task == "regression" else "auto"
    return frame.sample(min(rows, len(frame)), random_state=0).reset_index(drop=True), target, task


def planned_on(name, folder, rows, kind):
    """A study of one backend over a table: three folds, no rows held out."""
    from autoreg.planning import plan
    from autoreg.spec import parse_study

    frame, target, task = table(name, folder, rows)
    study = {
        "name": "portfolio", "data": {"source": "table", "target": target, "task": task},
        "split": {"folds": 3, "estimate": "none"}, "search": {"backends": [kind]},
    }  # fmt: skip
    return plan(parse_study(study), frame)


def first_two(space, kind):
    """(the default, a random configuration): parameters with every name of a table's space."""
    from autoreg.space import Proposer

    proposer = Proposer(space, "random", 7, kind)
    return proposer.ask(0).params, proposer.ask(1).params


def drawn(backend, many):
    """The same configurations for every table: the values of what is searched."""
    from autoreg.space import Proposer, resolve
    from autoreg.trial import Sizes

    space = resolve(backend, Sizes("binary", 1000, 20, 2), {}, "random")
    proposer = Proposer(space, "random", 7, backend.name)
    proposer.ask(0)
    asked = [proposer.ask(n + 1).params for n in range(many)]
    return [{name: found[name] for name in space.searched} for found in asked]


def fitted_in(space, full, config):
    """A configuration in another table's space: values moved to its ends."""
    from autoreg.trial import Range

    found = dict(full)
    for name, d in space.searched.items():
        value = config.get(name)
        if value is None:
            continue
        if isinstance(d, Range):
            if not (d.off and value == 0):
                value = min(max(value, d.low), d.high)
            found[name] = round(value) if d.integer else value
        elif value in d.values:
            found[name] = value
    return found


def tried(planned, backend, configs):
    """Losses and seconds of the default and of the configurations."""
    from autoreg.evaluation import Candidate, evaluate

    space = planned.resolved[backend.name]
    default, full = first_two(space, backend.name)
    every = [default, *(fitted_in(space, full, config) for config in configs)]
    groups = {}
    for i, params in enumerate(every):
        groups.setdefault(tuple(params[n] for n in backend.shared) if backend.batched else i, []).append(i)
    found = {}
    for numbers in groups.values():
        results = evaluate(backend, [Candidate(every[i], i) for i in numbers], planned.problem)
        found |= dict(zip(numbers, results, strict=True))
    return [(found[i].loss, found[i].seconds) for i in range(len(every))]


def collect(args):
    from autoreg.backends import get_backend
    from autoreg.backends.common import calm_algebra

    out = Path(args.out)
    done = {(r["set"], r["backend"]) for r in known(out)}
    for name in SETS:
        for kind in args.backends.split(","):
            if (name, kind) in done:
                continue
            planned = planned_on(name, args.folder, args.rows, kind)
            configs = drawn(get_backend(kind), args.many)
            with calm_algebra():
                found = tried(planned, planned.backends[kind], configs)
            lines = [
                (name, kind, i, loss, round(seconds, 3), json.dumps({} if i == 0 else configs[i - 1]))
                for i, (loss, seconds) in enumerate(found)
            ]
            new = not out.exists()
            with out.open("a", newline="") as file:
                csv.writer(file).writerows([FIELDS, *lines] if new else lines)
            print(f"{name}: {kind}, {sum(s for _, s in found):.0f} s", file=sys.stderr, flush=True)


def regrets(lines):
    """(tables, regrets, costs): both of shape (tables, configurations without the default); the default's regret is 1."""
    names = sorted({r["set"] for r in lines})
    shape = len(names), 1 + max(int(r["config"]) for r in lines)
    losses, seconds = np.full(shape, np.inf), np.full(shape, np.nan)
    for r in lines:
        place = names.index(r["set"]), int(r["config"])
        losses[place], seconds[place] = float(r["loss"]), float(r["seconds"])
    losses[~np.isfinite(losses)] = np.inf
    best, default = losses.min(axis=1, keepdims=True), losses[:, :1]
    regret = np.minimum((losses - best) / np.maximum(default - best, 1e-12), 1.0)
    costs = seconds / np.nanmedian(seconds, axis=1, keepdims=True)
    return names, regret[:, 1:], costs[:, 1:]


def grown(regret, costs, size):
    """Columns of a portfolio, greedily by what they gain for what they cost."""
    chosen, now, cost = [], np.ones(len(regret)), np.exp(np.log(costs).mean(axis=0))
    for _ in range(size):
        gain = (now.mean() - np.minimum(now[:, None], regret).mean(axis=0)) / cost
        gain[chosen] = -1.0
        chosen.append(int(gain.argmax()))
        now = np.minimum(now, regret[:, chosen[-1]])
    return chosen


def over_time(regret, costs, order):
    """A table's regret after each of ``TIMES``, when it tries configurations in an order."""
    spent, best = np.cumsum(costs[order]), np.minimum.accumulate([1.0, *regret[order]])
    return best[np.searchsorted(spent, TIMES, side="right")]


def judged(regret, costs, size, seed=0):
    """By table, regret after each of ``TIMES``: of portfolios learned on the other tables (then random), and of random ones."""
    chance = np.random.default_rng(seed)
    learned, random = [], []
    for t in range(len(regret)):
        chosen = grown(np.delete(regret, t, axis=0), np.delete(costs, t, axis=0), size)
        orders = [chance.permutation(regret.shape[1]) for _ in range(200)]
        begun = [[*chosen, *(c for c in order if c not in chosen)] for order in orders]
        learned.append(np.mean([over_time(regret[t], costs[t], order) for order in begun], axis=0))
        random.append(np.mean([over_time(regret[t], costs[t], order) for order in orders], axis=0))
    return np.array(learned), np.array(random)


def show(args):
    lines = known(Path(args.out))
    for kind in sorted({r["backend"] for r in lines}):
        mine = [r for r in lines if r["backend"] == kind]
        names, regret, costs = regrets(mine)
        learned, chance = judged(regret, costs, args.size)
        print(f"\n{kind}: {len(names)} tables, {regret.shape[1]} configurations\n")
        print("| median trials | learned on the other tables | random | tables where it is smaller |")
        print("|---|---|---|---|")
        for k, time in enumerate(TIMES):
            better = int((learned[:, k] < chance[:, k]).sum())
            means = learned[:, k].mean(), chance[:, k].mean()
            print(f"| {time} | {means[0]:.3f} | {means[1]:.3f} | {better} of {len(names)} |")
        texts = {int(r["config"]): r["params"] for r in mine}
        print()
        for column in grown(regret, costs, args.size):
            print(texts[column + 1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--out", default="portfolio.csv")
    parser.add_argument("--backends", default="xgboost,keras,sklearn")
    parser.add_argument("--many", type=int, default=48)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--size", type=int, default=SIZE)
    args = parser.parse_args()
    if args.folder:
        collect(args)
    show(args)


if __name__ == "__main__":
    main()
