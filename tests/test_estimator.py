"""The scikit-learn face: scikit-learn's own checks, what people pass, what they get, and what they are told."""

import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import autoreg
from autoreg import AutoRegClassifier, AutoRegRegressor
from autoreg.estimator.wording import plainly

TINY = {"trials": 1, "backends": ("sklearn",), "random_state": 0}
KEYS = ("data.", "search.", "split.", "registry.", "study", "--")

# Folds and the holdout part equal rows, so that a row of weight 2 is not a row given twice.
EXPECTED = {
    name: "a repeated row has other folds than a row of weight 2"
    for name in (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    )
}
QUICK = (
    "check_estimator_cloneable", "check_no_attributes_set_in_init", "check_estimators_unfitted", "check_dict_unchanged",
    "check_estimator_sparse_tag", "check_fit2d_1sample", "check_n_features_in_after_fitting", "check_estimators_pickle",
    "check_classifiers_classes", "check_regressors_int", "check_parameters_default_constructible", "check_fit_idempotent",
)  # fmt: skip


def checks(estimator, names=None):
    found = estimator_checks_generator(estimator, expected_failed_checks=EXPECTED, mark="skip")
    for model, check in found:
        function = getattr(check, "func", check)
        name = getattr(function, "__name__", type(function).__name__)
        if names is None or name in names:
            yield pytest.param(model, check, id=f"{type(model).__name__}-{name}")


def both(names=None, **params):
    return [
        case
        for kind in (AutoRegClassifier, AutoRegRegressor)
        for case in checks(kind(**{**TINY, **params}), names)
    ]


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def fitted(cancer):
    X, y = cancer
    return AutoRegClassifier(**{**TINY, "trials": 3}).fit(X, y)


# -- scikit-learn's checks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "check"), both(QUICK))
def test_quick_checks(model, check):
    check(model)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the checks pass data that scikit-learn itself warns of
@pytest.mark.parametrize(("model", "check"), both(trials=2, timeout=60))
def test_all_checks(model, check):
    check(model)


@pytest.mark.full
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("model", "check"), both(backends=("xgboost",), timeout=60))
def test_all_checks_of_boosted_trees(model, check):
    check(model)


@pytest.mark.full
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("model", "check"), both(backends=("keras",), timeout=60))
def test_all_checks_of_networks(model, check):
    check(model)


# -- what people pass ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [("no", "yes"), (" a", "a"), ("NA", "b"), ("True", "true"), (False, True), (1, 2), (-1, 1), (1.0, 2.0)],
    ids=str,
)
def test_labels_come_back_as_they_were(labels):
    X, y = load_iris(return_X_y=True)
    X, y = X[50:], np.array(labels)[y[50:] - 1]
    model = AutoRegClassifier(**TINY).fit(X, y)
    assert model.classes_.tolist() == sorted(labels)
    assert set(model.predict(X)) == set(labels)
    assert model.score(X, y) > 0.9
    np.testing.assert_array_equal(model.classes_[model.predict_proba(X).argmax(axis=1)], model.predict(X))


def test_a_frame_of_all_kinds():
    rng = np.random.default_rng(0)
    n = 150
    X = pd.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "colour": pd.Categorical(rng.choice(["red", "blue", "green"], n)),
            "town": rng.choice(["Ulm", "Bonn"], n),
            "day": pd.date_range("2026-01-01", periods=n),
            "member": rng.random(n) < 0.5,
        },
        index=np.arange(n)[::-1],
    )
    y = pd.Series(np.where((X["colour"] == "red") & X["member"], "stays", "goes"), index=X.index, name="size")
    model = AutoRegClassifier(**TINY).fit(X, y)
    assert model.feature_names_in_.tolist() == list(X.columns)
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="column 'size': expected a number, found 'big'"):
        model.predict(X.astype({"size": object}).assign(size="big"))


def test_numpy_pandas_and_sparse_give_one_model():
    X, y = load_wine(return_X_y=True)
    X = np.where(np.median(X, axis=0) < X, X, 0.0)
    models = [
        AutoRegClassifier(**TINY).fit(given, y) for given in (X, sparse.csr_array(X), sparse.coo_matrix(X))
    ]
    expected = models[0].predict_proba(X)
    for model, given in zip(models, (X, sparse.csc_array(X), X), strict=True):
        np.testing.assert_array_equal(model.predict_proba(given), expected)
    framed = AutoRegClassifier(**TINY).fit(pd.DataFrame(X), y)
    np.testing.assert_array_equal(framed.predict_proba(X), expected)


