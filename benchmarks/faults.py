"""The fault table: every fault is done to real processes, and what must hold afterwards is checked.

    python benchmarks/faults.py [--rows 1 2 …] [--short] [--out faults.csv]

After each fault the plain command is given again, and the store must hold invariant I: exactly the trials of the
undisturbed study, with the same parameters and losses, each once; no run RUNNING; one parent run, one version, its alias; the
same winner and estimate on reading back. The full form does what the rows say, in hours; --short strikes a few times. A row that
is in the CSV already is not run again.

Drivers are forked from a process that has imported the libraries, so that hundreds of starts are affordable; faults of the clock
and of three backends use fresh interpreters. Row 4 counts any state, row 14 other studies: they check what their row says.
"""

import argparse
import csv
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from csv_lines import known

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy is imported; forked drivers share it
    os.environ.setdefault(_name, "1")

ROWS = {
    1: ("kill -9 the driver at random points", "fault_drivers", "killed_drivers"),
    2: ("crash before and after each step", "fault_drivers", "crashed_steps"),
    3: ("kill -9 a worker", "fault_workers", "killed_workers"),
    4: ("a trial that kills its process", "fault_workers", "poison"),
    5: ("SIGTERM, Ctrl-C, each also twice", "fault_drivers", "signals"),
    6: ("SIGSTOP, a second driver, SIGCONT", "fault_drivers", "frozen"),
    7: ("tracking server away", "fault_stores", "server_down"),
    8: ("answer to runs/create lost", "fault_stores", "lost_answer"),
    9: ("disk full", "fault_drivers", "full_disk"),
    10: ("two commands at once; the lock's holder killed", "fault_drivers", "twins"),
    11: ("two registrations at once", "fault_stores", "promoters"),
    12: ("PostgreSQL restarts; SQLite locked", "fault_stores", "database_trouble"),
    13: ("clock an hour off, and turned back", "fault_drivers", "clocks"),
    14: ("the same study again; other data; other settings", "fault_drivers", "repeated"),
    18: ("losses that are no numbers", "fault_searches", "not_numbers"),
    23: ("two workers on two busy cores", "fault_searches", "busy_cores"),
    24: ("searches that crash at any call; study files of nonsense", "fault_searches", "machine"),
}
FIELDS = ("row", "form", "fault", "times", "outcome", "seconds", "note")


def run(row, lab, short):
    """Do what a row says; its ``Outcome``."""
    from importlib import import_module

    _, module, function = ROWS[row]
    return getattr(import_module(module), function)(lab, short)


def _row(row, lab, short):
    """One row of the table. An error of the row's own code is an outcome too, and is shown."""
    began, form = time.monotonic(), "short" if short else "full"
    try:
        found = run(row, lab, short)
        times, note = found.times, found.note
        outcome = "; ".join(found.wrong) or ("I" if times else "not tried")
    except Exception as error:
        traceback.print_exc()
        lab.served = None  # a server that the row has left in whatever state
        times, note, outcome = 0, "", f"the row itself failed: {type(error).__name__}: {error}"
    seconds = round(time.monotonic() - began, 1)
    cells = (row, form, ROWS[row][0], times, " ".join(outcome.split()), seconds, note.strip())
    return dict(zip(FIELDS, map(str, cells), strict=True))


def _keep(place, rows):
    draft = place.with_suffix(".new")
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    draft.replace(place)


def shown(rows):
    """The table in Markdown."""
    lines = ["| # | fault | times | outcome | seconds |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: (int(r["row"]), r["form"])):
        said = row["outcome"] + (f" ({row['note']})" if row["note"] else "")
        said = said.replace("|", "\\|")
        lines.append(f"| {row['row']} | {row['fault']} | {row['times']} | {said} | {row['seconds']} |")
    return "\n".join(lines)


def main():
    """Run what is asked for and is not in the CSV yet; exit code 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", choices=sorted(ROWS), default=sorted(ROWS))
    parser.add_argument("--short", action="store_true", help="strike a few times only")
    parser.add_argument("--out", type=Path, default=Path("faults.csv"))
    given = parser.parse_args()
    from fault_tools import Lab

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are stopped then, too
    rows, form = known(given.out), "short" if given.short else "full"
    with Lab() as lab:
        for row in given.rows:
            if any(r["row"] == str(row) and r["form"] == form for r in rows):
                continue
            rows.append(_row(row, lab, given.short))
            _keep(given.out, rows)
            said = f"row {row}: {rows[-1]['outcome'][:500]} ({rows[-1]['seconds']} s)"
            print(said, file=sys.stderr, flush=True)
    mine = [r for r in rows if r["form"] == form and int(r["row"]) in given.rows]
    print(shown(mine))
    return int(any(r["outcome"] not in ("I", "not tried") for r in mine))


if __name__ == "__main__":
    sys.exit(main())
