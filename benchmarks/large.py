"""What large tables cost: a study on 10,000, 100,000 and 1,000,000 generated rows of 50 columns, in a stated time.

    python benchmarks/large.py [--rows 10000 100000 1000000] [--timeout 10m] [--out large.csv] [--figure large.svg]

Every table is tuned by `autoreg tune` in a process of its own, with MLflow on SQLite, and the registered model predicts 100,000
other rows by `autoreg predict`. Two classes, whose probability is known: a sum of linear terms, products, a wave and the effects
of levels over 45 columns of numbers and 5 of text. So beside the log loss stands what nobody can do better than, and
XGBoost's defaults, fitted on the same rows. Seconds, trials and the memory of all processes together are those of `tune`. A line of the
CSV that is there is not run again.
"""

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from peers_data import SMALLEST
from peers_process import run_limited

NUMBERS, TEXTS, LEVELS = 45, 5, 20
TEST_ROWS = 100_000
FIELDS = (
    "rows", "timeout", "seconds", "peak_mb", "trials", "complete", "backend", "seen", "log_loss", "default", "default_seconds",
    "truth", "promised", "low", "high", "error",
)  # fmt: skip
STUDY = """name = "large"
[data]
source = "train.parquet"
target = "y"
[search]
trials = 100000
timeout = "{timeout}"
"""


def drawn(rows, seed):
    """(table with its target ``y``, probability of the second class)."""
    rng, law = np.random.default_rng(seed), np.random.default_rng(0)
    X = rng.normal(size=(rows, NUMBERS)).astype(np.float32)
    codes = rng.integers(LEVELS, size=(rows, TEXTS))
    effects = law.normal(0, 0.7, size=(TEXTS, LEVELS))
    z = X[:, :10] @ law.normal(0, 0.4, 10) + sum(effects[j][codes[:, j]] for j in range(TEXTS))
    z += (
        0.8 * X[:, 10] * X[:, 11]
        + 0.6 * X[:, 12] * X[:, 0]
        + np.sin(2 * X[:, 13])
        + 0.5 * (X[:, 14] > 1) * X[:, 15]
    )
    p = 1 / (1 + np.exp(-z))
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(NUMBERS)])
    for j in range(TEXTS):
        frame[f"t{j}"] = np.char.add("level ", codes[:, j].astype(str))
    return frame.assign(y=np.where(rng.random(rows) < p, "yes", "no")), p


def loss(truth, p):
    return float(-np.log(np.clip(np.where(truth == "yes", p, 1 - p), SMALLEST, 1)).mean())


def default_boosting(folder):
    """(log loss of the test rows, seconds) of XGBoost as it comes, text as categories."""
    from xgboost import XGBClassifier

    train, test = (pd.read_parquet(folder / name) for name in ("train.parquet", "test.parquet"))
    texts = [f"t{j}" for j in range(TEXTS)]
    train[texts], test[texts] = train[texts].astype("category"), test[texts].astype("category")
    began = time.perf_counter()
    model = XGBClassifier(enable_categorical=True, random_state=0).fit(
        train.drop(columns="y"), train.y == "yes"
    )
    took = time.perf_counter() - began
    return loss(test.y.to_numpy(), model.predict_proba(test.drop(columns="y"))[:, 1]), took


