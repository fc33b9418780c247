"""Networks over images: what one fit gives, what is refused before trial 0, what is served."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from image_data import configured, fit_one, image_sizes, images

from autoreg.backends import Fit, FitFailure, FitJob, fits_alone, get_backend
from autoreg.backends.images import parse_conv, read_shape
from autoreg.backends.images_space import choices
from autoreg.backends.network import effective_params
from autoreg.errors import StudyError
from autoreg.serving import NetworkMember
from autoreg.space import resolve
from autoreg.trial import Choice, OutOfTime, Part, Range, Sizes

BACKEND = get_backend("keras")
SERIES, FLAT, VOLUME = (8, 2), (6, 6, 1), (4, 4, 4, 1)
WITH_ALL = {
    "conv": "4-6",
    "batch_norm": True,
    "dropout": 0.2,
    "input_dropout": 0.1,
    "spatial_dropout": 0.2,
    "penalty": "elasticnet",
    "alpha": 1e-3,
    "l1_ratio": 0.5,
    "bias_l2": 1e-3,
    "activity_l1": 1e-4,
    "zca": True,
}


def kernels(member):
    return [w for w in member.weights if w.ndim > 1]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_network_learns_what_images_show(task):
    data = images(task=task, n=200)
    fit = fit_one(data, epochs=40, patience=10)
    guess = fit.member.predict(data.score.X)
    if task == "regression":
        assert np.mean((guess - data.score.y) ** 2) < 0.3 * data.score.y.var()
    else:
        assert guess.shape == (40, data.n_classes)
        assert np.mean(guess.argmax(1) == data.score.y) > 0.8
    assert len(fit.curves["train_loss"]) == len(fit.curves["stop_loss"]) >= fit.rounds > 0
    assert fit.curves["train_loss"][-1] < fit.curves["train_loss"][0]
    assert fit.complexity > 0


@pytest.mark.parametrize("image", [SERIES, FLAT, VOLUME])
@pytest.mark.parametrize(
    "more", [{"conv": "4"}, WITH_ALL, {"conv": "4-4", "pool": "none", "head": "average"}]
)
def test_a_saved_network_takes_flat_rows_and_predicts_the_same(image, more, tmp_path):
    data = images(image)
    fit = fit_one(data, **more)
    assert isinstance(fit, Fit)
    guess = fit.member.predict(data.score.X)
    again = NetworkMember.load(tmp_path, fit.member.save(tmp_path))
    for _ in range(4):  # at last as a graph
        np.testing.assert_allclose(again.predict(data.score.X), guess, rtol=1e-6, atol=1e-6)
    with zipfile.ZipFile(tmp_path / "network.keras") as file:
        config = json.loads(file.read("config.json"))
    kinds = {layer["class_name"] for layer in config["config"]["layers"]}
    assert f"Conv{len(image) - 1}D" in kinds
    assert "Lambda" not in kinds
    assert {layer["module"] for layer in config["config"]["layers"]} == {"keras.layers"}


def test_the_served_network_has_the_regularizers_it_was_trained_with():
    found = fit_one(images(), **WITH_ALL).member.model
    convolution = next(layer for layer in found.layers if layer.name.startswith("conv2d"))
    factors = convolution.kernel_regularizer.get_config()
    assert (factors["l1"], factors["l2"]) == pytest.approx((5e-4, 2.5e-4))
    drops = [layer.rate for layer in found.layers if "dropout" in layer.name]
    assert drops == [0.1, 0.2, 0.2, 0.2]
    assert found.optimizer is not None


@pytest.mark.parametrize("more", [{}, {"dropout": 0.3, "spatial_dropout": 0.3}, {"shift": 0.2, "mixup": 0.3}])
def test_the_same_seed_gives_the_same_network_and_another_seed_another(more):
    data = images()
    a, b, c = (fit_one(data, seed, **more) for seed in (5, 5, 6))
    assert all(np.array_equal(x, y) for x, y in zip(a.member.weights, b.member.weights, strict=True))
    assert not np.array_equal(a.member.weights[0], c.member.weights[0])
    assert list(a.curves["stop_loss"]) == list(b.curves["stop_loss"])


def test_a_network_does_not_depend_on_those_that_were_fitted_before_it():
    data = images()
    alone = fit_one(data, 1, **WITH_ALL)
    fit_one(data, 2, **{**WITH_ALL, "alpha": 0.1, "dropout": 0.5, "spatial_dropout": 0.5})
    again = fit_one(data, 1, **WITH_ALL)
    assert np.array_equal(alone.member.predict(data.score.X), again.member.predict(data.score.X))


def test_stronger_penalties_make_smaller_weights():
    data = images()
    sizes = [
        sum(float(np.square(k).sum()) for k in kernels(fit_one(data, rounds=8, **more).member))
        for more in ({}, {"penalty": "l2", "alpha": 0.1}, {"penalty": "l2", "alpha": 1.0})
    ]
    assert sizes[0] > sizes[1] > sizes[2]
    decayed = fit_one(data, rounds=8, weight_decay=1.0)
    assert sum(float(np.square(k).sum()) for k in kernels(decayed.member)) < sizes[0]


def test_penalties_act_on_the_layers_they_name():
    data = images()
    strong = {"penalty": "l2", "alpha": 3.0}
    plain, first, hidden, every = (
        [float(np.abs(k).mean()) for k in kernels(fit_one(data, rounds=20, **{**strong, **more}).member)]
        for more in (
            {"penalty": "none"},
            {"penalty_layers": "first"},
            {"penalty_layers": "hidden"},
            {"penalty_layers": "all"},
        )
    )
    assert first[0] < 0.5 * plain[0]
    assert first[1] > 0.5 * plain[1]
    assert hidden[1] < 0.5 * plain[1]
    assert hidden[2] > 0.5 * plain[2]
    assert every[2] < 0.5 * plain[2]


def test_an_activity_penalty_on_the_first_layer_quiets_the_convolution():
    data = images()

    def activity(**more):
        model = fit_one(data, rounds=20, **more).member.model
        import keras

        first = next(layer for layer in model.layers if layer.name.startswith("conv"))
        return float(np.abs(np.asarray(keras.Model(model.input, first.output)(data.score.X))).mean())

    assert activity(activity_l1=0.1, activity_layers="first") < 0.5 * activity()


def test_inputs_are_left_alone():
    data = images(weight=np.linspace(0.0, 2.0, 120))
    parts = [data.train, data.stop, data.score]
    before = [(p.X.copy(), p.y.copy(), p.weight.copy()) for p in parts]
    for part in parts:
        for array in (part.X, part.y, part.weight):
            array.flags.writeable = False
    asked = configured(data, **WITH_ALL, shift=0.1, mixup=0.2)
    job = FitJob(dict(asked), data, 0)
    assert isinstance(BACKEND.fit([job])[0], Fit)
    assert job.params == asked
    for part, kept in zip(parts, before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip((part.X, part.y, part.weight), kept, strict=True))


def test_a_row_of_weight_zero_is_a_row_left_out():
    weight = np.where(np.arange(120) % 10 == 1, 0.0, 1.0)
    data = images(weight=weight)
    keep = data.train.weight > 0
    less = replace(data, train=Part(data.train.X[keep], data.train.y[keep], data.train.weight[keep]))
    a, b = (fit_one(d, mixup=0.5, zca=True) for d in (data, less))
    assert np.array_equal(a.member.predict(data.score.X), b.member.predict(data.score.X))
    nothing = replace(data, train=replace(data.train, weight=np.zeros(len(data.train))))
    assert "weight 0" in fit_one(nothing).reason


def test_rounds_are_trained_exactly_and_a_missing_stop_part_means_the_cap():
    data = images()
    fit = fit_one(data, rounds=4)
    assert (fit.rounds, len(fit.curves["train_loss"]), "stop_loss" in fit.curves) == (4, 4, False)
    alone = fit_one(images(stop=False), epochs=2)
    assert (alone.rounds, len(alone.curves["train_loss"])) == (2, 2)


def test_training_ends_after_patience_with_the_best_weights():
    data = images(n=60)
    fit = fit_one(data, epochs=40, patience=2, learning_rate=0.2, conv="8")
    stop = fit.curves["stop_loss"]
    assert len(stop) < 40
    assert fit.rounds == int(np.argmin(stop)) + 1 == len(stop) - 2
    p = fit.member.predict(data.stop.X)[np.arange(len(data.stop)), data.stop.y]
    assert -np.log(p).mean() == pytest.approx(stop.min(), rel=1e-4)
    whole = fit_one(data, epochs=40, patience=2, learning_rate=0.2, conv="8", early_stopping=False)
    assert (whole.rounds, len(whole.curves["stop_loss"])) == (40, 40)


def test_a_diverging_network_fails_alone():
    data = images(task="regression")
    job = FitJob(configured(data, optimizer="sgd", learning_rate=90.0, epochs=20), data, 0)
    bad, good = BACKEND.fit([job, FitJob(configured(data), data, 0)])
    assert isinstance(bad, FitFailure)
    assert "diverged" in bad.reason
    assert isinstance(good, Fit)


def test_a_deadline_holds_inside_an_epoch():
    asked = []

    def in_time():
        asked.append(True)
        return len(asked) < 3

    with pytest.raises(OutOfTime):
        fit_one(images(), in_time=in_time, batch_size=4)
    assert len(asked) == 3


def test_a_class_absent_from_the_train_part_keeps_its_output():
    data = replace(images(), n_classes=5)
    assert fit_one(data).member.predict(data.score.X).shape == (24, 5)


def test_dense_and_convolutional_jobs_of_one_call_come_back_in_order():
    data = images()
    given = [{"conv": "none"}, {"conv": "4"}, {"conv": "none", "shift": 0.1}, {"conv": "none"}]
    fits = BACKEND.fit([FitJob(configured(data, **g), data, 3) for g in given])
    assert [f.params["conv"] for f in fits] == ["none", "4", "none", "none"]
    assert np.array_equal(fits[0].member.predict(data.score.X), fits[3].member.predict(data.score.X))
    assert [f.params["shift"] for f in fits] == [0.0, 0.0, 0.1, 0.0]
    alone = [fits_alone(BACKEND, configured(data, **g)) for g in given]
    assert alone == [False, True, True, False]


def test_whitening_makes_the_training_pixels_uncorrelated():
    data = images()
    X = data.train.X
    kernel, bias = fit_one(data, zca=True, zca_epsilon=1e-6, epochs=1).member.weights[:2]
    white = X @ kernel + bias
    np.testing.assert_allclose(np.cov(white, rowvar=False, bias=True), np.eye(36), atol=0.02)
    np.testing.assert_allclose(white.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-3)
    other = replace(
        data, stop=replace(data.stop, X=data.stop.X + 9), score=replace(data.score, X=data.score.X + 9)
    )
    assert np.array_equal(fit_one(other, zca=True, zca_epsilon=1e-6, epochs=1).member.weights[0], kernel)


# -- the space -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [SERIES, FLAT, VOLUME, (28, 28, 1), (1, 1, 1)])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_space_of_images_passes_its_own_check(image, task):
    sizes = Sizes(
        task, 900, int(np.prod(image)), {"binary": 2, "multiclass": 4, "regression": 0}[task], image
    )
    space, default = BACKEND.space(sizes), BACKEND.default(sizes)
    BACKEND.check(space, task, image)
    BACKEND.check(default, task, image)
    assert set(default) <= set(space)
    assert set(resolve(BACKEND, sizes, {}, "tpe").default) == set(space)
    assert len(set(choices(image))) == len(choices(image))


def test_a_table_knows_no_image_names():
    table = Sizes("binary", 900, 36, 2)
    assert not {"conv", "shift", "zca"} & BACKEND.space(table).keys()
    assert {"conv", "shift", "zca"} <= BACKEND.space(replace(table, image=FLAT)).keys()


def test_epochs_shrink_where_a_row_costs_more():
    few, many, large = (
        BACKEND.default(Sizes("multiclass", rows, side * side, 10, (side, side, 1)))["epochs"]
        for rows, side in ((1_000, 28), (20_000, 28), (1_000, 96))
    )
    assert few > many >= 5
    assert few > large >= 5


@pytest.mark.parametrize(
    ("image", "space", "says"),
    [
        (None, {"conv": "32"}, "search.keras.conv: expected rows that are images, found a table"),
        (None, {"shift": Range(0.1, 0.2)}, "search.keras.shift: expected rows that are images"),
        (FLAT, {"conv": "32x64"}, "search.keras.conv: expected 'none' or whole numbers above 0 joined by dashes"),
        (FLAT, {"conv": Range(1, 5)}, "search.keras.conv: expected text such as '32-64'"),
        (FLAT, {"conv": Choice(("4", "4-4-4"))}, "leave a pixel of 6 x 6, found '4-4-4', which halves it 3 times"),
        (SERIES, {"flip": "horizontal"}, "search.keras.flip: expected images of two sides, found a series"),
        (SERIES, {"rotation": Range(1, 9)}, "search.keras.rotation: expected images of two sides"),
        (VOLUME, {"zoom": 0.1}, "search.keras.zoom: expected images of two sides, found a volume"),
        (FLAT, {"rotatoin": 10.0}, "did you mean 'rotation'?"),
        (FLAT, {"flip": "sideways"}, "search.keras.flip: expected one of none, horizontal, vertical, both"),
        (FLAT, {"pool": "median"}, "search.keras.pool: expected one of max, average, none"),
        (FLAT, {"kernel_size": 7}, "search.keras.kernel_size: expected at most 6, the longest side"),
        (FLAT, {"shift": 1.0}, "search.keras.shift: expected a number in [0, 1)"),
        (FLAT, {"bins": 8, "conv": "4"}, "search.keras.bins: expected search.keras.conv = 'none' beside it"),
        (FLAT, {"residual": True, "hidden": "8-8"}, "search.keras.residual: expected search.keras.conv = 'none'"),
        (FLAT, {"bins": 8, "conv": "none", "shift": 0.1}, "search.keras.bins: expected 0 beside search.keras.shift"),
        (FLAT, {"conv": "4-4", "hidden": "8", "activation": "relu-tanh"}, "expected 1 or 3 activations"),
        ((64, 64, 3), {"zca": True}, "search.keras.zca: expected at most 3,072 pixels times channels, found 12,288"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_words(image, space, says):
    with pytest.raises(StudyError) as error:
        BACKEND.check(space, "multiclass", image)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_possible_is_not_refused():
    BACKEND.check({"conv": "4-4-4", "pool": "none"}, "binary", FLAT)
    BACKEND.check({"flip": "both"}, "binary", VOLUME)
    BACKEND.check({"flip": "none", "rotation": 0.0}, "binary", SERIES)
    BACKEND.check({"conv": Choice(("none", "4")), "bins": 8}, "binary", FLAT)
    BACKEND.check({"conv": "4-4", "hidden": "8", "activation": "relu-tanh-elu"}, "binary", FLAT)


def test_effective_parameters_tell_what_is_fitted():
    data = images()
    dense = effective_params(configured(data, conv="none", pool="average", spatial_dropout=0.3, bins=8))
    assert (dense["pool"], dense["spatial_dropout"], dense["bins"]) == ("max", 0.0, 8)
    deep = effective_params(configured(data, layer_norm=True, bins=8, residual=True, hidden="8-8"))
    assert (deep["layer_norm"], deep["bins"], deep["residual"]) == (False, 0, False)
    assert effective_params(deep) == deep
    fit = fit_one(data, shift=0.1, activation="tanh")
    assert set(fit.params) <= set(BACKEND.space(image_sizes(data)))
    assert (fit.native["keras.filters"], fit.native["keras.shift"], fit.native["keras.pool"]) == (
        "4",
        0.1,
        "max",
    )


def test_shapes_are_counted():
    data = images((8, 8, 1))
    shape = read_shape(effective_params(configured(data, conv="4-6")), data.image, 3)
    assert shape.dense.columns == 2 * 2 * 6
    assert shape.multiplications == 64 * 9 * 4 + 16 * 9 * 4 * 6 + 24 * 8 + 8 * 3
    assert shape.kernels == 4
    assert parse_conv("none") == ()
