"""Which way to choose generalizes? Test loss of every rule after one and the same search, on real data sets.

    python benchmarks/selection.py FOLDER [--sets NAME ...] [--seeds 2] [--trials 48] [--rows 4000] [--out selection.csv]

FOLDER holds an INDEX.csv (columns name, file, rows, cols, target). Each cell (set x seed) keeps a quarter of the rows aside,
searches on the others and scores, on the rows kept aside: (a) the trial with the smallest cross-validated loss, fitted again;
(b) the rule `best`; (c) `one_se`; (d) the best's models of the fresh cells, averaged; (e) the blend of such bags; (g), (h) the same
from models fitted on all rows under several seeds; what `final = "auto"` ships; and (f) every backend's default configuration. One line of the CSV per cell and contender: the same command again goes on where it was stopped.
Printed: normalized regret (0 = best of all contenders in the cell, 1 = worst of the three defaults; mean over cells), ratio to
(a) of the geometric means, and win / tie / loss against (a), a tie being within .1 %.
"""

import argparse
import csv
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from autoreg.executor import SerialExecutor
from autoreg.finals import run_finals
from autoreg.ledger import History, MemoryLedger
from autoreg.metrics import loss_rows
from autoreg.outcome import default_numbers
from autoreg.planning import plan
from autoreg.racing import Judge
from autoreg.refit import configuration
from autoreg.search import Arm, Search
from autoreg.selection import Cut, choose, decide
from autoreg.shipping import ship
from autoreg.space import Proposer
from autoreg.spec import parse_study

SETS = ("heart", "blood-transfusion", "australian", "credit-g", "vehicle", "titanic", "concrete", "wine_quality_red", "kc1",
        "segment", "abalone", "phoneme", "telco_churn", "sick", "california_housing", "adult")  # fmt: skip
AMPLE, NONE = (lambda: np.inf), (lambda: -1.0)  # time for models of all rows, or for none but the cells' own


class Silent:
    def __getattr__(self, name):
        return lambda *_: None


def divided(folder, row, rows, seed):
    """The set's rows for the study and those kept aside."""
    path = Path(folder, row.file)
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    frame = frame.sample(min(rows, len(frame)), random_state=seed).reset_index(drop=True)
    aside = len(frame) // 4
    return frame.iloc[aside:].reset_index(drop=True), frame.iloc[:aside].reset_index(drop=True)


def searched(planned):
    spec = planned.study.search
    ledger = MemoryLedger()
    arms = {
        name: Arm(backend, Proposer(planned.resolved[name], spec.sampler, spec.seed, name))
        for name, backend in planned.backends.items()
    }
    problem = planned.problem
    judge = Judge(problem.table.task, problem.row_losses, problem.weight, problem.table.group)
    executor = SerialExecutor(planned.problem, planned.backends, lambda: True)
    return Search(
        spec, planned.block, arms, executor, ledger, History(), lambda: np.inf, Silent(), judge
    ).run()


def contenders(planned, records):
    """Name -> package of every way to choose."""
    finals = run_finals(
        records, default_numbers(planned, records), planned.problem, planned.backends,
        lambda r: configuration(planned, r), planned.study.split, planned.study.search.seed, lambda: np.inf,
    )  # fmt: skip
    found = finals.evidence(planned.backends)
    auto, lean = (decide(found, rule, "auto") for rule in ("best", "one_se"))
    smallest = choose(records, {name: b.rank for name, b in planned.backends.items()})
    best, simple = finals.records[auto.winner], finals.records[lean.winner]
    mine = np.eye(len(finals.records))[auto.winner]

    def as_(kind, weights=mine):
        return replace(auto, kind=kind, weights=weights, cut=Cut())

    yield "(a) smallest cv", ship(planned, smallest, None, None, AMPLE)
    yield "(b) best", ship(planned, best, finals, as_("refit"), AMPLE)
    yield "(c) one_se", ship(planned, simple, finals, as_("refit"), AMPLE)
    for way, of_bag, of_blend, time_left in (("cells", "(d)", "(e)", NONE), ("copies", "(g)", "(h)", AMPLE)):
        yield f"{of_bag} {way} of best", ship(planned, best, finals, as_("bag"), time_left)
        yield (
            f"{of_blend} blend of {way}",
            ship(planned, best, finals, as_("blend", blended(found)), time_left),
        )
    yield f"auto: {auto.kind}", ship(planned, best, finals, auto, AMPLE)
    for number in default_numbers(planned, records):
        record = next(r for r in records if r.number == number)
        if record.result.state == "complete":
            yield f"(f) default {record.backend}", ship(planned, record, None, None, AMPLE)


