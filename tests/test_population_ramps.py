"""Piecewise-linear inputs: what a ramp is, from which rows it comes, and that the Keras model makes the same of raw columns."""

from dataclasses import replace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from test_population import BACKEND, SMALL, equal, fold  # noqa: E402

from autoreg.backends import FitJob, population  # noqa: E402
from autoreg.backends.layers import initial_weights  # noqa: E402
from autoreg.backends.network import effective_params  # noqa: E402
from autoreg.backends.population_keras import build_model, compile_model  # noqa: E402
from autoreg.backends.population_program import deal  # noqa: E402
from autoreg.backends.population_ramps import FEWEST, NARROWEST, fit_ramps  # noqa: E402
from autoreg.serving import NetworkMember  # noqa: E402

BINS = {**SMALL, "bins": 4}


def test_ramps_say_how_far_into_each_bin_a_number_lies():
    X = np.arange(101, dtype=np.float32)[:, None]
    ramps = fit_ramps(X, 4)
    assert ramps.starts.tolist() == [0, 25, 50, 75]
    assert ramps.widths.tolist() == [25] * 4
    assert ramps.apply([[30.0], [-7.0], [1e6]]).tolist() == [
        [30, 1, pytest.approx(0.2), 0, 0],
        [-7, 0, 0, 0, 0],
        [1e6, 1, 1, 1, 1],
    ]


def test_columns_of_few_values_have_none_and_equal_quantiles_join():
    rng = np.random.default_rng(0)
    flags = rng.integers(0, FEWEST - 1, (200, 2)).astype(np.float32)
    assert fit_ramps(flags, 8) is None
    mostly_zero = np.where(rng.random(200) < 0.7, 0, rng.normal(size=200)).astype(np.float32)
    ramps = fit_ramps(np.column_stack([flags, mostly_zero]), 8)
    assert set(ramps.columns) == {2}
    assert 1 <= len(ramps.columns) < 8
    assert ramps.widths.min() >= NARROWEST


def test_ramps_come_from_the_train_part_alone():
    data = fold(n=120)
    other = replace(data, stop=replace(data.stop, X=data.stop.X * 50 + 9))
    first, second = (population.new_entry(FitJob(BINS, d, 0), effective_params(BINS)) for d in (data, other))
    assert np.array_equal(first.ramps.starts, second.ramps.starts)
    assert np.array_equal(first.job.data.train.X, second.job.data.train.X)
    few = replace(data, train=replace(data.train, X=np.sign(data.train.X)))
    assert population.new_entry(FitJob(BINS, few, 0), effective_params(BINS)).ramps is None


def test_a_member_follows_the_keras_model_that_makes_ramps_itself():
    data = fold("multiclass", n=60)
    more = {**BINS, "kernel_l1": 0.01, "kernel_l2": 0.02, "weight_decay": 0.1}
    entry = population.new_entry(FitJob(more, data, 3), effective_params(more))
    machine, rows, own, steps, width = population.prepare([entry])
    at, weights = population.new_progress(1), initial_weights(entry.shape, 3)
    model = build_model(entry.shape, entry.recipe, weights, ramps=entry.ramps)
    compile_model(model, entry.recipe, "multiclass")
    model.run_eagerly = True
    fixed = model.get_weights()[0]
    for epoch in map(tf.constant, (1, 2, 3)):
        batches = deal(rows, own, epoch, steps, width)
        for s in range(int(steps)):
            which = batches.rows[s, 0, : int(batches.size[s, 0])].numpy()
            model.train_on_batch(data.train.X[which], data.train.y[which])
        at, _, _ = machine.epoch(rows, own, at, epoch, steps, width)
    assert np.array_equal(model.get_weights()[0], fixed)
    for ours, theirs in zip(machine.weights(own)[0], model.get_weights()[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("norm", [{}, {"batch_norm": True}])
def test_the_saved_model_takes_raw_columns_and_goes_on_training(norm, tmp_path):
    data = fold("regression", n=200)
    (fit,) = BACKEND.fit([FitJob({**BINS, **norm, "dropout": 0.1, "input_dropout": 0.1}, data, 0)])
    assert fit.native["keras.bins"] == 4
    X = np.vstack([data.stop.X, 100 * data.stop.X])  # far beyond the train part too
    ours = fit.member.predict(X)
    again = NetworkMember.load(tmp_path, fit.member.save(tmp_path))
    np.testing.assert_allclose(again.predict(X), ours, rtol=1e-5, atol=1e-5 * fit.member.scale)
    assert not any("autoreg" in type(layer).__module__ for layer in again.model.layers)
    model = fit.member.model
    before = [w.copy() for w in model.get_weights()]
    model.run_eagerly = True
    model.fit(data.train.X, (data.train.y - 40) / 5, epochs=1, verbose=0)
    assert np.array_equal(model.get_weights()[0], before[0])
    assert not np.array_equal(model.get_weights()[1], before[1])


def test_members_with_ramps_are_the_same_alone_or_in_company():
    folds = [fold(n=120, seed=s) for s in (1, 2)]
    jobs = [FitJob({**BINS, "dropout": 0.2, "bins": (4, 4, 8)[i % 3]}, folds[i % 2], i) for i in range(6)]
    together = BACKEND.fit(jobs)
    for i in (0, 2, 5):
        (alone,) = BACKEND.fit([jobs[i]])
        assert equal(together[i], alone)
