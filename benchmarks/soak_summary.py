"""The summary of a soak, from its rows alone."""

import csv
from collections import Counter
from statistics import median

import numpy as np

WARM = 6
"""Studies inside the process after which each backend has been imported and fitted there."""
LEAST = 4
"""Studies in each half that a slope is drawn through, at least."""


def read(place):
    """Rows of a soak."""
    with place.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary(rows):
    """Print what became of a soak; True where something is wrong."""
    wrong = [f"{row['elapsed']} s, study {row['study']}: {row['wrong']}" for row in rows if row["wrong"]]
    _happened(rows)
    wrong += _alive(rows)
    _commands(rows)
    _disk(rows)
    last = rows[-1]
    states = ", ".join(f"{last[name]} {name.upper()}" for name in ("running", "finished", "failed", "killed"))
    print(f"\nruns: {states}; {last['doubles']} twice")
    print(f"studies: {last['finished_studies']} finished, {last['unfinished_studies']} unfinished;", end=" ")
    print(f"versions: {last['versions']}, models logged: {last['logged_models']}")
    print(f"wrong: {len(wrong) or 'nothing'}")
    for line in wrong:
        print(f"  {line}")
    return bool(wrong)


def _happened(rows):
    """Studies, strikes and exit codes."""
    studies = {row["study"]: row["part"] for row in rows if row["what"] in ("tune", "retune")}
    parts, what = Counter(studies.values()), Counter(row["what"] for row in rows if row["part"] == "command")
    minutes = float(rows[-1]["elapsed"]) / 60
    print(
        f"{minutes:.1f} minutes: {len(studies)} studies, {parts['command']} by commands and {parts['inside']} inside one process"
    )
    print("commands: " + ", ".join(f"{count} {name}" for name, count in what.most_common()))
    for part in ("command", "inside"):
        struck = Counter(row["strike"] for row in rows if row["part"] == part and row["strike"])
        print(
            f"struck ({part}): "
            + (", ".join(f"{n} {kind}" for kind, n in sorted(struck.items())) or "nothing")
        )
    codes = Counter((row["strike"] or "none", row["code"]) for row in rows if row["code"])
    print("exit codes: " + ", ".join(f"{n} of {code} ({kind})" for (kind, code), n in sorted(codes.items())))
    for kind in ("SIGTERM", "SIGINT"):
        took = [float(row["ending_s"]) for row in rows if row["strike"] == kind]
        if took:
            print(f"from {kind} to the end: median {median(took):.1f} s, at most {max(took):.1f} s")
    gone = [float(row["orphans_s"]) for row in rows if row["strike"] == "SIGKILL"]
    if gone:
        print(f"from the end of a killed driver to that of its last worker: at most {max(gone):.1f} s")


def slope(values):
    """Change per study by least squares."""
    return float(np.polyfit(np.arange(len(values)), np.asarray(values, float), 1)[0])


def _halves(values):
    return values[: len(values) // 2], values[len(values) // 2 :]


def _alive(rows):
    """Memory, descriptors and threads of the process that lived on; descriptors that grow are wrong."""
    kept = [row for row in rows if row["part"] == "inside" and row["rss_mb"]][WARM:]
    print(f"\nthe process that lived on, {len(kept)} studies after the first {WARM}")
    if len(kept) < 2 * LEAST:
        print(f"  too few to tell: {2 * LEAST} are needed")
        return []
    print(
        f"{'':12} {'begin':>9} {'end':>9} {'smallest':>9} {'largest':>9}   a study, first half  second half"
    )
    grown = []
    for name in ("rss_mb", "fds", "threads", "children"):
        values = [float(row[name]) for row in kept]
        first, second = _halves(values)
        shown = " ".join(f"{v:9.1f}" for v in (values[0], values[-1], min(values), max(values)))
        print(f"{name:12} {shown} {slope(first):+20.3f} {slope(second):+12.3f}")
        if name != "rss_mb" and median(second) > max(first):
            grown.append(
                f"{name} of the process that lived on grew from {max(first):.0f} to {median(second):.0f}"
            )
    return grown


def _commands(rows):
    """Do commands get slower or larger as the store fills?"""
    print(
        f"\n{'undisturbed':18} {'starts':>6}   seconds, first half  second half   peak MB, first half  second half"
    )
    plain = [
        row
        for row in rows
        if row["what"] in ("tune", "retune") and not row["strike"] and row["start"] in ("", "1")
    ]
    for part, name in sorted({(row["part"], row["name"]) for row in plain}):
        mine = [row for row in plain if (row["part"], row["name"]) == (part, name)]
        if len(mine) < 2:
            continue
        cells = [
            median(float(row[column]) for row in half)
            for column in ("seconds", "peak_mb")
            for half in _halves(mine)
        ]
        print(
            f"{part + ' ' + name:18} {len(mine):6} {cells[0]:21.1f} {cells[1]:12.1f} {cells[2]:21.0f} {cells[3]:12.0f}"
        )


def _disk(rows):
    """What the disk holds at the end, and what a study adds to it."""
    ends = {row["study"]: row for row in rows}  # the last row of each study
    kept = list(ends.values())
    print(f"\n{'on the disk':18} {'at the end':>12}   a study, first half  second half")
    for name in ("store_mb", "artifacts_mb", "spools", "spool_kb", "temporary", "locks", "shared_memory"):
        first, second = _halves([float(row[name]) for row in kept])
        cells = [f"{slope(half):+.3f}" if len(half) > 1 else "-" for half in (first, second)]
        print(f"{name:18} {float(kept[-1][name]):12.1f} {cells[0]:>21} {cells[1]:>12}")
    struck = sum(row["strike"] == "SIGKILL" for row in rows)
    print(f"(temporary: what {struck} drivers killed at once could not take away)")
