"""How strictly a trial is to be held against the best one after each of its folds, for as many fits.

    python benchmarks/pruning.py FOLDER [--sets abalone ...] [--trials 48] [--minutes 1] [--draws 400] [--out FOLDER]
    python benchmarks/pruning.py --null [--draws 60]

Random configurations of boosted trees are scored in five folds, fitted on all training rows, and judged on a fifth of the table that
was kept apart; what every row costs is kept in the output folder, and a table that is there is not fitted again. The tables (FOLDER as
for `peers.py`, at most 10,000 rows of each) are none of its own. Then searches are drawn from them: so many fits, and a trial is
given up when it is worse than the best complete one, row by row, by so many standard errors after its first fold, and after more.
Printed is the regret of what each picks: 0 the smallest test loss of all configurations, 1 the median one.

--null asks what that does to the corrected score (bootstrap bias corrected, Tsamardinos and others 2018) where all trials are equal and
the truth is .5: trials whose rows agree with each other in half or nine tenths of the cases.
"""

import argparse
from pathlib import Path

import numpy as np

SETS = (
    "abalone", "wine_quality_red", "shipped:digits", "kc1", "bike_sharing_hourly", "electricity", "caravan", "madelon",
)  # fmt: skip
FOLDS, ROWS = 5, 10_000
RULES = {
    "2.33 from the second on": (np.inf, 2.33), "1.5, then 2.33": (1.5, 2.33), "1, then 2.33": (1.0, 2.33), "always 1": (1.0, 1.0),
    "always .5": (0.5, 0.5), "always 0": (0.0, 0.0),
}  # fmt: skip
BUDGETS = (20, 40, 80)


def fitted(name, folder, trials, minutes, place):
    """Losses of rows (trials, rows), of the test (trials,), and every row's fold."""
    if place.exists():
        kept = np.load(place)
        return kept["rows"], kept["test"], kept["fold"]
    from configurations import Bench

    from autoreg.refit import refit

    bench = Bench(name, folder, ROWS, FOLDS)
    rows, judged = [], []
    for record in bench.records(trials, minutes):
        judged.append(bench.loss(bench.predicted(refit(bench.planned, record, None, 1))))
        problem = bench.planned.problem
        rows.append(problem.row_losses(record.result.predictions).astype(np.float32))
    fold = np.empty(len(bench.table.target), np.int8)
    for k, one in enumerate(bench.planned.split.folds):
        fold[one.score] = k
    found = {"rows": np.array(rows), "test": np.array(judged), "fold": fold}
    np.savez(place, **found)
    return tuple(found.values())


def standard_errors(difference):
    """Mean of paired differences over its standard error."""
    se = difference.std(ddof=1) / np.sqrt(len(difference))
    return difference.mean() / se if se > 0 else 0.0


def search(losses, parts, order, fits, rule):
    """The best complete trial of a search of so many fits, and how many were complete."""
    best, least, complete, spent = order[0], np.inf, 0, 0
    for trial in order:
        for k in range(len(parts)):
            if spent == fits:
                return best, complete
            spent += 1
            if np.isfinite(least) and k + 1 < len(parts):
                seen = np.concatenate(parts[: k + 1])
                if standard_errors(losses[trial, seen] - losses[best, seen]) > rule[min(k, 1)]:
                    break
        else:
            complete += 1
            mean = np.mean([losses[trial, part].mean() for part in parts])
            if mean < least:
                best, least = trial, mean
    return best, complete


def regrets(losses, test, fold, fits, draws):
    """(Mean regret, mean number of complete trials) by rule."""
    rng, parts = np.random.default_rng(0), [np.flatnonzero(fold == k) for k in range(FOLDS)]
    found = {name: [] for name in RULES}
    for _ in range(draws):
        order, mixed = rng.permutation(len(test)), [parts[k] for k in rng.permutation(FOLDS)]
        for name, rule in RULES.items():
            best, complete = search(losses, mixed, order, fits, rule)
            found[name].append(((test[best] - test.min()) / (np.median(test) - test.min()), complete))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def compared(args):
    args.out.mkdir(parents=True, exist_ok=True)
    means = {fits: [] for fits in BUDGETS}
    for name in args.sets:
        place = args.out / f"{name.replace(':', '-')}.npz"
        losses, test, fold = fitted(name, args.folder, args.trials, args.minutes, place)
        print(f"{name}: {len(test)} configurations, {len(fold)} rows", flush=True)
        for fits in BUDGETS:
            found = regrets(losses.astype(float), test, fold, fits, args.draws)
            means[fits].append([regret for regret, _ in found.values()])
            told = ", ".join(f"{way} {regret:.3f} ({many:.0f})" for way, (regret, many) in found.items())
            print(f"  {fits} fits: {told}", flush=True)
    print("| fits | " + " | ".join(RULES) + " |")
    print("|---" * (len(RULES) + 1) + "|")
    for fits, values in means.items():
        print(f"| {fits} | " + " | ".join(f"{value:.3f}" for value in np.mean(values, axis=0)) + " |")


def corrected_of_equals(rng, rows, agree, rule, trials=60, draws=200):
    """The corrected error of a search whose trials all have .5, and the share of them that was complete."""
    parts, common, kept = np.array_split(np.arange(rows), FOLDS), rng.random(rows), []
    for _ in range(trials):
        losses = (np.where(rng.random(rows) < agree, common, rng.random(rows)) < 0.5).astype(float)
        best = min(kept, key=np.mean, default=None)
        given_up = best is not None and any(
            standard_errors((losses - best)[np.concatenate(parts[:k])]) > rule[min(k - 1, 1)]
            for k in range(1, FOLDS)
        )
        if not given_up:
            kept.append(losses)
    table, scores = np.array(kept), []
    for _ in range(draws):
        drawn = rng.integers(0, rows, rows)
        left = np.setdiff1d(np.arange(rows), drawn)
        scores.append(table[table[:, drawn].mean(axis=1).argmin(), left].mean())
    return np.mean(scores), len(kept) / trials


def null(draws):
    print("| rows | agreement | rule | corrected | off by so many standard errors of a score | complete |")
    print("|---|---|---|---|---|---|")
    for rows in (300, 2000):
        for agree in (0.5, 0.9):
            for name, rule in RULES.items():
                rng = np.random.default_rng(0)
                found = np.mean([corrected_of_equals(rng, rows, agree, rule) for _ in range(draws)], axis=0)
                off = (found[0] - 0.5) / (0.5 / np.sqrt(rows))
                print(f"| {rows} | {agree} | {name} | {found[0]:.4f} | {off:+.2f} | {found[1]:.2f} |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--minutes", type=float, default=1.0, help="at most, of a table")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("pruning"))
    parser.add_argument("--null", action="store_true")
    args = parser.parse_args()
    if args.null:
        null(args.draws)
    elif args.folder is None:
        parser.error("FOLDER is missing")
    else:
        compared(args)


if __name__ == "__main__":
    main()
