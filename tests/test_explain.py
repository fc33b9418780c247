"""What the winner rests on, where the answer is known beforehand."""

import numpy as np
import pandas as pd
import pytest
from evidence_data import searched, sigmoid, study, two

from autoreg import tune
from autoreg.data import encode
from autoreg.evaluation import Candidate, fit_folds
from autoreg.explain import importance, judged, removed_columns, worth
from autoreg.metrics import METRICS
from autoreg.serving import LinearMember, Package
from autoreg.trial import Fold


def known(n=300, columns=4, seed=0, task="binary"):
    """Only column x0 tells anything of the target."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns))
    y = (
        2 * X[:, 0] + rng.normal(size=n)
        if task == "regression"
        else (rng.random(n) < sigmoid(3 * X[:, 0])).astype(int)
    )
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(columns)]).assign(y=y)


def packaged(data, coefficients, task="binary"):
    """A package of linear members of known coefficients behind one preprocessing."""
    planned, *_ = searched(study("y", backends=["sklearn"], trials=1), data)
    empty = np.empty(0, np.int64)
    _, preprocessor = encode(planned.table, Fold(np.arange(len(data)), empty, empty), "dense", None)
    share = 1 / len(coefficients)
    members = [
        (preprocessor, LinearMember(np.array(c)[:, None], np.zeros(1), task), share) for c in coefficients
    ]
    columns = [c for c in data if c != "y"]
    return Package(members, task, (0, 1) if task == "binary" else (), columns)


# -- judged -------------------------------------------------------------------------------------------------------


def test_the_confusion_counts_every_row_once_or_its_weight():
    y = np.array([0, 0, 1, 1, 1])
    p = two(np.array([0.1, 0.7, 0.6, 0.4, 0.9]))
    assert judged("binary", y, p, p, None).confusion == [[1, 1], [1, 2]]
    weighted = judged("binary", y, p, p, np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert weighted.confusion == [[1, 2], [4, 8]]
    assert weighted.rows == 5


def test_labels_follow_the_threshold_and_reliability_the_probabilities_as_given():
    y, p = np.array([0, 1] * 30), two(np.tile([0.2, 0.3], 30))
    moved = judged("binary", y, p, two(np.where(p[:, 1] > 0.25, 0.9, 0.1)), None)
    assert moved.confusion == [[30, 0], [0, 30]]
    assert sum(b["predicted"] * b["rows"] for b in moved.reliability) / 60 == pytest.approx(0.25)


def test_reliability_sets_what_was_said_beside_what_was_seen():
    rng = np.random.default_rng(1)
    p = rng.random(20_000)
    y = (rng.random(20_000) < p**2).astype(int)
    bins = judged("binary", y, two(p), two(p), None).reliability
    assert len(bins) == 10
    assert sum(b["rows"] for b in bins) == 20_000
    for b in bins:
        assert b["observed"] == pytest.approx(b["predicted"] ** 2, abs=0.05)
    assert [b["predicted"] for b in bins] == sorted(b["predicted"] for b in bins)


def test_of_three_classes_the_predicted_one_is_checked():
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3]] * 30)
    found = judged("multiclass", np.array([0, 2] * 30), p, p, None)
    assert found.confusion == [[30, 0, 0], [0, 0, 0], [0, 30, 0]]
    low, *_, high = found.reliability
    assert (low["predicted"], low["observed"]) == (pytest.approx(0.5), 0.0)
    assert (high["predicted"], high["observed"]) == (pytest.approx(0.8), 1.0)


def test_residuals_are_points_of_truth_less_prediction():
    values = np.linspace(0, 1, 3000)
    truth = values + np.tile([-2.0, 0.0, 0.0, 0.0, 0.0, 1.0], 500)
    found = judged("regression", truth, values, values, None)
    assert len(found.residuals) == 10
    assert sum(row["rows"] for row in found.residuals) == 3000
    for row in found.residuals:
        assert (row["low"], row["median"], row["high"]) == pytest.approx((-2.0, 0.0, 1.0))
    assert (found.confusion, found.reliability) == ([], [])


# -- importance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "metric"), [("binary", "log_loss"), ("binary", "accuracy"), ("regression", "rmse")]
)
def test_the_column_that_tells_is_the_most_important_and_one_that_is_not_used_is_worth_nothing(task, metric):
    data = known(task=task)
    package = packaged(data, [[3.0, 0.0, 0.5, 0.0]], task)
    found = importance(package, METRICS[metric], data.drop(columns="y"), data.y.to_numpy(), None, 0, 60.0)
    assert found[0].column == "x0"
    by_name = {i.column: i for i in found}
    assert by_name["x0"].mean > 0.1
    assert by_name["x0"].mean > 5 * by_name["x0"].se
    assert by_name["x1"].mean == by_name["x3"].mean == 0.0
    assert abs(by_name["x2"].mean) < by_name["x0"].mean / 3


def test_importance_is_the_same_twice_and_left_out_without_time():
    data = known()
    package = packaged(data, [[3.0, 0.1, 0.5, 0.0]])
    given = (METRICS["log_loss"], data.drop(columns="y"), data.y.to_numpy(), None, 7)
    assert importance(package, *given, 60.0) == importance(package, *given, 60.0)
    assert importance(package, *given, 0.0) is None


def test_rows_without_weight_have_no_say_in_importance():
    data = known()
    package = packaged(data, [[3.0, 0.0, 0.0, 0.0]])
    truth = data.y.to_numpy().copy()
    truth[150:] = 1 - truth[150:]  # where shuffling the column would make it better
    weight = (np.arange(300) < 150) * 1.0
    frame = data.drop(columns="y")
    plain = importance(package, METRICS["accuracy"], frame, truth, None, 0, 60.0)
    heard = importance(package, METRICS["accuracy"], frame, truth, weight, 0, 60.0)
    assert abs(plain[0].mean) < 0.1 < heard[0].mean


# -- what a regularizer is worth ----------------------------------------------------------------------------------


def wide(n=90, columns=150):
    """More columns than rows: without a penalty a linear model fits noise."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, columns))
    y = X[:, :3].sum(axis=1) + rng.normal(size=n)
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(columns)]).assign(y=y)


