"""Whether five folds of few configurations or one fold of many find the better model, for as many fits.

    python benchmarks/onefold.py FOLDER [--sets adult california_housing ...] [--trials 60] [--out FOLDER]

Random configurations of boosted trees are scored in five folds, fitted on all training rows, and judged on a fifth of the table that
was kept apart (FOLDER as for `peers.py`). Then searches are drawn from them, 4,000 times: so many fits, spent on five folds of each
configuration, on three, two or one, or on one fold and then on all five of the three best. Printed is the mean test loss (log loss or
squared error) of what each picks. A configuration that is in the output folder is not fitted again.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from peers_data import divided, read, read_index

from autoreg.evaluation import Candidate, evaluate
from autoreg.metrics import loss_rows
from autoreg.planning import plan
from autoreg.refit import refit
from autoreg.serving import Package
from autoreg.space import Proposer
from autoreg.spec import parse_study
from autoreg.trial import State, TrialRecord

FOLDS, DRAWS, BEST = 5, 4000, 3
BUDGETS = (20, 30, 40)


def fitted(entry, trials, place):
    """A line for every configuration: its losses by fold, and that of the test rows."""
    had = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    if len(had) >= trials:
        return had
    train, test = divided(read(entry), entry, 0)
    study = {"backends": ["xgboost"], "sampler": "random", "rows": "all"}
    section = {"name": "onefold", "data": {"source": "memory", "target": entry.target}, "search": study}
    planned = plan(parse_study(section | {"split": {"folds": FOLDS}}), train)
    backend, table = planned.backends["xgboost"], planned.table
    proposer = Proposer(planned.resolved["xgboost"], "random", 0, "xgboost")
    truth = test.pop(entry.target)
    truth = [table.classes.index(v) for v in truth] if table.classes else truth.to_numpy(float)
    for n in range(trials):
        asked = proposer.ask(n, None, {})
        if n < len(had):
            continue
        result = evaluate(backend, [Candidate(asked.params, n)], planned.problem)[0]
        if result.state is not State.COMPLETE:
            continue
        record = TrialRecord(n, "xgboost", asked.coded, result, 0.0, 0.0)
        chains = refit(planned, record, None, 1)
        package = Package(chains, table.task, table.classes, list(table.features.columns))
        loss = float(loss_rows(table.task, np.asarray(truth), package.predict_raw(test)).mean())
        had.append({"folds": list(result.fold_losses), "test": loss, "seconds": result.seconds})
        with place.open("a") as file:
            file.write(json.dumps(had[-1]) + "\n")
    return had


def ways(fits):
    """Name -> (folds of every configuration, fits left for all folds of the best)."""
    named = {"five folds": (5, 0), "three": (3, 0), "two": (2, 0), "one": (1, 0)}
    return (
        named | {f"one, then all of the best {BEST}": (1, BEST * (FOLDS - 1))}
        if fits > BEST * FOLDS
        else named
    )


def picked(losses, order, folds, fits, way):
    """The configuration that a search of so many fits picks."""
    each, kept = way
    tried = order[: (fits - kept) // each]
    scores = losses[np.ix_(tried, folds[:each])].mean(axis=1)
    if not kept:
        return tried[scores.argmin()]
    best = tried[np.argsort(scores)[:BEST]]
    return best[losses[best].mean(axis=1).argmin()]


def compared(name, lines):
    """Print what every way of every budget picks, on average."""
    losses, test = np.array([r["folds"] for r in lines]), np.array([r["test"] for r in lines])
    related = [np.corrcoef(x, test)[0, 1] for x in (losses[:, 0], losses.mean(axis=1))]
    print(f"{name}: {len(test)} configurations, best {test.min():.5g}, median {np.median(test):.5g}; test loss related to that of "
          f"one fold {related[0]:.2f}, of five {related[1]:.2f}")  # fmt: skip
    for fits in BUDGETS:
        rng, found = np.random.default_rng(0), {way: [] for way in ways(fits)}
        for _ in range(DRAWS):
            order, folds = rng.permutation(len(test)), rng.permutation(FOLDS)
            for way, spent in ways(fits).items():
                found[way].append(test[picked(losses, order, folds, fits, spent)])
        told = ", ".join(f"{way} {np.mean(values):.5g}" for way, values in found.items())
        print(f"  {fits} fits: {told}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--sets", nargs="+", default=["adult", "california_housing", "phoneme", "telco_churn"]
    )
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("onefold"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    index = read_index(given.folder)
    for name in given.sets:
        compared(name, fitted(index[name], given.trials, given.out / f"{name}.jsonl"))


if __name__ == "__main__":
    main()
