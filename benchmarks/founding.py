"""The founding experiments three times over: as published, as their authors wrote them, and as a study of autoreg.

    python benchmarks/founding.py --data FOLDER [--seeds 3] [--only moons,...] [--out founding.csv] [--write PAGE]

Each study file of studies/ is run by `autoreg tune` in a process of its own, on a tracking store in a temporary folder;
`founding_authors.py` runs the same by hand. One line of the CSV a trial and seed: run the same command again and it goes
on where it was stopped. --write puts the tables between the marks of a page, and the figures beside it. Both sides
keep to one core.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

from founding_authors import EXPERIMENTS, STRENGTHS, absent, keep, known_lines, run_authors
from founding_page import write_page

from autoreg.spec import load_study

ROOT = Path(__file__).parent.parent
WHOLE = "whole study"
FIGURES = {"moons": ("surfaces", "before-after"), "iris_activity": ("before-after",)}
"""Figures of a study's report that the page shows."""
PLAIN_DIGITS = {"kernel_l2": 0.0, "kernel_l1": 0.0, "dropout": 0.0, "zca": False, "early_stopping": False}
DIGITS = {
    "plain": PLAIN_DIGITS,
    "l2=0.0001": {**PLAIN_DIGITS, "kernel_l2": 1e-4},
    "l1=0.0001": {**PLAIN_DIGITS, "kernel_l1": 1e-4},
    "dropout=0.25": {**PLAIN_DIGITS, "dropout": 0.25},
    "zca": {**PLAIN_DIGITS, "zca": True},
    "early stopping": {**PLAIN_DIGITS, "early_stopping": True},
}
SETTINGS = {
    "heart_linear": {
        f"{penalty} C={C:g}": {"penalty": penalty, "C": C} for penalty, C in product(("l1", "l2"), STRENGTHS)
    },
    "heart_network": {
        f"l1={a:g} l2={b:g}": {"kernel_l1": a, "kernel_l2": b} for a, b in product(STRENGTHS, STRENGTHS)
    },
    "moons": {"plain": {"kernel_l2": 0.0}, "l2=0.001": {"kernel_l2": 0.001}},
    "iris_activity": {"plain": {"activity_l1": 0.0}, "activity l1=0.001": {"activity_l1": 0.001}},
    "digits": DIGITS,
    "digits_mnist": DIGITS,
}
"""What the trials of a study are called, as the authors' variants are, by their parameters."""


def agrees(params, wanted):
    """Whether parameters have these values; a name that is missing counts as off."""
    for name, value in wanted.items():
        found = params.get(name, 0)
        if isinstance(value, str):
            same = found == value
        else:
            same = abs(float(found) - float(value)) <= 1e-6 * max(abs(float(value)), 1e-9)
        if not same:
            return False
    return True


def study_file(study, seed, folder):
    """The study's file; iris is divided anew with every seed, because its source does not say how it was."""
    text = (ROOT / "studies" / f"{study}.toml").read_text(encoding="utf-8")
    if study == "iris_activity":
        text, found = re.subn(r"random_state = \d+", f"random_state = {seed}", text)
        assert found == 1
    path = Path(folder) / f"{study}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def run_ours(study, data, seed, out):
    """Run a study file for a seed, unless the file has it already; its trials and its whole time go into the CSV."""
    if (study, "autoreg", str(seed), WHOLE) in known_lines(out):
        return
    with tempfile.TemporaryDirectory() as folder:
        store = {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "AUTOREG_STATE_DIR": f"{folder}/state",
        }
        environment = {**os.environ, **store, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}

        def autoreg(*words):
            command = [sys.executable, "-m", "autoreg", *map(str, words)]
            subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)

        needs = EXPERIMENTS[study][1]
        given = ["--data", (data / needs).resolve()] if needs else []
        began = time.perf_counter()
        autoreg("tune", study_file(study, seed, folder), *given, "--seed", seed)
        took = time.perf_counter() - began
        autoreg("report", study, "--out", f"{folder}/record.json")
        record = json.loads(Path(folder, "record.json").read_text(encoding="utf-8"))
        if seed == 0:
            keep_figures(study, folder, out)
    for trial in record["trials"]:
        write(out, study, seed, variant_of(study, trial["params"]), trial, trial["seconds"])
    write(out, study, seed, WHOLE, {}, took)


def variant_of(study, params):
    return next(name for name, wanted in SETTINGS[study].items() if agrees(params, wanted))


def write(out, study, seed, variant, trial, seconds):
    shown = {
        part: f"{trial[key]:.4f}" if trial.get(key) is not None else ""
        for part, key in (("train", "train"), ("test", "cv"))
    }
    curve = len(trial.get("curves", {}).get("train_loss", ()))
    most = trial.get("params", {}).get("epochs", 0)
    epochs = most if curve == 200 else curve  # a record keeps no more than 200 points of a curve
    line = {
        "study": study,
        "side": "autoreg",
        "seed": seed,
        "variant": variant,
        **shown,
        "epochs": epochs,
        "seconds": f"{seconds:.2f}",
    }
    keep(out, line)
    print(
        f"{study:14} {variant:18} seed {seed}  autoreg  train {shown['train']}  test {shown['test']}  {seconds:.1f} s",
        flush=True,
    )


def keep_figures(study, folder, out):
    """The figures of the report that the page shows, beside the CSV."""
    from autoreg.record import StudyRecord
    from autoreg.report import artifacts

    files = artifacts(StudyRecord.from_json(Path(folder, "record.json").read_text(encoding="utf-8")))
    for name in FIGURES.get(study, ()):
        if f"figures/{name}.svg" in files:
            (out.parent / f"founding-{study.partition('_')[0]}-{name}.svg").write_bytes(
                files[f"figures/{name}.svg"]
            )


def published(study):
    """What the study file says was published: variants -> figure."""
    figures = load_study(ROOT / "studies" / f"{study}.toml").published.figures
    return {
        variant: next((figure for figure in figures if agrees(settings, figure.match)), None)
        for variant, settings in SETTINGS[study].items()
    }


def main():
    ask = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ask.add_argument("--data", type=Path, help="folder that holds heart.csv and mnist_10k.parquet")
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--only", default=",".join(EXPERIMENTS), help="experiments, joined by commas")
    ask.add_argument("--side", choices=["both", "authors", "autoreg", "none"], default="both")
    ask.add_argument("--out", type=Path, default=Path("founding.csv"))
    ask.add_argument("--write", type=Path, help="a page with the marks of its tables")
    asked = ask.parse_args()
    studies = asked.only.split(",")
    for study in studies:
        if why := absent(study, asked.data):
            print(why)
    here = [study for study in studies if not absent(study, asked.data)]
    for seed, study in product(range(asked.seeds), here):
        if asked.side in ("both", "autoreg"):
            run_ours(study, asked.data, seed, asked.out)
        if asked.side in ("both", "authors"):
            run_authors(study, asked.data, seed, asked.out)
    if asked.write:
        write_page(asked.write, asked.out, {study: published(study) for study in SETTINGS}, WHOLE)


if __name__ == "__main__":
    main()
