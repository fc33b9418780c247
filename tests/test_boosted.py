"""Boosted trees: the translation to XGBoost, stopping, DART, categories, and parts that are hard to learn from."""

import time
from itertools import pairwise

import numpy as np
import pytest
import xgboost as xgb
from backend_data import encoded, fit, params, sizes, without

from autoreg.backends import Fit, FitFailure, FitJob, always, get_backend
from autoreg.backends.boosted import dart_cap, round_cap
from autoreg.backends.boosting import Pace, Rows, boost, leaves
from autoreg.backends.common import threads
from autoreg.errors import StudyError
from autoreg.metrics import loss_rows
from autoreg.serving import booster_matrix
from autoreg.trial import Encoded, OutOfTime, Part, Range, Sizes

BACKEND = get_backend("xgboost")
KINDS = [("binary", 2), ("multiclass", 3), ("regression", 0)]
STOPPED = {"patience": 5, "eta": 0.2, "rounds": 200}


def replaced(data, X=None, y=None, stop=None):
    part = Part(data.train.X if X is None else X, data.train.y if y is None else y, data.train.weight)
    held = data.stop if stop is None else stop
    return Encoded(part, held, data.score, data.columns, data.levels, data.task, data.n_classes)


@pytest.mark.parametrize(("task", "k"), KINDS[:2])
def test_the_default_is_xgboost_s_own(task, k):
    data = encoded("dense", task, k)
    done = fit(BACKEND, data)
    reference = xgb.XGBClassifier(n_jobs=1).fit(data.train.X, data.train.y).predict_proba(data.score.X)
    np.testing.assert_allclose(done.member.predict(data.score.X), reference, rtol=1e-5, atol=1e-6)
    assert done.rounds == 100
    assert done.native["xgboost.reg_lambda"] == 1.0
    assert done.native["xgboost.reg_alpha"] == 0.0


def test_the_default_regression_is_xgboost_s_own_up_to_rounding():
    data = encoded("dense", "regression", 0, n=400)
    done = fit(BACKEND, data, max_depth=2)
    reference = xgb.XGBRegressor(n_jobs=1, max_depth=2).fit(data.train.X, data.train.y).predict(data.score.X)
    spread = np.std(data.train.y)
    assert np.mean(np.abs(done.member.predict(data.score.X) - reference)) < 0.02 * spread


@pytest.mark.parametrize(
    ("kind", "l1", "l2"), [("none", 0.0, 0.0), ("l1", 4.0, 0.0), ("l2", 0.0, 4.0), ("elasticnet", 1.0, 3.0)]
)
def test_the_penalty_reaches_the_library(kind, l1, l2):
    data = encoded("dense")
    given = {"penalty": kind, "alpha": 4.0, "l1_ratio": 0.25, "rounds": 10}
    done = fit(BACKEND, data, **given)
    assert done.native["xgboost.reg_alpha"] == l1
    assert done.native["xgboost.reg_lambda"] == l2
    reference = xgb.XGBClassifier(n_jobs=1, n_estimators=10, reg_alpha=l1, reg_lambda=l2).fit(
        data.train.X, data.train.y
    )
    np.testing.assert_allclose(
        done.member.predict(data.score.X), reference.predict_proba(data.score.X), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["l1", "l2", "elasticnet"])
def test_a_stronger_penalty_never_grows_the_leaves_of_a_stump(kind):
    data = encoded("dense")
    sums = []
    for alpha in (0.0, 1.0, 5.0, 20.0, 80.0):
        given = {"penalty": kind, "l1_ratio": 0.5, "max_depth": 1, "rounds": 1, "gamma": 0.0}
        done = fit(BACKEND, data, alpha=alpha, **given)
        table = done.member.booster.trees_to_dataframe()
        sums.append(np.abs(table.loc[table.Feature == "Leaf", "Gain"]).sum())
    assert all(after <= before + 1e-6 for before, after in pairwise(sums))
    assert sums[-1] < 0.5 * sums[0]


@pytest.mark.parametrize(("task", "k"), KINDS)
def test_the_best_round_is_kept_and_nothing_after_it(task, k):
    data = encoded("tree", task, k, n=400)
    done = fit(BACKEND, data, **STOPPED)
    stop = done.curves["stop_loss"]
    assert done.rounds == np.argmin(stop) + 1 == done.member.booster.num_boosted_rounds()
    assert done.rounds < 200
    assert len(stop) == len(done.curves["train_loss"]) == done.rounds + 5
    # What was recorded is the internal loss of the member, in the target's own units.
    for part, curve in ((data.stop, stop), (data.train, done.curves["train_loss"])):
        loss = loss_rows(task, part.y, done.member.predict(part.X)).mean()
        assert loss == pytest.approx(curve[done.rounds - 1], rel=1e-3)


