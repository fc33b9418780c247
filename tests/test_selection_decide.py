"""From fresh predictions to what is shipped, with answers known beforehand."""

import math

import numpy as np
import pytest
from evidence_data import cells, evidence_of, sigmoid, two
from scipy.stats import binom

from autoreg.metrics import METRICS
from autoreg.selection import compare, corrected_se, decide, evidence, fit_cut, greedy, losses
from autoreg.selection.blend import best_single
from autoreg.selection.cut import Cut, fit_temperature, fit_threshold
from autoreg.serving import shifted

BEYOND_ONE_SE = 0.16
"""How often a normal statistic without any effect exceeds one standard error."""


def at_most(seeds, rate=BEYOND_ONE_SE):
    """A count that so many tries of this rate exceed once in a thousand."""
    return binom.ppf(0.999, seeds, rate)


# -- compare ------------------------------------------------------------------------------------------------------


def test_the_corrected_error_adds_the_ratio_of_scored_to_fitted_rows():
    differences = np.array([1.0, 3.0, 2.0, 6.0])
    assert corrected_se(differences, 0.25) == pytest.approx(
        math.sqrt((1 / 4 + 0.25) * differences.var(ddof=1))
    )
    assert corrected_se(differences, 0.0) == pytest.approx(differences.std(ddof=1) / 2)
    assert math.isnan(corrected_se(differences[:1], 0.25))


SIMPLE = [(0, 1.0, 0.0, 0), (1, 1.0, 0.0, 1), (2, 1.0, 0.0, 2)]


def test_one_se_takes_the_simplest_within_one_error_and_best_does_not():
    rng = np.random.default_rng(0)
    wobble = rng.normal(size=10)
    wobble = (wobble - wobble.mean()) / wobble.std(ddof=1)
    se = math.sqrt(1 / 10 + 0.25)
    base = np.full(10, 1.0)
    found = compare(np.stack([base + wobble + 0.9 * se, base, base]), 0.25, SIMPLE)
    assert (found.best, found.one_se) == (1, 0)
    assert found.difference[0] == pytest.approx(0.9 * se)
    assert found.se[0] == pytest.approx(se)
    farther = compare(np.stack([base + wobble + 1.1 * se, base, base]), 0.25, SIMPLE)
    assert (farther.best, farther.one_se) == (1, 1)


def test_best_gives_a_tie_within_a_tenth_of_an_error_to_the_simpler():
    wobble = np.tile([1.0, -1.0], 5)
    se = corrected_se(wobble, 0.25)
    for share, winner in ((0.09, 0), (0.11, 2)):
        found = compare(np.stack([wobble + share * se, np.full(10, 5.0), np.zeros(10)]), 0.25, SIMPLE)
        assert found.best == winner


def test_equal_finalists_are_told_apart_by_simplicity_alone():
    found = compare(np.zeros((3, 4)), 0.25, SIMPLE[::-1])
    assert (found.best, found.one_se) == (2, 2)


def test_a_cell_that_is_undefined_for_one_counts_for_none():
    badness = np.array([[1.0, np.nan, 1.0], [0.0, 0.0, 3.0], [5.0, 5.0, 5.0]])
    found = compare(badness, 0.25, SIMPLE)
    assert found.mean == pytest.approx([1.0, 1.5, 5.0])
    assert found.best == 0
    with pytest.raises(ValueError, match="no cell"):
        compare(np.full((2, 3), np.nan), 0.25, SIMPLE[:2])


# -- blend --------------------------------------------------------------------------------------------------------


def test_the_blend_finds_the_mixture_that_made_the_truth():
    rng = np.random.default_rng(1)
    models = rng.normal(size=(3, 2000))
    truth = 0.6 * models[0] + 0.4 * models[1] + 0.05 * rng.normal(size=2000)
    weights = greedy("regression", truth, models, None)
    assert weights.sum() == pytest.approx(1.0)
    assert weights == pytest.approx([0.6, 0.4, 0.0], abs=0.041)


