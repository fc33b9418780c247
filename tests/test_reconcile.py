import json

import numpy as np
import pytest
from test_spool import HEADER, record

from autoreg.__main__ import main
from autoreg.errors import Busy, StudyError
from autoreg.ledger import MlflowLedger, study_lock
from autoreg.ledger.reconcile import reconcile
from autoreg.ledger.runs import saved_arrays
from autoreg.ledger.spool import Spool
from autoreg.tracking import canonical
from autoreg.trial import Extension, Turn


@pytest.fixture
def study(store, tmp_path, monkeypatch):
    """A study whose driver was killed: one trial in the store, its run open."""
    monkeypatch.setenv("AUTOREG_STATE_DIR", str(tmp_path / "state"))
    ledger = MlflowLedger()
    ledger.begin(HEADER)
    ledger.record(record(0))
    ledger.flush()
    ledger.writer.close()
    return ledger


def children(ledger):
    runs = ledger.client.search_runs([ledger.experiment_id])
    return [r for r in runs if "autoreg.trial" in r.data.tags]


def test_what_waits_is_delivered_as_if_it_had_never_waited(study):
    spool = Spool(study.uri, "d", study.run_id)
    many = [Extension(8, "xgboost", "alpha", 0.1, 2.0)]
    for n in (0, 1, 2):
        spool.keep_trial(record(n), saved_arrays(record(n), HEADER))
    spool.keep_decision("drops", {"keras": 16})
    spool.keep_decision("extensions", many)
    spool.keep_decision("turns", [Turn(24, "xgboost", 2)])
    said = reconcile("s")
    assert sum(line.startswith("wrote trial") for line in said.done) == 2  # the first was there
    assert not spool.path.exists()
    direct, *later = sorted(children(study), key=lambda r: int(r.data.tags["autoreg.trial"]))
    own = ("autoreg.trial", "autoreg.uid", "mlflow.runName")
    for run in later:
        assert (run.data.metrics, run.data.params, run.info.status) == (
            direct.data.metrics,
            direct.data.params,
            direct.info.status,
        )
        assert {k: v for k, v in run.data.tags.items() if k not in own} == {
            k: v for k, v in direct.data.tags.items() if k not in own
        }
    history = MlflowLedger().begin(HEADER)
    assert (sorted(history.records), history.drops, history.extensions) == ([0, 1, 2], {"keras": 16}, many)
    assert history.turns == [Turn(24, "xgboost", 2)]
    rows = study.predictions(history.records[2])[HEADER.kept]
    assert np.array_equal(rows, record(2).result.predictions[HEADER.kept])


def test_halves_and_doubles_go_and_the_first_stays(study):
    (first,) = children(study)
    tags = {k: v for k, v in first.data.tags.items() if k != "mlflow.runName"}
    make = study.client.create_run
    half = make(study.experiment_id, tags={**tags, "autoreg.uid": "d.0-xgboost-1", "autoreg.trial": "1"})
    double = make(study.experiment_id, tags=tags)
    study.client.set_terminated(double.info.run_id, "FINISHED")
    other = make(study.experiment_id, tags={"mlflow.parentRunId": study.run_id})  # not ours
    planned = reconcile(study.run_id, dry_run=True)
    assert len(children(study)) == 3
    said = reconcile(study.run_id)
    assert len(planned.done) == len(said.done) == 3
    assert all(line.startswith("would ") for line in planned.done)
    (left,) = children(study)
    assert left.info.run_id == min(first.info.run_id, double.info.run_id)
    assert study.client.get_run(half.info.run_id).info.lifecycle_stage == "deleted"
    assert study.client.get_run(other.info.run_id).info.lifecycle_stage == "active"
    assert study.client.get_run(study.run_id).info.status == "KILLED"
    assert reconcile(study.run_id).done == []


def test_a_study_that_runs_is_left_alone(study):
    with (
        study_lock(canonical(study.uri), HEADER.digest, HEADER.name),
        pytest.raises(Busy, match="already running"),
    ):
        reconcile("s")
    assert study.client.get_run(study.run_id).info.status == "RUNNING"


def test_a_version_whose_registering_was_cut_short_is_named(study):
    study.client.create_registered_model("churn")
    study.client.create_model_version(
        "churn", f"runs:/{study.run_id}/model", study.run_id, tags={"autoreg.uid": "x"}
    )
    first, second = reconcile("s").found
    assert "version 1 of model 'churn' lacks the tags autoreg.study" in first
    assert "no alias" in second
    study.client.set_registered_model_alias("churn", "champion", "1")
    assert len(reconcile("s").found) == 1


def test_what_is_no_study_is_one_clear_line(study):
    with pytest.raises(StudyError, match="nobody"):
        reconcile("nobody")
    plain = study.client.create_run(study.experiment_id).info.run_id
    with pytest.raises(StudyError, match="not a study"):
        reconcile(plain)


def test_the_command_prints_a_line_each_and_one_json_object(study, capsys):
    assert main(["reconcile", "s", "--dry-run"]) == 0
    assert capsys.readouterr().out == "would close the study's run as KILLED, which said RUNNING\n"
    assert main(["reconcile", "s", "--json", "-"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], len(said["done"]), said["run_id"]) == ("reconciled", 1, study.run_id)
    assert main(["reconcile", "s"]) == 0
    assert capsys.readouterr().out == "nothing to do\n"


def test_a_model_that_was_logged_for_a_version_that_never_came_goes(study):
    client, uid = study.client, {"autoreg.uid": "x"}
    made = {
        what: client.create_logged_model(study.experiment_id, "model", study.run_id, tags=tags).model_id
        for what, tags in (("named", uid), ("left", uid), ("the user's", {}))
    }
    client.create_registered_model("churn")
    client.create_model_version(
        "churn", f"models:/{made['named']}", study.run_id, tags=uid, model_id=made["named"]
    )
    line = f"the logged model {made['left']}, which no version names"
    assert f"would delete {line}" in reconcile("s", dry_run=True).done
    assert f"deleted {line}" in reconcile("s").done
    left = {m.model_id for m in client.search_logged_models([study.experiment_id])}
    assert left == {made["named"], made["the user's"]}
    assert not any("logged model" in said for said in reconcile("s").done)
