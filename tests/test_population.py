"""Populations: every member trains as if it were alone, as Keras would train it, and ends as an ordinary Keras model."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from backend_data import encoded, params

from autoreg.backends import Fit, FitFailure, FitJob, get_backend
from autoreg.backends.layers import initial_weights
from autoreg.backends.network import PLAIN, effective_params
from autoreg.metrics import loss_rows
from autoreg.serving import NetworkMember
from autoreg.trial import Encoded, OutOfTime, Part, Sizes

tf = pytest.importorskip("tensorflow")
from autoreg.backends import population  # noqa: E402
from autoreg.backends.population_keras import build_model, compile_model  # noqa: E402
from autoreg.backends.population_program import Program, deal  # noqa: E402
from autoreg.backends.population_records import Batches  # noqa: E402

BACKEND = get_backend("keras")
SMALL = {**PLAIN, "hidden": "9-5", "learning_rate": 0.02, "batch_size": 16, "epochs": 12, "patience": 4}


def fold(task="binary", n=90, d=7, seed=0, weighted=False, stop=True):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(np.float32)
    score = X[:, 0] - X[:, 1] * X[:, 2] + 0.5 * rng.normal(size=n)
    y = {
        "binary": (score > 0).astype(int),
        "multiclass": np.digitize(score, [-1, 1]),
        "regression": 5 * score + 40,
    }[task]
    weight = rng.uniform(0.2, 3.0, n) if weighted else None
    part = lambda r: Part(X[r], y[r], None if weight is None else weight[r])  # noqa: E731
    train, other = np.arange(n) % 4 > 0, np.arange(n) % 4 == 0
    classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    columns = tuple(f"c{j}" for j in range(d))
    return Encoded(part(train), part(other) if stop else None, None, columns, (0,) * d, task, classes)


def weights_of(fit):
    assert isinstance(fit, Fit)
    return fit.member.weights


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(weights_of(a), weights_of(b), strict=True))


KINDS = {
    "plain": {},
    "kernel l1": {"kernel_l1": 0.01},
    "kernel l2": {"kernel_l2": 0.02},
    "kernel l1l2": {"penalty": "elasticnet", "alpha": 0.03, "l1_ratio": 0.4},
    "kernel l2 first layer": {"kernel_l2": 0.02, "penalty_layers": "first"},
    "bias l1l2": {"bias_l1": 0.02, "bias_l2": 0.05},
    "activity l1": {"activity_l1": 0.003},
    "activity l2": {"activity_l2": 0.003, "activity_layers": "first"},
    "weight decay": {"weight_decay": 0.2},
    "rate": {"learning_rate": 0.003},
}
MIXES = {
    "plain": {},
    "penalties": {"kernel_l1": 0.01, "kernel_l2": 0.02, "bias_l1": 0.01, "bias_l2": 0.03},
    "others": {"activity_l1": 0.003, "activity_l2": 0.01, "weight_decay": 0.2, "learning_rate": 0.003},
}
SETTINGS = [
    ("binary", {}, False, {**KINDS, "smoothing": {"label_smoothing": 0.2}}),
    ("multiclass", {"optimizer": "sgd", "activation": "silu"}, True, MIXES),
    ("regression", {"activation": "tanh-selu"}, True, MIXES),
    ("binary", {"batch_norm": True}, True, MIXES),
    ("multiclass", {"layer_norm": True, "activation": "gelu"}, False, MIXES),
    ("multiclass", {"residual": True, "hidden": "9-9-9-5"}, True, MIXES),
    ("binary", {"residual": True, "hidden": "6-6", "batch_norm": True}, False, MIXES),
]


def by_keras(entry, rows, member, batches):
    """Train one member with Keras alone, on the same batches."""
    model = build_model(entry.shape, entry.recipe, initial_weights(entry.shape, entry.job.seed))
    compile_model(model, entry.recipe, entry.job.data.task)
    model.run_eagerly = True
    for epoch in batches:
        for s in range(len(epoch.size)):
            size = int(epoch.size[s, member])
            which = epoch.rows[s, member, :size]
            x, y, w = (tf.gather(a, which).numpy() for a in (rows.x, rows.y, rows.w))
            model.train_on_batch(x, y[:, None] if model.output_shape[1] == 1 else y, sample_weight=w)
    return model.get_weights()


@pytest.mark.parametrize(("task", "more", "weighted", "kinds"), SETTINGS)
def test_every_member_follows_its_own_keras_model(task, more, weighted, kinds):
    folds = [fold(task, n, seed=n, weighted=weighted) for n in (60, 56)]
    jobs = [FitJob({**SMALL, **more, **kind}, folds[i % 2], seed=i) for i, kind in enumerate(kinds.values())]
    entries = [population.new_entry(job, effective_params(job.params)) for job in jobs]
    machine, rows, own, steps, width = population.prepare(entries)
    at, batches = population.new_progress(len(entries)), []
    for epoch in (1, 2, 3):
        batches.append(Batches(*(t.numpy() for t in deal(rows, own, tf.constant(epoch), steps, width))))
        at, _, _ = machine.epoch(rows, own, at, tf.constant(epoch), steps, width)
    got = machine.weights(own)
    for i, entry in enumerate(entries):
        for ours, theirs in zip(got[i], by_keras(entry, rows, i, batches), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=str(entry.job.params))


def test_a_residual_layer_adds_its_input_where_the_widths_agree():
    given = {**SMALL, "hidden": "4-4-3-3", "residual": True}
    entry = population.new_entry(FitJob(given, fold(), 0), effective_params(given))
    assert [entry.shape.adds(i) for i in range(5)] == [False, True, False, True, False]
    weights = [np.zeros_like(w) for w in initial_weights(entry.shape, 0)]
    weights[0], weights[4], weights[8] = (np.eye(*weights[i].shape, dtype="f") for i in (0, 4, 8))
    X = np.abs(fold().train.X)
    logit = build_model(entry.shape, entry.recipe, weights)(X).numpy()[
        :, 0
    ]  # the layers that add are 0 themselves
    np.testing.assert_allclose(logit, X[:, 0], rtol=1e-6)


def test_an_epoch_visits_each_training_row_of_a_member_once():
    folds = [fold(n=n) for n in (90, 86, 90)]
    entries = [
        population.new_entry(FitJob(SMALL, data, i), effective_params(SMALL)) for i, data in enumerate(folds)
    ]
    _, rows, own, steps, width = population.prepare(entries)
    orders = []
    for epoch in (1, 2):
        batches = deal(rows, own, tf.constant(epoch), steps, width)
        taken = [[batches.rows[s, m, : int(batches.size[s, m])] for s in range(int(steps))] for m in range(3)]
        sizes = batches.size.numpy()
        assert sizes.max() - sizes.min() <= 2
        for m, start in enumerate(rows.starts.numpy()):
            assert sorted(np.concatenate(taken[m])) == list(range(start, start + len(folds[m].train)))
        assert (batches.w.numpy() > 0).sum(axis=2).tolist() == sizes.tolist()
        orders.append(np.concatenate(taken[0]))
    assert not np.array_equal(*orders)


def test_dropout_keeps_the_share_it_should_and_no_two_members_share_a_mask():
    job = FitJob({**SMALL, "dropout": 0.3, "input_dropout": 0.1, "hidden": "200-100"}, fold(n=400, d=50), 0)
    entries = [
        population.new_entry(dataclasses.replace(job, seed=s), effective_params(job.params)) for s in range(8)
    ]
    machine, _, own, _, _ = population.prepare(entries)
    inputs, first, second = machine.masks(
        own, tf.constant(1), tf.constant(0), machine.windows(own, tf.constant(1), tf.constant(64))
    )
    for mask, keep in ((inputs, 0.9), (first, 0.7), (second, 0.7)):
        assert set(np.unique(mask)) == {0.0, 1.0}
        np.testing.assert_allclose(tf.reduce_mean(mask, (1, 2)), keep, atol=0.02)
    assert len({m.tobytes() for m in first.numpy()}) == 8


def test_a_member_is_the_same_to_the_last_bit_alone_or_in_company_wherever_it_stands():
    folds = [fold(n=n, seed=s) for n, s in ((120, 1), (120, 2))]
    kinds = [
        {"dropout": 0.4},
        {"kernel_l1": 0.01, "dropout": 0.2},
        {},
        {"weight_decay": 0.1, "input_dropout": 0.2},
    ]
    jobs = [FitJob({**SMALL, **kind, "patience": 2}, folds[i % 2], i) for i, kind in enumerate(kinds * 3)]
    together = BACKEND.fit(jobs)
    turned = BACKEND.fit(jobs[::-1])[::-1]
    for i in (0, 1, 7, 11):
        (alone,) = BACKEND.fit([jobs[i]])
        assert equal(together[i], turned[i])
        assert equal(together[i], alone)
        assert alone.rounds == together[i].rounds


def test_perturbing_one_member_leaves_the_others_untouched():
    data = fold()
    jobs = [FitJob({**SMALL, "dropout": 0.2}, data, seed) for seed in range(4)]
    other = [*jobs[:2], FitJob({**SMALL, "dropout": 0.6, "learning_rate": 0.3}, data, 77), jobs[3]]
    before, after = BACKEND.fit(jobs), BACKEND.fit(other)
    assert [equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False, True]


def test_a_member_that_diverges_fails_alone():
    data = fold("regression")
    plain = {**SMALL, "optimizer": "sgd", "learning_rate": 0.01}
    jobs = [FitJob(plain, data, 0), FitJob({**plain, "learning_rate": 1e6}, data, 1), FitJob(plain, data, 2)]
    with_it, without = BACKEND.fit(jobs), BACKEND.fit([jobs[0], jobs[2]])
    assert isinstance(with_it[1], FitFailure)
    assert "diverged" in with_it[1].reason
    assert equal(with_it[0], without[0])
    assert equal(with_it[2], without[1])


def test_taking_finished_members_out_changes_nothing(monkeypatch):
    data = fold(n=200)
    jobs = [FitJob({**SMALL, "dropout": 0.1 * s, "patience": 1 + s, "epochs": 20}, data, s) for s in range(6)]
    early = BACKEND.fit(jobs)
    monkeypatch.setattr(population, "COMPACT", 0.0)
    late = BACKEND.fit(jobs)
    assert len({len(fit.curves["stop_loss"]) for fit in early}) > 2
    for a, b in zip(early, late, strict=True):
        assert equal(a, b)
        assert a.curves["stop_loss"].tolist() == b.curves["stop_loss"].tolist()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("min_delta", [0.0, 0.02])
def test_early_stopping_ends_where_it_should_and_restores_the_best_epoch(task, min_delta):
    data = fold(task, n=160, weighted=True)
    jobs = [FitJob({**SMALL, "epochs": 40, "patience": 3, "min_delta": min_delta}, data, s) for s in range(3)]
    for fit in BACKEND.fit(jobs):
        scale = fit.member.scale**2
        best, epoch, wait = np.inf, 0, 0
        for e, loss in enumerate(fit.curves["stop_loss"] / scale, 1):
            assert wait < 3
            best, epoch, wait = (loss, e, 0) if loss < best - min_delta else (best, epoch, wait + 1)
        assert wait == 3 or len(fit.curves["stop_loss"]) == 40
        assert fit.rounds == epoch
        rows = loss_rows(task, data.stop.y, fit.member.predict(data.stop.X))
        mean = np.average(rows, weights=data.stop.weight)
        assert mean == pytest.approx(fit.curves["stop_loss"][epoch - 1], rel=1e-4)


def test_early_stopping_can_watch_the_accuracy():
    data = fold(n=160)
    job = FitJob({**SMALL, "monitor": "accuracy", "patience": 8, "epochs": 8}, data, 0)
    fit, *each = BACKEND.fit([job, *(dataclasses.replace(job, rounds=e) for e in range(1, 9))])
    hits = [np.mean(one.member.predict(data.stop.X).argmax(1) == data.stop.y) for one in each]
    assert fit.rounds == np.argmax(hits) + 1
    assert equal(fit, each[fit.rounds - 1])


@pytest.mark.parametrize(
    ("norm", "activation"),
    [
        ({}, "relu-elu"),
        ({"hidden": "8-8", "residual": True}, "relu"),
        ({"hidden": "8-8", "residual": True, "batch_norm": True}, "tanh-selu"),
        ({}, "gelu-silu"),
        ({"batch_norm": True}, "selu-relu"),
        ({"layer_norm": True}, "tanh-sigmoid"),
    ],
)
def test_a_member_becomes_a_keras_model_that_predicts_the_same_and_goes_on_training(
    norm, activation, tmp_path
):
    data = fold("multiclass")
    kind = {
        "dropout": 0.2,
        "input_dropout": 0.1,
        "kernel_l1": 1e-3,
        "kernel_l2": 1e-3,
        "activity_l2": 1e-3,
        "weight_decay": 0.1,
    }
    (fit,) = BACKEND.fit([FitJob({**SMALL, **kind, **norm, "activation": activation}, data, 0)])
    ours = fit.member.predict(data.stop.X)
    again = NetworkMember.load(tmp_path, fit.member.save(tmp_path))
    np.testing.assert_allclose(again.predict(data.stop.X), ours, atol=1e-5)
    names = [type(layer).__name__ for layer in again.model.layers]
    assert names.count("Dense") == 3
    assert names.count("Dropout") == 3
    before = fit.member.model.get_weights()[0].copy()
    fit.member.model.run_eagerly = True
    history = fit.member.model.fit(data.train.X, data.train.y, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert not np.array_equal(before, fit.member.model.get_weights()[0])


def test_chunks_keep_to_the_budget_and_to_like_row_counts(monkeypatch):
    folds = [fold(n=n) for n in (80, 84, 200)]
    jobs = [FitJob({**SMALL, "epochs": 3}, folds[i % 3], i) for i in range(9)]
    entries = [population.new_entry(job, effective_params(job.params)) for job in jobs]
    found = list(population.chunks(entries))
    assert [sorted(len(e.job.data.train) for e in chunk) for chunk in found] == [
        [60] * 3 + [63] * 3,
        [150] * 3,
    ]
    whole = BACKEND.fit(jobs)
    monkeypatch.setattr(population, "MEMORY", int(2.5 * max(map(population.member_bytes, entries))))
    found = list(population.chunks(entries))
    assert [len(chunk) for chunk in found] == [3, 3, 2, 1]
    assert all(sum(map(population.member_bytes, chunk)) <= population.MEMORY for chunk in found)
    monkeypatch.setattr(population, "MEMORY", 10**4)
    assert [len(chunk) for chunk in population.chunks(entries)] == [1] * 9
    for a, b in zip(whole, BACKEND.fit(jobs), strict=True):
        assert isinstance(a, Fit)
        assert isinstance(b, Fit)


def test_one_trace_serves_every_size():
    BACKEND.fit([FitJob({**SMALL, "hidden": "6-3", "epochs": 2}, fold(n=90, seed=s), s) for s in range(3)])
    entry = population.new_entry(
        FitJob({**SMALL, "hidden": "6-3"}, fold(), 0), effective_params({**SMALL, "hidden": "6-3"})
    )
    machine = population.prepare([entry])[0]
    assert isinstance(machine, Program)
    BACKEND.fit([FitJob({**SMALL, "hidden": "6-3", "epochs": 2}, fold(n=300, seed=s), s) for s in range(7)])
    assert machine.epoch.experimental_get_tracing_count() == 1
    assert machine.members == 0


SCRIPT = """
import hashlib, sys
import numpy as np, tensorflow as tf
for kind in (tf.config.threading.set_intra_op_parallelism_threads, tf.config.threading.set_inter_op_parallelism_threads):
    kind(int(sys.argv[1]))
