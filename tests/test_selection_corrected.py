"""The correction for having chosen, and which trials are looked at again."""

import math
from collections import Counter

import numpy as np
import pytest
from evidence_data import two

from autoreg.metrics import METRICS, log_loss_rows
from autoreg.selection import corrected_cv, incumbents, shortlist, simplicity, time_blocks
from autoreg.trial import State, TrialRecord, TrialResult


def record(number, loss, backend="sklearn", state=State.COMPLETE, **params):
    return TrialRecord(number, backend, {}, TrialResult(state, params, loss=loss, complexity=3.0))


def labels(right, truth):
    return np.eye(2)[np.where(right, truth, 1 - truth)]


# -- cv_corrected -------------------------------------------------------------------------------------------------


def test_one_trial_has_nothing_to_correct():
    rng = np.random.default_rng(0)
    truth, p = rng.integers(0, 2, 300), two(rng.uniform(0.2, 0.8, 300))
    rows = log_loss_rows(truth, p)
    found = corrected_cv(
        METRICS["log_loss"], truth, rows[None], lambda i: p, np.arange(300) % 5, None, None, 0
    )
    assert (found.trials, found.draws) == (1, 1000)
    # A draw's unseen rows are a sample of all rows: the mean over draws wavers by se / sqrt(draws * share unseen).
    assert found.value == pytest.approx(rows.mean(), abs=4 * rows.std() / math.sqrt(0.37 * 300 * 1000))
    assert found.low < found.value < found.high


def test_a_lucky_trial_loses_its_luck_and_a_good_one_keeps_its_lead():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 200)
    right = rng.random((60, 200)) < 0.5
    lucky = corrected_cv(
        METRICS["accuracy"], truth, (~right).astype(np.float32), lambda i: labels(right[i], truth), np.arange(200) % 5, None, None, 0
    )  # fmt: skip
    assert right.mean(axis=1).max() > 0.57
    assert lucky.low < 0.5 < lucky.high
    assert lucky.value < 0.54
    right[7] = rng.random(200) < 0.9
    good = corrected_cv(
        METRICS["accuracy"], truth, (~right).astype(np.float32), lambda i: labels(right[i], truth), np.arange(200) % 5, None, None, 0
    )  # fmt: skip
    assert good.value == pytest.approx(right[7].mean(), abs=0.01)


def test_only_predictions_of_chosen_trials_are_asked_for_and_only_once():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 100)
    right = np.stack([rng.random(100) < share for share in (0.99, 0.3, 0.3)])
    asked = Counter()

    def predictions(i):
        asked[i] += 1
        return labels(right[i], truth)

    corrected_cv(
        METRICS["accuracy"], truth, (~right).astype(float), predictions, np.arange(100) % 5, None, None, 0
    )
    assert asked == {0: 1}


def test_rows_of_a_group_are_drawn_together():
    """Twenty patients of twenty equal rows: drawn by rows, every trial has seen the rows that judge it."""
    value = {True: [], False: []}
    for seed in range(40):
        rng = np.random.default_rng([3, seed])
        group = np.repeat(np.arange(20), 20)
        right = (rng.random((30, 20)) < 0.5)[:, group]
        truth = rng.integers(0, 2, 400)
        for grouped in value:
            found = corrected_cv(
                METRICS["accuracy"], truth, (~right).astype(np.float32), lambda i, r=right, y=truth: labels(r[i], y),
                np.arange(400) % 5, None, group if grouped else None, seed, 100,
            )  # fmt: skip
            value[grouped].append(found.value)
    known, naive = np.asarray(value[True]), np.asarray(value[False])
    assert known.mean() == pytest.approx(0.5, abs=3.3 * known.std() / math.sqrt(len(known)))
    assert naive.mean() > 0.6


