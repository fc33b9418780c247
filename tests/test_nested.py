"""Outer folds: nobody judges a study that has seen the rows, and the interval is the one written down."""

import math

import numpy as np
import pytest
from evidence_data import Silent, frame_of, study
from scipy.stats import t

from autoreg import tune
from autoreg.nested import nested_estimate, summed_up
from autoreg.planning import plan


def test_the_interval_is_nadeaus_and_bengios_with_k_folds():
    scores = [0.8, 0.7, 0.9, 0.6]
    found = summed_up(scores)
    half = t.ppf(0.975, 3) * math.sqrt((1 / 4 + 1 / 3) * np.var(scores, ddof=1))
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half))
    assert found.scores == tuple(scores)


def test_a_fold_without_a_score_does_not_count_and_one_fold_has_no_interval():
    found = summed_up([0.5, math.nan, 0.7])
    assert found.value == pytest.approx(0.6)
    assert found.low < 0.5
    one = summed_up([0.5, math.nan])
    assert one.value == 0.5
    assert math.isnan(one.low)
    assert math.isnan(summed_up([math.nan]).value)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_every_row_is_judged_once_by_a_study_that_has_not_seen_it(task):
    planned = plan(study(split={"estimate": "nested", "folds": 4}, backends=["sklearn"]), frame_of(task))
    assert len(planned.split.holdout) == 0
    seen = []

    def score(inner):
        used = np.concatenate([np.concatenate([f.train, f.stop, f.score]) for f in inner.split.folds])
        assert not np.intersect1d(used, inner.split.holdout).size
        assert set(used) == set(inner.split.search)
        assert inner.problem.split is inner.split
        seen.append(inner.split.holdout)
        return 0.1 * len(seen)

    found = nested_estimate(planned, score, Silent())
    assert sorted(np.concatenate(seen)) == list(range(len(planned.table.target)))
    assert found.scores == pytest.approx((0.1, 0.2, 0.3, 0.4))
    assert found.value == pytest.approx(0.25)


def test_a_nested_study_gives_up_no_row_and_says_that_it_is_pessimistic():
    parsed = study(split={"estimate": "nested"}, backends=["sklearn"], trials=2)
    result = tune(parsed, frame_of("multiclass"), tracking="off")
    found = result.report["estimate"]
    assert found["kind"] == "nested"
    assert found["holdout"] is None
    assert found["nested_low"] < found["nested"] < found["nested_high"]
    assert found["optimism"] == pytest.approx(found["nested"] - found["cv"])
    assert found["looks"] == 0
    assert result.record.holdout_rows == 0
    assert result.record.search_rows == 178
    assert any("pessimistic" in caution for caution in result.record.cautions)
    assert result.record.judged is None
    assert result.record.importance == []