def blended(found):
    """Weights of the blend, whether or not it is worth it."""
    from autoreg.selection import evidence, greedy

    known = evidence(found.task, found.truth, found.predictions.mean(axis=0))
    return greedy(found.task, found.truth, known, found.loss_weight)


def cell(folder, row, seed, given):
    train, test = divided(folder, row, given.rows, seed)
    study = {
        "name": row["name"], "data": {"source": "memory", "target": row.target}, "split": {"estimate": "nested"},
        "search": {"trials": given.trials, "seed": seed, "timeout": 1e6},
    }  # fmt: skip
    planned = plan(parse_study(study), train)
    began = time.perf_counter()
    records = searched(planned)
    took = time.perf_counter() - began
    target = test[row.target]
    if planned.table.task == "regression":
        keep, truth = target.notna(), target
    else:
        codes = {spelled(c): i for i, c in enumerate(planned.table.classes)}
        truth = target.map(lambda v: codes.get(spelled(v)))
        keep = truth.notna()
    frame, truth = test[keep.to_numpy()].drop(columns=row.target), truth[keep].to_numpy(float)
    for name, shipment in contenders(planned, records):
        raw = shipment.package.predict_raw(frame)
        y = truth if planned.table.task == "regression" else truth.astype(int)
        loss = float(loss_rows(planned.table.task, y, raw).mean())
        yield name, np.sqrt(loss) if planned.table.task == "regression" else loss, took


def spelled(value):
    """As the loader spells a class: whole numbers without a fraction."""
    from autoreg.serving import text_of

    return text_of(value)


def measure(given):
    known = set()
    if given.out.exists():
        known = {(r["set"], r.seed) for _, r in pd.read_csv(given.out).iterrows()}
    index = pd.read_csv(Path(given.folder) / "INDEX.csv").set_index("name", drop=False)
    for seed in range(given.seeds):
        for name in given.sets:
            if (name, seed) in known:
                continue
            rows = [
                (name, seed, c, loss, round(s, 1))
                for c, loss, s in cell(given.folder, index.loc[name], seed, given)
            ]
            new = not given.out.exists()
            with given.out.open("a", newline="") as file:
                writer = csv.writer(file)
                if new:
                    writer.writerow(("set", "seed", "contender", "loss", "search_seconds"))
                writer.writerows(rows)
            print(name, seed, *(f"{c} {loss:.4f}" for _, _, c, loss, _ in rows), sep="  ", flush=True)


def summary(path):
    table = pd.read_csv(path)
    table["contender"] = table.contender.str.replace(r"^auto: .*", "auto", regex=True)
    wide = table.pivot_table(index=["set", "seed"], columns="contender", values="loss")
    defaults = [c for c in wide if c.startswith("(f)")]
    low, high = wide.min(axis=1), wide[defaults].max(axis=1)
    regret = wide.sub(low, axis=0).div((high - low).clip(lower=1e-12), axis=0)
    ratio = np.log(wide.div(wide["(a) smallest cv"], axis=0))
    print(f"\n{len(wide)} cells, {wide.index.get_level_values(0).nunique()} sets")
    print(f"{'contender':22} {'regret':>8} {'+- SE':>7} {'to (a)':>9} {'+- SE':>7}  win/tie/loss")
    for c in wide:
        by_set = ratio[c].groupby("set").mean()
        r, se = regret[c].mean(), regret[c].groupby("set").mean().sem()
        wins = (ratio[c] < -1e-3).sum(), (ratio[c].abs() <= 1e-3).sum(), (ratio[c] > 1e-3).sum()
        print(
            f"{c:22} {r:8.3f} {se:7.3f} {np.expm1(by_set.mean()):+9.2%} {by_set.sem():7.2%}  {'/'.join(map(str, wins))}"
        )
    kinds = pd.read_csv(path).contender
    print("auto shipped:", dict(kinds[kinds.str.startswith("auto")].value_counts()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=Path("selection.csv"))
    given = parser.parse_args()
    measure(given)
    summary(given.out)
