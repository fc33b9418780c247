"""Which network is better? Cross-validated loss of variants against the plain 128-64 ReLU network, paired.

    python benchmarks/networks.py FOLDER [--variants NAME ...] [--sets NAME ...] [--rows 4000] [--out networks.csv]

FOLDER holds an INDEX.csv (columns name, file, rows, cols, target). Every variant trains the same random configurations of
the built-in space on the same folds with the same seeds. Printed per set: the change of the loss, mean over configurations
(as a ratio of geometric means); of the best configuration, which is what a search would keep; and of the best when half of
the configurations are of the variant and half plain, mean over the halves: what offering it as a choice gives at the same
number of trials. Last, the mean over sets with its standard error. One line of the CSV per configuration: the same command again goes on where it was stopped.
"""

import argparse
import csv
import os
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from population import draw

from autoreg.backends import get_backend
from autoreg.evaluation import Candidate, Problem, evaluate
from autoreg.planning import plan
from autoreg.spec import parse_study
from autoreg.trial import Part, State

SETS = ("credit-g", "vehicle", "segment", "phoneme", "telco_churn", "concrete", "wine_quality_red", "abalone",
        "california_housing")  # fmt: skip
SEARCHED = ("penalty", "alpha", "l1_ratio", "dropout", "patience", "learning_rate", "weight_decay")
FEWEST = 4  # different values of a column worth transforming


def quantiles(train, X):
    """Numbers as normal quantiles of the train part."""
    from sklearn.preprocessing import QuantileTransformer

    which = [j for j in range(train.shape[1]) if len(np.unique(train[:, j])) >= FEWEST]
    out = X.copy()
    if which:
        change = QuantileTransformer(
            n_quantiles=min(1000, len(train)), output_distribution="normal", random_state=0
        )
        change.fit(train[:, which])
        out[:, which] = np.clip(change.transform(X[:, which]), -4, 4)
    return out


def periodic(sigma, number=8):
    """Sines and cosines of every number at random frequencies beside it (Gorishniy et al. 2022, theirs learned)."""

    def change(train, X):
        which = [j for j in range(train.shape[1]) if len(np.unique(train[:, j])) >= FEWEST]
        frequencies = np.random.default_rng(0).normal(0, sigma, (len(which), number))
        turns = (2 * np.pi * X[:, which, None] * frequencies).reshape(len(X), -1)
        return np.hstack([X, np.sin(turns), np.cos(turns)]).astype(np.float32)

    return change


VARIANTS = {
    "base": ({}, None),
    "gelu": ({"activation": "gelu"}, None),
    "silu": ({"activation": "silu"}, None),
    "selu": ({"activation": "selu"}, None),
    "layer_norm": ({"layer_norm": True}, None),
    "batch_norm": ({"batch_norm": True}, None),
    "256-128": ({"hidden": "256-128"}, None),
    "128-128-64": ({"hidden": "128-128-64"}, None),
    "quantiles": ({}, quantiles),
    "128-128": ({"hidden": "128-128"}, None),
    "128-128-128": ({"hidden": "128-128-128"}, None),
    "residual 128-128": ({"hidden": "128-128", "residual": True}, None),
    "residual 128-64-64": ({"hidden": "128-64-64", "residual": True}, None),
    "residual 128-128, batch_norm": ({"hidden": "128-128", "residual": True, "batch_norm": True}, None),
    "bins 8, residual 128-128": ({"bins": 8, "hidden": "128-128", "residual": True}, None),
    "residual 128-128-128": ({"hidden": "128-128-128", "residual": True}, None),
    "bins 8": ({"bins": 8}, None),
    "bins 16": ({"bins": 16}, None),
    "periodic 0.1": ({}, periodic(0.1)),
    "periodic 0.5": ({}, periodic(0.5)),
    "bins 8, gelu": ({"bins": 8, "activation": "gelu"}, None),
}


def problem_of(folder, row, rows, folds):
    study = {
        "name": "networks", "data": {"source": str(Path(folder, row.file).resolve()), "target": row.target},
        "split": {"folds": folds}, "search": {"backends": ["keras"], "seed": 0},
    }  # fmt: skip
    path = Path(folder, row.file)
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=0).reset_index(drop=True)
    found = plan(parse_study(study), frame)
    return found.problem, found.resolved["keras"].dimensions


