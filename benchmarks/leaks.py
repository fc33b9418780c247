"""Which columns of real tables are called leaks, and how many leaks put into them are found.

    python benchmarks/leaks.py FOLDER     # FOLDER holds INDEX.csv (name, file, target) and its tables

The first list should be empty, or each line of it explained; the second should be found to the last.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from autoreg.data.alone import foretell
from autoreg.data.leaks import _different, _sample, _views, find_leaks
from autoreg.data.load import load_table
from autoreg.spec import DataSpec

INTO = (
    "heart_cleveland_uci", "credit-g", "vehicle", "adult", "california_housing", "ames_housing_raw", "colon_alon", "sick",
)  # fmt: skip
SHIPPED = ("breast_cancer", "iris", "wine", "digits", "diabetes")


def read(folder, about):
    path = folder / about["file"]
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def table_of(frame, target, name):
    return load_table(DataSpec(source="x.csv", target=target), name, Path("."), frame)


def strongest(table):
    """The column that tells most, as the search for leaks sees it."""
    first = _different(table.features, table.kinds, table.target)
    rows = _sample(first, table.target, table.n_classes, len(table.kinds))
    views = _views(table.features.iloc[rows], table.kinds, list(table.kinds))
    told = foretell(views.values, views.loose, table.target[rows], table.n_classes)
    j = int(np.argmax(told.values))
    return f"{told.measure} {told.values[j]:.3f} by {views.owners[j]!r}"


def leaks(frame, target, rng):
    """One column of each kind: (name, values)."""
    y = frame[target]
    codes = y.rank(method="dense").to_numpy() if y.dtype.kind in "iuf" else pd.factorize(y, sort=True)[0]
    n, high = len(y), codes > np.median(codes)
    if len(np.unique(codes)) == 2:
        high = codes == codes.max()
    words = np.array([f"w{i}" for i in range(int(codes.max()) + 1)])
    sorted_rows = np.empty(n)
    sorted_rows[np.argsort(codes, kind="stable")] = np.arange(n)
    spread = codes.std()
    yield "copy", y.to_numpy()
    yield "transform", np.exp(-2 * (codes - codes.mean()) / spread) * 7 - 3
    yield "noisy copy", codes + rng.normal(size=n) * 0.02 * spread
    yield "one word each", words[codes.astype(int)] if len(words) <= 60 else np.where(high, "dear", "cheap")
    yield "row order", sorted_rows
    if len(np.unique(codes)) == 2:
        yield "missing where", np.where(high, rng.normal(size=n), np.nan)
        yield "known after", np.where(high, rng.integers(1, 900, n), 0)
        yield "1 % wrong", np.where(rng.random(n) < 0.01, 1 - codes, codes)
        yield (
            "in a text",
            [f"case {i} closed as {'won' if h else 'lost'} by {i % 97}" for i, h in enumerate(high)],
        )
    elif y.dtype.kind == "f" or len(np.unique(codes)) > 30:
        yield "ten bands", pd.qcut(codes, 10, labels=False, duplicates="drop")


def main(folder):
    index = pd.read_csv(folder / "INDEX.csv").to_dict("records")
    print("false alarms")
    count, clock = 0, 0.0
    for about in index + [{"name": f"sklearn:{name}", "target": "target"} for name in SHIPPED]:
        if "file" in about:
            table = table_of(read(folder, about), about["target"], about["name"])
        else:
            spec = DataSpec(source=about["name"], target="target")
            table = load_table(spec, "shipped", Path("."))
        start = time.perf_counter()
        find_leaks(table.features, table.kinds, table.target, table.n_classes, name=about["target"])
        took = time.perf_counter() - start
        clock = max(clock, took)
        count += bool(table.suspects)
        told = [note for note in table.notes if note.startswith("warning") or "copies" in note]
        print(f"  {about['name']:22} {table.features.shape!s:14} {took:5.2f} s  strongest {strongest(table)}")
        print("".join(f"      {line}\n" for line in told), end="")
    print(f"  tables with a suspect: {count}; slowest {clock:.2f} s")
    print("injected")
    found = {}
    for about in (a for a in index if a["name"] in INTO):
        frame = read(folder, about)
        for kind, values in leaks(frame, about["target"], np.random.default_rng(0)):
            table = table_of(
                pd.concat([frame, pd.Series(values, name="injected")], axis=1), about["target"], about["name"]
            )
            hits = found.setdefault(kind, [])
            hits.append("injected" in table.suspects)
            if not hits[-1]:
                print(f"  not found: {kind} in {about['name']}")
    for kind, hits in found.items():
        print(f"  {kind:14} {sum(hits)} of {len(hits)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
