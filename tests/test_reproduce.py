"""Published experiments: their authors' own rows, scaling, estimators and training, and no claim beyond that."""

import io
import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from autoreg import tune
from autoreg.backends import FitJob, get_backend
from autoreg.backends.network import effective_params
from autoreg.data import encode, load_table, make_split
from autoreg.errors import AutoregError, DataError, StudyError, UsageError
from autoreg.planning import plan
from autoreg.record import REPRODUCED, StudyRecord
from autoreg.report import model_card, render
from autoreg.retune import retune
from autoreg.space import resolve
from autoreg.spec import DataSpec, SplitSpec, parse_study
from autoreg.trial import Choice, Range, Sizes
from autoreg.words import describe_result
from autoreg.words_plan import describe_plan, plan_record

STRENGTHS = [0.001, 0.01, 0.1]
SPLIT = {"reproduce": True, "train": 0.8, "random_state": 42}
NETWORK = {"hidden": "8", "epochs": 12, "batch_size": 10, "early_stopping": False}


def table(frame, target="target", **data):
    spec = DataSpec(source="frame", target=target, **data)
    return load_table(spec, "t", ".", frame)


def numbers(rows, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)}).assign(
        target=np.arange(rows) % classes
    )


def linear(**more):
    return {
        "name": "penalties",
        "data": {"source": "sklearn:load_breast_cancer", "target": "target", "scale": "standard"},
        "split": SPLIT,
        "search": {
            "metric": "accuracy",
            "backends": ["sklearn"],
            "sampler": "grid",
            "trials": 50,
            "sklearn": {"penalty": ["l1", "l2"], "solver": "liblinear", "C": STRENGTHS, **more},
        },
    }


def network(sampler="grid", trials=50, metric="accuracy", split=SPLIT, **more):
    return parse_study(
        {
            "name": "networks",
            "data": {"source": "sklearn:load_iris", "target": "target", "scale": "standard"},
            "split": split,
            "search": {
                "metric": metric, "backends": ["keras"], "sampler": sampler, "trials": trials,
                "keras": NETWORK | more,
            },
        }
    )  # fmt: skip