def test_a_model_that_knows_is_not_blended_with_models_that_do_not():
    rng = np.random.default_rng(2)
    models = rng.normal(size=(4, 500))
    truth = models[2] + 0.1 * rng.normal(size=500)
    assert greedy("regression", truth, models, None).tolist() == [0.0, 0.0, 1.0, 0.0]
    assert best_single("regression", truth, models, None) == 2


def test_rows_without_weight_do_not_teach_the_blend():
    truth, models = np.r_[np.zeros(50), np.ones(50)], np.stack([np.zeros(100), np.ones(100)])
    first = np.r_[np.ones(50), np.zeros(50)]
    assert greedy("regression", truth, models, first).tolist() == [1.0, 0.0]
    assert greedy("regression", truth, models, 1 - first).tolist() == [0.0, 1.0]
    assert greedy("regression", truth, models, None) == pytest.approx([0.5, 0.5])


def test_evidence_is_the_probability_of_the_true_class():
    p = np.array([[[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]]])
    found = evidence("multiclass", np.array([2, 0]), 2 * p)
    assert found == pytest.approx(np.array([[0.5, 0.1]]))
    assert losses("multiclass", np.array([2, 0]), found) == pytest.approx(-np.log([[0.5, 0.1]]))
    assert losses("regression", np.array([1.0]), np.array([[3.0]])).tolist() == [[4.0]]


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_noise_is_rarely_blended(metric):
    seeds, accepted = 15, 0
    for seed in range(seeds):
        rng = np.random.default_rng([3, seed])
        z = rng.normal(size=(4, 150))
        # One model knows the odds and the others know nothing; by accuracy nobody knows anything.
        y = (rng.random(150) < (sigmoid(z[0]) if metric == "log_loss" else 0.5)).astype(int)
        accepted += (
            decide(evidence_of("binary", metric, y, two(sigmoid(z)), (1, 1, 1, 1)), "best", "auto").kind
            == "blend"
        )
    assert accepted <= at_most(seeds)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_two_models_that_each_know_half_are_blended(task):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, 400))
    if task == "binary":
        truth = (rng.random(400) < sigmoid(2 * x.sum(axis=0))).astype(int)
        predictions, metric = two(sigmoid(1.5 * x)), "log_loss"
    elif task == "multiclass":
        z = rng.normal(size=(2, 400, 3))
        truth = (2 * z.sum(axis=0) + rng.gumbel(size=(400, 3))).argmax(axis=1)
        e = np.exp(1.5 * z)
        predictions, metric = e / e.sum(axis=-1, keepdims=True), "log_loss"
    else:
        truth, predictions, metric = x.sum(axis=0) + 0.3 * rng.normal(size=400), 1.0 * x, "rmse"
    found = decide(evidence_of(task, metric, truth, predictions), "best", "auto")
    assert found.kind == "blend"
    assert found.gain > found.gain_se > 0
    assert found.weights == pytest.approx([0.5, 0.5], abs=0.15)
    better = METRICS[metric].badness
    assert better(found.options["blend"]) < min(better(found.options["bag"]), better(found.options["refit"]))


# -- temperature and threshold ------------------------------------------------------------------------------------


@pytest.mark.parametrize("true", [0.5, 2.0])
def test_a_known_miscalibration_is_undone(true):
    rng = np.random.default_rng(5)
    z = rng.normal(scale=1.5, size=3000)
    y = (rng.random(3000) < sigmoid(z)).astype(int)
    p = two(sigmoid(true * z))
    found = fit_cut(METRICS["log_loss"], y, p, None, cells(3000, repeats=1)[0], 0.25)
    assert found.temperature == pytest.approx(true, rel=0.1)
    assert found.threshold == 0.5
    assert found.apply(p, False)[:, 1] == pytest.approx(sigmoid(true * z / found.temperature))


def test_three_classes_get_a_temperature_and_no_threshold():
    rng = np.random.default_rng(6)
    z = rng.normal(scale=1.5, size=(3000, 3))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    p = np.exp(3 * z) / np.exp(3 * z).sum(axis=1, keepdims=True)
    found = fit_cut(METRICS["accuracy"], y, p, None, cells(3000, repeats=1)[0], 0.25)
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert found.threshold == 0.5


