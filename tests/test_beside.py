"""The process that writes trials' runs beside the search: what it writes, and what becomes of it and of its driver."""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from fault_tools import Driver, Lab, broken, study, until, writing_for

from autoreg.ledger import MlflowLedger, StudyHeader
from autoreg.ledger import beside as module
from autoreg.metrics import METRICS
from autoreg.trial import State, TrialRecord, TrialResult


def finished(number):
    predictions = np.random.default_rng(number).random((6, 2)).astype(np.float32)
    result = TrialResult(
        State.COMPLETE, {"penalty": "l2"}, predictions=predictions, loss=0.5, curves={"loss": np.arange(3.0)}
    )
    return TrialRecord(number, "sklearn", {"C": 0.1 * number}, result, started=1e9, ended=1e9 + 1)


@pytest.fixture
def ledger(store, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(module, "cores", lambda: 2)
    made = MlflowLedger()
    made.begin(StudyHeader("s", "d", METRICS["log_loss"], np.arange(6), (6, 2)))
    yield made
    made.abandon("KILLED")


def helped(ledger):
    """Start the process, and wait until it can write."""
    ledger.runs._start()
    assert until(ledger.runs._is_ready, 60)
    return ledger.runs.process


def contents(ledger):
    """By trial: everything of its run that does not name the run."""
    from mlflow.entities import ViewType

    found = {}
    for run in ledger.client.search_runs([ledger.experiment_id], "tags.`autoreg.trial` != ''", ViewType.ALL):
        names = [f.path for f in ledger.client.list_artifacts(run.info.run_id)]
        curve = [(p.step, p.value) for p in ledger.client.get_metric_history(run.info.run_id, "loss")]
        tags = {
            k: v
            for k, v in run.data.tags.items()
            if k not in ("autoreg.trial", "autoreg.uid", "autoreg.asked")
        }
        tags.pop("mlflow.runName")
        info = (run.info.status, run.info.start_time, run.info.end_time)
        found[int(run.data.tags["autoreg.trial"])] = (info, names, curve, tags, run.data.metrics)
    return found


def test_what_the_process_writes_is_what_the_thread_writes(ledger):
    ledger.record(finished(0))
    ledger.flush()
    process = helped(ledger)
    ledger.record(finished(1))
    ledger.flush()
    assert ledger.runs.ready  # it was not written here in its place
    found = contents(ledger)
    assert found[0] == found[1]
    bare = replace(
        finished(1), run_id=ledger.written[1], result=replace(finished(1).result, predictions=None)
    )
    assert np.array_equal(ledger.predictions(bare), finished(1).result.predictions)
    ledger.abandon("KILLED")
    assert process.poll() is not None


def test_a_process_that_dies_in_the_middle_leaves_its_trial_to_the_thread(ledger):
    process = helped(ledger)
    os.kill(process.pid, signal.SIGSTOP)
    ledger.record(finished(0))
    assert until(lambda: ledger.runs.waiting, 20)
    process.kill()
    ledger.record(finished(1))
    ledger.flush()
    assert ledger.runs.given_up
    assert sorted(contents(ledger)) == [0, 1]


@pytest.mark.slow
def test_an_error_that_only_the_process_meets_is_not_the_studys(ledger, tmp_path, monkeypatch):
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    real = module.start
    monkeypatch.setattr(
        module, "start", lambda name, env: real(name, env | {"MLFLOW_TRACKING_URI": elsewhere})
    )
    helped(ledger)
    ledger.record(finished(0))
    ledger.flush()
    assert ledger.runs.given_up
    assert sorted(contents(ledger)) == [0]


@pytest.mark.slow
def test_an_absent_store_is_told_by_the_process_and_the_trial_waits(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr("autoreg.ledger.writer.FIRST_PAUSE", 0.05)
    helped(ledger)
    place = tmp_path / "mlflow.db"
    place.rename(tmp_path / "away.db")
    place.mkdir()
    ledger.record(finished(0))
    assert until(lambda: ledger.writer.away is not None, 60)
    assert (ledger.runs.given_up, ledger.waiting) == (False, 1)
    place.rmdir()
    (tmp_path / "away.db").rename(place)
    ledger.flush()
    assert sorted(contents(ledger)) == [0]


@pytest.mark.slow
def test_a_ledger_that_is_left_does_not_wait_for_a_process_that_hangs(ledger, monkeypatch):
    monkeypatch.setattr("autoreg.ledger.store.DRAIN_SECONDS", 0.5)
    process = helped(ledger)
    os.kill(process.pid, signal.SIGSTOP)
    ledger.record(finished(0))
    assert until(lambda: ledger.runs.waiting, 20)
    leaving = threading.Thread(target=ledger.abandon, args=("KILLED",))
    leaving.start()
    assert until(lambda: not leaving.is_alive(), 60)
    assert process.poll() == -signal.SIGKILL
    assert 0 in ledger.spool.read().trials  # for the next driver


@pytest.mark.parametrize(
    ("passed", "spent", "elsewhere", "pays"),
    [(6, 0.6, 4, True), (4, 0.6, 4, False), (6, 0.3, 4, False), (6, 0.6, 1, False)],
)
def test_a_process_is_started_where_writing_holds_up_what_this_one_computes(
    passed, spent, elsewhere, pays, monkeypatch
):
    runs = module.BesideRuns(None)
    monkeypatch.setattr(module.time, "monotonic", lambda: 100.0 + passed)
    monkeypatch.setattr(module.time, "process_time", lambda: 10.0 + spent + elsewhere)
    runs.wall, runs.cpu, runs.spent = 100.0, 10.0, spent
    assert runs._pays() is pays


def test_one_core_is_not_shared_with_a_process(monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 1)
    assert module.BesideRuns(None).given_up


@pytest.mark.full
@pytest.mark.parametrize("struck", ["driver", "process", "both"])
def test_killed_while_the_process_writes_nothing_is_lost_or_doubled(struck):
    text = study(240)
    with Lab() as lab:
        whole, folder = lab.whole(text), lab.folder(text)
        store = lab.local(folder)
        driver = Driver(folder, "tune", "study.toml", "--quiet", env=store.env, beside=True)
        assert until(lambda: writing_for(driver) is not None, 60)
        process = writing_for(driver)
        assert until(lambda: process.cpu_times().user > 1 and store.count() > 100, 60)
        time.sleep(0.5)
        if struck != "driver":
            process.kill()
        if struck != "process":
            assert driver.kill()
            assert until(lambda: not process.is_running() or process.status() == "zombie", 10)
            driver = Driver(folder, "tune", "study.toml", "--quiet", env=store.env, beside=True)
        assert driver.wait() == 0, driver.words()
        assert broken(store, whole) == []
