"""The hand-written passes of a population against TensorFlow's tape, and the graph against NumPy."""

import dataclasses

import numpy as np
import pytest

from autoreg.backends.layers import Shape, read_recipe
from autoreg.backends.network import PLAIN

tf = pytest.importorskip("tensorflow")
from autoreg.backends.population_math import ACTIVATIONS, row_losses  # noqa: E402
from autoreg.backends.population_member import PopulationMember  # noqa: E402
from autoreg.backends.population_network import backward, forward, predict, weight_shapes  # noqa: E402
from autoreg.backends.population_records import Batches, Key  # noqa: E402
from autoreg.backends.population_stack import stack_recipes  # noqa: E402

RECIPE = read_recipe({**PLAIN, "batch_size": 16, "epochs": 1})


def random_values(key, members, rng):
    shapes = weight_shapes(key.shape)
    return {n: tf.constant(rng.normal(size=(members, *s)).astype(np.float32)) for n, s in shapes.items()}


def regularized(member):
    return dataclasses.replace(
        RECIPE, dropout=0.1 * member, input_dropout=0.2 * member, label_smoothing=0.1 * member,
        activity_l1=(0.01 * member, 0.02), activity_l2=(0.03, 0.01 * member),
    )  # fmt: skip


def random_batch(outputs, size, rng):
    """A batch of width 16 of three members: of ``size`` rows each, then places of weight 0."""
    valid = np.arange(16) < size[:, None]
    w = np.where(valid, rng.uniform(0.5, 2, (3, 16)) / size[:, None], 0.0).astype(np.float32)
    y = rng.integers(0, max(2, outputs), (3, 16)).astype(np.int32 if outputs > 1 else np.float32)
    share = np.where(valid, 1 / size[:, None], 0.0).astype(np.float32)[:, :, None]
    return Batches(None, tf.constant(y), tf.constant(w), tf.constant(size)), share


def floats(rng, *shape):
    return tf.constant(rng.uniform(size=shape).astype(np.float32))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_gradient_written_by_hand_is_that_of_the_tape(activation, norm, residual):
    rng = np.random.default_rng(3)
    task, outputs = ("multiclass", 4) if norm == "none" else ("binary", 1)
    parts = frozenset({"dropout", "input_dropout", "activity", "smoothing"})
    hidden = (6, 6) if residual else (6, 4)
    key = Key(Shape(5, hidden, (activation,) * 2, norm, outputs, residual), task, "adam", parts)
    own = stack_recipes([regularized(m) for m in range(3)], [0] * 3, [0] * 3, [1] * 3, [True] * 3)
    batch, share = random_batch(outputs, np.array([16, 11, 14], np.float32), rng)
    keeps, lifts = [own.input_keep, own.keep, own.keep], [own.input_lift, own.lift, own.lift]
    masks = [
        tf.floor(floats(rng, 3, 16, n) + k[:, None, None]) for n, k in zip((5, *hidden), keeps, strict=True)
    ]
    x = (floats(rng, 3, 16, 5) * 4 - 2) * masks[0]
    trained = {n: v for n, v in random_values(key, 3, rng).items() if n[0] not in ("mean", "variance")}
    with tf.GradientTape() as tape:
        tape.watch(list(trained.values()))
        lifted = {n: v * lifts[n[1]][:, None, None] if n[0] == "kernel" else v for n, v in trained.items()}
        passes, z = forward(key, lifted, x, masks[1:], batch)
        loss = tf.reduce_sum(batch.w * smooth_loss(task, z, batch.y, own.smoothing))
        for i, p in enumerate(passes):
            l1, l2 = own.activity_l1[:, i, None, None], own.activity_l2[:, i, None, None]
            loss += tf.reduce_sum((l1 * tf.abs(p.a) + l2 * p.a**2) * share)
    theirs = tape.gradient(loss, trained)
    g = row_losses(task, z, batch.y, own.smoothing[:, None])[1] * batch.w[:, :, None]
    ours = backward(key, lifted, passes, g, x, own, batch)
    assert set(ours) == set(theirs)
    for name, gradient in ours.items():
        np.testing.assert_allclose(gradient, theirs[name], atol=2e-5, rtol=2e-4, err_msg=str(name))


def test_a_skip_past_a_dropout_adds_what_was_dropped_out_and_scaled():
    rng = np.random.default_rng(4)
    key = Key(Shape(5, (6, 6), ("relu", "relu"), "none", 1, True), "binary", "adam", frozenset({"dropout"}))
    value = random_values(key, 1, rng)
    masks = [tf.floor(floats(rng, 1, 16, 6) + 0.6) for _ in range(2)]
    x = floats(rng, 1, 16, 5) - 0.5
    lifted = {n: v / 0.6 if n[0] == "kernel" and n[1] else v for n, v in value.items()}
    w = {n: v[0].numpy() for n, v in value.items()}
    first = np.maximum(x[0] @ w["kernel", 0] + w["bias", 0], 0) * masks[0][0] / 0.6
    second = first + np.maximum(first @ w["kernel", 1] + w["bias", 1], 0) * masks[1][0] / 0.6
    got = forward(key, lifted, x, masks, Batches(None, None, None, tf.constant([16.0])))[1]
    np.testing.assert_allclose(got[0], second @ w["kernel", 2] + w["bias", 2], rtol=1e-4, atol=1e-4)


def smooth_loss(task, z, y, smoothing):
    e = smoothing[:, None]
    if task == "binary":
        return tf.nn.sigmoid_cross_entropy_with_logits(y * (1 - e) + e / 2, z[:, :, 0])
    k = z.shape[2]
    soft = tf.one_hot(y, k) * (1 - e[:, :, None]) + e[:, :, None] / k
    return tf.nn.softmax_cross_entropy_with_logits(soft, z)


def test_predictions_of_the_graph_and_of_numpy_agree():
    key = Key(Shape(5, (6, 4), ("gelu", "elu"), "batch", 3), "multiclass", "adam", frozenset())
    value = random_values(key, 2, np.random.default_rng(0))
    value = {n: tf.abs(v) if n[0] == "variance" else v for n, v in value.items()}
    x = np.random.default_rng(1).normal(size=(20, 5)).astype(np.float32)
    graph = predict(key, value, tf.constant(np.stack([x, x])))
    for m in range(2):
        weights = [v[m].numpy() if n[0] == "kernel" else v[m, 0].numpy() for n, v in value.items()]
        member = PopulationMember(key.shape, RECIPE, weights, "multiclass")
        np.testing.assert_allclose(member.predict(x), tf.nn.softmax(graph[m]), atol=1e-5)