def test_calibrated_probabilities_stay_as_they_are():
    seeds, touched = 30, []
    for seed in range(seeds):
        rng = np.random.default_rng([7, seed])
        z = rng.normal(scale=1.5, size=600)
        y = (rng.random(600) < sigmoid(z)).astype(int)
        found = fit_cut(METRICS["accuracy"], y, two(sigmoid(z)), None, cells(600, repeats=1)[0], 0.25)
        touched.append((found.temperature != 1.0, found.threshold != 0.5))
    assert (np.sum(touched, axis=0) <= at_most(seeds)).all()


def test_a_rare_class_gets_the_threshold_that_balances():
    rng = np.random.default_rng(8)
    z = rng.normal(loc=-2.8, scale=1.2, size=4000)
    p = sigmoid(z)
    y = (rng.random(4000) < p).astype(int)
    metric = METRICS["balanced_accuracy"]
    found = fit_cut(metric, y, two(p), None, cells(4000, repeats=1)[0], 0.25)
    # With true probabilities balanced accuracy is highest where p exceeds the share of the class.
    assert found.threshold == pytest.approx(y.mean(), rel=0.5)
    assert metric(y, found.apply(two(p), True)) > metric(y, two(p)) + 0.1
    assert METRICS["accuracy"](y, found.apply(two(p), False)) == METRICS["accuracy"](y, two(p))


def test_weights_move_temperature_and_threshold():
    rng = np.random.default_rng(9)
    z = rng.normal(scale=1.5, size=2000)
    y = (rng.random(2000) < sigmoid(z)).astype(int)
    p = two(sigmoid(np.where(np.arange(2000) < 1000, 2 * z, z)))
    first = (np.arange(2000) < 1000) * 1.0
    assert fit_temperature(y, p, first) == pytest.approx(2.0, rel=0.15)
    assert fit_temperature(y, p, 1 - first) == pytest.approx(1.0, rel=0.15)
    heavy = np.where(y == 1, 9.0, 1.0)
    accuracy = METRICS["accuracy"]
    assert fit_threshold(accuracy, y, two(sigmoid(z)), heavy) == pytest.approx(0.1, abs=0.08)


def test_a_shifted_probability_is_a_half_at_its_threshold():
    p = two(np.array([0.0, 0.1, 0.2, 0.6, 1.0]))
    assert shifted(p, 0.2)[:, 1] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert Cut(1.0, 0.2).apply(p, True).argmax(axis=1)[3] == 1
    assert Cut(1.0, 0.2).apply(p, False) is p


# -- the decision -------------------------------------------------------------------------------------------------


