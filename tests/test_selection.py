import numpy as np
import pytest
from scipy.stats import binomtest

from autoreg.errors import NoTrialCompleted
from autoreg.metrics import METRICS
from autoreg.selection import bootstrap_interval, choose, estimate, stopping_point, wilson
from autoreg.trial import State, TrialRecord, TrialResult

RANKS = {"sklearn": 0, "xgboost": 1}


def record(number, loss, backend="sklearn", state=State.COMPLETE, complexity=1.0, rounds=(), reason=""):
    result = TrialResult(state, {}, loss=loss, complexity=complexity, rounds=rounds, reason=reason)
    return TrialRecord(number, backend, {}, result)


def test_the_smallest_loss_wins_and_ties_go_to_the_simpler():
    assert choose([record(0, 0.5), record(1, 0.4)], RANKS).number == 1
    assert choose([record(0, 0.4, "xgboost"), record(1, 0.4)], RANKS).number == 1
    assert choose([record(0, 0.4, complexity=9), record(1, 0.4, complexity=3)], RANKS).number == 1


def test_pruned_failed_and_nan_never_win():
    bad = [
        record(0, 0.1, state=State.PRUNED),
        record(1, 0.1, state=State.FAILED),
        record(2, float("nan")),
        record(3, 0.9),
    ]
    assert choose(bad, RANKS).number == 3


def test_no_complete_trial_gives_the_first_reason():
    with pytest.raises(NoTrialCompleted, match="diverged"):
        choose([record(0, float("nan"), state=State.FAILED, reason="fold 1: diverged")], RANKS)


def test_the_stopping_point_is_the_mean_over_folds():
    assert stopping_point((10, 20, 33)) == 21
    assert stopping_point((0, 0)) == 0


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (8, 10), (50, 200), (200, 200)])
def test_wilson_agrees_with_scipy(hits, n):
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_bootstrap_interval_covers_the_normal_one():
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=400), np.zeros(400)
    low, high = bootstrap_interval(METRICS["mse"], y, p, None, None, 0)
    se = (y**2).std(ddof=1) / 20
    assert low == pytest.approx((y**2).mean() - 1.96 * se, abs=0.03)
    assert high == pytest.approx((y**2).mean() + 1.96 * se, abs=0.03)


def test_groups_are_drawn_whole_and_widen_the_interval():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(20), 20)
    y = rng.normal(size=20)[group]
    width = [
        np.diff(bootstrap_interval(METRICS["mse"], y, np.zeros(400), None, g, 0))[0] for g in (None, group)
    ]
    assert width[1] > 2 * width[0]


def test_signs_positive_means_flattering():
    y = np.array([0, 1] * 100)
    p = np.where(np.arange(200) % 4 == 0, 0.3, 0.8)
    both = np.stack([np.where(y == 0, p, 1 - p), np.where(y == 1, p, 1 - p)], axis=1)
    e = estimate(METRICS["accuracy"], y, both, None, None, (0.9, 1.0), 0)
    assert e.holdout == 0.75
    assert e.optimism == pytest.approx(0.15)
    assert e.gap == pytest.approx(0.25)
    assert e.holdout_low < 0.75 < e.holdout_high
    loss = estimate(METRICS["log_loss"], y, both, None, None, (0.1, 0.05), 0)
    assert loss.optimism > 0


def test_small_holdouts_are_said():
    y = np.array([0, 1] * 8)
    e = estimate(METRICS["log_loss"], y, np.full((16, 2), 0.5), None, None, (0.6, 0.6), 0)
    assert any("16 rows" in w for w in e.warnings)


@pytest.mark.parametrize("name", ["log_loss", "roc_auc", "f1"])
def test_the_interval_is_that_of_rows_drawn_one_draw_at_a_time(name):
    rng = np.random.default_rng(2)
    y, weight = rng.integers(0, 2, 90), rng.random(90)
    p = np.clip(0.3 * y + rng.random(90) * 0.6 + 0.05, 0, 1)
    p, metric = np.stack([1 - p, p], axis=1), METRICS[name]
    rng = np.random.default_rng(5)
    classes = [np.flatnonzero(y == c) for c in (0, 1)]
    draws = []
    for _ in range(2000):
        rows = (
            np.concatenate([rng.choice(r, len(r)) for r in classes])
            if metric.every_class
            else rng.integers(90, size=90)
        )
        draws.append(metric(y[rows], p[rows], weight[rows]))
    found = bootstrap_interval(metric, y, p, weight, None, 5)
    assert found == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), rel=1e-9)


def test_draws_of_rows_without_weight_do_not_count():
    rng = np.random.default_rng(3)
    y, weight = rng.normal(size=40), np.zeros(40)
    weight[:2] = 1.0
    for name in ("rmse", "mse", "r2"):
        low, high = bootstrap_interval(METRICS[name], y, np.zeros(40), weight, None, 0)
        assert np.isfinite([low, high]).all()
        assert low <= high
    assert np.isnan(bootstrap_interval(METRICS["mse"], y, np.zeros(40), np.zeros(40), None, 0)).all()


def test_a_class_that_the_holdout_lacks_is_said():
    y, p = np.repeat([0, 1], 80), np.full((160, 3), 1 / 3)
    e = estimate(METRICS["log_loss"], y, p, None, None, (0.6, 0.6), 0)
    assert e.warnings == ("the rarest class has only 0 rows in the holdout",)
