"""Augmentation: what each change does to a batch, and that it touches nothing but training batches."""

from dataclasses import replace

import numpy as np
import pytest
from image_data import fit_one, images

from autoreg.backends import get_backend
from autoreg.backends.images import AMOUNTS, Augment
from autoreg.serving import softmax

get_backend("keras")
ROWS = 64
ALL = {"rotation": 20.0, "shift": 0.2, "zoom": 0.2, "contrast": 0.3, "noise": 0.1, "cutout": 0.3}


def batch(image=(8, 8, 1), classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 1.0, (ROWS, *image)).astype(np.float32)
    y = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, ROWS)]
    return x, y, np.linspace(0.5, 1.5, ROWS).astype(np.float32)


def changed(data, seed=0, step=0, **given):
    """A batch after augmentation, as arrays."""
    import tensorflow as tf

    from autoreg.backends.augment import Dice, augment

    own = Augment(**given)
    amounts = {name: tf.constant(getattr(own, name), tf.float32) for name in AMOUNTS}
    dice = Dice(tf.constant(seed, tf.int64), tf.constant(step, tf.int64))
    tensors = (tf.constant(a) for a in data)
    return [np.asarray(a) for a in augment(*tensors, amounts, own.parts, dice)]


@pytest.mark.parametrize("image", [(8, 2), (8, 8, 3), (4, 4, 4, 1)])
@pytest.mark.parametrize("name", [*ALL, "mixup", "cutmix"])
def test_every_change_keeps_the_shape_and_changes_something(image, name):
    if len(image) != 3 and name in ("rotation", "zoom"):
        pytest.skip("needs images of two sides")
    data = batch(image)
    x, y, w = changed(data, **{name: {**ALL, "mixup": 0.5, "cutmix": 1.0}[name]})
    assert [a.shape for a in (x, y, w)] == [a.shape for a in data]
    assert np.isfinite(x).all()
    assert not np.array_equal(x, data[0])
    assert np.array_equal(y, data[1]) == (name not in ("mixup", "cutmix"))


def test_the_same_seed_and_step_give_the_same_batch_and_others_another():
    data, given = batch(), {**ALL, "flip": "both", "mixup": 0.5, "cutmix": 1.0}
    one, same, other, later = (changed(data, *at, **given)[0] for at in ((1, 2), (1, 2), (3, 2), (1, 3)))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, later)


@pytest.mark.parametrize(
    ("image", "kind", "axes"),
    [
        ((4, 6, 1), "horizontal", (2,)),
        ((4, 6, 1), "vertical", (1,)),
        ((4, 6, 1), "both", (1, 2)),
        ((2, 4, 6, 1), "horizontal", (3,)),
    ],
)
def test_a_flip_mirrors_about_half_of_the_rows(image, kind, axes):
    data = batch(image)
    x = changed(data, flip=kind)[0]
    mirrored = [np.flip(data[0], axis) for axis in axes]
    versions = [data[0], *mirrored, *([np.flip(data[0], axes)] if len(axes) > 1 else [])]
    hits = np.array([[np.array_equal(a, b) for a, b in zip(x, v, strict=True)] for v in versions])
    assert hits.any(axis=0).all()
    assert (hits.sum(axis=1) > ROWS / len(versions) / 3).all()


def test_a_shift_moves_a_point_by_no_more_than_its_share_and_keeps_the_middle_in_place_on_average():
    x = np.zeros((ROWS, 21, 21, 1), np.float32)
    x[:, 10, 10] = 1.0
    data = (x, *batch()[1:])
    moved = changed(data, shift=0.2)[0][..., 0]
    mass = moved.sum(axis=(1, 2))
    np.testing.assert_allclose(mass, 1.0, atol=1e-3)
    grid = np.arange(21)
    centre = np.stack([(moved.sum(axis=2) * grid).sum(1), (moved.sum(axis=1) * grid).sum(1)], 1) - 10
    assert 2.5 < np.abs(centre).max() <= 0.2 * 21 + 1e-3
    assert (np.abs(centre.mean(axis=0)) < 1.0).all()