sys.path.insert(0, sys.argv[2])
from test_population import BACKEND, SMALL, FitJob, fold
params = {**SMALL, "hidden": "37-12", "activation": "gelu-relu", "dropout": 0.3, "kernel_l1": 1e-4, "epochs": 4}
found = hashlib.sha256()
for norm in ("none", "batch_norm", "layer_norm"):
    jobs = [FitJob({**params, norm: True} if norm != "none" else params, fold("multiclass", 700, d=33), s) for s in range(9)]
    for fit in BACKEND.fit(jobs):
        found.update(b"".join(w.tobytes() for w in fit.member.weights))
print(found.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.full
def test_the_number_of_threads_changes_no_bit():
    folder = str(Path(__file__).parent)
    hashes = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(threads), folder], check=True, capture_output=True, text=True
        ).stdout.split()[-1]
        for threads in (1, 2, 4)
    }
    assert len(hashes) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns"), [(50, 2000), (200_000, 30)])
def test_tables_small_and_large(rows, columns):
    data = fold(n=rows, d=columns)
    sizes = Sizes("binary", len(data.train), columns, 2)
    jobs = [FitJob({**BACKEND.default(sizes), "dropout": 0.1, "epochs": 2}, data, s) for s in range(5)]
    assert all(isinstance(fit, Fit) for fit in BACKEND.fit(jobs))


def test_a_deadline_is_kept_between_epochs_and_the_next_block_is_untouched():
    data = encoded("dense")
    backend = get_backend("keras")
    job = FitJob(params(backend, data, hidden="8", epochs=50), data, 0)
    left = iter([True] * 3)
    with pytest.raises(OutOfTime):
        backend.fit([job], lambda: next(left, False))
    again, plain = (backend.fit([job])[0] for _ in range(2))
    np.testing.assert_array_equal(again.member.predict(data.score.X), plain.member.predict(data.score.X))
    assert again.rounds > 0