def alike(task="binary", rank=(0, 1), seed=10, n=300):
    """Two finalists that say almost the same, the second a little better."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    near = np.stack([z + 0.3 * rng.normal(size=n), z + 0.05 * rng.normal(size=n)])
    if task == "regression":
        return evidence_of(task, "rmse", z + 0.5 * rng.normal(size=n), near, rank)
    y = (rng.random(n) < sigmoid(z)).astype(int)
    return evidence_of(task, "log_loss", y, two(sigmoid(near)), rank)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_boosted_winner_is_bagged_and_a_linear_one_is_fitted_again(task):
    bagged = decide(alike(task, (0, 1)), "best", "auto")
    assert (bagged.winner, bagged.kind) == (1, "bag")
    assert bagged.weights.tolist() == [0.0, 1.0]
    linear = decide(alike(task, (1, 0)), "best", "auto")
    assert (linear.winner, linear.kind) == (1, "refit")
    assert set(bagged.options) == {"refit", "bag", "blend"}
    assert "steadier" in bagged.why
    assert "one model says all" in linear.why


def test_single_ships_one_model_and_tries_no_blend():
    found = decide(alike(), "best", "single")
    assert (found.kind, found.weights.tolist()) == ("refit", [0.0, 1.0])
    assert math.isnan(found.gain)
    assert "blend" not in found.options


def test_rows_in_order_of_time_are_never_bagged():
    found = decide(alike(), "best", "auto", may_bag=False)
    assert found.kind == "refit"
    assert set(found.options) == {"refit"}
    assert "time" in found.why


def halves(seed=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 400))
    truth = (rng.random(400) < sigmoid(2 * x.sum(axis=0))).astype(int)
    return evidence_of("binary", "log_loss", truth, two(sigmoid(1.5 * x)), (1, 2))


def test_one_se_never_ships_a_blend_and_takes_the_simpler():
    assert decide(halves(), "best", "auto").kind == "blend"
    found = decide(halves(), "one_se", "auto")
    assert found.kind == "bag"
    # Both know half: the difference is well within its error, so the simpler family is named.
    assert found.winner == 0


def test_a_lone_finalist_is_never_a_blend():
    rng = np.random.default_rng(11)
    y = rng.integers(0, 2, 100)
    found = decide(
        evidence_of("binary", "log_loss", y, two(sigmoid(rng.normal(size=(1, 100)))), (1,)), "best", "auto"
    )
    assert (found.winner, found.kind, found.weights.tolist()) == (0, "bag", [1.0])


def test_labels_are_compared_behind_thresholds_that_the_judged_rows_did_not_fit():
    rng = np.random.default_rng(12)
    z = rng.normal(loc=-2.5, scale=1.5, size=1500)
    y = (rng.random(1500) < sigmoid(z)).astype(int)
    # The first has the labels right at one half by luck of its offset, the second ranks better at any threshold.
    better, worse = sigmoid(z), sigmoid(z + 2.0 + 1.5 * rng.normal(size=1500))
    found = decide(
        evidence_of("binary", "balanced_accuracy", y, two(np.stack([worse, better]))), "best", "single"
    )
    assert METRICS["balanced_accuracy"](y, two(worse)) > METRICS["balanced_accuracy"](y, two(better))
    assert found.winner == 1
    assert found.cut.threshold < 0.3


def test_the_cells_scores_are_the_metric_of_their_rows():
    data = alike("regression")
    found = decide(data, "best", "auto")
    rows = data.cells[1][2]
    expected = np.sqrt(np.mean((data.truth[rows] - data.predictions[1, 0, rows]) ** 2))
    assert found.scores.shape == (2, 10)
    assert found.scores[0, 5 + 2] == pytest.approx(expected)
    assert found.cut == Cut()


def test_weights_decide_which_finalist_wins():
    truth = np.zeros(200)
    errors = np.stack([np.r_[np.full(100, 0.1), np.full(100, 3.0)], np.full(200, 1.0)])
    errors = errors * np.where(np.arange(200) % 2, 1, -1) + np.random.default_rng(0).normal(
        scale=0.01, size=(2, 200)
    )
    first = np.r_[np.full(100, 50.0), np.full(100, 0.1)]
    assert decide(evidence_of("regression", "rmse", truth, errors, (1, 1)), "best", "single").winner == 1
    assert (
        decide(
            evidence_of("regression", "rmse", truth, errors, (1, 1), weight=first), "best", "single"
        ).winner
        == 0
    )


def test_the_same_evidence_gives_the_same_decision():
    one, two_ = decide(halves(), "best", "auto"), decide(halves(), "best", "auto")
    assert (one.kind, one.winner, one.gain, one.cut) == (two_.kind, two_.winner, two_.gain, two_.cut)
    np.testing.assert_array_equal(one.weights, two_.weights)


def test_a_worse_model_that_leans_towards_a_rare_class_does_not_make_the_blend_look_good():
    seeds, accepted = 12, 0
    for seed in range(seeds):
        rng = np.random.default_rng([9, seed])
        z = rng.normal(loc=-2.0, scale=1.5, size=400)
        y = (rng.random(400) < sigmoid(z)).astype(int)
        good, leaning = z + 0.05 * rng.normal(size=400), z + 1.2 + rng.normal(size=400)
        near = z - 0.3 + 0.4 * rng.normal(size=400)
        given = two(sigmoid(np.stack([good, leaning, near])))
        data = evidence_of("binary", "balanced_accuracy", y, given, (1, 1, 1))
        accepted += decide(data, "best", "auto").kind == "blend"
    assert accepted <= at_most(seeds)
