"""The pure parts of benchmarks/peers.py: what is run again, what an answer is worth, and how the tables are made of it."""

import csv
import math
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import peers
import peers_data
import peers_kadra
import peers_math
import peers_process
import peers_tables
from peers_process import Ran, run_limited


def cell(contender, name, loss, seed=0, budget=60.0, task="binary", **more):
    """A line of the CSV as it is read again: text."""
    found = dict.fromkeys(peers.FIELDS, "") | {
        "contender": contender, "set": name, "seed": seed, "budget": budget, "task": task, "status": "ok",
        "fit_seconds": 50, "predict_seconds": 0.1, "wall_seconds": 55, "peak_mb": 300, "trials": 10,
    }  # fmt: skip
    if loss is None:
        found |= {"status": "failed", "error": "out of luck"}
    else:
        found["rmse" if task == "regression" else "log_loss"] = loss
    return {key: str(value) for key, value in (found | more).items()}


# -- resuming -----------------------------------------------------------------------------------------------------


def test_a_cell_of_the_csv_is_not_run_again(tmp_path):
    out = tmp_path / "peers.csv"
    wanted = [("flaml", "heart", 0, 60.0), ("flaml", "heart", 1, 60.0), ("flaml", "heart", 0, 600.0)]
    assert peers.missing(wanted, peers.known_cells(out)) == wanted
    peers.keep(out, cell("flaml", "heart", 0.4, seed=0, budget="60"))
    assert peers.missing(wanted, peers.known_cells(out)) == wanted[1:]
    peers.keep(out, cell("flaml", "heart", None, seed=1, budget="60"))  # a failure is a result
    assert peers.missing(wanted, peers.known_cells(out)) == wanted[2:]
    with out.open(newline="") as file:
        assert next(csv.reader(file)) == list(peers.FIELDS)


def test_measure_runs_what_is_missing_once_and_keeps_the_rows_losses(tmp_path):
    out, asked = tmp_path / "peers.csv", []

    class Sham:
        def run(self, key, **how):
            asked.append((key, how))
            if key[0] == "mljar":
                return None
            return cell(key[0], key[1], 0.4, wall_seconds=1), {"losses": np.array([0.1, 0.7])}

    wanted = [("flaml", "heart", 0, 60.0), ("mljar", "heart", 0, 60.0)]
    peers.measure(Sham(), wanted, out, test_rows={"heart": 61})
    peers.measure(Sham(), wanted, out)
    assert asked == [
        (wanted[0], {"test_rows": 61}),
        (wanted[1], {"test_rows": 61}),
        (wanted[1], {}),  # left out before, so it may be tried again
    ]
    (line,) = peers.known_cells(out)
    assert np.load(peers.losses_file(out, line))["losses"].tolist() == pytest.approx([0.1, 0.7])


# -- answers ------------------------------------------------------------------------------------------------------


def test_probabilities_are_aligned_by_the_names_of_classes():
    found = peers_data.aligned([[0.2, 0.6], [0.5, 0.5]], ["b", "a"], ["a", "b", "c"])
    np.testing.assert_allclose(found, [[0.75, 0.25, 0], [0.5, 0.5, 0]])
    with pytest.raises(ValueError, match="none of the classes"):
        peers_data.aligned([[1.0]], ["d"], ["a", "b"])
    with pytest.raises(ValueError, match="shape"):
        peers_data.aligned([[1.0]], ["a", "b"], ["a", "b"])
    with pytest.raises(ValueError, match="no numbers"):
        peers_data.aligned([[math.nan, 1.0]], ["a", "b"], ["a", "b"])


def test_scores_of_classes_are_scikit_learns():
    from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

    rng = np.random.default_rng(0)
    classes = ["a", "b", "c"]
    truth = rng.choice(classes, 60)
    p = rng.dirichlet(np.ones(3), 60)
    order = [2, 0, 1]
    labels = np.array(classes)[p.argmax(axis=1)]
    told = {
        "probabilities": p[:, order].tolist(),
        "names": [classes[i] for i in order],
        "labels": labels.tolist(),
    }
    scores, rows = peers_data.judged(told, truth, classes)
    assert scores["log_loss"] == pytest.approx(log_loss(truth, p, labels=classes))
    assert scores["auc"] == pytest.approx(roc_auc_score(truth, p, multi_class="ovr"))
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, labels))
    assert rows["losses"].mean() == pytest.approx(scores["log_loss"])
    assert rows["right"].tolist() == (truth == labels).tolist()