def test_polars_frames():
    polars = pytest.importorskip("polars")
    X, y = load_iris(return_X_y=True, as_frame=True)
    given = polars.DataFrame({name: X[name].to_numpy() for name in X})
    model = AutoRegClassifier(**TINY).fit(given, polars.Series(y.to_numpy()))
    assert model.feature_names_in_.tolist() == list(X.columns)
    assert model.score(given, y) > 0.9


def test_a_huge_sparse_matrix_is_refused():
    X = sparse.csr_array((200_000, 1_000))
    with pytest.raises(ValueError, match="at most 100,000,000 cells"):
        AutoRegRegressor(**TINY).fit(X, np.arange(200_000.0))


def test_rows_of_weight_0_change_nothing():
    X, y = load_iris(return_X_y=True)
    keep = np.arange(150) % 3 > 0
    weighted = AutoRegClassifier(**TINY).fit(X, y, sample_weight=keep.astype(float))
    alone = AutoRegClassifier(**TINY).fit(X[keep], y[keep], sample_weight=np.ones(100))
    np.testing.assert_array_equal(weighted.predict_proba(X), alone.predict_proba(X))


def test_class_weights_move_the_border():
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, :2]
    share = [
        (AutoRegClassifier(**TINY, class_weight=w).fit(X, y).predict(X) == 0).mean()
        for w in ({0: 0.1, 1: 1}, None, {0: 10, 1: 1})
    ]
    assert share[0] < share[1] < share[2]


def test_groups_are_not_parted_and_few_of_them_hold_nothing_out():
    X, y = load_iris(return_X_y=True)
    few = AutoRegClassifier(**TINY).fit(X, y, groups=np.arange(150) % 4)
    assert few.estimate_.kind == "cv_corrected"
    assert few.report_.record.folds == 4
    many = AutoRegClassifier(**TINY).fit(X, y, groups=np.arange(150) % 30)
    assert many.estimate_.kind == "holdout"
    # 5 rows are in a group
    assert many.report_.record.holdout_rows % 5 == 0


def test_a_class_of_one_row_is_learned():
    X, y = load_iris(return_X_y=True)
    rows = np.r_[:100, 149]
    model = AutoRegClassifier(**TINY).fit(X[rows], y[rows])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(X).shape == (150, 3)
    assert np.isfinite(model.predict_proba(X)).all()


# -- where the estimate comes from -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "holdout", "kind", "held"),
    [
        (442, "auto", "holdout", True),
        (60, "auto", "cv_corrected", False),
        (60, 0.3, "holdout", True),
        (442, None, "cv_corrected", False),
        (60, "nested", "nested", False),
    ],
)
def test_estimates(rows, holdout, kind, held):
    X, y = load_diabetes(return_X_y=True)
    model = AutoRegRegressor(**{**TINY, "trials": 2}, holdout=holdout).fit(X[:rows], y[:rows])
    found = model.estimate_
    assert (found.kind, found.metric) == (kind, "rmse")
    assert found.interval[0] < found.value < found.interval[1]
    assert (model.report_.record.holdout_rows > 0) == held
    assert model.report_.record.search_rows + model.report_.record.holdout_rows == rows


def test_the_same_seed_gives_the_same_model(cancer, fitted):
    X, y = cancer
    again = clone(fitted).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.best_params_ == fitted.best_params_


# -- what people get -------------------------------------------------------------------------------------------


def test_attributes(fitted):
    assert fitted.best_backend_ == "sklearn"
    assert fitted.run_id_ is None
    trials = fitted.trials_
    assert trials["number"].tolist() == [0, 1, 2]
    assert list(trials.columns[:6]) == ["number", "backend", "state", "penalty", "alpha", "l1_ratio"]
    won = trials.set_index("number").loc[fitted.report_.record.report["best"]["trial"]]
    assert all(won[name] == value for name, value in fitted.best_params_.items())
    assert np.isfinite(trials["cv_log_loss"]).all()


def test_the_report_is_explained_when_asked_and_can_be_saved(cancer, tmp_path):
    model = AutoRegClassifier(**TINY).fit(*cancer)
    before = pickle.loads(pickle.dumps(model)).report_.record
    record = model.report_.record
    assert before.importance == []
    assert before.worth == []
    assert {found.column for found in record.importance} == set(cancer[0].columns)
    assert [found.name for found in record.worth] == ["penalty"]
    assert model._explained is None  # the training rows are let go
    for ending in ("html", "md", "json"):
        place = model.report_.save(tmp_path / f"report.{ending}")
        assert "log" in place.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"ends in \.html, \.md or \.json"):
        model.report_.save(tmp_path / "report.pdf")


