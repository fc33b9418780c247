"""autoreg beside its peers: the same tables, rows, cores and seconds, every contender in a process of its own.

    python benchmarks/peers.py FOLDER [--sets NAME ...] [--contenders NAME ...] [--seeds 1] [--budgets 60] [--cores 2]
        [--out peers.csv] [--tables FILE.md] [--figure FILE.svg] [--environments CACHE]
    python benchmarks/peers.py FOLDER --kadra RESULTS.csv [--out kadra.csv]

FOLDER holds an INDEX.csv (columns name, file, target, task); without FOLDER nothing is run, and the tables are made from the CSV.
Contenders: `autoreg` as it comes (a fifth of its rows held out for its estimate, and fitted after it), `autoreg-whole` (none held out), `optuna` (the
same search by hand: peers_byhand.py), `flaml`, `autogluon` and `autogluon-best` (its presets medium_quality and best_quality),
`mljar` (Compete), and two that need no budget: `logistic` (LogisticRegressionCV, RidgeCV) and `xgboost` with its defaults.

A fifth of the rows is the test, drawn by the seed, with every class in its share. A cell is contender x set x seed x budget; it goes
into the CSV when it is done, with what it is made of (a commit of autoreg, a peer's version), the losses of its test rows into a
folder beside it, and is not run again. A cell that takes longer than
three budgets and two minutes is ended and kept as "over time". Peers are installed into environments of their own below CACHE;
one that cannot be installed is said and left out.

--kadra runs autoreg for balanced accuracy on the sets of Kadra et al. 2021 ("Well-tuned simple nets excel on tabular datasets")
that FOLDER has, as many test rows as they had, and puts it beside their figures, which RESULTS.csv holds.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from itertools import product
from pathlib import Path

import csv_lines
import numpy as np
from peers_contenders import CONTENDERS
from peers_data import divided, judged, read, read_index
from peers_environments import NotMade, default_folder, interpreter, last_line, made_of, variables
from peers_process import run_limited

HERE = Path(__file__).resolve().parent
SETS = (
    "heart", "credit-g", "telco_churn", "sick", "phoneme", "adult",  # two classes
    "vehicle", "segment", "cnae-9",  # four, seven and nine
    "concrete", "ames_housing_raw", "california_housing",  # numbers
)  # fmt: skip
"""303 to 48,842 rows, 5 to 856 columns. credit-g, telco_churn, sick, adult, ames and california have categories; sick, adult and
ames miss values in earnest; sick has 6 % of one class; cnae-9 has nearly as many columns as rows. Left out: sets in order of
time, where rows drawn at random tell the future; a set that is another's twin; pixels; fewer than 100 rows."""
KEY = ("contender", "set", "seed", "budget")
FIELDS = (
    *KEY, "task", "status", "log_loss", "auc", "balanced_accuracy", "accuracy", "rmse", "r2", "load_seconds",
    "fit_seconds", "predict_seconds", "wall_seconds", "peak_mb", "trials", "train_rows", "test_rows", "cores", "made_of", "note", "error",
)  # fmt: skip


def key_of(row):
    """What tells one cell from another; numbers are the same whether they were written 60 or 60.0."""
    return row["contender"], row["set"], int(row["seed"]), float(row["budget"])


def known_cells(out):
    return csv_lines.known(out)


def keep(out, cell):
    csv_lines.keep(out, FIELDS, [cell])


def losses_file(out, cell):
    """Where the losses of a cell's test rows are."""
    contender, name, seed, budget = key_of(cell)
    return out.parent / f"{out.stem}-losses" / f"{name}--{contender}--{seed}--{budget:g}.npz"


def rows_of(out, cell):
    """What was kept of a cell's test rows."""
    file = losses_file(out, cell)
    if not file.exists():
        sys.exit(f"--out: {out} has a cell whose {file} is not there; keep the folder beside the CSV")
    return np.load(file)


def small(rows):
    """Arrays of test rows as they are kept: single precision is enough for losses, and codes of classes are few."""
    kinds = {"losses": np.float32, "truth": np.int16}
    return {name: np.asarray(values, kinds.get(name)) for name, values in rows.items()}


def missing(wanted, cells):
    """The wanted keys that no cell has, in order."""
    had = {key_of(cell) for cell in cells}
    return [key for key in wanted if key not in had]


