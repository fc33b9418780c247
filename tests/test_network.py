"""Networks: the space, what is refused before trial 0, and what one fit gives."""

import numpy as np
import pytest

from autoreg.backends import Fit, FitFailure, FitJob, get_backend
from autoreg.backends.layers import read_recipe
from autoreg.backends.network import PLAIN, effective_params
from autoreg.errors import StudyError
from autoreg.serving import NetworkMember
from autoreg.trial import Choice, Encoded, Part, Range, Sizes

BACKEND = get_backend("keras")
SIZE = {"batch_size": 32, "epochs": 10}


def encoded(task, n=240, d=6, k=3, seed=0, weight=None, stop=True):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(np.float32)
    score = X[:, 0] - X[:, 1] + 0.3 * rng.normal(size=n)
    y = {
        "binary": (score > 0).astype(int),
        "multiclass": np.digitize(score, [-0.7, 0.7]),
        "regression": 50 * score + 1000,
    }[task]
    part = lambda rows: Part(X[rows], y[rows], None if weight is None else weight[rows])  # noqa: E731
    i = np.arange(n) % 6
    classes = {"binary": 2, "multiclass": k, "regression": 0}[task]
    columns = tuple(f"c{j}" for j in range(d))
    return Encoded(
        part(i > 1), part(i == 0) if stop else None, part(i == 1), columns, (0,) * d, task, classes
    )


def params(task="binary", **more):
    return {
        **BACKEND.default(Sizes(task, 160, 6, 2)),
        "hidden": "16-8",
        "learning_rate": 0.01,
        "epochs": 30,
        **more,
    }


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_network_learns_saves_and_predicts_the_same(task, tmp_path):
    data = encoded(task)
    (fit,) = BACKEND.fit(
        [FitJob(params(task, penalty="elasticnet", alpha=1e-3, l1_ratio=0.5, dropout=0.1), data, 1)]
    )
    assert isinstance(fit, Fit)
    guess = fit.member.predict(data.score.X)
    if task == "regression":
        assert np.mean((guess - data.score.y) ** 2) < 0.3 * data.score.y.var()
    else:
        assert guess.shape == (40, data.n_classes)
        assert np.mean(guess.argmax(1) == data.score.y) > 0.75
    again = NetworkMember.load(tmp_path, fit.member.save(tmp_path)).predict(data.score.X)
    np.testing.assert_allclose(again, guess, rtol=1e-5, atol=1e-5)
    assert len(fit.curves["train_loss"]) == len(fit.curves["stop_loss"]) >= fit.rounds > 0
    assert fit.native["keras.kernel_l1"] == pytest.approx(5e-4)
    assert fit.native["keras.kernel_l2"] == pytest.approx(2.5e-4)


@pytest.mark.parametrize("more", [{}, {"bins": 8, "batch_norm": True}, {"hidden": "32-32", "residual": True}])
def test_a_network_that_is_asked_often_becomes_a_graph_and_says_the_same(more, tmp_path):
    data = encoded("multiclass")
    (fit,) = BACKEND.fit([FitJob(params("multiclass", dropout=0.2, **more), data, 1)])
    served = NetworkMember.load(tmp_path, fit.member.save(tmp_path))
    plain, X = served.call, data.score.X
    first = [served.predict(X), served.predict(X[:1])]
    assert served.call is plain
    for rows in (len(X), 1, 7):
        np.testing.assert_allclose(served.predict(X[:rows]), first[0][:rows], rtol=1e-5, atol=1e-6)
    assert served.call is not plain
    assert served.call.experimental_get_tracing_count() == 1  # one graph for any number of rows
    np.testing.assert_allclose(first[1], first[0][:1], rtol=1e-5, atol=1e-6)


def test_the_same_seed_gives_the_same_result_and_another_seed_another():
    data = encoded("binary")
    jobs = [FitJob(params(dropout=0.3), data, seed) for seed in (5, 5, 6)]
    a, b, c = (fit.member.predict(data.score.X) for fit in BACKEND.fit(jobs))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_unit_of_a_target_changes_nothing_but_the_unit_of_the_predictions():
    data = encoded("regression")
    unit = 2.0**600  # whose square is beyond float64
    parts = [Part(p.X, p.y * unit) for p in (data.train, data.stop, data.score)]
    far = Encoded(*parts, data.columns, data.levels, "regression", 0)
    a, b = BACKEND.fit([FitJob(params("regression", epochs=3), d, 0) for d in (data, far)])
    np.testing.assert_allclose(
        a.member.predict(data.score.X) * unit, b.member.predict(data.score.X), rtol=1e-6
    )


def test_rounds_are_trained_exactly_and_a_missing_stop_part_means_the_cap():
    data, alone = encoded("binary"), encoded("binary", stop=False)
    first, second = BACKEND.fit([FitJob(params(), data, 0, rounds=4), FitJob(params(epochs=3), alone, 0)])
    assert (first.rounds, len(first.curves["train_loss"])) == (4, 4)
    assert (second.rounds, len(second.curves["train_loss"])) == (3, 3)
    assert "stop_loss" not in second.curves


def test_a_diverging_network_fails_alone():
    data = encoded("regression")
    bad, good = BACKEND.fit(
        [
            FitJob(params("regression", optimizer="sgd", learning_rate=50.0), data, 0),
            FitJob(params("regression"), data, 0),
        ]
    )
    assert isinstance(bad, FitFailure)
    assert "diverged" in bad.reason
    assert isinstance(good, Fit)


