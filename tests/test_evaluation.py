import numpy as np
import pytest

from autoreg.evaluation import Candidate, Problem, class_weights, evaluate, mean_and_se, paired_z
from autoreg.metrics import METRICS
from autoreg.planning import plan
from autoreg.spec import parse_study
from autoreg.trial import Split, State, Table


def table(target, weight=None, classes=(0, 1)):
    return Table("t", "t", None, {}, np.asarray(target), "binary", classes, "f", weight=weight)


def test_the_standard_error_of_equal_weights_is_the_plain_one():
    values = np.random.default_rng(0).normal(size=50)
    plain = values.std(ddof=1) / np.sqrt(50)
    assert mean_and_se(values) == pytest.approx((values.mean(), plain))
    assert mean_and_se(values, np.full(50, 3.0)) == pytest.approx((values.mean(), plain))


def test_weights_decide_what_is_worse():
    losses, reference = np.array([0.1] * 10 + [0.9] * 40), np.array([0.5] * 50)
    losses = losses + np.random.default_rng(0).normal(scale=0.01, size=50)
    weight = np.array([50.0] * 10 + [1.0] * 40)
    assert paired_z(losses, reference) > 2
    assert paired_z(losses, reference, weight) < 0


def test_only_rows_that_both_have_are_paired():
    losses, reference = np.array([1.0, 2.0, np.nan, 3.5]), np.array([0.0, np.nan, 0.0, 2.0])
    assert paired_z(losses, reference) == pytest.approx(1.25 / (0.25 * np.sqrt(2) / np.sqrt(2)))


def test_balanced_classes_weigh_alike_in_the_search_rows():
    rows = np.arange(8)
    weights = class_weights(table([0, 0, 0, 0, 0, 0, 1, 1, 1, 1]), rows, balanced=True)
    assert weights[:6].sum() == pytest.approx(weights[6:8].sum())
    assert class_weights(table([0, 1]), rows, balanced=False) is None


def test_a_fixed_sample_of_rows_is_kept_of_a_large_table():
    n = 3_000_000
    rows = np.arange(n)
    problem = Problem(table(np.zeros(n, np.int64)), Split(rows, rows[:0], (), {}), METRICS["log_loss"])
    kept = problem.kept_rows()
    assert len(kept) == 500_000
    assert np.array_equal(kept, problem.kept_rows())
    assert abs(kept.mean() / n - 0.5) < 0.01


@pytest.mark.parametrize("abreast", [1, 2])
def test_a_worse_trial_ends_after_its_first_fold_however_many_are_fitted_side_by_side(monkeypatch, abreast):
    raw = {"name": "t", "data": {"source": "sklearn:load_iris", "target": "target"}}
    planned = plan(parse_study(raw | {"search": {"backends": ["xgboost"], "xgboost": {"rounds": 5}}}))
    backend, problem = planned.backends["xgboost"], planned.problem
    monkeypatch.setattr(backend, "abreast", lambda job: abreast)
    best = np.full((150, 3), 0.005, np.float32)
    best[np.arange(150), planned.table.target] = 0.99
    candidate = Candidate(planned.defaults["xgboost"], 0)
    (found,) = evaluate(backend, [candidate], problem, best)
    assert (found.state, len(found.fold_losses)) == (State.PRUNED, 1)
    assert found.reason.startswith("worse than the best after 1 fold (z = ")
    (whole,) = evaluate(backend, [candidate], problem)
    assert (whole.state, len(whole.fold_losses)) == (State.COMPLETE, 5)
    assert whole.fold_losses[0] == found.loss
    (level,) = evaluate(backend, [candidate], problem, whole.predictions)
    assert level.state is State.COMPLETE


def test_after_more_folds_only_a_clearly_worse_trial_ends(monkeypatch):
    raw = {"name": "t", "data": {"source": "sklearn:load_iris", "target": "target"}}
    planned = plan(parse_study(raw | {"search": {"backends": ["sklearn"]}}))
    looks = iter([0.9, 2.2, 2.4])
    monkeypatch.setattr("autoreg.evaluation.paired_z", lambda *given: next(looks))
    best = np.full((150, 3), 1 / 3, np.float32)
    (found,) = evaluate(
        planned.backends["sklearn"], [Candidate(planned.defaults["sklearn"], 0)], planned.problem, best
    )
    assert (found.state, len(found.fold_losses)) == (State.PRUNED, 3)
    assert found.reason == "worse than the best after 3 folds (z = 2.4)"