def measured(rows, timeout, seconds):
    """A line of the CSV."""
    line = {"rows": rows, "timeout": timeout}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        drawn(rows, 1)[0].to_parquet(folder / "train.parquet")
        test, p = drawn(TEST_ROWS, 2)
        test.to_parquet(folder / "test.parquet")
        test.drop(columns="y").to_parquet(folder / "new.parquet")
        (folder / "study.toml").write_text(STUDY.format(timeout=timeout))
        line["truth"] = loss(test.y.to_numpy(), p)
        line["default"], line["default_seconds"] = default_boosting(folder)
        own = dict(
            os.environ,
            MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db",
            AUTOREG_STATE_DIR=f"{folder}/state",
        )
        command = [sys.executable, "-m", "autoreg"]
        log = folder / "words.log"
        run_limited(
            [*command, "show", "nothing"], 120, log, own
        )  # the database is there before the clock starts
        ran = run_limited([*command, "tune", "study.toml", "--json", "out.json"], 3 * seconds + 300, log, own)
        line |= {"seconds": ran.seconds, "peak_mb": ran.peak_mb}
        words = log.read_text(errors="replace")
        print(words, file=sys.stderr)
        if ran.code:
            return line | {
                "error": words.strip().splitlines()[-1][:200] if words.strip() else f"exit code {ran.code}"
            }
        line |= told(json.loads((folder / "out.json").read_text()))
        run_limited([*command, "predict", "models:/large@champion", "new.parquet", "out.csv"], 600, log, own)
        found = pd.read_csv(folder / "out.csv")["probability_yes"].to_numpy()
        return line | {"log_loss": loss(test.y.to_numpy(), found)}


def told(result):
    """What a study's own JSON says."""
    estimate, trials, final = result["estimate"], result["trials"], result["final"]
    return {
        "trials": trials["total"], "complete": trials["complete"], "backend": result["best"]["backend"], "seen": final["rows"],
        "promised": estimate["holdout"], "low": estimate["holdout_low"], "high": estimate["holdout_high"],
    }  # fmt: skip


def shown(lines):
    """The table in Markdown."""
    head = ["rows", "limit", "wall, s", "memory, MB", "trials", "winner", "fitted on", "log loss", "promised", "XGBoost's defaults",
            "nobody can do better than"]  # fmt: skip
    rows = [
        [f"{int(r['rows']):,}", r["timeout"], f"{float(r['seconds']):.0f}", f"{float(r['peak_mb']):,.0f}", r["trials"], r["backend"],
         f"{int(r['seen']):,}", f"{float(r['log_loss']):.4f}", f"{float(r['promised']):.4f} ({float(r['low']):.4f} to {float(r['high']):.4f})",
         f"{float(r['default']):.4f} ({float(r['default_seconds']):.0f} s)", f"{float(r['truth']):.4f}"]
        if not r["error"] else [f"{int(r['rows']):,}", r["timeout"], f"{float(r['seconds']):.0f}", "", "", "", "", r["error"], "", "", ""]
        for r in lines
    ]  # fmt: skip
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in [head, ["---"] * len(head), *rows])


def figure(lines, place):
    """Seconds a trial, memory and what is lost against the truth, by rows."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    good = sorted((r for r in lines if not r["error"]), key=lambda r: int(r["rows"]))
    rows = [int(r["rows"]) for r in good]
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.2))
    axes[0].plot(rows, [float(r["seconds"]) / int(r["trials"]) for r in good], "o-")
    axes[1].plot(rows, [float(r["peak_mb"]) / 1024 for r in good], "o-")
    for name, label in (("log_loss", "autoreg"), ("default", "XGBoost's defaults")):
        axes[2].plot(rows, [float(r[name]) - float(r["truth"]) for r in good], "o-", label=label)
    axes[2].legend(frameon=False)
    titles = (
        "seconds of the whole, by trial",
        "memory of all processes, GiB",
        "log loss above the smallest possible",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set(xscale="log", xlabel="rows (50 columns)", title=title)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    fig.savefig(place)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--timeout", default="10m")
    parser.add_argument("--out", type=Path, default=Path("large.csv"))
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    from pydantic import TypeAdapter

    from autoreg.spec_parts import Duration

    seconds = TypeAdapter(Duration).validate_python(given.timeout)
    new = not given.out.exists()
    lines = [] if new else list(csv.DictReader(given.out.open(newline="")))
    for rows in given.rows:
        if any((r["rows"], r["timeout"]) == (str(rows), given.timeout) for r in lines):
            continue
        line = dict.fromkeys(FIELDS, "") | measured(rows, given.timeout, seconds)
        with given.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            if new:
                writer.writeheader()
            writer.writerow(line)
        new, lines = False, [*lines, line]
    print(shown(lines))
    if given.figure:
        figure(lines, given.figure)


if __name__ == "__main__":
    main()
