import json
import math
import os
import stat

import numpy as np
import pytest

from autoreg.errors import TrackingUnavailable
from autoreg.ledger import spool as module
from autoreg.ledger.contract import History, StudyHeader
from autoreg.ledger.items import merged
from autoreg.ledger.runs import load_predictions, pack, saved_arrays
from autoreg.ledger.spool import Spool, state_folder
from autoreg.metrics import METRICS
from autoreg.trial import Extension, State, TrialRecord, TrialResult, Turn

STORE = "postgresql://ada:s3cret@db/mlflow"
HEADER = StudyHeader("s", "d", METRICS["log_loss"], np.array([1, 4]), (6, 2))


def record(number, seed=0, **more):
    chance = np.random.default_rng(seed)
    result = TrialResult(
        State.COMPLETE,
        {"penalty": "l1", "alpha": 0.1 + 0.2},
        loss=1 / 3,
        loss_se=math.nan,
        fold_losses=(0.1, 0.2),
        rounds=(3, 5),
        predictions=chance.random((6, 2)).astype(np.float32),
        curves={"train_loss": chance.random(7), "stop_loss": chance.random(7)},
    )
    return TrialRecord(number, "xgboost", {"alpha": 0.3}, result, 1.5, 2.25, **more)


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREG_STATE_DIR", str(tmp_path / "state"))
    return Spool(STORE, "digest", "run")


def again(spool):
    spool.close()
    found = Spool(STORE, "digest", "run")
    return found, found.read()


def test_a_trial_comes_back_to_the_last_bit_in_another_process(spool):
    kept = record(3)
    spool.keep_trial(kept, saved_arrays(kept, HEADER))
    later, contents = again(spool)
    assert list(contents.trials) == [3]
    found, arrays = later.trial(3)
    assert pack(found) == pack(kept)
    assert (found.started, found.ended, dict(found.asked)) == (1.5, 2.25, {"alpha": 0.3})
    for name, curve in kept.result.curves.items():
        assert np.array_equal(found.result.curves[name], curve)
    path = later.path.parent / "t.npz"
    path.write_bytes(arrays)
    rows = load_predictions(path, HEADER)[[1, 4]]
    assert np.array_equal(rows, kept.result.predictions[[1, 4]])


@pytest.mark.parametrize("cut", [1, 20, 400])
def test_a_line_cut_short_by_a_crash_is_ignored_and_the_next_one_stands_alone(spool, cut):
    for n in range(2):
        spool.keep_trial(record(n), saved_arrays(record(n), HEADER))
    os.truncate(spool.path, spool.path.stat().st_size - cut)
    later, contents = again(spool)
    assert (list(contents.trials), contents.damaged) == ([0], 0)
    later.keep_trial(record(5), saved_arrays(record(5), HEADER))
    _, contents = again(later)
    assert (list(contents.trials), contents.damaged) == ([0, 5], 0)


def test_a_damaged_line_costs_one_trial(spool):
    for n in range(3):
        spool.keep_trial(record(n), saved_arrays(record(n), HEADER))
    lines = spool.path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:200] + b"}}" + lines[2][202:]
    spool.path.write_bytes(b"".join(lines))
    _, contents = again(spool)
    assert (list(contents.trials), contents.damaged) == ([0, 2], 1)


def test_no_password_and_nobody_else_reads_it(spool):
    spool.attempt([1])
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.path.parent.stat().st_mode) == 0o700
    assert "s3cret" not in spool.path.read_text() + str(spool.path)
    changed = Spool(STORE.replace("s3cret", "other"), "digest", "run")
    assert changed.path == spool.path  # a new password does not lose what waits
    assert Spool(STORE, "digest", "another run").path != spool.path


def test_attempts_without_a_result_are_counted_driver_by_driver(spool):
    for _ in range(2):
        spool.attempt([3, 4])
        spool.resolve(3)
        spool, contents = again(spool)
    assert contents.attempts == {3: 2, 4: 2}
    spool.left()  # a stop that the driver lived to see
    _, contents = again(spool)
    assert contents.attempts == {}


def test_delivered_only_open_attempts_stay_and_without_any_no_file(spool):
    spool.attempt([1, 2])
    spool.keep_trial(record(1), saved_arrays(record(1), HEADER))
    spool.resolve(1)
    spool.delivered()
    spool, contents = again(spool)
    assert (contents.trials, contents.attempts) == ({}, {2: 1})
    assert spool.trial(1) is None
    spool.keep_decision("drops", {"xgboost": 8})
    spool.resolve(2)
    spool.delivered()
    assert not spool.path.exists()


def test_what_the_store_holds_counts_and_what_it_lacks_is_delivered(spool):
    many = [Extension(8 * i, "sklearn", "alpha", 0.1, 2.0 + i) for i in range(2)]
    for n in (1, 2):
        spool.keep_trial(record(n), saved_arrays(record(n), HEADER))
    spool.keep_decision("drops", {"keras": 16})
    spool.keep_decision("extensions", many)
    spool.keep_decision("turns", [Turn(8, "keras", 0)])
    mine = record(1, run_id="in the store")
    history = History({1: mine}, {"xgboost": 8}, extensions=many[:1])
    items = merged(history, spool.read())
    assert history.records[1] is mine
    assert sorted(history.records) == [1, 2]
    assert history.drops == {"keras": 16, "xgboost": 8}
    assert history.extensions == many
    assert history.turns == [Turn(8, "keras", 0)]
    decisions = [("turns", -1), ("extensions", -1), ("drops", -1)]
    assert [(i.kind, i.number) for i in items] == [*decisions, ("trial", 2)]
    assert merged(history, spool.read()) == []


def test_a_file_of_another_version_is_left_alone_in_meaning(spool):
    spool.attempt([1])
    lines = spool.path.read_text().splitlines()
    spool.path.write_text("\n".join([json.dumps({"kind": "spool", "version": 99}), *lines[1:]]) + "\n")
    assert again(spool)[1].damaged == 1


def test_a_folder_that_cannot_be_written_has_a_spare(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AUTOREG_STATE_DIR", str(tmp_path / "file" / "state"))
    folder = state_folder()
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.raises(TrackingUnavailable, match="another user"):
        state_folder()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(TrackingUnavailable, match="another user"):
        state_folder()


def test_the_default_is_the_users_own_state_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("AUTOREG_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "x"))
    assert state_folder() == tmp_path / "x" / "autoreg"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".local" / "state" / "autoreg"
