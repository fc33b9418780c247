"""How honest are the estimates? Simulations in which the truth is known.

    python benchmarks/honesty.py [--short] [--parts PART ...] [--repetitions 400] [--out honesty.csv]

coin      100 rows x 50 configurations of coin flips, straight into ``corrected_cv``: truth .5.
random    the whole of ``autoreg.tune`` on labels that are coin flips (200 rows x 10 columns, accuracy, 4 folds, random sampler, no
          pruning, 16 linear models and 16 random trees): truth .5. The spaces are narrowed to models that do fit noise, so that
          all are equally bad and the choice is luck.
tpe       the same with the adaptive sampler: reported, not required.
builtin   the same with the built-in spaces and 5 rounds (16 trials): reported, not required. There the winner mostly gives all rows
          the more frequent label, which in stratified folds is right more often than .5: column ``majority``.
accuracy, log_loss            a logistic model with known coefficients (300 rows x 10 columns, linear models, 16 trials): the truth is
          what the shipped package scores on 20,000 fresh rows.
nested_accuracy, nested_log_loss    the same, estimated by outer folds.

One line of the CSV per repetition: the same command again goes on where it was stopped. Printed: every estimate's mean, bias
against the truth and how often its 95 % interval holds the truth, then the required checks. In the full form they are as they stand
and exit 1 on a failure; ``--short`` (a minute) gives them 3.3 standard errors of room for its few repetitions.
"""

import argparse
import csv
import math
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from autoreg import tune
from autoreg.metrics import METRICS
from autoreg.planning import plan
from autoreg.selection import corrected_cv
from autoreg.spec import parse_study

ROWS, COLUMNS, FRESH = 300, 10, 20_000
COEFFICIENTS = np.array([1.0, -0.7, 0.5, -0.35, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0])
FULL = {
    "coin": 400,
    "random": 400,
    "accuracy": 150,
    "log_loss": 150,
    "tpe": 100,
    "builtin": 100,
    "nested_accuracy": 20,
    "nested_log_loss": 20,
}
SHORT = {"coin": 100, "random": 8}
ESTIMATES = ("best_cv", "cv", "cv_fresh", "cv_corrected", "holdout", "nested")
FIELDS = [
    "part",
    "repetition",
    "truth",
    *(f"{e}{end}" for e in ESTIMATES for end in ("", "_low", "_high")),
    "majority",
    "kind",
    "backend",
    "seconds",
]
ROOM = 3.3
"""Standard errors that a short form forgives."""


def coin(repetition, rows=100, configurations=50):
    """Coin flips as losses and as hard labels: whatever is chosen is right half of the time."""
    rng = np.random.default_rng([0, repetition])
    truth = rng.integers(0, 2, rows)
    right = rng.integers(0, 2, (configurations, rows)).astype(bool)
    labels = np.where(right, truth, 1 - truth)
    folds = np.arange(rows) % 5
    found = corrected_cv(
        METRICS["accuracy"],
        truth,
        (~right).astype(np.float32),
        lambda i: np.eye(2)[labels[i]],
        folds,
        None,
        None,
        repetition,
    )
    best = float(right.mean(axis=1).max())
    se = math.sqrt(best * (1 - best) / rows)
    return {
        "truth": 0.5, "cv": best, "cv_low": best - 1.96 * se, "cv_high": best + 1.96 * se,
        "cv_corrected": found.value, "cv_corrected_low": found.low, "cv_corrected_high": found.high,
    }  # fmt: skip


def frame_of(X, y):
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]).assign(y=y)


