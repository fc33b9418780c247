"""Metrics against scikit-learn's own, their directions, and the proper losses of the search."""

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from autoreg.errors import StudyError
from autoreg.metrics import METRICS, default_metric, get_metric, log_loss_rows, loss_rows, squared_error_rows

RNG = np.random.default_rng(0)
N = 200
WEIGHTS = [None, RNG.integers(0, 4, N).astype(float)]


def classes(k):
    y = RNG.integers(0, k, N)
    p = RNG.dirichlet(np.ones(k), N)
    p[np.arange(N), y] += 0.5
    return y, p / p.sum(axis=1, keepdims=True)


def values():
    y = RNG.normal(size=N) * 3 + 10
    return y, y + RNG.normal(size=N)


def expected(name, y, p, w):
    """The same score by scikit-learn, written out."""
    k = p.shape[1] if p.ndim == 2 else 0
    label = p.argmax(axis=1) if k else None
    s = {"sample_weight": w}
    if name == "log_loss":
        return reference.log_loss(y, p, labels=range(k), **s)
    if name == "brier":
        truth = np.eye(k)[y]
        return np.average(((p - truth) ** 2).sum(axis=1), weights=w) / (2 if k == 2 else 1)
    if name == "accuracy":
        return reference.accuracy_score(y, label, **s)
    if name == "balanced_accuracy":
        return reference.balanced_accuracy_score(y, label, **s)
    if name == "f1":
        return reference.f1_score(y, label, average="binary" if k == 2 else "macro", **s)
    if name == "roc_auc":
        if k == 2:
            return reference.roc_auc_score(y, p[:, 1], **s)
        return np.mean([reference.roc_auc_score(y == c, p[:, c], **s) for c in range(k)])
    if name == "average_precision":
        return reference.average_precision_score(y, p[:, 1], **s)
    return {
        "rmse": reference.root_mean_squared_error,
        "mse": reference.mean_squared_error,
        "mae": reference.mean_absolute_error,
        "r2": reference.r2_score,
    }[name](y, p, **s)


def case(task):
    return values() if task == "regression" else classes(2 if task == "binary" else 4)


CASES = [(name, task) for name, metric in METRICS.items() for task in metric.tasks]


@pytest.mark.parametrize("weighted", [0, 1])
@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_agrees_with_scikit_learn(name, task, weighted):
    y, p = case(task)
    w = WEIGHTS[weighted]
    assert get_metric(name, task)(y, p, w) == pytest.approx(expected(name, y, p, w), rel=1e-9)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_perfect_prediction_is_never_worse_than_a_noisy_one(name, task):
    y, p = case(task)
    perfect = y.astype(float) if task == "regression" else np.eye(p.shape[1])[y]
    metric = METRICS[name]
    assert metric.badness(metric(y, perfect)) <= metric.badness(metric(y, p))
    sign = -1 if metric.greater_is_better else 1
    assert metric.badness(0.25) == sign * 0.25


@pytest.mark.parametrize(("name", "task"), CASES)
def test_row_values_average_to_the_metric(name, task):
    metric = METRICS[name]
    y, p = case(task)
    rows = metric.row_values(y, p)
    if rows is None:
        assert metric.rows is None
    else:
        assert rows.shape == (N,)
        assert np.average(rows, weights=WEIGHTS[1]) == pytest.approx(metric(y, p, WEIGHTS[1]))


@pytest.mark.parametrize("weighted", [0, 1])
@pytest.mark.parametrize(("name", "task"), CASES)
def test_ties_are_scored_as_scikit_learn_does(name, task, weighted):
    y, p = case(task)
    p = np.round(p, 1) if p.ndim == 1 else np.round(p * 4 + 0.01) + 0.25
    p = p if p.ndim == 1 else p / p.sum(axis=1, keepdims=True)
    w = WEIGHTS[weighted]
    assert METRICS[name](y, p, w) == pytest.approx(expected(name, y, p, w), rel=1e-9)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_drawn_rows_are_counts_of_rows(name, task):
    y, p = case(task)
    rows = RNG.integers(0, N, (5, N))
    counts = np.stack([np.bincount(r, minlength=N) for r in rows]).astype(float)
    found = METRICS[name].scorer(y, p)(counts * WEIGHTS[1])
    each = [expected(name, y[r], p[r], WEIGHTS[1][r]) for r in rows]
    np.testing.assert_allclose(found, each, rtol=1e-9)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_rows_of_weight_zero_are_left_out_and_nothing_is_scored_by_no_row(name, task):
    y, p = case(task)
    keep = WEIGHTS[1] > 0
    one, two = METRICS[name](y, p, keep * 1.0), METRICS[name](y[keep], p[keep])
    assert one == pytest.approx(two, rel=1e-12)
    assert np.isnan(METRICS[name](y, p, np.zeros(N)))


