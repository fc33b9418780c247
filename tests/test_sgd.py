"""Proximal stochastic descent against the exact solution it approaches."""

import numpy as np
import pytest
from backend_data import encoded, fit

from autoreg.backends import get_backend, sgd
from autoreg.metrics import loss_rows

BACKEND = get_backend("sklearn")
KINDS = [("binary", 2), ("multiclass", 3), ("regression", 0)]


@pytest.mark.parametrize("kind", ["l1", "l2", "elasticnet"])
@pytest.mark.parametrize(("task", "k"), KINDS)
def test_a_long_descent_comes_near_the_exact_solution(task, k, kind):
    data = encoded("dense", task, k, n=600, stop=False)
    given = {"penalty": kind, "alpha": 0.05, "l1_ratio": 0.5}
    exact = fit(BACKEND, data, **given).member.coef
    near = fit(BACKEND, data, exactly=400, solver="sgd", **given).member.coef
    assert np.abs(near - exact).max() < 0.05 * np.abs(exact).max()
    if kind != "l2":
        assert (near == 0).any() or not (exact == 0).any()


@pytest.mark.parametrize(("task", "k"), KINDS)
def test_the_best_epoch_is_kept(task, k):
    data = encoded("dense", task, k, n=300)
    done = fit(BACKEND, data, solver="sgd", patience=4, penalty="none")
    stop = done.curves["stop_loss"]
    unit = np.var(data.train.y) if task == "regression" else 1.0
    assert stop[done.rounds - 1] <= stop.min() + sgd.MIN_GAIN * unit
    assert len(stop) <= done.rounds + 4 or len(stop) == 200
    held = data.stop
    loss = loss_rows(task, held.y, done.member.predict(held.X)).mean()
    assert loss == pytest.approx(stop[done.rounds - 1], rel=1e-4)


def test_patience_zero_runs_to_the_cap_and_keeps_the_last():
    data = encoded("dense", n=60)
    done = fit(BACKEND, data, solver="sgd", patience=0)
    assert done.rounds == len(done.curves["stop_loss"]) == 200


def test_the_seed_decides_the_order_of_rows():
    data = encoded("dense", n=300)
    one, two = (fit(BACKEND, data, seed=s, solver="sgd").member.coef for s in (0, 1))
    assert not np.array_equal(one, two)