def test_a_notebook_shows_the_result(fitted):
    shown = fitted._repr_html_()
    assert "believe this one" in shown
    assert "log loss" in shown
    assert "believe this one" not in clone(fitted)._repr_html_()
    page = fitted.report_._repr_html_()
    assert "<iframe srcdoc=" in page
    assert page.count("<style>") == 0  # the page's style stays in its frame


def test_a_result_of_tune_shows_itself_too(study_file):
    path = study_file(
        'name = "iris"\n[data]\nsource = "sklearn:iris"\ntarget = "target"\n'
        '[search]\ntrials = 1\nbackends = ["sklearn"]\n'
    )
    shown = autoreg.tune(path, tracking="off")._repr_html_()
    assert "believe this one" in shown


def test_not_fitted():
    model = AutoRegClassifier()
    for read in (lambda: model.trials_, lambda: model.report_, lambda: model.predict([[1.0]])):
        with pytest.raises(NotFittedError):
            read()
    assert not hasattr(model, "trials_")


def test_verbose_rewrites_one_line(capsys):
    X, y = load_breast_cancer(return_X_y=True)
    AutoRegClassifier(**{**TINY, "trials": 2}, verbose=1).fit(X, y)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert "2/2 trials; best loss: sklearn" in shown.split("\r")[-1]
    AutoRegClassifier(**TINY).fit(X, y)
    assert capsys.readouterr() == ("", "")


# -- what people are told --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"trials": 0}, "^trials: "),
        ({"timeout": "soon"}, "^timeout: expected seconds"),
        ({"backends": ("sklaern",)}, r"^backends: .*did you mean 'sklearn'"),
        ({"metric": "acuracy"}, r"^metric: .*did you mean 'accuracy'"),
        ({"holdout": 0.9}, "^holdout: "),
        ({"holdout": "some"}, "^holdout: expected"),
        ({"space": {"sklearn": {"alpa": 1.0}}}, r"^space: sklearn.alpa: .*did you mean 'alpha'"),
        ({"space": {"xgboost": {"eta": 0.1}}}, "^space: 'xgboost' is not among backends"),
        ({"space": [1]}, "^space: expected a dict"),
        ({"class_weight": "heavy"}, "^class_weight: expected"),
        ({"tracking": "mlflow"}, "needs a name"),
        ({"tracking": "yes"}, "^tracking: expected"),
        ({"n_jobs": 0}, "^n_jobs: "),
    ],
    ids=str,
)
def test_bad_parameters(params, words):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=words) as told:
        AutoRegClassifier(**{**TINY, **params}).fit(X[:100], y[:100])
    assert not any(key in str(told.value) for key in KEYS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": np.ones((100, 2))}, r"no feature is left; columns 'x0', 'x1'"),
        ({"X": np.ones((9, 2)), "y": np.arange(9)}, r"9 sample\(s\)"),
        ({"y": np.ones(100)}, "one class"),
        ({"y": np.arange(100) == 3}, "class True of y has 1 row"),
        ({"y": [None] + ["a"] * 50 + ["b"] * 49}, "y contains NaN"),
        ({"sample_weight": np.zeros(100)}, "weights must contain at least one non-zero"),
        ({"sample_weight": abs(np.arange(100) - 50) < 5}, "9 rows with a weight above 0 are too few"),
        ({"groups": np.ones(100)}, "groups: all rows are of one group"),
        ({"groups": np.arange(100) // 50}, "fold 0 would train on class"),
        ({"X": pd.DataFrame(np.ones((100, 2)), columns=["a", "a"])}, "column 'a' occurs more than once"),
    ],
)
def test_bad_data(change, words):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=words) as told:
        AutoRegClassifier(**TINY).fit(**{"X": X[:100], "y": y[:100], **change})
    assert not any(key in str(told.value) for key in KEYS)


def test_cells_that_are_no_values_are_a_type_error():
    X = pd.DataFrame({"a": [{}] * 50, "b": np.arange(50.0)})
    with pytest.raises(TypeError, match="column 'a' holds values of type dict"):
        AutoRegRegressor(**TINY).fit(X, np.arange(50.0))


def test_too_little_time_is_told():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(RuntimeError, match=r"more time \(timeout\)"):
        AutoRegClassifier(**TINY, timeout=0.001).fit(X, y)


def test_words_of_a_study_file_are_translated():
    assert (
        plainly("data.weight: column 'sample_weight' has negative values")
        == "sample_weight has negative values"
    )
    assert plainly("study: search.keras.dropout: unknown name") == "space: keras.dropout: unknown name"


# -- among other estimators ------------------------------------------------------------------------------------