def test_a_sure_mistake_costs_a_finite_loss():
    told = {"probabilities": [[1.0, 0.0], [1.0, 0.0]], "names": ["a", "b"], "labels": ["a", "a"]}
    scores, rows = peers_data.judged(told, ["a", "b"], ["a", "b"])
    assert rows["losses"].tolist() == pytest.approx([0, -math.log(peers_data.SMALLEST)])
    assert scores["auc"] == 0.5


def test_scores_of_values_and_values_that_are_none():
    scores, rows = peers_data.judged({"values": [1.0, 2.0, 5.0]}, [1.0, 2.0, 3.0], [])
    assert scores["rmse"] == pytest.approx(math.sqrt(4 / 3))
    assert scores["r2"] == pytest.approx(1 - 4 / 2)
    assert rows["losses"].tolist() == [0, 0, 4]
    with pytest.raises(ValueError, match="not all numbers"):
        peers_data.judged({"values": [1.0, math.nan, 2.0]}, [1.0, 2.0, 3.0], [])


@pytest.mark.parametrize(
    ("told", "ran", "status"),
    [
        ({"values": [1.0, 2.0]}, Ran(9.0, 0, 5e6), "ok"),
        ({"values": [1.0]}, Ran(9.0, 0, 5e6), "failed"),
        ({"error": "no luck"}, Ran(9.0, 1, 5e6), "failed"),
        ({"error": "ended with code None"}, Ran(300.0, None, 5e6), "over time"),
    ],
)
def test_what_becomes_of_an_answer(told, ran, status):
    found, rows = peers.outcome({"set": "s"}, told, ran, [1.0, 3.0], [])
    assert found["status"] == status
    assert (rows is not None) == (status == "ok") == ("rmse" in found)
    assert set(found) <= set(peers.FIELDS)


def test_tables_are_divided_by_seed_with_every_class_in_its_share(tmp_path):
    frame = pd.DataFrame({"x": range(200), "c": ["u", None] * 100, "y": ([True] * 3 + [False]) * 50})
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "INDEX.csv").write_text("name,file,target,task\nt,t.csv,y,binary\n")
    entry = peers_data.read_index(tmp_path)["t"]
    found = peers_data.read(entry)
    assert sorted(set(found["y"])) == ["class False", "class True"]
    assert found["c"].iloc[1] is None
    train, test = peers_data.divided(found, entry, 3)
    assert test["y"].value_counts().to_dict() == {"class True": 30, "class False": 10}
    assert not set(train["x"]) & set(test["x"])
    assert test.equals(peers_data.divided(found, entry, 3)[1])
    assert not test.equals(peers_data.divided(found, entry, 4)[1])


def test_bad_input_is_said_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"INDEX\.csv is not there"):
        peers_data.read_index(tmp_path)
    (tmp_path / "INDEX.csv").write_text("name,file,target\nt,t.csv,y\n")
    with pytest.raises(SystemExit, match="column 'task' is missing"):
        peers_data.read_index(tmp_path)
    entry = peers_data.Entry("t", tmp_path / "t.csv", "y", "binary")
    with pytest.raises(SystemExit, match="t: 'rare' has one row"):
        peers_data.divided(pd.DataFrame({"x": range(9), "y": ["often"] * 8 + ["rare"]}), entry, 0)
    with pytest.raises(SystemExit, match="keep the folder beside the CSV"):
        peers.rows_of(tmp_path / "peers.csv", cell("flaml", "heart", 0.1))


