"""How far fits on hard tables are from independent reference solutions: the cases of tests/numeric_cases.py as a table.

    python benchmarks/numerics.py [--only PATTERN]

A difference is that of predictions: of probabilities, or in standard deviations of the target; of certified
coefficients it is the relative one. Cases whose file is missing are left out.
"""

import argparse
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from numeric_cases import CASES


def main(pattern):
    print("| table | against | largest difference | allowed |\n|---|---|---|---|")
    for name, case in CASES.items():
        if re.search(pattern, name) and (case.file is None or case.file.exists()):
            print(f"| {name} | {case.against} | {case.difference():.1e} | {case.bound:.0e} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose names hold this regular expression")
    main(parser.parse_args().only)