def scored(planned, name, params, seed=0):
    """A configuration with its scores in the folds of the plan, and what turns predictions into such scores."""
    backend, problem = planned.backends[name], planned.problem
    full = {**planned.resolved[name].default, **params}
    fits = fit_folds(backend, [Candidate(full, seed)], problem)[0]
    whole = np.full((len(problem.table.target), 2)[: 2 if problem.table.n_classes else 1], np.nan)
    for fold, data, fit in zip(problem.split.folds, problem.folds(backend.encoding), fits, strict=True):
        whole[fold.score] = fit.member.predict(data.score.X)

    def judge(predictions):
        y = problem.table.target
        return np.array([problem.metric(y[f.score], predictions[f.score]) for f in problem.split.folds])

    return full, judge(whole), judge


def valued(planned, name, params, in_time=lambda: True):
    full, scores, judge = scored(planned, name, params)
    return worth(full, planned.backends[name], planned.problem, scores, judge, 0.5, 0, in_time)


def test_a_penalty_that_is_needed_is_worth_much_and_the_figure_is_the_change_of_the_metric():
    planned, *_ = searched(study("y", backends=["sklearn"], trials=1), wide())
    given = {"penalty": "l1", "alpha": 0.2}
    (found,) = valued(planned, "sklearn", given)
    assert (found.name, found.value) == ("penalty", "l1, alpha 0.2")
    assert found.difference > 2 * found.difference_se > 0
    without = scored(planned, "sklearn", {"penalty": "none", "alpha": 0.0})[1]
    assert found.difference == pytest.approx(np.mean(without - scored(planned, "sklearn", given)[1]))


def test_what_is_off_already_has_no_worth_and_without_time_nothing_has():
    planned, *_ = searched(study("y", backends=["sklearn"], trials=1), wide())
    assert valued(planned, "sklearn", {"penalty": "none", "alpha": 0.0}) == []
    assert valued(planned, "sklearn", {"penalty": "l2", "alpha": 1.0}, lambda: False) == []


def test_every_regularizer_of_a_booster_is_switched_off_alone():
    planned, *_ = searched(study("y", backends=["xgboost"], trials=1), known())
    given = {"gamma": 0.5, "subsample": 0.5, "colsample": 1.0, "min_child_weight": 30.0}
    found = {w.name: w for w in valued(planned, "xgboost", given)}
    assert set(found) == {"penalty", "gamma", "min_child_weight", "subsample"}
    assert found["subsample"].value == 0.5
    without = scored(planned, "xgboost", {**given, "gamma": 0.0})[1]
    with_it = scored(planned, "xgboost", given)[1]
    assert found["gamma"].difference == pytest.approx(np.mean(without - with_it))
    assert all(np.isfinite([w.difference, w.difference_se]).all() for w in found.values())


@pytest.mark.parametrize("timed", [False, True])
def test_a_penalty_of_no_effect_is_worth_nothing_where_labels_are_cut_by_a_threshold(timed):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(500, 3))
    y = (rng.random(500) < sigmoid(1.5 * x[:, 0] - 3.0)).astype(int)
    data = pd.DataFrame(x, columns=list("abc")).assign(y=y, when=np.arange(500))
    columns = {"time": "when"} if timed else {"drop": ["when"]}
    given = {"backends": ["sklearn"], "trials": 1, "sklearn": {"penalty": "l2", "alpha": 1e-7}}
    parsed = study("y", data=columns, metric="balanced_accuracy", **given)
    (found,) = tune(parsed, data, tracking="off").record.worth
    assert found.difference == pytest.approx(0.0, abs=1e-6)


# -- removed columns ----------------------------------------------------------------------------------------------


def test_a_column_is_removed_when_most_members_have_no_weight_for_it():
    data = known()
    package = packaged(data, [[1.0, 0.0, 0.0, 0.5], [1.0, 0.0, 0.2, 0.0], [1.0, 0.3, 0.0, 0.5]])
    assert removed_columns(package) == (["x1", "x2"], ["x0", "x3"])
    assert removed_columns(packaged(data, [[1.0, 0.1, 0.1, 0.5]])) == ([], ["x0", "x1", "x2", "x3"])


def test_an_l1_winner_names_the_columns_it_removed_and_an_l2_winner_none():
    found = {}
    for penalty in ("l1", "l2"):
        parsed = study("y", backends=["sklearn"], trials=2, sklearn={"penalty": penalty, "alpha": 0.1})
        found[penalty] = tune(parsed, known(task="regression"), tracking="off").record
    assert set(found["l1"].removed) == {"x1", "x2", "x3"}
    assert found["l1"].kept == ["x0"]
    assert (found["l2"].removed, found["l2"].kept) == ([], [])
    assert found["l1"].importance[0].column == "x0"
    assert found["l1"].worth[0].name == "penalty"