def estimates(result):
    """A study's estimates with their intervals; those of ``best_cv``, ``cv`` and ``cv_fresh`` are the naive ones.

    ``best_cv`` is what somebody would report who tried the same configurations and took the highest score.
    """
    report, better = result.report, max if result.record.greater_is_better else min
    best = better((t for t in result.record.trials if t.state == "complete"), key=lambda t: t.cv)
    e = report["estimate"] | {"best_cv": best.cv}
    naive = {"best_cv": best.cv_se, "cv": report["best"]["cv_se"], "cv_fresh": report["best"]["cv_se"]}
    found = {}
    for name in ESTIMATES:
        value = math.nan if e[name] is None else e[name]
        half = 1.96 * naive.get(name, math.nan)
        ends = (value - half, value + half) if name in naive else (e[f"{name}_low"], e[f"{name}_high"])
        found |= {name: value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return found | {"kind": report["final"]["kind"], "backend": report["best"]["backend"]}


LUCK = {
    "trials": 32, "sklearn": {"alpha": {"low": 1e-6, "high": 0.1, "log": True}},
    "xgboost": {
        "rounds": 1, "eta": 1.0, "penalty": "l2", "alpha": {"low": 1.0, "high": 10.0}, "max_depth": {"low": 3, "high": 6},
        "min_child_weight": 1.0, "gamma": 0.0, "subsample": {"low": 0.4, "high": 0.7}, "colsample": {"low": 0.3, "high": 0.6},
    },
}  # fmt: skip
BUILT_IN = {"trials": 16, "block": 4, "lookahead": 4, "xgboost": {"rounds": 5}}


def noise(repetition, sampler, space):
    """A whole study whose labels nothing can predict."""
    rng = np.random.default_rng([1, repetition])
    data = frame_of(rng.normal(size=(200, COLUMNS)), rng.integers(0, 2, 200))
    search = {
        "metric": "accuracy",
        "backends": ["sklearn", "xgboost"],
        "sampler": sampler,
        "prune": False,
        "seed": repetition,
    }
    study = parse_study({
        "name": "noise", "data": {"source": "memory", "target": "y", "task": "binary"}, "split": {"folds": 4, "stop": 0.0},
        "search": {**search, "timeout": 1e6, **space},
    })  # fmt: skip
    share = data.y[plan(study, data).split.search].mean()
    return {"truth": 0.5, "majority": max(share, 1 - share)} | estimates(tune(study, data, tracking="off"))


def drawn(rng, rows):
    X = rng.normal(size=(rows, COLUMNS))
    return X, (rng.random(rows) < 1 / (1 + np.exp(-X @ COEFFICIENTS))).astype(int)


def signal(repetition, metric, estimate):
    """A whole study whose shipped model is judged on many fresh rows."""
    rng = np.random.default_rng([2, repetition])
    data = frame_of(*drawn(rng, ROWS))
    study = {
        "name": "signal", "data": {"source": "memory", "target": "y", "task": "binary"}, "split": {"estimate": estimate},
        "search": {"metric": metric, "backends": ["sklearn"], "trials": 16, "seed": repetition, "timeout": 1e6},
    }  # fmt: skip
    result = tune(parse_study(study), data, tracking="off")
    X, y = drawn(rng, FRESH)
    raw = result.package.predict_raw(frame_of(X, y).drop(columns="y"))
    truth = METRICS[metric](y, result.package.decisive(raw) if metric == "accuracy" else raw)
    return {"truth": truth} | estimates(result)


RUNS = {
    "coin": coin,
    "random": lambda r: noise(r, "random", LUCK),
    "tpe": lambda r: noise(r, "tpe", LUCK),
    "builtin": lambda r: noise(r, "random", BUILT_IN),
    "accuracy": lambda r: signal(r, "accuracy", "holdout"),
    "log_loss": lambda r: signal(r, "log_loss", "holdout"),
    "nested_accuracy": lambda r: signal(r, "accuracy", "nested"),
    "nested_log_loss": lambda r: signal(r, "log_loss", "nested"),
}


def measure(wanted, out):
    """Run what the CSV does not hold yet."""
    known = set()
    if out.exists():
        had = pd.read_csv(out, usecols=["part", "repetition"])
        known = set(zip(had.part, had.repetition, strict=True))
    for part, repetitions in wanted.items():
        for r in range(repetitions):
            if (part, r) in known:
                continue
            began = time.perf_counter()
            row = {"part": part, "repetition": r} | RUNS[part](r)
            row["seconds"] = round(time.perf_counter() - began, 2)
            new = not out.exists()
            with out.open("a", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                if new:
                    writer.writeheader()
                writer.writerow(row)


def table(rows):
    """Mean, bias with its standard error, and coverage of every estimate, by part."""
    lines = [
        f"{'part':16} {'estimate':13} {'n':>4} {'mean':>7} {'truth':>7} {'bias':>8} {'+- SE':>7} {'covers':>7} {'width':>6}"
    ]
    for part, mine in rows.groupby("part", sort=False):
        for name in ESTIMATES:
            known = mine[mine[name].notna()]
            if not len(known):
                continue
            bias = known[name] - known.truth
            covers = covered(known, name).mean()
            width = (known[f"{name}_high"] - known[f"{name}_low"]).mean()
            lines.append(
                f"{part:16} {name:13} {len(known):4} {known[name].mean():7.4f} {known.truth.mean():7.4f} {bias.mean():+8.4f} "
                f"{bias.sem():7.4f} {covers:7.3f} {width:6.3f}"
            )
        if mine.kind.notna().any():
            if mine.majority.notna().any():
                lines.append(
                    f"{part:16} share of the more frequent label among the search's rows: {mine.majority.mean():.4f}"
                )
            lines.append(
                f"{part:16} shipped: {mine.kind.value_counts().to_dict()}, winner: {mine.backend.value_counts().to_dict()}"
            )
    return "\n".join(lines)


def covered(rows, name):
    return (rows[f"{name}_low"] <= rows.truth) & (rows.truth <= rows[f"{name}_high"])


def checks(rows, room=0.0):
    """(what is required, figure, whether it holds); ``room`` in standard errors of the figure over repetitions."""
    found = []

    def between(what, value, se, low=-math.inf, high=math.inf):
        found.append((what, value, bool(low - room * se <= value <= high + room * se)))

    def share(what, flags, low=0.0, high=1.0):
        # The standard error is that of a share at the limit, not at the figure found, which may be 0 or 1.
        p = low if low > 0 else high
        between(what, float(flags.mean()), math.sqrt(p * (1 - p) / len(flags)), low, high)

    a, b = rows[rows.part == "coin"], rows[rows.part == "random"]
    if len(a) > 1:
        between("coin: cv of the best >= .59", a.cv.mean(), a.cv.sem(), 0.59)
        between("coin: |cv_corrected - .5| <= .01", a.cv_corrected.mean(), a.cv_corrected.sem(), 0.49, 0.51)
    if len(b) > 1:
        between("random: holdout within .5 +- .02", b.holdout.mean(), b.holdout.sem(), 0.48, 0.52)
        # A share's room is that of its lower limit; the upper one is nearer to 1 and gets a little more than its due.
        share("random: the holdout's interval covers .92-.98", covered(b, "holdout"), 0.92, 0.98)
        kept = (b.cv_corrected - 0.5) - (b.cv - 0.5) / 2
        between(
            "random: cv_corrected keeps at most half of cv - .5 (difference <= 0)",
            kept.mean(),
            kept.sem(),
            high=0.0,
        )
        share("random: cv_corrected's interval covers >= .95", covered(b, "cv_corrected"), 0.95)
        share("random: a naive interval around the best cv covers < .85", covered(b, "best_cv"), high=0.85)
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=RUNS)
    parser.add_argument("--repetitions", type=int, help="of every part, instead of its own number")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(argv)
    counts = SHORT if given.short else FULL
    wanted = {part: given.repetitions or counts.get(part, 4) for part in given.parts or counts}
    out = given.out or Path("honesty_short.csv" if given.short else "honesty.csv")
    began = time.perf_counter()
    measure(wanted, out)
    rows = pd.read_csv(out)
    print(table(rows))
    held = checks(rows, ROOM if given.short else 0.0)
    for what, value, ok in held:
        print(f"{'PASS' if ok else 'FAIL'}  {what}: {value:.4f}")
    print(f"{time.perf_counter() - began:.0f} s")
    return 0 if all(ok for *_, ok in held) else 1


if __name__ == "__main__":
    sys.exit(main())
