"""A user's own metric: as scikit-learn scores it, in a study, from an installed package, and refused in one line."""

import pickle
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference

import autoreg
import autoreg.metrics as metrics
from autoreg import AutoRegClassifier, make_metric, register_metric
from autoreg.custom_metrics import tried
from autoreg.errors import StudyError
from autoreg.metrics import get_metric, known_metric
from autoreg.spec import parse_study

RNG = np.random.default_rng(0)
N = 120
Y = RNG.integers(0, 2, N)
P = np.clip(0.3 * Y + RNG.uniform(0, 0.7, N), 0.01, 0.99)
PROBABILITIES = np.stack([1 - P, P], axis=1)
COUNTS = RNG.integers(0, 4, (5, N)).astype(float)


def f2(y_true, y_pred, sample_weight=None):
    return reference.fbeta_score(y_true, y_pred, beta=2, sample_weight=sample_weight)


def bare_f2(y_true, y_pred):
    return reference.fbeta_score(y_true, y_pred, beta=2)


def cost_rows(y_true, y_pred):
    """A miss costs five times a false alarm."""
    return np.where((y_true == 1) & (y_pred == 0), 5.0, np.where((y_true == 0) & (y_pred == 1), 1.0, 0.0))


def auc(y_true, y_score, sample_weight=None):
    return reference.roc_auc_score(y_true, y_score, sample_weight=sample_weight)


def raising(y_true, y_pred):
    raise ZeroDivisionError("no profit here")


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch):
    monkeypatch.setattr(metrics, "_REGISTERED", {})


@pytest.mark.parametrize("function", [f2, bare_f2])
def test_samples_of_rows_are_scored_as_scikit_learn_scores_them(function):
    metric = make_metric("f2", function, greater_is_better=True)
    label = PROBABILITIES.argmax(axis=1)
    assert metric(Y, PROBABILITIES) == pytest.approx(f2(Y, label))
    found = metric.scorer(Y, PROBABILITIES)(COUNTS)
    np.testing.assert_allclose(found, [f2(Y, label, c) for c in COUNTS])


def test_a_metric_per_row_is_a_mean_and_needs_no_loop():
    metric = make_metric("cost", cost_rows, greater_is_better=False, per_row=True)
    each = cost_rows(Y, PROBABILITIES.argmax(axis=1))
    np.testing.assert_allclose(metric.row_values(Y, PROBABILITIES), each)
    np.testing.assert_allclose(
        metric.scorer(Y, PROBABILITIES)(COUNTS), [np.average(each, weights=c) for c in COUNTS]
    )


def test_probabilities_come_as_scikit_learn_wants_them():
    two = make_metric("auc", auc, greater_is_better=True, needs="probability", every_class=True)
    assert two(Y, PROBABILITIES) == pytest.approx(auc(Y, P))
    assert np.isnan(two(Y, PROBABILITIES, (Y == 1) * 1.0))
    seen = []
    three = make_metric(
        "shape", lambda y, p: seen.append(p.shape) or 0.0, greater_is_better=True, needs="probability"
    )
    three(np.array([0, 1, 2]), np.eye(3))
    assert seen == [(3, 3)]


def test_values_make_it_a_metric_of_regression():
    metric = make_metric("worst", lambda y, x: np.abs(y - x).max(), greater_is_better=False, needs="value")
    assert metric.tasks == ("regression",)
    assert metric(np.array([1.0, 2.0]), np.array([1.0, 5.0])) == 3.0


def test_no_row_is_no_score():
    assert np.isnan(make_metric("f2", f2, greater_is_better=True)(Y, PROBABILITIES, np.zeros(N)))


def test_weights_that_are_no_counts_need_a_function_that_takes_them():
    metric = make_metric("f2", bare_f2, greater_is_better=True)
    with pytest.raises(StudyError, match="'f2' takes no sample_weight and the rows have weights"):
        metric(Y, PROBABILITIES, np.full(N, 0.5))


def test_it_can_be_sent_to_a_worker():
    metric = pickle.loads(pickle.dumps(make_metric("f2", f2, greater_is_better=True)))
    assert metric(Y, PROBABILITIES) == pytest.approx(f2(Y, PROBABILITIES.argmax(axis=1)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "F 2"}, "name: expected small letters"),
        ({"function": 3}, "function: expected a function"),
        ({"needs": "score"}, "needs: expected one of probability, label, value, found 'score'"),
        ({"tasks": ["regression"]}, "tasks: expected some of binary, multiclass for labels"),
        ({"tasks": []}, "tasks: expected some of"),
    ],
)
def test_what_cannot_be_a_metric_is_refused(given, message):
    name, function = given.pop("name", "f2"), given.pop("function", f2)
    with pytest.raises(ValueError, match=message):
        make_metric(name, function, greater_is_better=True, **given)