def over(pid):
    """Wait for the end of a process that is not a child of this one."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)
    return True


def test_what_a_command_leaves_running_is_ended_with_it(tmp_path):
    code = (
        "import subprocess, sys\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)']).pid)\n"
    )
    found = run_limited([sys.executable, "-c", code], 600.0, tmp_path / "log", None)
    assert found.in_time
    assert found.code == 0
    assert over(int((tmp_path / "log").read_text()))


def test_a_command_that_takes_too_long_is_ended_and_has_no_code(tmp_path):
    found = run_limited([sys.executable, "-c", "import time; time.sleep(3600)"], 0.0, tmp_path / "log", None)
    assert not found.in_time
    assert found.code is None


def test_memory_is_that_of_the_whole_tree():
    seen = {}
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        assert peers_process._memory(os.getpid(), seen) > 2**20
        assert {os.getpid(), process.pid} <= set(seen)
    finally:
        process.communicate()


# -- comparing ----------------------------------------------------------------------------------------------------


def test_who_failed_ranks_last_and_equals_share_a_rank():
    losses = pd.Series({"a": 0.3, "b": math.nan, "c": 0.1, "d": 0.3, "e": math.nan})
    assert peers_math.ranks(losses).to_dict() == {"a": 2.5, "b": 4.5, "c": 1.0, "d": 2.5, "e": 4.5}


def test_normalized_scores_run_from_the_default_to_the_best():
    losses = pd.Series({"xgboost": 0.5, "best": 0.3, "between": 0.45, "bad": 0.9, "failed": math.nan})
    assert peers_math.normalized(losses).round(9).to_dict() == {
        "xgboost": 0, "best": 1, "between": 0.25, "bad": -1, "failed": -1,
    }  # fmt: skip


@pytest.mark.parametrize("start", [0.3, 0.2, math.nan])
def test_there_is_no_scale_where_nobody_beats_the_default(start):
    assert peers_math.normalized(pd.Series({"xgboost": start, "other": 0.3})) is None


def test_a_tie_is_within_two_standard_errors_of_the_paired_losses():
    rng = np.random.default_rng(0)
    ours = rng.exponential(size=400)
    noise = rng.normal(size=400)
    noise = (noise - noise.mean()) / noise.std(ddof=1)  # mean 0, standard error 1/20
    for shift, said in ((0.099, "tie"), (0.101, "win"), (-0.101, "loss")):
        assert peers_math.verdict([peers_math.difference(ours, ours + noise + shift)]) == said
    assert peers_math.verdict([peers_math.difference(ours, ours)]) == "tie"


def test_more_seeds_do_not_make_a_set_surer():
    assert peers_math.verdict([(0.15, 0.1)] * 50) == "tie"
    assert peers_math.verdict([(0.25, 0.1), (0.25, 0.1)]) == "win"


def test_the_interval_over_sets_is_the_means_own():
    values = np.random.default_rng(1).normal(1.0, 2.0, 200)
    mean, low, high = peers_math.interval(values)
    se = values.std() / math.sqrt(200)
    assert mean == pytest.approx(values.mean())
    assert (high - low) / (2 * 1.96 * se) == pytest.approx(1, abs=0.05)
    assert math.isnan(peers_math.interval([0.5])[1])


def test_the_error_of_a_balanced_accuracy_is_that_of_simulated_ones():
    rng = np.random.default_rng(2)
    truth = np.repeat([0, 1], [300, 60])
    share = np.where(truth == 0, 0.9, 0.7)
    right = rng.random((2000, 360)) < share
    scores = (right[:, truth == 0].mean(axis=1) + right[:, truth == 1].mean(axis=1)) / 2
    said = [peers_math.balanced_error(truth, r) for r in right[:200]]
    assert np.mean(said) == pytest.approx(scores.std(), rel=0.06)
    assert peers_math.balanced_error([0, 0, 1, 1], [True] * 4) > 0


# -- tables -------------------------------------------------------------------------------------------------------


def example():
    """Three sets: autoreg wins clearly on one, ties on one, and on the third the other failed."""
    cells, losses = [], {}
    steady = np.linspace(-1, 1, 50)
    for name, ours, flaml, start in (
        ("won", 0.2, 0.5, 0.6),
        ("tied", 0.4, 0.41, 0.5),
        ("broken", 0.3, None, 0.4),
    ):
        for contender, value in (("autoreg", ours), ("flaml", flaml), ("xgboost", start)):
            cells.append(cell(contender, name, value))
            spread = 0.5 if contender == "flaml" else 0.1
            losses[contender, name] = None if value is None else value + spread * steady
    return cells, lambda c: losses[c["contender"], c["set"]]


def line_of(text, begin):
    (found,) = [line for line in text.splitlines() if line.startswith(begin)]
    return [part.strip() for part in found.strip("|").split("|")]


def test_tables_of_an_example():
    text = peers_tables.tables(*example())
    assert line_of(text, "| won ") == ["won", "log loss", "**0.2000**", "0.5000", "0.6000"]
    assert line_of(text, "| broken | log") == ["broken", "log loss", "**0.3000**", "failed", "0.4000"]
    ranked = re.split("against the others", text)[0]
    assert line_of(ranked, "| autoreg |")[1:3] == ["1.00", "1.00"]
    assert line_of(ranked, "| flaml |")[1] == f"{(2 + 2 + 3) / 3:.2f}"
    assert line_of(ranked, "| flaml |")[2] == f"{(0.25 + 0.9 - 1) / 3:.2f}"
    assert line_of(ranked, "| flaml |")[4] == "1 of 3"
    against = re.split("against the others", text)[1]
    assert line_of(against.split("Time and memory")[0], "| flaml |")[1] == "2/1/0"
    assert "out of luck" in text


def test_cells_that_not_everybody_has_are_left_out_and_named():
    cells, losses = example()
    text = peers_tables.tables(cells[:-1], losses)  # xgboost has not been run on the last set
    assert "not every contender has been run there: broken seed 0" in text
    assert "over 2 sets" in text


def test_sets_without_a_scale_are_named():
    cells = [cell("autoreg", "s", 0.5), cell("xgboost", "s", 0.4)]
    text = peers_tables.tables(cells, lambda c: np.full(9, float(c["log_loss"])))
    assert "Without s, where nobody was better than default XGBoost" in text
    assert line_of(text.split("Time and memory")[0].split("against the others")[1], "| xgboost |")[1:3] == [
        "0/0/1",
        "",
    ]


def test_without_the_base_there_is_no_scale_and_that_is_said():
    cells = [cell("autoreg", "s", 0.4), cell("flaml", "s", 0.5)]
    text = peers_tables.tables(cells, lambda c: np.full(9, float(c["log_loss"])))
    assert "It has not been run here, so nobody has such a score" in text
    assert "nobody was better" not in text
    assert line_of(text.split("against the others")[0], "| flaml | 2.00")[2] == ""


def test_trials_per_second_beside_the_search_by_hand():
    cells = [
        cell("autoreg", "s", 0.4, trials=100, fit_seconds=50),
        cell("optuna", "s", 0.4, trials=5, fit_seconds=100),
        cell("xgboost", "s", 0.5),
    ]
    text = peers_tables.tables(cells, lambda c: np.zeros(9))
    assert line_of(text, "| s | 100 ") == ["s", "100", "2.00", "5", "0.05", "40.0"]


def test_failures_of_our_own_lose_and_of_both_tie():
    fine, broken = cell("a", "s", 0.1), cell("b", "s", None)
    never = {}.__getitem__
    assert peers_tables.judged_set([(broken, fine)], never) == "loss"
    assert peers_tables.judged_set([(fine, broken)], never) == "win"
    assert peers_tables.judged_set([(broken, broken)], never) == "tie"


def test_every_budget_has_its_own_tables_and_panel(tmp_path):
    cells, losses = example()
    cells = [*cells, *(c | {"budget": "600"} for c in cells)]
    text = peers_tables.tables(cells, losses)
    assert text.index("# 60 seconds") < text.index("# 600 seconds")
    peers_tables.figure(cells, tmp_path / "f.svg")
    assert "<svg" in (tmp_path / "f.svg").read_text()


# -- published figures --------------------------------------------------------------------------------------------


def test_published_sets_are_found_under_either_name_where_the_index_says_so():
    def entry(name, known_as):
        return peers_data.Entry(name, Path(name), "y", "binary", known_as)

    index = {
        n: entry(n, k)
        for n, k in (("bloods", "blood"), ("australian", "australian"), ("car", ""), ("new", "new"))
    }
    figures = {"blood": {"n": 1}, "australian": {"n": 2}, "car": {"n": 3}}
    assert peers_kadra.matched(index, figures) == {"bloods": {"n": 1}, "australian": {"n": 2}}


def test_a_published_figure_ties_within_two_errors_of_the_difference():
    assert peers_kadra.compared(80.0, 1.0, 82.8) == "tie"
    assert peers_kadra.compared(80.0, 1.0, 82.9) == "loss"
    assert peers_kadra.compared(80.0, 1.0, 77.1) == "win"


def test_the_table_beside_published_figures():
    figures = {
        "s": {"MLP+C": "80.0", "XGB": "60.0", "AutoGluon_stack": "NA"},
        "t": {"MLP+C": "99.0", "XGB": "1.0", "AutoGluon_stack": "50"},
    }
    cells = [
        cell("autoreg", "s", 0.4, balanced_accuracy=0.8, test_rows=200),
        cell("autoreg", "t", None, test_rows=9),
    ]
    right = np.tile([True, True, True, True, False], 40)
    text = peers_kadra.table(
        cells, figures, lambda c: {"truth": np.repeat([0, 1], 100), "right": right}, ["so"]
    )
    found = line_of(text, "| s |")
    assert found[:3] == ["s", "200", "80.00"]
    assert found[4:] == ["80.00 (tie)", "60.00 (win)", ""]
    assert line_of(text, "| win/tie")[4:] == ["0/1/1, mean +0.00", "1/0/1, mean +20.00", "0/0/1"]
    assert "Remarks: so." in text
