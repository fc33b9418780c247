"""autoreg beside the published figures of Kadra et al. 2021: balanced accuracy, in per cent, of a fifth of the rows."""

import csv
import math
import sys
from itertools import product

import numpy as np
import pandas as pd
from peers import Lab, known_cells, measure, rows_of
from peers_data import read, read_index
from peers_math import TIE, balanced_error
from peers_tables import markdown

PUBLISHED = {"MLP+C": "MLP+C", "XGBoost": "XGB", "AutoGluon": "AutoGluon_stack"}
"""As shown, and the column of the file."""


def published(place):
    """Data set in small letters -> line of the file."""
    with place.open(newline="", encoding="utf-8") as file:
        return {row["dataset"].lower(): row for row in csv.DictReader(file)}


def matched(index, figures):
    """Name in the folder -> line of the figures, for sets that the index says are OpenML's."""
    found = {}
    for name, entry in index.items():
        line = figures.get(entry.known_as) or figures.get(name.lower())
        if entry.known_as and line:
            found[name] = line
    return found


def usable(index, figures):
    """What is matched and has as many rows as theirs; what differs is said, also in the number of columns."""
    found, remarks = {}, []
    for name, line in matched(index, figures).items():
        frame = read(index[name])
        if len(frame) != int(line["n_instances"]):
            remarks.append(f"{name} is left out: {len(frame)} rows, theirs had {line['n_instances']}")
            continue
        if frame.shape[1] != int(line["n_features_incl_target"]):
            remarks.append(f"{name}: {frame.shape[1]} columns, theirs had {line['n_features_incl_target']}")
        found[name] = line
    return found, remarks


def compared(score, error, theirs):
    """Win, tie or loss of one score against another's, on other rows drawn by the same rule; all in one unit.

    Neither test part is the other's, so that the error of the difference is that of two samples of one size.
    """
    if abs(score - theirs) <= TIE * math.sqrt(2) * error:
        return "tie"
    return "win" if score > theirs else "loss"


def kadra(given):
    """Run what is missing, and the table."""
    if not given.folder:
        sys.exit(
            "--kadra: the folder of data is needed, to know which sets are meant; cells of the CSV are not run again"
        )
    index = read_index(given.folder)
    sets, remarks = usable(index, published(given.kadra))
    asked = given.sets or list(sets)
    sets = {name: line for name, line in sets.items() if name in asked}
    ours = [name for name in given.contenders or ["autoreg"] if name.startswith("autoreg")]
    given.sets = list(sets)
    wanted = list(product(ours, sets, range(given.seeds), given.budgets))
    test_rows = {name: int(line["n_test"]) for name, line in sets.items()}
    measure(
        Lab(given.folder, given), wanted, given.out, test_rows=test_rows,
        metric=dict.fromkeys(sets, "balanced_accuracy"),
    )  # fmt: skip
    return table(known_cells(given.out), sets, lambda cell: rows_of(given.out, cell), remarks)


def table(cells, figures, rows, remarks=()):
    """The tables in Markdown, one a contender and budget."""
    parts = []
    if not cells:
        return "No cells.\n"
    frame = pd.DataFrame(cells)
    for (contender, budget), mine in frame.groupby(["contender", "budget"], sort=False):
        parts += [f"# {contender}, {budget} seconds", _table(mine.to_dict("records"), figures, rows)]
    if remarks:
        parts.append("Remarks: " + "; ".join(remarks) + ".")
    return "\n\n".join(parts) + "\n"


def _table(cells, figures, rows):
    lines, counts, gains = [], {name: [] for name in PUBLISHED}, {name: [] for name in PUBLISHED}
    for name in dict.fromkeys(cell["set"] for cell in cells if cell["set"] in figures):
        mine = [cell for cell in cells if cell["set"] == name]
        if any(cell["status"] != "ok" for cell in mine):
            lines.append(
                [name, mine[0]["test_rows"], "failed", "", *(figures[name][c] for c in PUBLISHED.values())]
            )
            for shown in counts:
                counts[shown].append("loss")
            continue
        score = 100 * np.mean([float(cell["balanced_accuracy"]) for cell in mine])
        kept = [rows(cell) for cell in mine]
        error = 100 * np.mean([balanced_error(k["truth"], k["right"]) for k in kept])
        beside = []
        for shown, column in PUBLISHED.items():
            theirs = float("nan") if figures[name][column] == "NA" else float(figures[name][column])
            if math.isnan(theirs):
                beside.append("")
                continue
            counts[shown].append(compared(score, error, theirs))
            gains[shown].append(score - theirs)
            beside.append(f"{theirs:.2f} ({counts[shown][-1]})")
        lines.append([name, mine[0]["test_rows"], f"{score:.2f}", f"{error:.2f}", *beside])
    total = [
        "/".join(str(counts[shown].count(kind)) for kind in ("win", "tie", "loss"))
        + (f", mean {np.mean(gains[shown]):+.2f}" if gains[shown] else "")
        for shown in PUBLISHED
    ]
    lines.append(["win/tie/loss, mean difference", "", "", "", *total])
    return (
        "Balanced accuracy of the test rows in per cent, mean over seeds, beside the published figures. As many test rows as theirs, "
        "not the same ones; all others are ours to train on, as train and validation rows were theirs. A tie is within two standard "
        "errors of the difference of two such samples; who failed has lost there.\n\n"
        + markdown(["set", "test rows", "ours", "its error", *PUBLISHED], lines)
    )
