"""After the look at the holdout, what was judged is fitted once more on every row; the estimate stays that of the fit before."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evidence_data import Silent, frame_of, searched, study
from test_retune import study as retuned
from test_retune import table

from autoreg import AutoRegRegressor, tune
from autoreg.errors import DataError, NoTrialCompleted
from autoreg.executor import Engine
from autoreg.finals import run_finals
from autoreg.ledger import read_files
from autoreg.metrics import METRICS
from autoreg.outcome import default_numbers
from autoreg.planning import plan
from autoreg.refit import configuration
from autoreg.registry import JUDGED, load_package, promote, version_at
from autoreg.report import model_card, render
from autoreg.retune import retune
from autoreg.retune.champion import judged_package, read_champion
from autoreg.retune.judge import untouched
from autoreg.selection import Cut, decide
from autoreg.shipping import clearly_worse, ship, ship_full
from autoreg.trial import SILENT
from autoreg.tuner import run
from autoreg.words import describe_result


def residuals(package, frame):
    return package.predict_raw(frame) - frame.target.to_numpy()


@pytest.fixture(scope="module")
def linear():
    data = frame_of("regression")
    return data, tune(study(backends=["sklearn"], trials=3), data, tracking="off")


def test_what_predicts_was_fitted_on_every_row_and_the_estimate_is_of_the_fit_before(linear):
    data, result = linear
    split = plan(study(backends=["sklearn"], trials=3), data).split
    # An intercept is free, so that residuals over exactly the rows of the fit sum to nothing.
    assert np.mean(residuals(result.package, data)) == pytest.approx(0, abs=1e-3)
    assert np.mean(residuals(result.judged, data.iloc[split.search])) == pytest.approx(0, abs=1e-3)
    assert abs(np.mean(residuals(result.judged, data))) > 0.01
    held = np.mean(residuals(result.judged, data.iloc[split.holdout]) ** 2)
    assert result.report["estimate"]["holdout"] == pytest.approx(np.sqrt(held))
    final = result.report["final"]
    assert (final["rows"], final["refit_full"]) == (len(data), True)
    assert "fitted on all 250 rows; the estimate is that of the fit before" in " ".join(result.record.events)
    json.dumps(result.as_json(), allow_nan=False)


def test_the_report_says_what_was_fitted_on_what(linear):
    _, result = linear
    held = f"{result.record.holdout_rows} others held out for the estimate and fitted once it was made"
    assert held in model_card(result.record)
    assert "was then fitted on these rows, too" in render(result.record)
    assert "after the look at the held-out rows, fitted on these too" in describe_result(result.as_json())


def test_a_study_may_ship_what_was_judged():
    data = frame_of("regression")
    parsed = study(backends=["sklearn"], trials=3, select={"refit_full": False})
    result = tune(parsed, data, tracking="off")
    assert result.package is result.judged
    final = result.report["final"]
    assert (final["rows"], final["refit_full"]) == (result.record.search_rows, False)
    assert "the fit before" not in " ".join(result.record.events)


@pytest.mark.parametrize("split", [{"estimate": "none"}, {"estimate": "nested", "folds": 2}])
def test_without_rows_held_out_there_is_no_second_fit(split):
    class Listener(Silent):
        def __init__(self):
            self.stages = []

        def stage(self, name):
            self.stages.append(name)

    heard = Listener()
    parsed = study(split=split, backends=["sklearn"], trials=1)
    result = tune(parsed, frame_of("regression"), tracking="off", watch=heard)
    assert "refit_full" not in heard.stages
    assert result.package is result.judged
    assert (result.report["final"]["rows"], result.report["final"]["refit_full"]) == (250, False)


def test_the_latest_rows_are_learned_in_the_end_where_rows_are_in_order_of_time():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=400), "z": rng.normal(size=400)})
    data["when"] = pd.date_range("2024-01-01", periods=400, freq="h")
    data["target"] = data.x + 50.0 * (np.arange(400) >= 320)  # the world moves when the holdout begins
    result = tune(study(data={"time": "when"}, backends=["sklearn"], trials=1), data, tracking="off")
    before, now = (package.predict_raw(data).mean() for package in (result.judged, result.package))
    assert before == pytest.approx(0, abs=1)
    assert now == pytest.approx(10, abs=1)


@pytest.fixture(scope="module")
def decided():
    planned, records, _ = searched(study(backends=["xgboost"], trials=3), frame_of("binary"))
    finals = run_finals(
        records, default_numbers(planned, records), planned.problem, planned.backends,
        lambda r: configuration(planned, r), planned.study.split, 0, lambda: np.inf,
    )  # fmt: skip
    decision = decide(finals.evidence(planned.backends), "best", "auto")
    known = planned, finals.records[decision.winner], finals, decision
    return *known, ship(*known, lambda: np.inf)


def test_where_time_is_short_what_was_judged_is_shipped(decided):
    full, told = ship_full(*decided, lambda: 0.0)
    assert full is None
    assert told.startswith("the time left was too short to fit on the held-out rows, too")


def test_where_time_is_short_for_two_fits_models_of_the_fresh_folds_are_judged(decided):
    *known, _ = decided
    planned, winner, finals, decision = known
    decision = replace(decision, kind="bag", cut=Cut())
    known = planned, winner, finals, decision
    judged = ship(*known, lambda: 0.0)
    assert (judged.whole, len(judged.package.members)) == (False, 9)
    full, told = ship_full(*known, judged, lambda: np.inf)
    assert (full.whole, full.rows) == (True, 250)
    assert len(full.package.members) < 9
    assert "the estimate is that of the models of the fresh folds" in told


def test_where_the_second_fit_fails_what_was_judged_is_shipped(decided, monkeypatch):
    def fails(*_, **__):
        raise NoTrialCompleted("the winner (xgboost #1) failed when refitted: no memory")

    monkeypatch.setattr("autoreg.shipping.refit", fails)
    full, told = ship_full(*decided, lambda: np.inf)
    assert full is None
    assert "it failed: what was judged is shipped as it is" in told
    assert "no memory" in told


def test_a_second_fit_that_went_wrong_is_not_shipped():
    def two(p):
        return np.stack([1 - p, p], axis=1)

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    good = np.where(truth == 1, 0.8, 0.2) + rng.uniform(-0.1, 0.1, 200)
    assert clearly_worse("binary", truth, two(1 - good), two(good))
    assert not clearly_worse("binary", truth, two(good), two(1 - good))
    assert not clearly_worse("binary", truth, two(good), two(good))
    noise = np.clip(good + rng.normal(0, 0.02, 200), 0.01, 0.99)
    assert not clearly_worse("binary", truth, two(noise), two(good))
    assert clearly_worse("regression", truth * 1.0, np.full(200, np.nan), good)


def test_an_estimator_predicts_with_the_second_fit_unless_asked_not_to():
    data = frame_of("regression")
    X, y = data.drop(columns="target"), data.target
    fitted = {
        full: AutoRegRegressor(trials=2, backends=["sklearn"], random_state=0, refit_full=full).fit(X, y)
        for full in (True, False)
    }
    assert fitted[True].estimate_ == fitted[False].estimate_
    errors = {full: abs(np.mean(model.predict(X) - y)) for full, model in fitted.items()}
    assert errors[True] < 1e-3 < errors[False]
    with pytest.raises(ValueError, match="refit_full: expected True or False, found 'yes'"):
        AutoRegRegressor(refit_full="yes").fit(X, y)


# -- in the registry ----------------------------------------------------------------------------------------------


def test_the_registry_holds_both_and_the_gate_compares_those_that_have_not_seen_the_rows(store):
    first = retune(retuned(), table(300), key="first")
    champion, then = read_champion("demo", "champion"), plan(retuned(), table(300))
    metric, held = METRICS["log_loss"], then.split.holdout
    seen = champion.judged.predict_raw(then.table.features.iloc[held])
    assert metric(then.table.target[held], seen) == pytest.approx(first.report["estimate"]["holdout"])
    served = load_package("models:/demo@champion").predict_raw(then.table.features.iloc[held])
    assert not np.allclose(seen, served)
    assert champion.version.tags[JUDGED].startswith("judged-")

    grown = pd.concat([table(300), table(200, 1)], ignore_index=True)
    found = retune(retuned(), grown, key="second")
    now = plan(retuned(), grown, champion.prior)
    rows = untouched(champion, now)
    assert set(held) <= set(rows)
    made = version_at("demo", "2")
    assert list(read_files(made.run_id, (made.tags[JUDGED],))) == [made.tags[JUDGED]]
    seen = champion.judged.predict_raw(now.table.features.iloc[rows])
    assert found.report["gate"]["champion"] == pytest.approx(metric(now.table.target[rows], seen))


def test_a_champion_whose_judged_models_are_damaged_is_kept_and_said_in_one_line(store):
    first = retune(retuned(), table(300), key="first")
    tag = version_at("demo", "champion").tags[JUDGED]
    place = Path(store.get_run(first.report["run_id"]).info.artifact_uri.removeprefix("file://"), tag)
    place.write_bytes(place.read_bytes()[:100])
    champion = read_champion("demo", "champion")
    damaged = rf"{tag} of run \w+ is damaged .* version 1 cannot be compared"
    with pytest.raises(DataError, match=damaged) as caught:
        champion.judged  # noqa: B018
    assert "\n" not in str(caught.value)
    place.unlink()
    with pytest.raises(DataError, match=rf"{tag} of run \w+ is not there"):
        champion.judged  # noqa: B018
    grown = pd.concat([table(300), table(900, 1, column="b")], ignore_index=True)
    found = retune(retuned(), grown, key="second")
    assert found.status == "kept"
    assert "is not there: without it version 1 cannot be compared" in found.report["gate"]["reason"]
    grown = pd.concat([grown, table(50, 2)], ignore_index=True)
    assert retune(retuned(gate="always"), grown, key="third").status == "promoted"


def test_a_retune_whose_study_was_tuned_before_compares_what_was_judged_then(store):
    retune(retuned(), table(300), key="first")
    champion = read_champion("demo", "champion")
    grown = pd.concat([table(300), table(200, 1)], ignore_index=True)
    run(
        plan(retuned(), grown, champion.prior),
        Engine("processes", 1, None, lambda _: None),
        SILENT,
        time.monotonic(),
    )
    promote("demo", "1", "champion", "by hand")
    found = retune(retuned(), grown, key="second")
    assert found.report["model"]["version"] == "2"
    now = plan(retuned(), grown, champion.prior)
    rows = untouched(champion, now)
    seen = judged_package(version_at("demo", "2")).predict_raw(now.table.features.iloc[rows])
    assert found.report["gate"]["challenger"] == pytest.approx(
        METRICS["log_loss"](now.table.target[rows], seen)
    )


def test_a_tracked_estimator_that_is_fitted_again_without_the_second_fit_predicts_as_judged(store):
    data = frame_of("regression")
    X, y = data.drop(columns="target"), data.target
    known = {"trials": 2, "backends": ["sklearn"], "random_state": 0, "tracking": "mlflow", "name": "again"}
    errors = [
        abs(np.mean(AutoRegRegressor(refit_full=full, **known).fit(X, y).predict(X) - y))
        for full in (True, False)
    ]
    assert errors[0] < 1e-3 < errors[1]