def test_turns_and_zooms_keep_the_middle_and_their_limits():
    x = np.zeros((ROWS, 21, 21, 1), np.float32)
    x[:, 10, 4:17] = 1.0  # a line through the middle
    data = (x, *batch()[1:])
    turned = changed(data, rotation=30.0)[0][..., 0]
    np.testing.assert_allclose(turned[:, 10, 10], 1.0, atol=1e-3)
    rows, columns = np.meshgrid(np.arange(21) - 10, np.arange(21) - 10, indexing="ij")
    slope = (turned * rows * columns).sum(axis=(1, 2)) / (turned * columns**2).sum(axis=(1, 2))
    angle = np.degrees(np.arctan(slope))
    assert 20 < np.abs(angle).max() <= 32
    assert angle.min() < -10 < 10 < angle.max()
    zoomed = changed(data, zoom=0.3)[0][:, 10, :, 0].sum(axis=1) / 13
    assert 1.15 < zoomed.max() <= 1.4
    assert 0.6 <= zoomed.min() < 0.9


def test_series_and_volumes_shift_by_whole_steps_and_repeat_the_border():
    data = batch((10, 1))
    for before, after in zip(data[0][..., 0], changed(data, shift=0.3)[0][..., 0], strict=True):
        candidates = [before[np.clip(np.arange(10) - k, 0, 9)] for k in range(-3, 4)]
        assert any(np.array_equal(after, c) for c in candidates)
    volume = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None, None], (ROWS, 6, 5, 4, 1))
    moved = changed((volume, *data[1:]), shift=0.4)[0][..., 0]
    assert (moved == moved[:, :, :1, :1]).all()  # along the others nothing differs
    assert (np.diff(moved[:, :, 0, 0], axis=1) >= 0).all()
    assert (moved[:, 3, 0, 0] != 3).any()


def test_cutout_blackens_one_box():
    data = batch((10, 10, 2))
    x = changed(data, cutout=0.3)[0]
    black = (x == 0).all(axis=3)
    assert np.array_equal(x[~black], data[0][~black])
    assert black.sum(axis=(1, 2)).max() == 9
    assert black.sum(axis=(1, 2)).min() >= 4  # a corner cuts it to 2 x 2
    assert (black.any(axis=1).sum(axis=1) <= 3).all()


def test_contrast_keeps_the_mean_and_noise_has_its_spread():
    data = batch((16, 16, 2))
    x = changed(data, contrast=0.5)[0]
    np.testing.assert_allclose(x.mean(axis=(1, 2)), data[0].mean(axis=(1, 2)), atol=1e-5)
    ratio = x.std(axis=(1, 2)) / data[0].std(axis=(1, 2))
    assert (ratio > 0.49).all()
    assert (ratio < 1.51).all()
    assert ratio.std() > 0.1
    noise = changed(data, noise=0.2)[0] - data[0]
    assert noise.std() == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_targets_are_soft_and_their_weighted_sum_is_kept(name):
    data = batch((8, 8, 1))
    x, y, w = changed(data, **{name: 1.0})
    np.testing.assert_allclose(y.sum(axis=1), 1.0, atol=1e-5)
    assert ((y > 0.01) & (y < 0.99)).any(axis=1).sum() > ROWS / 4
    other, weight = np.roll(data[0], 1, 0), np.roll(data[2], 1)
    share = (w - weight) / (data[2] - weight)  # of the row's own weight
    assert ((share > -1e-3) & (share < 1 + 1e-3)).all()
    expected = (share * data[2])[:, None] * data[1] + ((1 - share) * weight)[:, None] * np.roll(data[1], 1, 0)
    np.testing.assert_allclose(y * w[:, None], expected, atol=2e-4)
    if name == "mixup":
        s = share[:, None, None, None]
        np.testing.assert_allclose(x, s * data[0] + (1 - s) * other, atol=2e-4)
    else:
        own = (x == data[0]).all(axis=3)
        assert np.array_equal(x[~own], other[~own])
        np.testing.assert_allclose(own.mean(axis=(1, 2)), share, atol=2e-3)