@pytest.mark.parametrize("given", [{"patience": 0}, {"patience": 5, "dropout": 0.2}])
def test_without_patience_or_with_dart_all_rounds_are_run(given):
    data = encoded("tree", n=400)
    done = fit(BACKEND, data, rounds=40, eta=0.3, **given)
    assert done.rounds == 40
    assert done.params["patience"] == 0
    assert ("skip_drop" in done.params) == ("dropout" in given)


def test_dart_is_scored_as_it_will_predict():
    data = encoded("tree", n=400)
    done = fit(BACKEND, data, dropout=0.3, skip_drop=0.0, rounds=30, eta=0.3)
    assert done.native["xgboost.booster"] == "dart"
    assert done.native["xgboost.rate_drop"] == 0.3
    p = done.member.predict(data.stop.X)
    assert np.array_equal(p, done.member.predict(data.stop.X))
    assert loss_rows("binary", data.stop.y, p).mean() == pytest.approx(done.curves["stop_loss"][-1], rel=1e-5)


@pytest.mark.parametrize(("task", "k"), KINDS)
def test_a_weight_of_zero_is_leaving_the_row_out(task, k):
    weight = np.ones(150)
    weight[::7] = 0.0
    data = encoded("tree", task, k, weight=weight)
    fewer = without(data, data.train.weight == 0)
    one, two = (fit(BACKEND, d, subsample=0.7, rounds=10).member for d in (data, fewer))
    assert np.array_equal(one.predict(data.score.X), two.predict(data.score.X))


@pytest.mark.parametrize(("task", "k"), KINDS)
@pytest.mark.parametrize("given", [{"alpha": 5.0, "min_child_weight": 4.0}, {"patience": 3, "rounds": 60}])
def test_the_unit_of_the_weights_does_not_matter(task, k, given):
    plain = encoded("tree", task, k)
    want = fit(BACKEND, plain, **given)
    for unit in (7.0, 2.0**-14):
        done = fit(BACKEND, encoded("tree", task, k, weight=np.full(150, unit)), **given)
        assert np.array_equal(done.member.predict(plain.score.X), want.member.predict(plain.score.X))
        assert done.rounds == want.rounds
        np.testing.assert_allclose(done.curves["train_loss"], want.curves["train_loss"], rtol=1e-6)


def test_the_unit_of_the_weights_does_not_matter_to_base_rates():
    rates = [
        fit(BACKEND, encoded("tree", weight=w, classes=[1])).member.predict(np.zeros((1, 5)))
        for w in (None, np.full(150, 7.0))
    ]
    assert np.array_equal(*rates)


@pytest.mark.parametrize(("task", "k"), KINDS)
def test_a_train_part_of_no_weight_is_a_failed_fit(task, k):
    failed = fit(BACKEND, encoded("tree", task, k, weight=np.zeros(150)))
    assert isinstance(failed, FitFailure)
    assert failed.reason == "every row of the train part has weight 0"
    assert failed.params["penalty"] == "l2"


def test_a_stop_part_of_no_weight_stops_nothing():
    weight = np.ones(150)
    weight[np.arange(150) % 10 >= 7] = 0.0
    done = fit(BACKEND, encoded("tree", weight=weight), patience=3, rounds=15)
    assert done.rounds == 15
    assert done.params["patience"] == 0


@pytest.mark.parametrize(("task", "k"), KINDS[:2])
def test_one_class_alone_gives_smoothed_base_rates(task, k):
    data = encoded("tree", task, k, classes=[1])
    done = fit(BACKEND, data, **STOPPED)
    n = len(data.train)
    expected = np.full(k, 1.0 / (n + k))
    expected[1] = (n + 1) / (n + k)
    p = done.member.predict(data.score.X)
    np.testing.assert_allclose(p, np.tile(expected, (len(p), 1)), rtol=1e-3)
    assert done.complexity > 0
    assert done.rounds == 0


def test_a_constant_target_is_fitted():
    data = encoded("tree", "regression", 0)
    flat = replaced(data, y=np.full(len(data.train), -3.0))
    assert fit(BACKEND, flat, rounds=5).member.predict(data.score.X) == pytest.approx(-3.0)


