import contextlib
import dataclasses
import io
import json
import math
import sqlite3

import numpy as np
import pytest

from autoreg.errors import Busy
from autoreg.ledger import MlflowLedger
from autoreg.ledger.contract import StudyHeader
from autoreg.ledger.lock import study_lock
from autoreg.ledger.runs import (
    load_predictions,
    pack,
    saved_arrays,
    thin,
    trial_metrics,
    trial_params,
    unpack,
)
from autoreg.metrics import METRICS
from autoreg.tracking import canonical
from autoreg.trial import CANONICAL, Extension, State, TrialRecord, TrialResult, Turn

RESULT = TrialResult(
    State.COMPLETE,
    {"penalty": "l1", "alpha": 0.1 + 0.2, "max_depth": 3, "flag": True},
    {"xgboost.reg_alpha": 1e-17},
    loss=1 / 3,
    loss_se=math.nan,
    fold_losses=(0.1, 0.2),
    cv=0.5,
    cv_se=0.01,
    train=0.4,
    rounds=(3, 5),
    complexity=7.0,
    seconds=1.25,
)
RECORD = TrialRecord(4, "xgboost", {"alpha": 0.1}, RESULT, 1.0, 2.0)


def test_what_is_packed_is_unpacked_to_the_last_bit():
    text = pack(RECORD)
    json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))
    again = unpack(4, "xgboost", "complete", json.dumps(dict(RECORD.asked)), text, "id").result
    assert again.params == RESULT.params
    assert type(again.params["flag"]) is bool
    assert (again.loss, again.fold_losses, again.rounds) == (RESULT.loss, RESULT.fold_losses, RESULT.rounds)
    assert math.isnan(again.loss_se)


def test_canonical_names_come_first_and_absent_ones_are_off():
    params = trial_params(RECORD)
    assert list(params)[: len(CANONICAL)] == list(CANONICAL)
    assert (params["penalty"], params["dropout"], params["patience"]) == ("l1", "0.0", "0")
    assert float(params["alpha"]) == 0.1 + 0.2
    assert params["xgboost.max_depth"] == "3"


def test_a_positive_gap_means_overfit_whatever_the_direction():
    loss, share = (trial_metrics(RECORD, METRICS[name]) for name in ("log_loss", "accuracy"))
    assert loss["gap_log_loss"] == pytest.approx(0.1)
    assert share["gap_accuracy"] == pytest.approx(-0.1)
    assert "loss_se" not in loss


def test_predictions_survive_and_only_kept_rows_are_stored():
    predictions = np.random.default_rng(0).random((6, 2)).astype(np.float32)
    record = TrialRecord(0, "x", {}, TrialResult(State.COMPLETE, {}, predictions=predictions))
    header = StudyHeader("s", "d", METRICS["log_loss"], np.array([1, 4]), (6, 2))
    again = load_predictions(io.BytesIO(saved_arrays(record, header)), header)
    assert np.array_equal(again[[1, 4]], predictions[[1, 4]])
    assert np.isnan(again[[0, 2, 3, 5]]).all()


def test_curves_keep_both_ends():
    steps, values = thin(np.arange(1000.0))
    assert (steps[0], steps[-1], len(steps)) == (0, 999, 25)
    assert np.array_equal(steps, values)


def test_one_driver_a_study_and_the_lock_is_free_again():
    with study_lock("sqlite:////tmp/a.db", "digest", "s"):
        with pytest.raises(Busy, match="already running"), study_lock("sqlite:////tmp/a.db", "digest", "s"):
            pass
        with study_lock("sqlite:////tmp/a.db", "other", "s"):
            pass
    with study_lock("sqlite:////tmp/a.db", "digest", "s"):
        pass


def test_a_store_has_one_name_from_whatever_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert canonical("sqlite:///mlflow.db") == canonical(f"sqlite:///{tmp_path}/mlflow.db")
    assert canonical("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


def test_drops_extensions_and_cut_turns_are_read_back_from_the_store(store):
    header = StudyHeader("s", "d", METRICS["log_loss"], np.arange(2), (2, 2))
    first = MlflowLedger()
    assert first.begin(header).extensions == []
    # As many as a study can come to: two at each end of four ranges of three backends.
    many = [
        Extension(10_000 + i, "sklearn", "min_child_weight", 0.1 / 3 * 1e-5, 2e3 / 3 + i) for i in range(48)
    ]
    turns = [Turn(10_000 + 8 * i, "sklearn", i % 8) for i in range(100)]
    first.drop({"xgboost": 64})
    first.extend(many)
    first.cut(turns)
    first.flush()
    again = MlflowLedger().begin(header)
    assert (again.drops, again.extensions, again.turns) == ({"xgboost": 64}, many, turns)


@pytest.fixture
def half_done(store, tmp_path, monkeypatch):
    """A ledger that has begun a study of six rows and two classes, with its state in a folder of its own."""
    monkeypatch.setenv("AUTOREG_STATE_DIR", str(tmp_path / "state"))
    ledger = MlflowLedger()
    ledger.begin(StudyHeader("s", "d", METRICS["log_loss"], np.arange(6), (6, 2)))
    return ledger


def rows(seed):
    return np.random.default_rng(seed).random((6, 2)).astype(np.float32)


def finished(number):
    return TrialRecord(
        number, "x", {"a": 1.0}, TrialResult(State.COMPLETE, {"a": 1.0}, loss=0.5, predictions=rows(number))
    )


def test_drivers_that_die_are_counted_and_one_that_stops_is_not(half_done):
    half_done.attempt([0, 1])
    half_done.record(finished(0))
    half_done.flush()
    for deaths in (1, 2):
        again = MlflowLedger()  # the one before died without a word
        history = again.begin(half_done.header)
        assert (list(history.records), history.attempts) == ([0], {1: deaths})
        again.attempt([1])
    again.abandon("KILLED")
    assert MlflowLedger().begin(half_done.header).attempts == {}


def alter(ledger, what):
    """Break the store's database in earnest, or mend it."""
    with contextlib.closing(sqlite3.connect(ledger.uri.removeprefix("sqlite:///"))) as database:
        database.execute(f"alter table {what}")


def test_trials_wait_for_a_broken_store_and_are_read_without_it(half_done, monkeypatch):
    monkeypatch.setattr("autoreg.ledger.writer.FIRST_PAUSE", 0.05)
    alter(half_done, "tags rename to gone")
    for n in range(3):
        half_done.record(finished(n))
    half_done.drop({"x": 8})
    half_done.writer.flush(0.3)
    (words,) = half_done.news()
    assert words.startswith("warning: the tracking store")
    assert half_done.waiting == 3
    bare = dataclasses.replace(finished(1), result=dataclasses.replace(finished(1).result, predictions=None))
    assert np.array_equal(half_done.predictions(bare), rows(1))
    half_done.abandon("KILLED")
    alter(half_done, "gone rename to tags")
    later = MlflowLedger()
    history = later.begin(half_done.header)
    assert (sorted(history.records), history.drops) == ([0, 1, 2], {"x": 8})
    assert np.array_equal(later.predictions(history.records[2]), rows(2))
    later.flush()
    assert np.array_equal(later.predictions(history.records[2]), rows(2))
    assert not later.spool.path.exists()
    third = MlflowLedger().begin(half_done.header)
    assert (sorted(third.records), third.drops) == ([0, 1, 2], {"x": 8})
