"""A table that grew for a year and more, replayed: twelve scheduled retunes, month by month.

    python benchmarks/replay.py TABLE --target COLUMN --time COLUMN [--drop COLUMN ...] [--figure replay.svg]

The rows are put in order of time and cut into 24 parts of equal length in time (of equal size where time is a plain number). A first champion is tuned on twelve of them.
Then, part after part, the champion that serves and the first champion predict the rows that have just come in, which
neither has seen; after that the study is retuned on everything so far (``--when``: always, unless told otherwise). Printed: the
loss of both, what the retune decided and why. Everything runs on a store of its own in a temporary folder.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from autoreg.metrics import get_metric
from autoreg.registry import load_package
from autoreg.retune import retune
from autoreg.spec import parse_study

PARTS, FIRST = 24, 12


def in_parts(frame, time):
    """The rows in order, with the part each belongs to."""
    when = frame[time] if pd.api.types.is_numeric_dtype(frame[time]) else pd.to_datetime(frame[time])
    order = np.argsort(when.to_numpy(), kind="stable")
    frame, when = frame.iloc[order].reset_index(drop=True), when.iloc[order]
    place = (when - when.iloc[0]) / (when.iloc[-1] - when.iloc[0])
    if pd.api.types.is_numeric_dtype(when):  # may jump, as 961231 does to 970101
        place = when.rank(method="first") / len(when)
    return frame, np.minimum((place.to_numpy(float) * PARTS).astype(int), PARTS - 1)


def study(given):
    return parse_study(
        {
            "name": Path(given.table).stem,
            "data": {"source": "replayed", "target": given.target, "time": given.time, "drop": given.drop},
            "search": {"backends": given.backends, "trials": given.trials, "timeout": given.timeout},
            "retune": {"when": given.when, "gate": given.gate},
        }
    )


def loss(package, frame, target):
    """Log loss or RMSE of a package on raw rows."""
    raw = package.predict_raw(frame)
    if package.task == "regression":
        return get_metric("rmse", "regression")(frame[target].to_numpy(float), raw, None)
    truth = np.array([list(package.classes).index(label) for label in frame[target]])
    return get_metric("log_loss", package.task)(truth, raw, None)


def figure(rows, path, name):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    months = [r["part"] for r in rows]
    fig, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.plot(months, [r["first"] for r in rows], "o--", color="#999999", label="without retuning")
    axes.plot(months, [r["serving"] for r in rows], "o-", color="#0072b2", label="with retuning")
    for r in rows:
        if r["status"] == "promoted":
            axes.axvline(r["part"] + 0.5, color="#d55e00", linewidth=1, linestyle=":")
    axes.set(
        xlabel="part of the table (dotted: a challenger was promoted after it)",
        ylabel="loss on its rows",
        title=name,
    )
    axes.legend()
    fig.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--target", required=True)
    parser.add_argument("--time", required=True)
    parser.add_argument("--drop", nargs="*", default=[])
    parser.add_argument("--backends", nargs="+", default=["sklearn", "xgboost"])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--timeout", default="60s")
    parser.add_argument("--when", nargs="+", default=["always"])
    parser.add_argument("--gate", default="superior")
    parser.add_argument("--figure")
    given = parser.parse_args()
    path = Path(given.table).absolute()
    frame, part = in_parts(
        pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path), given.time
    )
    drawn = given.figure and Path(given.figure).absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        rows = replayed(given, frame, part)
    if drawn:
        figure(rows, drawn, path.stem)


def replayed(given, frame, part):
    spec, rows = study(given), []
    begun = retune(spec, frame[part < FIRST], key="first")
    first = load_package(begun.report["model"]["uri"])
    print(f"first champion on {int((part < FIRST).sum())} rows: {begun.report['best']['backend']}")
    print("part    rows  without     with  serves  outcome", flush=True)
    for k in range(FIRST, PARTS):
        fresh = frame[part == k]
        serving = load_package(f"models:/{spec.model}@{spec.registry.alias}")
        row = {
            "part": k + 1,
            "first": loss(first, fresh, given.target),
            "serving": loss(serving, fresh, given.target),
        }
        found = retune(spec, frame[part <= k], key=f"part {k + 1}")
        row |= {"status": found.status}
        reason = (found.report.get("gate") or {}).get("reason") or "; ".join(found.report["due"]["reasons"])
        version = found.report["model"]["version"] if found.status == "promoted" else ""
        print(
            f"{k + 1:4} {len(fresh):7} {row['first']:8.4f} {row['serving']:8.4f}  {version:>6}  {reason}",
            flush=True,
        )
        rows.append(row)
    print(
        f"mean         {np.mean([r['first'] for r in rows]):8.4f} {np.mean([r['serving'] for r in rows]):8.4f}"
        f"          {sum(r['status'] == 'promoted' for r in rows)} promoted"
    )
    return rows


if __name__ == "__main__":
    main()