def changed(problem, change):
    """The problem with the inputs of every fold changed, by its train part alone."""

    def part(train, p):
        return p if p is None else Part(change(train, p.X), p.y, p.weight)

    out = []
    for data in problem.folds("dense"):
        own = [part(data.train.X, p) for p in (data.train, data.stop, data.score)]
        width = own[0].X.shape[1]
        names = tuple(f"c{j}" for j in range(width))
        out.append(replace(data, train=own[0], stop=own[1], score=own[2], columns=names, levels=(0,) * width))
    return Problem(problem.table, problem.split, problem.metric, problem.weight, {"dense": tuple(out)})


def configurations(dimensions, number):
    rng = np.random.default_rng(0)
    plain = get_backend("keras").default
    drawn = [{name: draw(dimensions[name], rng) for name in SEARCHED} for _ in range(number)]
    return plain, drawn


def measure(given):
    path, known = given.out, set()
    if path.exists():
        known = {(r["set"], r.variant) for _, r in pd.read_csv(path).iterrows()}
    index = pd.read_csv(Path(given.folder) / "INDEX.csv").set_index("name", drop=False)
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(("set", "variant", "configuration", "loss", "seconds"))
        for name in given.sets:
            left = [v for v in given.variants if (name, v) not in known]
            if not left:
                continue
            problem, dimensions = problem_of(given.folder, index.loc[name], given.rows, given.folds)
            plain, drawn = configurations(dimensions, given.configurations)
            for variant in left:
                more, change = VARIANTS[variant]
                own = changed(problem, change) if change else problem
                base = plain(own.sizes("dense"))
                started = time.perf_counter()
                results = evaluate(
                    get_backend("keras"),
                    [Candidate({**base, **d, **more}, i) for i, d in enumerate(drawn)],
                    own,
                )
                seconds = (time.perf_counter() - started) / len(drawn)
                for i, r in enumerate(results):
                    loss = r.loss if r.state is State.COMPLETE else np.nan
                    writer.writerow((name, variant, i, loss, round(seconds, 3)))
                file.flush()


def halved(base, variant):
    """The best loss when half of the configurations are the variant's, mean over all halves, over the base's best."""
    if np.isnan(variant).all():
        return np.nan
    base, variant, every = (
        np.nan_to_num(base, nan=np.inf),
        np.nan_to_num(variant, nan=np.inf),
        range(len(base)),
    )
    halves = [np.isin(every, half) for half in combinations(every, len(base) // 2)]
    return np.mean([np.fmin(base[~h].min(), variant[h].min()) for h in halves]) / base.min() - 1


def report(given):
    table = pd.read_csv(given.out)
    table = table[table["set"].isin(given.sets)]
    losses = table.pivot_table(index=["set", "configuration"], columns="variant", values="loss")
    mean = np.expm1(np.log(losses).sub(np.log(losses["base"]), axis=0).groupby("set").mean())
    best = losses.groupby("set").min()
    best = best.div(best["base"], axis=0) - 1
    seconds = table.pivot_table(index="set", columns="variant", values="seconds")
    seconds = seconds.div(seconds["base"], axis=0).mean()
    half = losses.groupby("set").apply(lambda own: own.apply(lambda v: halved(own["base"].values, v.values)))
    for title, change in (
        ("mean of configurations", mean),
        ("best configuration", best),
        ("best when half are of the variant", half),
    ):
        print(f"\nchange of the loss, {title}, per cent")
        order = [v for v in given.variants if v in change]
        shown = 100 * change.loc[[s for s in given.sets if s in change.index], order]
        mean, error = shown.mean(), shown.sem()
        shown.loc["MEAN"], shown.loc["+- SE"] = mean, error
        print(shown.round(1).T.to_string())
    print("\nseconds against base:", seconds.round(2).to_dict())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--configurations", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("networks.csv"))
    parser.add_argument("--print", action="store_true", help="print what the file holds, measure nothing")
    given = parser.parse_args()
    if not given.print:
        measure(given)
    report(given)


if __name__ == "__main__":
    main()
