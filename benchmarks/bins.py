"""What finer histograms bring boosted trees: the same configurations with fewer and more bins, losses and time as ratios.

    python benchmarks/bins.py FOLDER [--sets NAME ...] [--rows 3000] [--configs 6]

FOLDER holds an INDEX.csv (columns name, file, target, task). Three folds, 256 bins are the measure: a loss below 1 is better than
theirs, a time below 1 is less. "Best" compares the best configuration of each number of bins, "mean" all of them.
"""

import argparse
from pathlib import Path

import numpy as np
from portfolio import drawn, first_two, fitted_in, planned_on

SETS = (
    "ames_housing_raw", "vehicle", "kc1", "abalone", "wine_quality_red", "concrete", "phoneme", "telco_churn", "heart",
    "segment",
)  # fmt: skip
BINS = (256, 128, 64, 32)


def measured(name, args):
    """(rows, {bins: array of (loss, seconds) by configuration})."""
    from autoreg.backends import get_backend
    from autoreg.evaluation import Candidate, evaluate

    planned, backend = planned_on(name, args.folder, args.rows, "xgboost"), get_backend("xgboost")
    space = planned.resolved["xgboost"]
    _, params = first_two(space, "xgboost")
    found = {bins: [] for bins in BINS}
    for config in drawn(backend, args.configs):
        for bins in BINS:
            candidate = Candidate(fitted_in(space, params, config) | {"max_bin": bins}, 1)
            result = evaluate(backend, [candidate], planned.problem)[0]
            found[bins].append((result.loss, result.seconds))
    rows = int(np.median([len(fold.train) for fold in planned.split.folds]))
    return rows, {bins: np.array(values) for bins, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--configs", type=int, default=6)
    args = parser.parse_args()
    from autoreg.backends.common import calm_algebra

    print(f"| set | train rows | {' | '.join(f'{b} bins: mean loss, best, time' for b in BINS[1:])} |")
    print("|" + "---|" * (len(BINS) + 1))
    for name in args.sets:
        with calm_algebra():
            rows, found = measured(name, args)
        whole, cells = found[BINS[0]], []
        for bins in BINS[1:]:
            loss, seconds = found[bins].T
            mean = np.exp(np.mean(np.log(loss / whole[:, 0])))
            best, time = loss.min() / whole[:, 0].min(), seconds.sum() / whole[:, 1].sum()
            cells.append(f"{mean:.3f}, {best:.3f}, {time:.2f}")
        print(f"| {name} | {rows:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