def test_r2_of_a_flat_target_and_of_a_far_one():
    flat = np.full(5, 0.1)
    assert METRICS["r2"](flat, flat) == reference.r2_score(flat, flat) == 1.0
    assert METRICS["r2"](flat, flat + 1) == reference.r2_score(flat, flat + 1) == 0.0
    assert np.isnan(METRICS["r2"](flat[:1], flat[:1]))
    y, p = values()
    assert METRICS["r2"](y + 1e8, p + 1e8) == pytest.approx(reference.r2_score(y + 1e8, p + 1e8), rel=1e-9)


def test_f1_of_three_classes_is_a_mean_whatever_classes_are_among_the_rows():
    y, p = np.array([0, 1, 1, 0]), np.eye(3)[[0, 1, 0, 0]]
    assert METRICS["f1"](y, p) == pytest.approx(reference.f1_score(y, p.argmax(axis=1), average="macro"))
    assert METRICS["f1"](y, p) == pytest.approx((0.8 + 2 / 3) / 2)


def test_area_is_undefined_without_every_class_and_precision_without_positives():
    y, p = classes(3)
    keep = y != 2
    assert np.isnan(METRICS["roc_auc"](y[keep], p[keep]))
    y, p = classes(2)
    assert np.isnan(METRICS["average_precision"](np.zeros_like(y), p))
    assert all(METRICS[name].every_class for name in ("roc_auc", "average_precision", "balanced_accuracy"))


def test_a_certain_mistake_costs_much_but_not_infinitely_much():
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert log_loss_rows(np.array([1, 1]), p) == pytest.approx([-np.log(1e-15), 0.0])


def test_probabilities_that_do_not_sum_to_one_are_normalised():
    p = np.array([[2.0, 6.0]], np.float32)
    assert log_loss_rows(np.array([1]), p) == pytest.approx([-np.log(0.75)])
    assert np.isfinite(log_loss_rows(np.array([1]), np.zeros((1, 2)))).all()


def test_the_search_minimises_proper_losses():
    y, p = classes(3)
    assert np.array_equal(loss_rows("multiclass", y, p), log_loss_rows(y, p))
    y, p = values()
    assert np.array_equal(loss_rows("regression", y, p), squared_error_rows(y, p))
    assert squared_error_rows(y, p.astype(np.float32)).dtype == np.float64


@given(st.floats(0.01, 0.99))
def test_log_loss_is_proper(rate):
    """No other probability than the true rate has a smaller expected loss."""
    truth, weight = np.array([0, 1]), np.array([1 - rate, rate])

    def at(q):
        return METRICS["log_loss"](truth, np.array([[1 - q, q]] * 2), weight)

    assert all(at(rate) <= at(q) + 1e-12 for q in (0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999))


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("acuracy", "binary", "search.metric: 'acuracy' is not a metric .did you mean 'accuracy'"),
        ("rmse", "binary", "search.metric: 'rmse' does not suit a binary target; use one of log_loss, "),
        ("average_precision", "multiclass", "does not suit a multiclass target"),
        ("accuracy", "regression", "does not suit a regression target; use one of rmse, mse, mae, r2"),
    ],
)
def test_a_metric_that_does_not_suit_is_refused(name, task, message):
    with pytest.raises(StudyError, match=message):
        get_metric(name, task)


def test_the_default_follows_the_task():
    assert [default_metric(t) for t in ("binary", "multiclass", "regression")] == [
        "log_loss",
        "log_loss",
        "rmse",
    ]
    assert get_metric(None, "regression") is METRICS["rmse"]