def test_a_metric_that_is_no_mean_is_taken_within_folds():
    """Every fold ranks its rows perfectly, but on a scale of its own."""
    rng = np.random.default_rng(4)
    folds = np.arange(100) % 2
    truth = rng.integers(0, 2, 100)
    p = two(np.where(folds == 0, 0.1, 0.8) + 0.1 * truth)
    assert METRICS["roc_auc"](truth, p) < 0.9
    found = corrected_cv(
        METRICS["roc_auc"], truth, log_loss_rows(truth, p)[None], lambda i: p, folds, None, None, 0, 200
    )
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_rows_without_weight_do_not_choose_and_do_not_judge():
    rng = np.random.default_rng(5)
    truth = np.zeros(200)
    weight = (np.arange(200) < 100) * 1.0
    predictions = np.stack(
        [np.where(weight > 0, 1.0, 0.0), np.where(weight > 0, 0.5, 9.0)]
    ) + 0.01 * rng.normal(size=200)
    found = corrected_cv(
        METRICS["mse"], truth, predictions**2, lambda i: predictions[i], np.arange(200) % 5, weight, None, 0
    )
    assert found.value == pytest.approx(0.25, abs=0.01)


def test_without_unseen_rows_there_is_no_figure():
    found = corrected_cv(
        METRICS["mse"], np.zeros(1), np.ones((2, 1)), lambda i: np.ones(1), np.zeros(1, int), None, None, 0
    )
    assert found.draws == 0
    assert math.isnan(found.value)


def test_the_draws_are_the_same_however_many_are_held_at_once(monkeypatch):
    from autoreg.selection import corrected

    rng = np.random.default_rng(6)
    truth, p = rng.normal(size=50), rng.normal(size=(4, 50))
    found = []
    for cells in (4_000_000, 500):
        monkeypatch.setattr(corrected, "CELLS", cells)
        found.append(
            corrected_cv(
                METRICS["mse"], truth, (p - truth) ** 2, lambda i: p[i], np.arange(50) % 5, None, None, 7
            )
        )
    assert found[0].value == pytest.approx(found[1].value)
    assert (found[0].low, found[0].high) == pytest.approx((found[1].low, found[1].high))


def test_time_is_drawn_in_runs_of_neighbours():
    blocks = time_blocks(np.random.default_rng(7).permutation(1000))
    assert set(np.bincount(blocks)) == {10}
    assert time_blocks(np.arange(30)[::-1]).tolist()[:3] == [9, 9, 9]


# -- the shortlist ------------------------------------------------------------------------------------------------


def test_the_shortlist_holds_the_top_the_best_of_every_backend_and_the_defaults():
    records = [record(n, 0.1 + n / 100, alpha=float(n)) for n in range(12)]
    records += [
        record(12, 0.9, "xgboost", alpha=1.0),
        record(13, 0.8, "xgboost", alpha=2.0),
        record(14, 0.95, "xgboost", alpha=3.0),
    ]
    found = [r.number for r in shortlist(records, [11, 14], top=4)]
    assert found == [0, 1, 2, 3, 11, 13, 14]
    assert [r.number for r in shortlist(records, [], top=1)] == [0, 13]


def test_the_shortlist_holds_no_configuration_twice():
    records = [
        record(0, 0.5, alpha=1.0),
        record(1, 0.5, alpha=1.0),
        record(2, 0.6, alpha=2.0),
        record(3, 0.7, "xgboost", alpha=1.0),
    ]
    assert [r.number for r in shortlist(records, [0, 1, 3], top=8)] == [0, 2, 3]


def test_the_shortlist_holds_no_trial_that_did_not_complete():
    records = [
        record(0, 0.1, state=State.PRUNED),
        record(1, math.nan),
        record(2, 0.9),
        record(3, math.nan, state=State.FAILED),
    ]
    assert [r.number for r in shortlist(records, [0, 1, 3])] == [2]
    assert shortlist(records[:1], [0]) == []


def test_simpler_is_family_then_size_then_the_stronger_penalty_then_the_earlier():
    given = [(1, 1.0, 1.0), (0, 9.0, 1.0), (0, 2.0, 0.1), (0, 2.0, 5.0), (0, math.nan, 9.0)]
    order = sorted(range(5), key=lambda i: simplicity(record(i, 0.1, alpha=given[i][2]), *given[i][:2]))
    assert order == [3, 2, 1, 4, 0]
    assert simplicity(record(4, 0.1), 0) == (0, 3.0, -0.0, 4)


def test_the_leader_is_named_whenever_it_changes():
    losses = [0.5, 0.6, 0.4, 0.4, 0.1, 0.2]
    records = [record(n, loss) for n, loss in enumerate(losses)] + [record(6, 0.0, state=State.PRUNED)]
    assert [(trial, r.number) for trial, r in incumbents(records[::-1])] == [(0, 0), (2, 2), (4, 4)]
