import json

import numpy as np
import pytest
from scipy.stats import norm, t

from autoreg.errors import StudyError
from autoreg.metrics import METRICS
from autoreg.retune.labels import doubtful
from autoreg.selection.gate import gate

LOSS = METRICS["log_loss"]


def two_models(rng, n, edge=0.0):
    """Labels and the probabilities of two models, equally good but for an ``edge`` of the second."""
    signal = rng.normal(size=n)
    y = (signal + rng.normal(size=n) > 0).astype(np.int64)
    guesses = [signal + rng.normal(size=n), signal + (1 - edge) * rng.normal(size=n)]
    p = [1 / (1 + np.exp(-g)) for g in guesses]
    return y, *(np.stack([1 - q, q], axis=1) for q in p)


def verdicts(name, repetitions, n, edge=0.0, draws=1000, **more):
    found = []
    for seed in range(repetitions):
        y, old, new = two_models(np.random.default_rng(seed), n, edge)
        found.append(gate(METRICS[name], y, old, new, draws=draws, seed=seed, **more).verdict)
    return found.count("promoted")


def allowed(times):
    """One in twenty, and two standard errors of so many repetitions."""
    return times * 0.05 + 2 * np.sqrt(times * 0.05 * 0.95)


@pytest.mark.parametrize(
    "name", ["log_loss", *(pytest.param(name, marks=pytest.mark.slow) for name in ("accuracy", "roc_auc"))]
)
def test_of_equal_models_about_one_in_twenty_is_promoted(name):
    assert verdicts(name, 400, 200, draws=500) <= allowed(400)


def test_a_margin_makes_promotion_rarer_and_non_inferiority_easier():
    equal = verdicts("log_loss", 60, 300, draws=300)
    assert verdicts("log_loss", 60, 300, draws=300, margin=0.02) <= equal
    assert verdicts("log_loss", 60, 300, draws=300, rule="non_inferior", margin=0.15) >= 50
    assert verdicts("log_loss", 60, 300, draws=300, edge=-1.0, rule="non_inferior", margin=0.05) <= 3


def test_a_clearly_better_model_is_nearly_always_promoted():
    assert verdicts("log_loss", 50, 400, edge=0.8, draws=300) >= 49
    assert verdicts("roc_auc", 20, 400, edge=0.8, draws=300) >= 19


def test_groups_that_move_as_one_keep_the_error_rate():
    alone = together = 0
    metric, group = METRICS["mse"], np.repeat(np.arange(25), 12)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=300)
        old, new = (truth + rng.normal(size=25)[group] + 0.3 * rng.normal(size=300) for _ in range(2))
        alone += gate(metric, truth, old, new, draws=300, seed=seed).verdict == "promoted"
        whole = gate(metric, truth, old, new, together=group, draws=300, seed=seed)
        together += whole.verdict == "promoted"
    assert together <= allowed(300)
    assert alone > 2 * together


def test_identical_models_keep_the_champion():
    y, old, _ = two_models(np.random.default_rng(0), 300)
    found = gate(LOSS, y, old, old.copy(), draws=200)
    assert found.verdict == "kept"
    assert found.probability == 0
    assert found.difference == 0
    assert found.reason == "kept: equal, 90 % interval .00 to .00; P(better) = .00 < .95"


@pytest.mark.parametrize("name", ["log_loss", "brier", "accuracy", "roc_auc", "f1", "balanced_accuracy"])
def test_scores_difference_and_interval_agree(name):
    y, old, new = two_models(np.random.default_rng(3), 400, 0.5)
    metric = METRICS[name]
    found = gate(metric, y, old, new, draws=2000)
    assert found.champion == metric(y, old)
    assert found.challenger == metric(y, new)
    sign = 1 if metric.greater_is_better else -1
    assert found.difference == pytest.approx(sign * (found.challenger - found.champion))
    assert found.low < found.difference < found.high
    assert (found.probability > 0.95) == (found.verdict == "promoted")


def test_fast_sums_give_what_scoring_every_draw_gives():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=300)
    old, new = truth + rng.normal(size=300), truth + 0.9 * rng.normal(size=300)
    weight = rng.integers(0, 3, 300) * 1.0
    k = int((weight > 0).sum())
    for name in ("rmse", "mae"):
        fast = gate(METRICS[name], truth, old, new, weight, draws=500, seed=1)
        draws = []
        chooser = np.random.default_rng(1)
        for _ in range(500):
            w = np.bincount(chooser.integers(300, size=300), minlength=300) * weight
            draws.append(METRICS[name](truth, old, w) - METRICS[name](truth, new, w))
        wider = np.sqrt(k / (k - 1)) * t.ppf(0.95, k - 1) / norm.ppf(0.95)
        draws = fast.difference + wider * (np.array(draws) - fast.difference)
        assert (fast.low, fast.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), rel=1e-9)
        assert fast.probability == np.mean(draws > 0)


def test_blocks_of_very_many_rows_say_what_single_rows_say(monkeypatch):
    y, old, new = two_models(np.random.default_rng(0), 3000, 0.2)
    single = gate(LOSS, y, old, new, draws=2000)
    monkeypatch.setattr("autoreg.selection.gains.MOST_UNITS", 500)
    blocks = gate(LOSS, y, old, new, draws=2000)
    width = single.high - single.low
    assert blocks.low == pytest.approx(single.low, abs=0.12 * width)
    assert blocks.high == pytest.approx(single.high, abs=0.12 * width)


