"""What comes of every bad table of the corpus in tests/bad_tables.py, as a table in Markdown or CSV.

    python benchmarks/badtables.py [--backends sklearn,xgboost,keras] [--only PATTERN] [--plain] [--csv FILE]

A case "works" when a model is registered and predicts finite numbers for the table's own rows, and is "refused" when
the command ends with exit code 65 and one line. "failed" is anything else, and should not be there.
"""

import argparse
import csv
import os
import re
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bad_runs import at_home, run
from bad_tables import every_case

from autoreg.quiet import quiet_libraries

HEAD = ("name", "task", "backend", "outcome", "as expected", "seconds", "line")


def row(case, backend, store, plain):
    with tempfile.TemporaryDirectory(prefix="autoreg-bad-") as place:
        drawing = mock.patch("autoreg.tuner.artifacts", return_value={}) if plain else nullcontext()
        with drawing, at_home(Path(place), store):
            outcome = run(case, backend, Path(place))
    wrong = outcome.wrong(case)
    line = wrong or outcome.line.removeprefix("autoreg: ").replace(place, "")
    known = "no" if wrong else "yes"
    name = case.name.removesuffix(f"-{case.task}")
    return name, case.task, backend, outcome.ending, known, f"{outcome.seconds:.1f}", " ".join(line.split())


def main(args):
    quiet_libraries()
    cases = [case for name, case in every_case().items() if re.search(args.only, name)]
    out = csv.writer(args.csv) if args.csv else None
    if out:
        out.writerow(HEAD)
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    tally = Counter()
    with tempfile.TemporaryDirectory(prefix="autoreg-bad-") as home:
        os.environ["AUTOREG_STATE_DIR"] = home
        store = Path(home) / "mlflow.db"
        for backend in args.backends.split(","):
            for case in cases:
                found = row(case, backend, store, args.plain)
                tally[backend, found[3], found[4]] += 1
                print("| " + " | ".join(cell.replace("|", "\\|") for cell in found) + " |", flush=True)
                if out:
                    out.writerow(found)
                    args.csv.flush()
    print()
    for (backend, ending, known), count in sorted(tally.items()):
        print(f"{backend}: {count} {ending}" + (", not as expected" if known == "no" else ""))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="sklearn", help="separated by commas")
    parser.add_argument("--only", default="", help="cases whose names hold this regular expression")
    parser.add_argument("--plain", action="store_true", help="draw no figures")
    parser.add_argument(
        "--csv", type=argparse.FileType("w", encoding="utf-8"), help="write the rows there, too"
    )
    main(parser.parse_args())