class Lab:
    """Runs cells. An environment that cannot be made is said once."""

    def __init__(self, folder, given):
        self.index, self.given, self.pythons = read_index(folder), given, {}
        allowed = (
            sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
        )
        if len(allowed) < given.cores:
            sys.exit(f"--cores: {given.cores} cores are asked for, this machine gives {len(allowed)}")
        self.processors = list(allowed)[: given.cores]
        if unknown := sorted(set(given.sets) - set(self.index)):
            sys.exit(f"--sets: {unknown[0]!r} is not in {folder}/INDEX.csv")

    def python(self, contender):
        if contender not in self.pythons:
            try:
                self.pythons[contender] = interpreter(contender, self.given.environments)
            except NotMade as error:
                print(
                    f"{contender} is left out, it cannot be installed: {error}", file=sys.stderr, flush=True
                )
                self.pythons[contender] = None
        return self.pythons[contender]

    def run(self, key, test_rows=0.2, metric=""):
        """One cell as a line of the CSV, and what is known of its test rows or None; None where its contender is left out."""
        contender, name, seed, budget = key
        entry = self.index[name]
        python = self.python(contender)
        if python is None:
            return None
        frame = read(entry)
        train, test = divided(frame, entry, seed, test_rows)
        truth = test.pop(entry.target)
        classes = [] if entry.task == "regression" else sorted(set(frame[entry.target]))
        cell = dict(zip(KEY, (contender, name, seed, f"{budget:g}"), strict=True))
        cell |= {
            "task": entry.task,
            "train_rows": len(train),
            "test_rows": len(test),
            "cores": self.given.cores,
            "made_of": made_of(contender),
        }
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            train.to_parquet(f"{folder}/train.parquet")
            test.to_parquet(f"{folder}/test.parquet")
            spec = {
                "target": entry.target, "task": entry.task, "seed": seed, "budget": budget, "metric": metric,
                "cores": self.given.cores, "processors": self.processors, "folder": folder,
            }  # fmt: skip
            told, ran = self._process(python, contender, spec, Path(folder))
        return outcome(cell, told, ran, truth, classes)

    def _process(self, python, contender, spec, folder):
        (folder / "spec.json").write_text(json.dumps(spec))
        files = [folder / name for name in ("train.parquet", "test.parquet", "spec.json", "out.json")]
        command = [str(python), str(HERE / "peers_contenders.py"), contender, *map(str, files)]
        limit = 3 * spec["budget"] + 120
        own = variables(python, self.given.cores, HERE.parent) | {"TMPDIR": str(folder)}
        ran = run_limited(command, limit, folder / "words.log", own)
        if files[-1].exists():
            return json.loads(files[-1].read_text()), ran
        words = last_line((folder / "words.log").read_text(encoding="utf-8", errors="replace"))
        return {"error": f"ended with code {ran.code}: {words}"}, ran


def outcome(cell, told, ran, truth, classes):
    """(line of the CSV, arrays of its test rows or None) of what a contender told, or did not."""
    cell = cell | {"status": "ok", "wall_seconds": round(ran.seconds, 2), "peak_mb": round(ran.peak_mb)}
    for name in ("load_seconds", "fit_seconds", "predict_seconds"):
        if told.get(name) is not None:
            cell[name] = round(told[name], 3)
    cell |= {name: told[name] for name in ("trials", "note") if told.get(name) is not None}
    if not ran.in_time:
        return cell | {"status": "over time"}, None
    if "error" in told:
        return cell | {"status": "failed", "error": told["error"]}, None
    try:
        scores, rows = judged(told, truth, classes)
    except (ValueError, KeyError) as error:
        return cell | {"status": "failed", "error": f"its answer cannot be judged: {error}"}, None
    return cell | {name: f"{score:.6g}" for name, score in scores.items()}, rows


def measure(lab, wanted, out, **how):
    """Run what the CSV does not have; ``how`` is by set."""
    for key in missing(wanted, known_cells(out)):
        more = {name: by_set[key[1]] for name, by_set in how.items()}
        found = lab.run(key, **more)
        if found is None:
            continue
        cell, rows = found
        if rows is not None:
            file = losses_file(out, cell)
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, **small(rows))
        keep(out, cell)
        said = cell.get("error") or " ".join(
            f"{name} {cell[name]}" for name in ("log_loss", "rmse", "balanced_accuracy", "trials") if cell.get(name)
        )  # fmt: skip
        print(f"{' '.join(map(str, key))}  {cell['status']}  {said}  {cell['wall_seconds']} s", flush=True)


def arguments():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("folder", nargs="?", type=Path)
    ask.add_argument("--sets", nargs="+", metavar="NAME")
    ask.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), metavar="NAME")
    ask.add_argument("--seeds", type=int, default=1)
    ask.add_argument("--budgets", type=float, nargs="+", default=[60.0], help="seconds")
    ask.add_argument("--cores", type=int, default=2)
    ask.add_argument("--out", type=Path)
    ask.add_argument("--tables", type=Path, help="write the tables here; without it they are printed")
    ask.add_argument("--figure", type=Path)
    ask.add_argument("--environments", type=Path, default=default_folder())
    ask.add_argument("--kadra", type=Path, metavar="RESULTS")
    given = ask.parse_args()
    given.out = given.out or Path("kadra.csv" if given.kadra else "peers.csv")
    return given


def main():
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs is ended then, too
    if given.kadra:
        from peers_kadra import kadra

        text = kadra(given)
    else:
        given.sets, given.contenders = given.sets or list(SETS), given.contenders or list(CONTENDERS)
        if given.folder:
            wanted = list(product(given.contenders, given.sets, range(given.seeds), given.budgets))
            wanted.sort(key=lambda key: (key[3], key[2], given.sets.index(key[1])))
            measure(Lab(given.folder, given), wanted, given.out)
        text = tables_of(given)
    if given.tables:
        given.tables.write_text(text, encoding="utf-8")
    else:
        print(text)


def tables_of(given):
    from peers_tables import figure, tables

    cells = known_cells(given.out)
    if not cells:
        sys.exit(f"--out: {given.out} has no cells; give a folder of data to run some")
    if given.figure:
        figure(cells, given.figure)
    return tables(cells, lambda cell: rows_of(given.out, cell)["losses"])


if __name__ == "__main__":
    main()