def test_a_row_of_no_weight_stays_out_of_a_mix():
    x, y, w = batch()
    w[::2] = 0.0
    _, mixed, total = changed((x, y, w), mixup=0.5)
    odd = np.arange(ROWS) % 2 == 1
    np.testing.assert_allclose(mixed[odd & (total > 0)], y[odd & (total > 0)], atol=1e-6)
    assert np.isfinite(mixed).all()


def test_small_shapes_of_the_beta_distribution_are_safe():
    import tensorflow as tf

    from autoreg.backends.augment import Dice

    def draws(alpha):
        dice = Dice(tf.constant(1, tf.int64), tf.constant(0, tf.int64))
        return np.asarray(dice.beta((4000,), tf.constant(alpha)))

    tiny, even, narrow = draws(0.01), draws(1.0), draws(8.0)
    assert np.isfinite(tiny).all()
    assert ((tiny < 0.01) | (tiny > 0.99)).mean() > 0.9
    assert even.var() == pytest.approx(1 / 12, rel=0.1)
    assert narrow.var() == pytest.approx(1 / (4 * 17), rel=0.1)
    assert narrow.mean() == pytest.approx(0.5, abs=0.02)


# -- where it acts -------------------------------------------------------------------------------------------------

STRONG = {**ALL, "flip": "both", "mixup": 1.0, "cutmix": 1.0}


def test_what_is_judged_and_served_is_never_changed():
    data = images()
    twin = replace(data, score=replace(data.score, X=np.repeat(data.score.X[:1], 20, axis=0)))
    fit = fit_one(twin, **STRONG, epochs=2, patience=9, early_stopping=False)
    again = fit.member.predict(twin.score.X)
    assert (again == again[0]).all()
    logits = np.asarray(fit.member.model(data.stop.X, training=False), np.float64)
    plain = -np.log(softmax(logits)[np.arange(len(data.stop)), data.stop.y]).mean()
    assert fit.curves["stop_loss"][-1] == pytest.approx(plain, rel=1e-4)
    kinds = [type(layer).__name__ for layer in fit.member.model.layers]
    assert kinds == ["InputLayer", "Reshape", "Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dense"]


def test_other_score_rows_change_nothing_that_is_fitted():
    data = images()
    other = replace(data, score=replace(data.score, X=1.0 - data.score.X))
    a, b = (fit_one(d, **STRONG) for d in (data, other))
    assert all(np.array_equal(x, y) for x, y in zip(a.member.weights, b.member.weights, strict=True))


@pytest.mark.parametrize("conv", ["none", "4"])
def test_augmentation_alone_makes_another_network_of_the_same_shape(conv):
    data = images()
    plain, moved = (
        fit_one(data, conv=conv, **more) for more in ({"noise": 1e-12}, {"shift": 0.2, "noise": 1e-12})
    )
    assert [w.shape for w in plain.member.weights] == [w.shape for w in moved.member.weights]
    assert not np.array_equal(plain.member.weights[0], moved.member.weights[0])


def test_shifts_help_where_training_images_show_one_place_alone():
    rng = np.random.default_rng(0)

    def rows(n, places):
        x = np.zeros((n, 12), np.float32)
        y, start = np.arange(n) % 2, rng.choice(places, n)
        for i in range(n):  # one pixel, or two beside each other
            x[i, start[i]] = 1.0
            x[i, start[i] + 2] = float(y[i])
        return x + 0.05 * rng.random((n, 12), np.float32), y

    data = images((12, 1), "binary")
    train, score = rows(120, [5]), rows(200, [3, 4, 6, 7])
    data = replace(
        data,
        train=replace(data.train, X=train[0], y=train[1]),
        stop=None,
        score=replace(data.score, X=score[0], y=score[1]),
    )
    right = [
        (fit_one(data, seed=1, conv="none", hidden="16", rounds=60, noise=1e-6, **more).member.predict(
            data.score.X).argmax(1) == data.score.y).mean()
        for more in ({}, {"shift": 0.3})
    ]  # fmt: skip
    assert right[1] > right[0] + 0.1