def test_weights_of_zero_are_as_if_the_rows_were_absent():
    y, old, new = two_models(np.random.default_rng(0), 600, 0.4)
    half = (np.arange(600) < 300) * 1.0
    a, b = gate(LOSS, y, old, new, half, draws=1000), gate(LOSS, y[:300], old[:300], new[:300], draws=1000)
    assert a.difference == pytest.approx(b.difference)
    assert a.high - a.low == pytest.approx(b.high - b.low, rel=0.2)
    none = gate(LOSS, y, old, new, np.zeros(600), draws=50)
    assert none.verdict == "kept"
    assert none.draws == 0
    assert np.isnan(none.probability)
    assert none.reason == "kept: the metric is undefined on these rows"
    json.dumps(none.as_json(), allow_nan=False)


def test_one_group_or_no_row_is_too_little_to_judge():
    y, old, new = two_models(np.random.default_rng(0), 50, 0.8)
    found = gate(LOSS, y, old, new, together=np.zeros(50), draws=50)
    assert found.reason == "kept: too few rows or groups to judge"
    none = gate(LOSS, y[:0], old[:0], new[:0], draws=50)
    assert none.verdict == "kept"
    assert none.rows == 0


def test_non_inferior_asks_the_best_earlier_version_too():
    rng = np.random.default_rng(1)
    y, old, new = two_models(rng, 1000)
    best = np.eye(2)[y] * 0.6 + 0.2
    found = gate(
        LOSS, y, old, new, rule="non_inferior", margin=0.1, draws=500, earlier={"v1": best, "v2": old}
    )
    assert found.probability >= 0.95
    assert found.against == {"v1": 0.0}
    assert found.verdict == "kept"
    assert "P(than v1: not worse by more than .10) = .00 < .95" in found.reason
    alone = gate(LOSS, y, old, new, rule="non_inferior", margin=0.1, draws=500)
    assert alone.verdict == "promoted"
    assert not alone.against
    superior = gate(LOSS, y, old, new, draws=500, earlier={"v1": best})
    assert not superior.against


def test_always_promotes_and_says_what_it_costs():
    y, new, old = two_models(np.random.default_rng(0), 500, 0.8)
    found = gate(LOSS, y, old, new, rule="always", draws=500)
    assert found.verdict == "promoted"
    assert found.difference < 0
    assert found.reason.endswith("the rule is always")
    assert "worse" in found.reason


def test_unused_rows_decide_alone_when_there_are_enough():
    y, old, new = two_models(np.random.default_rng(0), 600, 0.5)
    used = np.where(np.arange(600) < 350, 2, 0)
    found = gate(LOSS, y, old, new, draws=300, used=used)
    assert (found.rows, found.uses, found.unused) == (250, 0, 1.0)
    assert found.champion == LOSS(y[350:], old[350:])
    few = gate(LOSS, y, old, new, draws=300, used=np.where(np.arange(600) < 500, 2, 0))
    assert (few.rows, few.uses) == (600, 2)
    assert few.unused == pytest.approx(1 / 6)
    one_class = gate(LOSS, np.where(used == 0, 0, y), old, new, draws=300, used=used)
    assert one_class.rows == 600


def test_the_reason_reads_as_a_sentence():
    y, old, new = two_models(np.random.default_rng(17), 150, 0.15)
    found = gate(LOSS, y, old, new, draws=2000)
    assert found.verdict == "kept"
    words = found.reason.split()
    assert words[0] == "kept:"
    assert words[2] in ("better,", "worse,")
    assert "90 % interval" in found.reason
    assert found.reason.endswith("< .95")
    again = gate(LOSS, y, old, new, draws=2000)
    assert again == found


@pytest.mark.parametrize(
    ("rule", "margin", "words"),
    [
        ("better", 0.0, "expected one of superior"),
        ("superior", -1.0, "0 or more"),
        ("non_inferior", 0.0, "above 0"),
    ],
)
def test_bad_rules_and_margins_are_refused(rule, margin, words):
    y, old, new = two_models(np.random.default_rng(0), 50)
    with pytest.raises(StudyError, match=words):
        gate(LOSS, y, old, new, rule=rule, margin=margin)


def noisy(rng, flipped, knows):
    """200 older and 200 new rows with two sure models; some of the new labels say the opposite, and who knows it."""
    truth = rng.integers(2, size=400)
    new = np.arange(400) >= 200
    labels = np.where(new & flipped, 1 - truth, truth)
    sure = np.where(np.eye(2)[truth] == 1, 0.995, 0.005)
    milder = np.where(np.eye(2)[truth] == 1, 0.8, 0.2)
    return labels, sure, np.where((new & flipped & knows)[:, None], 1 - milder, milder), new


def test_labels_that_both_models_contradict_are_doubted():
    rng = np.random.default_rng(0)
    flipped = rng.random(400) < 0.2
    labels, champion, challenger, new = noisy(rng, flipped, False)
    assert gate(LOSS, labels, champion, challenger, draws=500).verdict == "promoted"
    found = doubtful(labels, champion, challenger, new)
    assert found.new == (int((flipped & new).sum()), 200)
    assert found.old == (0, 200)
    assert (found.rows == (flipped & new)).all()
    sure = ~found.rows
    assert gate(LOSS, labels[sure], champion[sure], challenger[sure], draws=500).verdict == "kept"


def test_a_change_that_the_challenger_has_learned_is_no_doubt():
    rng = np.random.default_rng(0)
    flipped = rng.random(400) < 0.2
    assert doubtful(*noisy(rng, flipped, True)) is None
    assert doubtful(*noisy(rng, rng.random(400) < 0, False)) is None
    labels, champion, challenger, _ = noisy(rng, flipped, False)
    assert doubtful(labels, champion, challenger, np.ones(400, bool)) is None  # nothing to compare with