def authors(penalty, strength):
    """What an author of a tutorial would write; her labels and predictions."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    scaler = StandardScaler().fit(X)
    ratio = {"l1": 1.0, "l2": 0.0}[penalty]
    model = LogisticRegression(C=strength, l1_ratio=ratio, solver="liblinear").fit(scaler.transform(X), y)
    return model, y_test, model.predict(scaler.transform(X_test)), model.score(scaler.transform(X), y)


# -- the rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [10, 30, 101, 303])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.75, 0.8, 0.9])
def test_the_rows_and_their_order_are_those_of_scikit_learn(rows, share):
    # The share that an author would have written: 0.3, where 1 - 0.7 is 0.30000000000000004.
    train, score = train_test_split(np.arange(rows), test_size=float(f"{1 - share:.2f}"), random_state=7)
    split = make_split(table(numbers(rows)), SplitSpec(reproduce=True, train=share, random_state=7), 0)
    assert [split.folds[0].train.tolist(), split.folds[0].score.tolist()] == [train.tolist(), score.tolist()]
    assert len(split.folds) == 1
    assert len(split.holdout) == 0
    assert split.folds[0].stop.tolist() == score.tolist()


def test_a_number_of_rows_strata_and_the_first_rows():
    found = table(numbers(100))
    split = make_split(found, SplitSpec(reproduce=True, train=30, order="first"), 5).folds[0]
    assert (split.train.tolist(), split.score.tolist()) == (list(range(30)), list(range(30, 100)))
    split = make_split(found, SplitSpec(reproduce=True, train=30, stratify=True, random_state=3), 5).folds[0]
    strata = found.target
    train, score = train_test_split(np.arange(100), test_size=70, random_state=3, stratify=strata)
    assert (split.train.tolist(), split.score.tolist()) == (train.tolist(), score.tolist())


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25])
def test_the_last_train_rows_validate_as_in_keras(share):
    fold = make_split(table(numbers(303)), SplitSpec(reproduce=True, validation=share), 0).folds[0]
    train, score = train_test_split(np.arange(303), test_size=0.2, random_state=42)
    at = math.floor(len(train) * (1.0 - share))  # keras.src.trainers.data_adapters.array_slicing
    assert fold.train.tolist() == train[:at].tolist()
    assert fold.stop.tolist() == train[at:].tolist()
    assert fold.score.tolist() == score.tolist()


@pytest.mark.parametrize(
    ("frame", "data", "split", "told"),
    [
        (numbers(20), {}, {"train": 20}, "leaves none of 20 rows"),
        (numbers(20), {}, {"train": 40}, "leaves none of 20 rows"),
        (numbers(20), {}, {"train": 1, "validation": 0.9}, "leaves 0 rows to train on"),
        (numbers(20).sort_values("target"), {}, {"train": 5, "order": "first"}, "all of one class"),
        (numbers(40), {"task": "regression"}, {"stratify": True}, "no classes"),
        (numbers(20).assign(g=range(20)), {"group": "g"}, {}, "leave data.group out"),
        (numbers(20).assign(g=range(20)), {"time": "g"}, {}, "leave data.time out"),
    ],
)
def test_splits_that_cannot_be(frame, data, split, told):
    with pytest.raises(DataError, match=told) as caught:
        make_split(table(frame, **data), SplitSpec(reproduce=True, **split), 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ({"train": 0.8}, "add reproduce = true"),
        ({"validation": 0.0}, "add reproduce = true"),
        ({"reproduce": True, "holdout": 0.2}, "holdout has no part"),
        ({"reproduce": True, "folds": 5}, "folds has no part"),
        ({"reproduce": True, "estimate": "nested"}, "estimate has no part"),
        ({"reproduce": True, "train": 1.0}, "found 1.0"),
        ({"reproduce": True, "train": 0}, "found 0"),
        ({"reproduce": True, "train": True}, "found True"),
        ({"reproduce": True, "validation": 1.0}, "less than 1"),
        ({"reproduce": True, "order": "first", "stratify": True}, "stratify has no part"),
        ({"reproduce": True, "order": "last"}, "order"),
    ],
)
def test_keys_that_do_not_go_together_are_refused_in_one_line(split, told):
    with pytest.raises(StudyError, match=told) as caught:
        parse_study({"name": "x", "data": {"source": "f", "target": "t"}, "split": split})
    assert "\n" not in str(caught.value)


def test_a_changed_budget_keeps_the_keys_that_a_study_did_not_name():
    raw = {"name": "x", "data": {"source": "f", "target": "t"}, "split": {"reproduce": True, "train": 30}}
    assert parse_study(raw).updated(search={"trials": 3}).split == parse_study(raw).split


def test_an_ordinary_study_keeps_its_name_whether_it_spells_the_default_scale_or_not():
    raw = linear() | {"split": {"folds": 3}}
    plain, spelled = ({**raw, "data": raw["data"] | {"scale": s}} for s in ("auto", "standard"))
    del plain["data"]["scale"]
    bare = plan(parse_study(plain)).digest
    assert plan(parse_study({**raw, "data": raw["data"] | {"scale": "auto"}})).digest == bare
    assert plan(parse_study(spelled)).digest != bare


# -- the numbers -------------------------------------------------------------------------------------------------


def encoded(frame, scale, train=0.7):
    found = table(frame, scale=scale)
    fold = make_split(found, SplitSpec(reproduce=True, train=train), 0).folds[0]
    return found, fold, *encode(found, fold, "dense", None)


def test_standard_scaling_is_that_of_scikit_learn_without_a_clip():
    frame = numbers(50).assign(b=[*range(49), 10_000])
    found, fold, data, preprocessor = encoded(frame, "standard")
    scaler = StandardScaler().fit(found.features.iloc[fold.train])
    for part, rows in ((data.train, fold.train), (data.score, fold.score)):
        wanted = scaler.transform(found.features.iloc[rows])
        np.testing.assert_allclose(part.X, wanted, rtol=1e-6, atol=1e-6)
    assert max(np.abs(data.train.X).max(), np.abs(data.score.X).max()) > 3
    json.dumps(preprocessor.state)
    assert np.abs(encoded(frame, "auto")[2].score.X).max() <= 10.0


def test_raw_numbers_and_unit_numbers():
    frame = numbers(60).assign(a=np.arange(60) % 7, b=np.linspace(-50, 5, 60))
    found, fold, data, _ = encoded(frame, "none")
    np.testing.assert_allclose(data.score.X, found.features.iloc[fold.score], rtol=1e-6)
    found, fold, data, _ = encoded(frame, "unit")
    largest = found.features.iloc[fold.train].abs().max()
    np.testing.assert_allclose(data.score.X, found.features.iloc[fold.score] / largest, rtol=1e-6)
    pixels = pd.DataFrame({"a": np.arange(60) * 4, "b": np.arange(60) % 3, "target": np.arange(60) % 2})
    found, fold, data, _ = encoded(pixels, "unit")
    np.testing.assert_allclose(data.train.X, found.features.iloc[fold.train] / 255.0, rtol=1e-6)


def test_integer_codes_stay_numbers():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"code{i}": rng.integers(0, i + 2, 300) for i in range(13)})
    data = encoded(frame.assign(target=rng.integers(0, 2, 300)), "standard")[2]
    assert data.train.X.shape[1] == 13


# -- linear models -----------------------------------------------------------------------------------------------


def test_penalty_and_strength_give_the_authors_own_figures(store):
    result = tune(parse_study(linear()))
    report = result.as_json()
    assert (report["status"], report["model"], result.package) == ("tuned", None, None)
    assert report["estimate"]["kind"] == "reproduced"
    assert report["estimate"]["holdout"] is None
    assert report["estimate"]["looks"] == 0
    runs = store.search_runs([report["experiment_id"]], f"tags.`mlflow.parentRunId` = '{report['run_id']}'")
    assert len(runs) == 6
    for run in runs:
        penalty, strength = run.data.params["penalty"], float(run.data.params["sklearn.C"])
        model, truth, guess, train = authors(penalty, strength)
        metrics = run.data.metrics
        assert metrics["test_accuracy"] == metrics["cv_accuracy"] == np.mean(truth == guess)
        assert metrics["train_accuracy"] == train
        assert metrics["complexity"] == np.count_nonzero(model.coef_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = classification_report(truth, guess)
        assert store_text(store, run.info.run_id, "classification_report.txt") == wanted
    parent = store.get_run(report["run_id"])
    assert parent.data.params["autoreg.reproduced"] == REPRODUCED
    assert REPRODUCED[1:] in parent.data.tags["mlflow.note.content"]
    assert store.search_registered_models() == []


def store_text(store, run_id, name):
    from mlflow.artifacts import load_text

    return load_text(f"{store.get_run(run_id).info.artifact_uri}/{name}")


def test_a_stopped_study_goes_on_and_keeps_what_its_trials_showed(store):
    class Stopper:
        said, numbers = [], []

        def say(self, message):
            self.said.append(message)

        def planned(self, trials, seconds): ...

        def stage(self, name): ...

        def trial(self, record, replayed):
            self.numbers.append(record.number)
            if len(self.numbers) == 4:
                raise KeyboardInterrupt

    with pytest.raises(AutoregError):
        tune(parse_study(linear()), watch=Stopper())
    went_on = tune(parse_study(linear()))
    whole = tune(parse_study(linear()), fresh=True)
    shown = [[(t.cv, t.train, t.details) for t in r.record.trials] for r in (went_on, whole)]
    assert shown[0] == shown[1]
    assert all(t.details["classification_report"] for t in whole.record.trials)
    assert tune(parse_study(linear())).status == "skipped"


def test_pages_say_what_the_numbers_are_worth():
    result = tune(parse_study(linear(penalty="l1")), tracking="off")
    record = StudyRecord.from_json(result.record.to_json())
    best = authors("l1", 0.1)[0]
    gone = [c for c, w in zip(load_breast_cancer().feature_names, best.coef_[0], strict=True) if w == 0]
    assert sorted(record.removed) == sorted(gone)
    card, page = model_card(record), render(record)
    for text in (card, page, describe_result(result.as_json())):
        assert REPRODUCED[1:] in text
        assert "registered as" not in text
    assert f"{len(gone)} of 30 encoded columns have weight 0 in the winner: `{record.removed[0]}`" in card
    assert "macro avg" in page
    assert gone[0] in page
    study = parse_study(linear())
    told = describe_plan(plan_record(study, plan(study)))
    assert REPRODUCED in told
    assert "will not be registered" in told


@pytest.mark.parametrize(
    ("space", "task", "told"),
    [
        ({"C": 1.0, "alpha": 0.1}, "binary", "keep one"),
        ({"C": 1.0}, "regression", "search.sklearn.C: belongs to logistic"),
        ({"solver": "liblinear", "penalty": "l2"}, "regression", "search.sklearn.solver: belongs to"),
        ({"solver": "liblinear", "penalty": "l2"}, "multiclass", "two classes"),
        ({"solver": "liblinear"}, "binary", "add penalty"),
        ({"solver": "liblinear", "penalty": Choice(("l1", "none"))}, "binary", "add penalty"),
        ({"C": -1.0}, "binary", "at least 0"),
        ({"solver": Choice(("auto", "liblinear"))}, "binary", "add penalty"),
    ],
)
def test_what_native_names_cannot_go_with(space, task, told):
    with pytest.raises(StudyError, match=told):
        get_backend("sklearn").check(space, task)


def test_a_strength_in_the_words_of_scikit_learn_is_the_same_strength():
    frame = load_breast_cancer(as_frame=True).frame
    data = encoded(frame, "standard")[2]
    backend, rows = get_backend("sklearn"), len(data.train)
    default = backend.default(Sizes("binary", rows, 30, 2)) | {"l1_ratio": 0.0}
    ours, native = (
        backend.fit([FitJob({**default, **given}, data, 0)])[0]
        for given in ({"alpha": 1.0 / (0.2 * rows)}, {"C": 0.2})
    )
    np.testing.assert_allclose(native.member.coef, ours.member.coef, rtol=1e-6)
    assert native.params["alpha"] == pytest.approx(ours.params["alpha"])
    assert "C" not in ours.params


# -- what is tried -----------------------------------------------------------------------------------------------


def test_a_grid_of_nine_is_nine_trials_and_no_default():
    factors = [0.001, 0.01, 0.1]
    result = tune(network(kernel_l1=factors, kernel_l2=factors, epochs=2), tracking="off")
    tried = {(t.params["kernel_l1"], t.params["kernel_l2"]) for t in result.record.trials}
    assert tried == {(a, b) for a in factors for b in factors}
    assert result.as_json()["trials"] == {"total": 9, "complete": 9, "pruned": 0, "failed": 0}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize(
    ("given", "count"),
    [({"kernel_l2": [0.1, 0.2]}, 2), ({}, 1), ({"kernel_l2": Range(0.001, 0.1, log=True)}, 3)],
)
def test_other_samplers_try_what_the_study_lists_and_nothing_else(sampler, given, count):
    result = tune(network(sampler, 3, kernel_l2=0.5, epochs=1) if not given else
                  network(sampler, 3, epochs=1, **given), tracking="off")  # fmt: skip
    tried = [t.params for t in result.record.trials]
    assert len(tried) == count
    assert all(p["kernel_l2"] > 0 and p["dropout"] == 0 and p["learning_rate"] == 1e-3 for p in tried)
    assert {p["batch_size"] for p in tried} == {10}


def test_each_optimizer_has_the_learning_rate_of_keras():
    backend, sizes = get_backend("keras"), Sizes("binary", 100, 4, 2)
    for name, rate in (("sgd", 0.01), ("adam", 0.001)):
        space = resolve(backend, sizes, {"optimizer": name}, "tpe", exact=True)
        assert space.default["learning_rate"] == rate


def test_the_winner_is_the_best_on_the_scored_rows_by_the_metric():
    result = tune(parse_study(linear()), tracking="off")
    assert result.as_json()["best"]["cv_mean"] == max(t.cv for t in result.record.trials)


def test_such_a_study_is_never_retuned(store):
    with pytest.raises(UsageError, match="nothing to retune") as caught:
        retune(parse_study(linear()))
    assert caught.value.exit_code == 64
    assert "\n" not in str(caught.value)


# -- networks ----------------------------------------------------------------------------------------------------


def moons(**more):
    X, y = make_moons(100, noise=0.2, random_state=1)
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(target=y)
    data = encoded(frame, "none", train=30)[2]
    backend = get_backend("keras")
    default = backend.default(Sizes("binary", 30, 2, 2))
    return backend, data, {**default, "hidden": "16", "epochs": 40, "batch_size": 64, **more}


def test_without_early_stopping_the_last_weights_are_kept():
    backend, data, params = moons(early_stopping=False, learning_rate=0.5)
    stopped = dict(params, early_stopping=True, patience=1)
    jobs = [FitJob(p, data, 4, accuracy=True) for p in (params, stopped, params)]
    last, best, again = backend.fit(jobs)
    assert last.rounds == 40
    assert best.rounds < len(best.curves["stop_loss"]) <= 40
    assert {name: len(curve) for name, curve in last.curves.items()} == dict.fromkeys(
        ("train_loss", "stop_loss", "train_accuracy", "stop_accuracy"), 40
    )
    guess = last.member.predict(data.score.X)
    assert last.curves["stop_accuracy"][-1] == pytest.approx(np.mean(guess.argmax(1) == data.score.y))
    rows = np.arange(len(guess))
    loss = -np.log(guess[rows, data.score.y]).mean()
    assert last.curves["stop_loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert np.array_equal(again.member.predict(data.score.X), guess)
    # One more epoch is one more: the weights of epoch 39 are others.
    (shorter,) = backend.fit([FitJob(dict(params, epochs=39), data, 4, accuracy=True)])
    assert not np.array_equal(shorter.member.predict(data.score.X), guess)


def test_curves_of_accuracy_change_nothing_else():
    backend, data, params = moons(dropout=0.2)
    (plain,), (told,) = (backend.fit([FitJob(params, data, 1, accuracy=yes)]) for yes in (False, True))
    assert set(plain.curves) == {"train_loss", "stop_loss"}
    assert np.array_equal(plain.member.predict(data.score.X), told.member.predict(data.score.X))
    assert plain.rounds == told.rounds
    assert ((told.curves["train_accuracy"] >= 0) & (told.curves["train_accuracy"] <= 1)).all()


def test_what_has_no_effect_is_shown_so():
    params = effective_params(
        {"early_stopping": False, "patience": 3, "monitor": "accuracy", "min_delta": 0.1, "epochs": 50}
    )
    assert (params["patience"], params["monitor"], params["min_delta"]) == (50, "loss", 0.0)
    kept = effective_params({"patience": 3, "monitor": "accuracy", "epochs": 50})
    assert (kept["patience"], kept["monitor"], kept["early_stopping"]) == (3, "accuracy", True)


def test_a_network_study_keeps_curves_of_loss_and_accuracy(store):
    split = {"reproduce": True, "train": 0.75, "random_state": 1, "validation": 0.2}
    result = tune(network(split=split, activity_l1=[0.0, 0.001], activity_layers="first"))
    report = result.as_json()
    runs = store.search_runs([report["experiment_id"]], f"tags.`mlflow.parentRunId` = '{report['run_id']}'")
    for run in runs:
        for name in ("train_accuracy", "stop_accuracy", "train_loss", "stop_loss"):
            history = store.get_metric_history(run.info.run_id, name)
            assert max(point.step for point in history) == 11
    for trial in result.record.trials:
        assert {len(curve) for curve in trial.curves.values()} == {12}
        assert set(trial.curves) == {"train_accuracy", "stop_accuracy", "train_loss", "stop_loss"}
    plain = tune(network(split=split, metric="log_loss"), tracking="off")
    assert set(plain.record.trials[0].curves) == {"train_loss", "stop_loss"}
    train, _ = train_test_split(np.arange(150), test_size=0.25, random_state=1)
    assert len(load_iris().target[train]) == 112


def test_a_record_without_details_is_read():
    record = tune(parse_study(linear(penalty="l2")), tracking="off").record
    raw = json.loads(record.to_json())
    for trial in raw["trials"]:
        del trial["details"], trial["curves"]
    assert StudyRecord.from_json(io.StringIO(json.dumps(raw)).read()).trials[0].details == {}