def test_dart_takes_fewer_rounds_on_more_rows():
    assert [dart_cap(n, 1) for n in (100, 10_000, 1_000_000)] == [300, 100, 20]
    done = fit(BACKEND, encoded("tree"), dropout=0.1, rounds=2000, max_depth=2)
    assert done.rounds == done.params["rounds"] == 300


def test_levels_never_seen_count_as_missing():
    data = encoded("tree")
    member = fit(BACKEND, data, rounds=10).member
    rows = np.repeat(data.score.X[:1], 4, axis=0)
    rows[:, 3] = [np.nan, 4.0, 99.0, -1.0]
    p = member.predict(rows)
    assert (p == p[0]).all()


def test_a_category_is_split_by_level_not_by_order():
    rng = np.random.default_rng(0)
    code = rng.integers(0, 6, 600)
    y = np.isin(code, (0, 2, 4)).astype(np.int64)
    part = Part(code[:, None].astype(np.float32), y)
    data = Encoded(part, None, part, ("c",), (6,), "binary", 2)
    p = fit(BACKEND, data, max_depth=1, rounds=1, eta=1.0, alpha=0.0).member.predict(part.X)[:, 1]
    assert ((p > 0.5) == y).all()


def test_what_the_library_refuses_is_a_failure_with_its_reason():
    data = encoded("dense")
    X = data.train.X.copy()
    X[0, 0] = np.inf
    done = fit(BACKEND, replaced(data, X=X))
    assert isinstance(done, FitFailure)
    assert done.reason.startswith("xgboost: ")
    assert "inf" in done.reason
    assert "\n" not in done.reason


def test_a_loss_that_is_no_number_is_a_failure():
    data = encoded("tree", "regression", 0)
    stop = Part(data.stop.X, np.full(len(data.stop), 1e39))
    done = fit(BACKEND, replaced(data, stop=stop), rounds=3)
    assert isinstance(done, FitFailure)
    assert "stop_loss" in done.reason


def test_leaves_are_counted():
    data = encoded("tree")
    done = fit(BACKEND, data, rounds=7)
    table = done.member.booster.trees_to_dataframe()
    assert done.complexity == (table.Feature == "Leaf").sum()


def test_the_number_of_threads_changes_nothing(monkeypatch):
    data = encoded("tree", n=3000)
    members = []
    for count in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        monkeypatch.setattr("autoreg.backends.boosted.threads", lambda work, count=count: int(count))
        members.append(fit(BACKEND, data, subsample=0.8, rounds=20).member)
    first, second = (bytes(m.booster.save_raw()) for m in members)
    assert first == second


def deepest(tree):
    """Levels of a tree as the library prints it: one tab for every level below the root."""
    return max(len(line) - len(line.lstrip("\t")) for line in tree.splitlines())


def test_leaves_are_grown_where_the_loss_falls_most_however_deep():
    data = encoded("tree", n=600)
    own = {"rounds": 30, "patience": 0, "min_child_weight": 0.0, "alpha": 0.0, "penalty": "none"}
    levels, leaf_wise = fit(BACKEND, data, max_depth=3, **own), fit(BACKEND, data, max_leaves=8, **own)
    trees = [done.member.booster.get_dump() for done in (levels, leaf_wise)]
    assert max(tree.count("leaf=") for dump in trees for tree in dump) == 8
    assert [max(map(deepest, dump)) > 3 for dump in trees] == [False, True]
    assert leaf_wise.params["max_leaves"] == 8
    assert "max_depth" not in leaf_wise.params
    assert levels.params["max_depth"] == 3
    assert (
        levels.params["max_leaves"] == 0
    )  # said, because a later search that begins here must not draw leaves of its own
    assert leaf_wise.native["xgboost.grow_policy"] == "lossguide"


def test_a_study_that_limits_depth_has_no_trees_that_pass_it():
    few = Sizes("binary", 400, 30, 2)
    assert BACKEND.space(few)["max_leaves"].off
    assert BACKEND.space(few, {"max_depth": Range(2, 4, integer=True)})["max_leaves"] == 0