def test_a_class_absent_from_the_train_part_keeps_its_output():
    (fit,) = BACKEND.fit([FitJob(params("multiclass"), encoded("multiclass", k=5), 0)])
    assert fit.member.predict(encoded("multiclass").score.X).shape == (40, 5)


def test_weights_weigh():
    n = np.arange(240)
    data = encoded("binary", weight=np.where(n % 2, 1.0, 1e-6))
    rows = data.train.y == 1
    heavy = Encoded(
        Part(data.train.X, data.train.y, np.where(rows, 50.0, 1.0)),
        None,
        None,
        data.columns,
        data.levels,
        "binary",
        2,
    )
    plain = Encoded(Part(data.train.X, data.train.y), None, None, data.columns, data.levels, "binary", 2)
    a, b = BACKEND.fit([FitJob(params(epochs=5), heavy, 0), FitJob(params(epochs=5), plain, 0)])
    assert a.member.predict(data.score.X)[:, 1].mean() > b.member.predict(data.score.X)[:, 1].mean() + 0.1


def test_the_space_holds_the_default_and_every_name_checks():
    for task, k in (("binary", 2), ("multiclass", 4), ("regression", 0)):
        sizes = Sizes(task, 400, 10, k)
        space = BACKEND.space(sizes)
        BACKEND.check(space, task)
        assert set(BACKEND.default(sizes)) <= set(space)
        searched = [name for name, d in space.items() if isinstance(d, Range | Choice)]
        assert 6 <= len(searched) <= 8


def test_ramps_are_searched_where_a_wide_first_layer_is_cheap():
    small, large = (BACKEND.space(Sizes("binary", n, 100, 2))["bins"] for n in (1_000, 22_000))
    assert small == Choice((0, 8))
    assert large == 0
    assert BACKEND.default(Sizes("binary", 1_000, 100, 2))["bins"] == 0


def test_work_shrinks_with_rows():
    few, many = (BACKEND.space(Sizes("binary", n, 10, 2)) for n in (300, 160_000))
    assert few["batch_size"] < many["batch_size"]
    assert few["epochs"] > many["epochs"] >= 5


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (
            {"hidden": "128x64"},
            "search.keras.hidden: expected whole numbers above 0 joined by dashes, such as '128-64', found '128x64'",
        ),
        ({"hidden": Range(1, 5)}, "search.keras.hidden: expected text such as '128-64'"),
        ({"activation": "rellu"}, "search.keras.activation: expected one of relu"),
        (
            {"hidden": "8-8-8", "activation": "relu-tanh"},
            "expected 1 or 3 activations for 3 hidden layers, found 2",
        ),
        ({"dropout": 1.0}, "search.keras.dropout: expected"),
        ({"batch_norm": True, "layer_norm": Choice((False, True))}, "keep one of them"),
        ({"bins": 65}, "search.keras.bins: expected"),
        (
            {"residual": True},
            "search.keras.residual: expected search.keras.hidden with two layers of one width",
        ),
        ({"residual": "yes"}, "search.keras.residual: expected one of False, True"),
        ({"dropuot": 0.1}, "did you mean 'dropout'?"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(space, says):
    with pytest.raises(StudyError) as error:
        BACKEND.check(space, "binary")
    assert says in str(error.value)


def test_residual_is_on_only_where_it_adds_something():
    BACKEND.check({"residual": Choice((False, True)), "hidden": Choice(("64-32", "64-64"))}, "binary")
    found = [
        effective_params({**PLAIN, "residual": True, "hidden": h})["residual"] for h in ("64-32", "64-64")
    ]
    assert found == [False, True]


def test_accuracy_and_smoothing_need_classes():
    for name, value in (("monitor", "accuracy"), ("label_smoothing", 0.1)):
        with pytest.raises(StudyError, match=name):
            BACKEND.check({name: value}, "regression")


def test_effective_parameters_tell_what_is_fitted():
    got = effective_params({**PLAIN, "penalty": "l1", "alpha": 0.0, "l1_ratio": 0.4})
    assert (got["penalty"], got["alpha"], got["l1_ratio"]) == ("none", 0.0, 0.0)
    both = effective_params({**PLAIN, "kernel_l1": 0.01, "kernel_l2": 0.001})
    assert both["penalty"] == "elasticnet"
    assert both["alpha"] * both["l1_ratio"] == pytest.approx(0.01)
    assert both["alpha"] * (1 - both["l1_ratio"]) / 2 == pytest.approx(0.001)
    assert both["kernel_l1"] == 0.01
    assert effective_params(both) == both
    assert (read_recipe(both | SIZE).kernel_l1, read_recipe(both | SIZE).kernel_l2) == (
        (0.01,) * 3,
        (0.001,) * 3,
    )


def test_what_a_first_block_costs_grows_with_rows_columns_and_epochs():
    def opening(rows, columns=10, image=None, **space):
        sizes = Sizes("binary", rows, columns, 2, image)
        return BACKEND.opening({**BACKEND.space(sizes), **space}, sizes, 40)

    assert 8 < opening(200) < opening(3000) < opening(30_000)
    assert opening(3000, columns=80) == opening(3000) < opening(3000, columns=400)
    assert 8 < opening(3000, epochs=6) < opening(3000) == opening(3000, epochs=300)
    assert opening(3000, image=(8, 8, 1)) == 0.0