def test_in_a_pipeline_a_grid_and_behind_a_threshold(cancer):
    X, y = cancer
    pipe = make_pipeline(StandardScaler(), AutoRegClassifier(**TINY))
    assert cross_val_score(pipe, X, y, cv=2).min() > 0.9
    grid = GridSearchCV(AutoRegClassifier(**TINY), {"holdout": [None, 0.3]}, cv=2).fit(X, y)
    assert grid.best_score_ > 0.9
    tuned = TunedThresholdClassifierCV(AutoRegClassifier(**TINY), cv=2).fit(X, y)
    assert tuned.score(X, y) > 0.9


@pytest.mark.parametrize(
    "backend", ["xgboost", pytest.param("keras", marks=[pytest.mark.slow, pytest.mark.full])]
)
def test_models_of_every_backend_are_pickled(backend):
    X, y = load_iris(return_X_y=True)
    model = AutoRegClassifier(**{**TINY, "backends": (backend,)}, holdout=None).fit(X, y)
    kept = pickle.dumps(model)
    for again in (pickle.loads(kept), pickle.loads(pickle.dumps(pickle.loads(kept)))):
        np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-6)
        assert again.best_params_ == model.best_params_
        assert again.trials_.equals(model.trials_)


@pytest.mark.slow
def test_worker_processes_of_joblib():
    code = textwrap.dedent("""
        from sklearn.datasets import load_iris
        from sklearn.model_selection import cross_val_score
        from autoreg import AutoRegClassifier
        X, y = load_iris(return_X_y=True)
        model = AutoRegClassifier(trials=1, backends=("sklearn",), random_state=0)
        alone, beside = (cross_val_score(model, X, y, cv=2, n_jobs=n) for n in (None, 2))
        assert alone.tolist() == beside.tolist(), (alone, beside)
    """)  # in a process of its own, which takes joblib's with it
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_workers_change_no_result():
    X, y = load_iris(return_X_y=True)
    one, two = (AutoRegClassifier(**{**TINY, "trials": 4}, n_jobs=n).fit(X, y) for n in (None, 2))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_ctrl_c_is_a_keyboard_interrupt():
    X, y = load_breast_cancer(return_X_y=True)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    # A shell has its background jobs ignore SIGINT, and Python leaves that as it is.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            AutoRegClassifier(**{**TINY, "trials": 2000}).fit(X, y)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_ctrl_c_leaves_no_worker_behind():
    psutil = pytest.importorskip("psutil")
    code = """
    import signal
    from autoreg import AutoRegClassifier
    from sklearn.datasets import load_breast_cancer

    if __name__ == "__main__":
        signal.signal(signal.SIGINT, signal.default_int_handler)
        X, y = load_breast_cancer(return_X_y=True)
        AutoRegClassifier(trials=2000, backends=["sklearn"], n_jobs=2, verbose=1).fit(X, y)
    """
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        shown = b""
        while b"1/2000" not in shown:
            shown += running.stdout.read1()
            assert running.poll() is None
        workers = psutil.Process(running.pid).children(recursive=True)
        assert len(workers) >= 2
        running.send_signal(signal.SIGINT)
        told = running.communicate(timeout=60)[1]
    finally:
        running.kill()
    assert b"KeyboardInterrupt" in told
    until = time.monotonic() + 20
    while any(w.is_running() and w.status() != "zombie" for w in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [w for w in workers if w.is_running() and w.status() != "zombie"]


# -- tracked ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tracked_and_fitted_again(store):
    from autoreg.registry import load_package

    X, y = load_iris(return_X_y=True, as_frame=True)
    y = y.map({0: "setosa", 1: "versicolor", 2: "virginica"})
    model = AutoRegClassifier(**TINY, tracking="mlflow", name="iris").fit(X, y)
    assert store.get_run(model.run_id_).info.status == "FINISHED"
    registered = load_package("models:/iris@champion").predict(X)["prediction"]
    assert registered.tolist() == model.predict(X).tolist()
    # The study is finished: the second fit takes what the ledger has.
    again = clone(model).fit(X, y)
    assert again.run_id_ == model.run_id_
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.report_.record.importance


def test_a_study_without_an_estimate_says_so():
    from autoreg.spec import parse_study
    from autoreg.words import describe_result

    raw = {
        "name": "diabetes",
        "data": {"source": "sklearn:diabetes", "target": "target"},
        "split": {"estimate": "none"},
        "search": {"trials": 1, "backends": ["sklearn"]},
    }
    result = autoreg.tune(parse_study(raw), tracking="off")
    assert result.record.search_rows == result.record.rows == 442
    assert result.report["estimate"]["kind"] == "none"
    assert result.report["estimate"]["optimism"] is None
    said = describe_result(result.as_json())
    assert "no rows were held out" in said
    assert "once corrected for having chosen the best trial" in said
    assert "no estimate from untouched rows" in result._repr_html_()
