"""What is shipped is what was decided, and predicts the same after saving and loading."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from evidence_data import Silent, frame_of, searched, study

from autoreg import tune
from autoreg.finals import run_finals
from autoreg.metrics import METRICS
from autoreg.outcome import default_numbers
from autoreg.planning import plan
from autoreg.refit import configuration, refit_cost
from autoreg.selection import Cut, decide
from autoreg.serving import Package, sharpened, shifted
from autoreg.shipping import ship, ship_full


@pytest.fixture(scope="module")
def boosted():
    return tune(study(backends=["xgboost"], trials=4), frame_of("binary"), tracking="off")


@pytest.mark.parametrize(
    ("task", "select"),
    [("multiclass", {"rule": "one_se"}), ("regression", {}), ("binary", {"final": "single"})],
)
def test_the_same_study_twice_decides_the_same(task, select):
    one, two = (tune(study(select=select), frame_of(task), tracking="off") for _ in range(2))
    assert one.report["final"] == two.report["final"]
    assert one.report["estimate"] == two.report["estimate"]
    assert one.report["best"] == two.report["best"]
    final = one.report["final"]
    assert sum(part["weight"] for part in final["configurations"]) == pytest.approx(1.0)
    assert (final["models"] == 1) == (final["kind"] == "refit")
    assert final["models"] == len(one.package.members)
    if select.get("final") == "single":
        assert final["kind"] == "refit"
    json.dumps(one.as_json(), allow_nan=False)


def test_the_estimate_has_every_key_that_scripts_rely_on(boosted):
    keys = {
        "kind", "metric", "holdout", "holdout_low", "holdout_high", "cv", "cv_fresh", "cv_corrected", "cv_corrected_low",
        "cv_corrected_high", "optimism", "train", "gap", "nested", "nested_low", "nested_high", "looks", "greater_is_better",
    }  # fmt: skip
    found = boosted.report["estimate"]
    assert set(found) == keys
    assert found["optimism"] == pytest.approx(found["holdout"] - found["cv"])
    assert found["gap"] == pytest.approx(found["holdout"] - found["train"])
    assert found["cv_corrected_low"] <= found["cv_corrected"] <= found["cv_corrected_high"]
    assert (found["kind"], found["nested"], found["looks"]) == ("holdout", None, 1)


def test_a_random_boosted_winner_is_the_mean_of_models_of_all_rows_under_several_seeds():
    parsed = study(
        backends=["xgboost"], trials=4, sampler="random", xgboost={"subsample": 0.7, "max_leaves": 0}
    )
    result = tune(parsed, frame_of("binary"), tracking="off")
    package = result.package
    if result.report["final"]["kind"] == "blend":
        pytest.skip("a blend was due")
    assert (result.report["final"]["kind"], len(package.members)) == ("bag", 3)
    frame = frame_of("binary").drop(columns="target").head(50)
    each = [member.predict(preprocessor.transform(frame)) for preprocessor, member, _ in package.members]
    assert not np.array_equal(each[0], each[1])
    assert [weight for *_, weight in package.members] == pytest.approx([1 / 3] * 3)
    expected = sharpened(np.mean(each, axis=0), package.temperature)
    assert package.predict_raw(frame) == pytest.approx(expected, abs=1e-6)


def test_the_models_of_the_fresh_cells_are_taken_where_time_is_short():
    planned, records, _ = searched(study(backends=["xgboost"], trials=3), frame_of("binary"))
    finals = run_finals(
        records, default_numbers(planned, records), planned.problem, planned.backends,
        lambda r: configuration(planned, r), planned.study.split, 0, lambda: np.inf,
    )  # fmt: skip
    decision = replace(decide(finals.evidence(planned.backends), "best", "auto"), kind="bag", cut=Cut())
    winner = finals.records[decision.winner]
    decision = replace(decision, weights=np.eye(len(finals.records))[decision.winner])
    shipment = ship(planned, winner, finals, decision, lambda: 0.0)
    assert (shipment.whole, len(shipment.package.members)) == (False, 9)
    frame = planned.table.features.head(40)
    each = [member.predict(encode.transform(frame)) for encode, member, _ in shipment.package.members]
    assert shipment.package.predict_raw(frame) == pytest.approx(np.mean(each, axis=0), abs=1e-6)


@pytest.mark.parametrize(("share", "models"), [(0.0, 1), (0.7, 2), (np.inf, 3)])
def test_of_an_unconfirmed_winner_as_many_models_are_shipped_as_there_is_time_for(share, models):
    own = study(backends=["xgboost"], trials=3, xgboost={"rounds": 5, "subsample": 0.7})
    planned, records, _ = searched(own, frame_of("binary"))
    winner = max(records, key=lambda record: record.number)
    seconds = share * refit_cost(planned, winner)
    judged = ship(planned, winner, None, None, lambda: seconds)
    assert len(judged.package.members) == models
    full, _ = ship_full(planned, winner, None, None, judged, lambda: np.inf)
    assert len(full.package.members) == models


def test_a_linear_regression_is_fitted_again_on_all_rows_of_the_search():
    parsed, data = study(backends=["sklearn"], trials=3), frame_of("regression")
    result = tune(parsed, data, tracking="off")
    assert (result.report["final"]["kind"], len(result.judged.members)) == ("refit", 1)
    data = data.iloc[plan(parsed, data).split.search]
    preprocessor, member, _ = result.judged.members[0]
    assert preprocessor.raw(data).mean(axis=0) == pytest.approx(
        np.asarray(preprocessor.state["mean"]), abs=1e-9
    )
    fitted = member.predict(preprocessor.transform(data))
    # The intercept is free, so that residuals of a fit to exactly these rows sum to nothing.
    assert np.mean(fitted - data.target.to_numpy()) == pytest.approx(0.0, abs=1e-3)


def test_shared_preprocessors_temperature_and_threshold_survive_saving(tmp_path):
    planned, records, _ = searched(study(trials=4), frame_of("binary"))
    finals = run_finals(
        records, default_numbers(planned, records), planned.problem, planned.backends,
        lambda r: configuration(planned, r), planned.study.split, 0, lambda: np.inf,
    )  # fmt: skip
    share = 1 / len(finals.records)
    chains = [
        chain
        for i, record in enumerate(finals.records)
        for chain in finals.chains(i, share, planned.backends[record.backend])
    ]
    table = planned.table
    package = Package(chains, table.task, table.classes, list(table.features.columns), 1.7, 0.3)
    package.save(tmp_path)
    # One file a repeat, fold and encoding, however many finalists there are.
    assert len(list(tmp_path.glob("preprocess_*.json"))) == 9 * 2
    loaded = Package.load(tmp_path)
    assert (loaded.temperature, loaded.threshold) == (1.7, 0.3)
    frame = table.features.iloc[planned.split.holdout]
    np.testing.assert_array_equal(loaded.predict_raw(frame), package.predict_raw(frame))
    pd.testing.assert_frame_equal(loaded.predict(frame), package.predict(frame))
    plain = Package(chains, table.task, table.classes, list(table.features.columns))
    assert package.predict_raw(frame) == pytest.approx(sharpened(plain.predict_raw(frame), 1.7))
    labels = loaded.predict(frame).prediction.to_numpy()
    np.testing.assert_array_equal(labels, (loaded.predict_raw(frame)[:, 1] > 0.3).astype(labels.dtype))


def rare(n=1200):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    p = 1 / (1 + np.exp(3.0 - 1.5 * X[:, 0]))
    return pd.DataFrame(X, columns=list("abc")).assign(y=(rng.random(n) < p).astype(int))


def test_a_metric_of_labels_is_judged_behind_the_threshold_that_is_shipped():
    data = rare()
    parsed = study("y", backends=["sklearn"], trials=3, metric="balanced_accuracy")
    result = tune(parsed, data, tracking="off")
    package, rows = result.judged, plan(parsed, data).split.holdout
    assert package.threshold < 0.3
    raw, y = package.predict_raw(data.iloc[rows]), data.y.to_numpy()[rows]
    metric = METRICS["balanced_accuracy"]
    assert result.report["estimate"]["holdout"] == pytest.approx(metric(y, shifted(raw, package.threshold)))
    assert result.report["estimate"]["holdout"] > metric(y, raw) + 0.05
    assert result.record.shipped.threshold == package.threshold
    assert np.mean(package.predict(data).prediction) == pytest.approx(
        np.mean(package.predict_raw(data)[:, 1] > package.threshold)
    )


def test_rows_in_order_of_time_ship_one_model_of_all_rows():
    data = rare(400).assign(when=pd.date_range("2024-01-01", periods=400, freq="h"))
    parsed = study("y", data={"time": "when"}, backends=["xgboost"], trials=3)
    result = tune(parsed, data, tracking="off")
    assert (result.report["final"]["kind"], result.report["final"]["models"]) == ("refit", 1)
    assert [option.kind for option in result.record.shipped.options] == ["refit"]
    assert result.record.finalists


def test_stages_are_told_in_their_order():
    class Listener(Silent):
        def __init__(self):
            self.stages = []

        def stage(self, name):
            self.stages.append(name)

    listener = Listener()
    tune(study(backends=["sklearn"], trials=1), frame_of("regression"), tracking="off", watch=listener)
    assert listener.stages == ["data", "search", "finalists", "refit", "holdout", "refit_full", "report"]