def test_threads_follow_the_environment_and_the_work(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads(1e9) == 3
    assert threads(100.0) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads(1e9) >= 1


def test_rounds_shrink_with_the_data():
    caps = [round_cap(Sizes("multiclass", n, 784, 10)) for n in (100, 1_000, 8_000, 60_000)]
    assert caps == sorted(caps, reverse=True)
    assert all(30 <= cap <= 2000 for cap in caps)
    large = Sizes("multiclass", 60_000, 784, 10)
    assert BACKEND.default(large)["rounds"] == BACKEND.space(large)["rounds"] == 30
    assert BACKEND.space(large)["max_bin"] == 64
    assert BACKEND.space(large)["eta"].low > BACKEND.space(Sizes("binary", 400, 30, 2))["eta"].low


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"eta": "fast"}, r"search.xgboost.eta: expected a number in \(0, 1\], found 'fast'"),
        ({"dropout": 1.0}, r"search.xgboost.dropout: expected a number in \[0, 1\), found 1.0"),
        ({"max_depth": 0}, r"search.xgboost.max_depth: expected a whole number in \[1, 30\], found 0"),
        ({"lambda": 1.0}, "search.xgboost.lambda: unknown name"),
    ],
)
def test_what_it_cannot_do_is_refused(given, message):
    with pytest.raises(StudyError, match=message):
        BACKEND.check(given, "binary")


def test_seeds_matter_where_rows_are_drawn():
    data = encoded("tree")
    job = params(BACKEND, data, subsample=0.5, rounds=10)
    one, two = (BACKEND.fit([FitJob(job, data, seed)])[0] for seed in (0, 1))
    assert isinstance(one, Fit)
    assert not np.array_equal(one.member.predict(data.score.X), two.member.predict(data.score.X))
    assert sizes(data).columns == 5


@pytest.mark.parametrize("patience", [0, 7])
@pytest.mark.parametrize(("task", "k"), KINDS)
def test_the_loop_gives_what_xgboost_s_own_gives(task, k, patience):
    data = encoded("tree", task, k)
    y = data.train.y if k else (data.train.y - data.train.y.mean()) / data.train.y.std()
    z = data.stop.y if k else (data.stop.y - data.train.y.mean()) / data.train.y.std()
    objective = {
        "binary": "binary:logistic",
        "multiclass": "multi:softprob",
        "regression": "reg:squarederror",
    }
    metric = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}[task]
    settings = {"objective": objective[task], "eval_metric": metric, "eta": 0.3, "subsample": 0.7, "seed": 4}
    settings |= {"num_class": k} if task == "multiclass" else {}
    parts = {"train_loss": (data.train.X, y), "stop_loss": (data.stop.X, z)}
    ours = {n: booster_matrix(X, data.levels, Rows, label=t) for n, (X, t) in parts.items()}
    theirs = {n: booster_matrix(X, data.levels, label=t) for n, (X, t) in parts.items()}
    stopping = xgb.callback.EarlyStopping(rounds=patience, metric_name=metric, data_name="stop_loss")
    losses = {}
    reference = xgb.train(
        settings, theirs["train_loss"], 60, evals=[(m, n) for n, m in theirs.items()], evals_result=losses,
        callbacks=[stopping] if patience else [], verbose_eval=False,
    )  # fmt: skip
    if patience:
        reference = reference[: reference.best_iteration + 1]
    found = boost(settings, ours, 60, patience, always)
    assert found.losses == {n: told[metric] for n, told in losses.items()}
    assert found.booster.save_raw("json") == reference.save_raw("json")
    assert patience == 0 or found.booster.num_boosted_rounds() < len(found.losses["stop_loss"]) < 60


class Restless(Pace):
    """Another number of threads after every round."""

    def heard(self, seconds):
        self.threads = 3 - self.threads
        return self.threads


@pytest.mark.parametrize(("task", "k"), KINDS)
@pytest.mark.parametrize(
    "more", [{}, {"subsample": 0.6, "colsample_bytree": 0.6}, {"booster": "dart", "rate_drop": 0.2}]
)
def test_the_number_of_threads_may_change_between_rounds_and_no_tree_does(monkeypatch, task, k, more):
    data = encoded("tree", task, k)
    settings = {"eta": 0.2, "max_depth": 4, "tree_method": "hist", "seed": 3, "eval_metric": "rmse"} | more
    settings |= (
        {"objective": "multi:softprob", "num_class": k, "eval_metric": "mlogloss"}
        if task == "multiclass"
        else {}
    )

    def boosted(threads):
        matrices = {"train_loss": booster_matrix(data.train.X, data.levels, Rows, label=data.train.y)}
        return boost(settings | {"nthread": threads}, matrices, 40, 0, always)

    one = boosted(1)
    monkeypatch.setattr("autoreg.backends.boosting.Pace", Restless)
    other = boosted(2)
    assert other.losses == one.losses
    assert other.booster.save_raw("json") == one.booster.save_raw("json")


