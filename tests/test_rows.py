"""Where rows are many, trials see a sample of them, and what is shipped is fitted on all."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from evidence_data import frame_of, searched, study

from autoreg import tune
from autoreg.backends import get_backend, hastened
from autoreg.data import sampled, stop_part
from autoreg.errors import NoTrialCompleted, StudyError
from autoreg.finals import run_finals
from autoreg.outcome import Outcome, default_numbers
from autoreg.planning import most_rows, plan
from autoreg.refit import configuration, cost_of_many, longest_haste, refit
from autoreg.selection import decide
from autoreg.shipping import ship
from autoreg.spec import parse_study

ROWS = 150


def planned(rows=ROWS, data=None, frame=None, **more):
    frame = frame_of("binary") if frame is None else frame
    return plan(study(rows=rows, data=data, backends=["xgboost"], **more), frame)


def test_trials_see_a_sample_with_every_class_in_its_share():
    found = planned()
    split, target = found.split, found.table.target
    assert abs(len(split.sample) - ROWS) <= 1
    assert set(split.sample) < set(split.search)
    assert not set(split.search) & set(split.holdout)
    for fold in split.folds:
        assert set(fold.train) | set(fold.stop) | set(fold.score) <= set(split.sample)
    shares = [np.bincount(target[rows]) / len(rows) for rows in (split.sample, split.search)]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)
    assert set(found.problem.kept_rows()) == set(split.sample)
    assert any("trials see a sample of 150 of" in note for note in found.notes)


def test_the_sample_is_that_of_the_seed_alone():
    one, two = planned(), planned()
    np.testing.assert_array_equal(one.split.sample, two.split.sample)
    other = plan(study(rows=ROWS, backends=["xgboost"], seed=1), frame_of("binary"))
    assert set(other.split.sample) != set(one.split.sample)
    np.testing.assert_array_equal(other.split.holdout, one.split.holdout)


def test_groups_stay_whole_and_times_are_met_evenly():
    frame = frame_of("binary").assign(who=np.arange(250) // 1.2)
    found = planned(data={"group": "who"}, frame=frame)
    inside = set(found.table.group[found.split.sample])
    assert not inside & set(found.table.group[np.setdiff1d(found.split.search, found.split.sample)])
    frame = frame_of("regression").assign(when=pd.date_range("2024-01-01", periods=250, freq="h"))
    found = planned(100, {"time": "when"}, frame)
    time = found.table.time.astype(np.int64)
    early = time[found.split.sample] < np.median(time[found.split.search])
    assert early.mean() == pytest.approx(0.5, abs=0.02)
    assert len(found.split.sample) == pytest.approx(100, abs=1)


def test_no_sample_is_taken_where_all_rows_may_be_seen():
    table = planned("auto").table
    assert sampled(table, np.arange(200), 200, 0) is None
    assert sampled(table, np.arange(200), None, 0) is None
    same = {planned(rows).digest for rows in ("auto", "all", 10_000)}
    assert len(same) == 1  # a study that an earlier release has begun goes on
    assert planned(ROWS).digest not in same


def test_how_many_rows_are_seen_where_the_study_does_not_say():
    table = planned().table

    def most(columns, rows=1_000_000, asked="auto", image=None, **split):
        wide = replace(
            table, features=pd.DataFrame(np.zeros((2, columns))), target=np.zeros(rows, np.int8), image=image
        )
        return most_rows(study(rows=asked, split=split), wide)

    assert most(50) == 120_000
    assert most(300) == most(900) == 20_000
    assert most(784, image=(28, 28, 1)) is None
    assert most(10, asked="all") is None
    assert most(10, asked=500) == 500
    assert (most(50, rows=300_000), most(50, rows=299_999)) == (120_000, None)  # not for a few rows more
    assert most(50, estimate="nested") is None


def test_few_groups_are_seen_whole():
    frame = frame_of("binary").assign(who=np.arange(250) % 7)
    assert planned(data={"group": "who"}, frame=frame).split.sample is None
    grouped = many().assign(who=np.arange(27_000) % 30)
    section = {"name": "many", "data": {"source": "memory", "target": "target", "group": "who"}}
    found = plan(parse_study(section | {"search": {"backends": ["sklearn"]}}), grouped)
    assert len(found.split.folds) == 5  # a fifth of 30 groups says too little
    found = plan(
        parse_study(section | {"search": {"backends": ["sklearn"]}}),
        grouped.assign(who=np.arange(27_000) // 9),
    )
    assert len(found.split.folds) == 1


@pytest.mark.parametrize("rows", ["some", 99, True, 1.5])
def test_numbers_of_rows_that_are_none(rows):
    with pytest.raises(
        StudyError, match=r"search\.rows: expected \"auto\", \"all\" or a number of rows from 100 on"
    ):
        study(rows=rows)


@pytest.mark.parametrize("backend", ["sklearn", "xgboost"])
def test_what_is_shipped_is_fitted_on_all_rows(backend):
    data = frame_of("regression")
    parsed = study(rows=100, backends=[backend], trials=2)
    result = tune(parsed, data, tracking="off")
    split = plan(parsed, data).split
    assert (result.report["final"]["rows"], result.report["final"]["refit_full"]) == (
        len(split.search),
        False,
    )
    assert result.package is result.judged
    told = f"trials see a sample of 100 of {len(split.search)} rows"
    assert any(told in note for note in plan(parsed, data).notes)
    if (
        backend == "sklearn"
    ):  # an intercept is free: residuals over exactly the rows of the fit sum to nothing
        stop = stop_part(plan(parsed, data).table, parsed.split, split.search, 20_000, 0)
        rows = data.iloc[np.setdiff1d(split.search, stop)]
        residuals = result.package.predict_raw(rows) - rows.target.to_numpy()
        assert np.mean(residuals) == pytest.approx(0, abs=1e-3)


def test_a_few_of_all_rows_tell_when_to_stop():
    found = planned()
    stop = stop_part(found.table, found.study.split, found.split.search, 25, 0)
    assert len(stop) == pytest.approx(25, abs=1)
    assert set(stop) <= set(found.split.search)
    assert len(np.unique(found.table.target[stop])) == 2


def decided(given, records):
    """Finalists and what they decide."""
    finals = run_finals(
        records, default_numbers(given, records), given.problem, given.backends,
        lambda r: configuration(given, r), given.study.split, 0, lambda: np.inf,
    )  # fmt: skip
    return finals, decide(finals.evidence(given.backends), "best", "auto")


@pytest.mark.parametrize("looked", [True, False])
def test_the_winner_of_the_sample_is_taken_where_the_time_is_over(looked):
    given, records, _ = searched(study(rows=ROWS, backends=["xgboost"], trials=3), frame_of("binary"))
    finals, decision = decided(given, records)
    assert set(finals.rows) == set(given.split.sample)
    winner = finals.records[decision.winner]
    known = (finals, decision) if looked else (None, None)
    late, early = (ship(given, winner, *known, lambda left=left: left) for left in (0.0, np.inf))
    assert (late.whole, late.alone, len(late.package.members)) == (False, True, 1)
    assert late.rows == len(given.split.sample)
    assert (early.whole, early.rows) == (True, len(given.split.search))
    frame = given.table.features
    assert not np.allclose(late.package.predict_raw(frame), early.package.predict_raw(frame))


def test_the_winner_of_the_sample_is_taken_where_a_fit_on_all_rows_fails(monkeypatch):
    given, records, _ = searched(study(rows=ROWS, backends=["xgboost"], trials=2), frame_of("binary"))
    finals, decision = decided(given, records)

    def only_few(planned, *rest, **more):
        if planned.split.sample is not None:
            raise NoTrialCompleted("no memory")
        return refit(planned, *rest, **more)

    monkeypatch.setattr("autoreg.shipping.refit", only_few)
    found = ship(given, finals.records[decision.winner], finals, decision, lambda: np.inf)
    assert (found.whole, found.alone, len(found.package.members)) == (False, True, 1)


def test_only_steps_that_can_be_longer_are_hurried():
    given, records, _ = searched(
        study(rows=ROWS, trials=6, xgboost={"rounds": 5, "eta": 0.1}), frame_of("binary")
    )
    longest = {r.backend: longest_haste(given, r) for r in records}
    assert longest == {"sklearn": 1.0, "xgboost": pytest.approx(3.0)}


def test_the_winner_alone_is_fitted_where_the_time_is_too_short_for_a_blend():
    given, records, _ = searched(study(rows=ROWS, trials=6), frame_of("binary"))
    finals, decision = decided(given, records)
    share = np.full(len(finals.records), 1 / len(finals.records))
    decision, winner = replace(decision, kind="blend", weights=share), finals.records[decision.winner]
    left = 1.5 * cost_of_many(given, winner)
    shipped = [
        ship(given, winner, finals, decision, lambda seconds=seconds: seconds) for seconds in (left, np.inf)
    ]
    assert [(s.alone, s.whole) for s in shipped] == [(True, True), (False, True)]
    assert [len(s.package.members) for s in shipped] == [1, len(finals.records)]
    told = [Outcome(given, records, winner, finals, decision, s, None) for s in shipped]
    assert [(outcome.kind, len(outcome.parts)) for outcome in told] == [
        ("refit", 1),
        ("blend", len(finals.records)),
    ]


def many(rows=27_000, columns=50):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        rng.normal(size=(rows, columns)).astype(np.float32), columns=[f"x{j}" for j in range(columns)]
    )
    return frame.assign(target=(frame.x0 + rng.normal(size=rows) > 0).astype(int))


def test_where_rows_are_many_a_trial_is_one_fit_and_finalists_have_fresh_folds():
    frame = many()
    parsed = parse_study({
        "name": "many", "data": {"source": "memory", "target": "target"},
        "search": {"backends": ["sklearn"], "trials": 2, "race": False},
    })  # fmt: skip
    found = plan(parsed, frame)
    (fold,) = found.split.folds
    assert len(fold.score) == pytest.approx(0.2 * len(found.split.search), rel=0.01)
    assert not set(fold.score) & (set(fold.train) | set(fold.stop))
    assert any("every trial is fitted once and scored on 4," in note for note in found.notes)
    result = tune(parsed, frame, tracking="off")
    record = result.record
    assert (record.folds, record.repeats) == (1, 3)
    assert all(len(finalist.cells) == 9 for finalist in record.finalists)
    assert result.report["final"]["rows"] == len(frame)
    low, high = (result.report["estimate"][f"holdout_{end}"] for end in ("low", "high"))
    assert low < result.report["estimate"]["cv_fresh"] < high
    assert result.report["estimate"]["cv_corrected"] == pytest.approx(
        result.report["best"]["cv_mean"], rel=0.05
    )


def test_folds_that_the_study_names_and_tables_that_are_narrow_or_short_are_divided_as_ever():
    def folds(frame, **split):
        section = {
            "name": "many",
            "data": {"source": "memory", "target": "target"},
            "search": {"backends": ["sklearn"]},
        }
        return len(plan(parse_study(section | {"split": split}), frame).split.folds)

    assert folds(many()) == 1
    assert folds(many(), folds=5) == 5
    assert folds(many(columns=3)) == 5
    assert folds(many(columns=4)) == 1
    assert folds(many(rows=12_000)) == 5


def test_a_hasty_boosting_takes_longer_steps():
    backend, params = get_backend("xgboost"), {"eta": 0.05, "alpha": 1.0}
    assert hastened(backend, params, 3.0)["eta"] == pytest.approx(0.15)
    assert hastened(backend, params, 100.0)["eta"] == 0.3
    assert hastened(backend, {"eta": 0.5}, 3.0)["eta"] == 0.5
    assert hastened(backend, params, 0.5) is params
    assert hastened(get_backend("sklearn"), params, 3.0) is params