@pytest.mark.parametrize(
    ("function", "per_row", "message"),
    [
        (raising, False, "search.metric: 'mine' raised ZeroDivisionError: no profit here"),
        (lambda y, p: "high", False, "'mine' returned str; expected one number"),
        (
            lambda y, p: 1.0,
            True,
            "'mine' is per_row: expected 120 numbers, one a row, found float64 of shape",
        ),
    ],
)
def test_a_function_that_fails_is_found_before_the_first_trial(function, per_row, message):
    metric = make_metric("mine", function, greater_is_better=True, per_row=per_row)
    with pytest.raises(StudyError, match=message):
        tried(metric, Y, 2, None)


def test_names_are_looked_up_registered_first_and_built_in_ones_stay():
    metric = make_metric("f2", f2, greater_is_better=True, tasks=["binary"])
    with pytest.raises(StudyError, match="'f2' is not a metric"):
        get_metric("f2", "binary")
    register_metric(metric)
    assert get_metric("f2", "binary") is metric
    with pytest.raises(StudyError, match="'f2' does not suit a multiclass target"):
        get_metric("f2", "multiclass")
    with pytest.raises(StudyError, match=r"did you mean 'f2'|f2"):
        get_metric("f22", "binary")
    with pytest.raises(ValueError, match="'f1' is a metric of autoreg already"):
        register_metric(make_metric("f1", f2, greater_is_better=True))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package that offers a metric, as pip would."""

    def install(code, offered="tonnes = shop_metrics:tonnes"):
        (tmp_path / "shop_metrics.py").write_text(textwrap.dedent(code))
        told = tmp_path / "shop_metrics-1.0.dist-info"
        told.mkdir()
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-metrics\nVersion: 1.0\n")
        (told / "entry_points.txt").write_text(f"[autoreg.metrics]\n{offered}\n")
        monkeypatch.syspath_prepend(tmp_path)

    metrics._offered.cache_clear()
    yield install
    sys.modules.pop("shop_metrics", None)
    metrics._offered.cache_clear()


def test_an_installed_package_offers_a_metric(package):
    package("""
        from autoreg import make_metric

        def tons(y_true, y_pred):
            return abs(y_true - y_pred) / 1000

        tonnes = make_metric("tonnes", tons, greater_is_better=False, needs="value", per_row=True)
    """)
    assert get_metric("tonnes", "regression")(np.array([0.0, 1000.0]), np.zeros(2)) == 0.5


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere_to_be_found", "cannot be loaded: No module named 'nowhere_to_be_found'"),
        ("tonnes = len", "expected a metric of that name, made by autoreg.make_metric"),
    ],
)
def test_a_package_that_offers_nonsense_is_named(package, code, message):
    package(code)
    with pytest.raises(StudyError, match=message) as found:
        known_metric("tonnes")
    assert "shop_metrics:tonnes" in str(found.value)


def test_a_study_is_judged_by_it():
    X = pd.DataFrame(RNG.normal(size=(200, 3)), columns=list("abc"))
    y = np.where(X["a"] + RNG.normal(0, 0.7, 200) > 0.6, "late", "in time")
    cost = make_metric("cost", cost_rows, greater_is_better=False, per_row=True)
    model = AutoRegClassifier(trials=4, backends="sklearn", metric=cost, random_state=0).fit(X, y)
    assert model.estimate_.metric == "cost"
    assert not model.estimate_.greater_is_better
    assert {"cv_cost", "train_cost"} <= set(model.trials_.columns)
    low, high = model.estimate_.interval
    assert 0 <= low <= model.estimate_.value <= high <= 5


@pytest.mark.slow
def test_a_function_of_a_notebook_reaches_the_workers():
    local = {}
    exec(  # as a notebook's cell: its module is __main__ and no file holds it
        "def far(y_true, y_pred):\n    return abs(y_true - y_pred) * 1.0\n", {"__name__": "__main__"}, local
    )
    metric = make_metric("far", local["far"], greater_is_better=False, per_row=True)
    register_metric(metric)
    y = RNG.integers(0, 2, 150)
    frame = pd.DataFrame({"a": y + RNG.normal(size=150), "y": y})
    study = {"name": "far", "data": {"source": "frame", "target": "y"}}
    study["search"] = {"backends": ["sklearn"], "trials": 4, "metric": "far"}
    found = [
        autoreg.tune(parse_study(study), frame, n_jobs=n, tracking="off").as_json()["estimate"]["cv_fresh"]
        for n in (1, 2)
    ]
    assert found[0] == found[1]