def paced(seconds, rounds=1000, granted=2):
    """Threads of every round; ``seconds(i, threads)`` is what round ``i`` takes."""
    pace, used = Pace(granted), []
    for i in range(rounds):
        used.append(pace.threads)
        pace.heard(seconds(i, pace.threads))
    return np.array(used)


def test_rounds_have_the_threads_that_make_them_quick():
    noise = np.random.default_rng(0).uniform(0.8, 1.2, 1000)
    idle = paced(lambda i, threads: noise[i] * {1: 1.9, 2: 1.0}[threads])
    assert (idle == 1).sum() < 15
    busy = paced(lambda i, threads: noise[i] * {1: 1.0, 2: 60.0}[threads])
    assert (busy == 2).sum() < 12
    for_a_while = paced(lambda i, threads: {1: 1.9, 2: 60.0 if 300 <= i < 400 else 1.0}[threads])
    assert (for_a_while[300:400] == 2).sum() < 6
    assert (for_a_while[500:] == 2).mean() > 0.9
    assert set(paced(lambda i, threads: 1.0, granted=1)) == {1}


def test_more_threads_are_tried_later_where_the_fit_before_ended_with_one():
    for before, first in ((None, 3), (2, 3), (1, 32)):
        pace, used = Pace(2, before), []
        for _ in range(60):  # the cores are free
            used.append(pace.threads)
            pace.heard({1: 1.9, 2: 1.0}[pace.threads])
        assert used[:first] == [1] * first
        assert set(used[first : first + 20]) == {2}


def test_the_time_is_asked_for_between_rounds():
    asked = iter([True] * 7 + [False])
    data, job = encoded("tree"), {**STOPPED, "patience": 0}
    with pytest.raises(OutOfTime):
        BACKEND.fit([FitJob(params(BACKEND, data, **job), data, 0)], lambda: next(asked))
    assert next(asked, None) is None  # once before the fit, then before each round


def test_without_a_stop_part_the_rounds_follow_from_the_step():
    data = encoded("tree", stop=False)
    few = fit(BACKEND, data, **{**STOPPED, "eta": 0.3, "rounds": 500})
    many = fit(BACKEND, data, **{**STOPPED, "eta": 0.05, "rounds": 500})
    capped = fit(BACKEND, data, **{**STOPPED, "eta": 0.05, "rounds": 50})
    plain = fit(BACKEND, data, **{**STOPPED, "eta": 0.3, "rounds": 100, "patience": 0})
    assert [few.rounds, many.rounds, capped.rounds, plain.rounds] == [34, 200, 50, 100]
    assert few.params["patience"] == 0


def test_fits_side_by_side_are_those_one_by_one_and_share_the_time(monkeypatch):
    data = [encoded("tree", "multiclass", 3, seed=s) for s in range(5)]
    jobs = [FitJob(params(BACKEND, d, **STOPPED), d, 3) for d in data]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert BACKEND.abreast(jobs[0]) == 1
    alone = BACKEND.fit(jobs)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert BACKEND.abreast(jobs[0]) == 4
    began = time.perf_counter()
    abreast = BACKEND.fit(jobs)
    assert sum(f.seconds for f in abreast) <= time.perf_counter() - began
    for one, other in zip(alone, abreast, strict=True):
        assert one.member.booster.save_raw("json") == other.member.booster.save_raw("json")
        assert (one.rounds, one.complexity) == (other.rounds, other.complexity)
    in_time = iter([True] * 40)
    with pytest.raises(OutOfTime):
        BACKEND.fit(jobs, lambda: next(in_time, False))


@pytest.mark.parametrize("given", [{}, {"gamma": 0.9}, {"dropout": 0.3}, {"max_depth": 1, "rounds": 1}])
@pytest.mark.parametrize(("task", "k"), KINDS)
def test_leaves_are_those_of_the_trees_as_text(task, k, given):
    booster = fit(BACKEND, encoded("tree", task, k), **{"rounds": 20, **given}).member.booster
    assert leaves(booster) == sum(tree.count("leaf=") for tree in booster.get_dump()) > 0
