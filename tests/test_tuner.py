"""The straight line on a real store: search, ledger, replay, selection, registry."""

import functools
import http.server
import math
import sys
import threading

import numpy as np
import pytest
import threadpoolctl
from sklearn.datasets import load_breast_cancer

from autoreg import tune
from autoreg.errors import Interrupted, NoTrialCompleted, StudyError, UsageError
from autoreg.ledger import read_summary
from autoreg.registry import load_package
from autoreg.spec import parse_study
from autoreg.trial import State

BASE = {
    "name": "cancer",
    "data": {"source": "sklearn:load_breast_cancer", "target": "target"},
    "split": {"folds": 3},
    "search": {
        "backends": ["sklearn", "xgboost"],
        "trials": 12,
        "block": 4,
        "lookahead": 6,
        "xgboost": {"rounds": 40},
    },
}


def study(**search):
    return parse_study({**BASE, "search": {**BASE["search"], **search}})


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Stopper:
    """A watch that interrupts after so many computed trials, as Ctrl-C would."""

    def __init__(self, after):
        self.after, self.numbers, self.replayed, self.said = after, [], 0, []

    def say(self, message):
        self.said.append(message)

    def planned(self, trials, seconds):
        pass

    def stage(self, name):
        pass

    def trial(self, record, replayed):
        self.numbers.append(record.number)
        self.replayed += replayed
        if len(self.numbers) - self.replayed == self.after:
            raise KeyboardInterrupt


def _algebra_threads():
    """Threads of the linear algebra libraries in this process; they must agree."""
    (found,) = {lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"}
    return found


def children(store, result):
    runs = store.search_runs([result["experiment_id"]], f"tags.`mlflow.parentRunId` = '{result['run_id']}'")
    return sorted(runs, key=lambda r: int(r.data.tags["autoreg.trial"]))


def trial_table(runs):
    return [
        (
            r.data.tags["autoreg.trial"],
            r.data.tags["autoreg.uid"],
            r.data.params,
            r.data.metrics.get("loss", r.data.metrics.get("pruned_loss")),
        )
        for r in runs
    ]


def test_a_study_from_table_to_alias(store):
    result = tune(study()).as_json()
    assert result["status"] == "tuned"
    assert result["trials"]["total"] == 12
    runs = children(store, result)
    assert [int(r.data.tags["autoreg.trial"]) for r in runs] == list(range(12))
    assert {r.info.status for r in runs} <= {"FINISHED", "KILLED"}
    for run in runs:
        assert {"penalty", "alpha"} <= set(run.data.params)
        scores = {"cv_log_loss", "cv_log_loss_se", "train_log_loss", "gap_log_loss", "loss"}
        wanted = scores if run.info.status == "FINISHED" else {"pruned_loss"}
        assert wanted <= set(run.data.metrics)
        assert {"mlflow.user", "mlflow.source.name"} <= set(run.data.tags)
    parent = store.get_run(result["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.inputs.dataset_inputs[0].dataset.name == "cancer"
    estimate = result["estimate"]
    assert estimate["holdout_low"] <= estimate["holdout"] <= estimate["holdout_high"]
    version = store.get_model_version_by_alias("cancer", "champion")
    assert str(version.version) == result["model"]["version"]
    assert "Expect a log loss of" in version.description


def test_the_registered_model_predicts_raw_rows_as_in_process(store):
    result = tune(study(trials=4))
    frame = load_breast_cancer(as_frame=True).data.head(40)
    loaded = load_package("models:/cancer@champion")
    np.testing.assert_array_equal(loaded.predict_raw(frame), result.package.predict_raw(frame))
    np.testing.assert_array_equal(loaded.predict_raw(frame[frame.columns[::-1]]), loaded.predict_raw(frame))
    with pytest.raises(ValueError, match="mean radius"):
        loaded.predict(frame.drop(columns="mean radius"))


def test_a_process_keeps_no_copy_of_the_code_of_each_model_that_it_registers(store):
    before = set(sys.modules)
    tune(study(trials=2, backends=["sklearn"]))
    assert not [name for name in set(sys.modules) - before if "packaged_serving" in name]


def test_a_finished_study_is_skipped_and_more_trials_continue_it(store):
    first = tune(study(trials=8)).as_json()
    again = tune(study(trials=8)).as_json()
    assert (again["status"], again["run_id"]) == ("skipped", first["run_id"])
    before = trial_table(children(store, first))
    more = tune(study(trials=12)).as_json()
    assert (more["status"], more["run_id"]) == ("tuned", first["run_id"])
    after = trial_table(children(store, more))
    assert len(after) == 12
    assert after[:8] == before


def test_fresh_starts_a_new_generation(store):
    first = tune(study(trials=4)).as_json()
    second = tune(study(trials=4), fresh=True).as_json()
    assert second["run_id"] != first["run_id"]
    assert len(children(store, first)) == len(children(store, second)) == 4
    assert tune(study(trials=4)).as_json()["run_id"] == second["run_id"]


@pytest.mark.parametrize("after", [1, 5, 9])
def test_an_interrupted_study_resumed_gives_the_undisturbed_trials(store, after):
    whole = tune(study(), tracking="off").as_json()
    with pytest.raises(Interrupted):
        tune(study(), watch=Stopper(after))
    watch = Stopper(-1)
    resumed = tune(study(), watch=watch).as_json()
    assert watch.replayed >= after
    assert watch.numbers == list(range(12))
    assert resumed["best"] == whole["best"]
    assert resumed["estimate"] == whole["estimate"]
    runs = children(store, resumed)
    assert [int(r.data.tags["autoreg.trial"]) for r in runs] == list(range(12))
    assert len({r.data.tags["autoreg.uid"] for r in runs}) == 12


def test_an_unfinished_run_is_ignored_and_gone_at_the_end(store):
    with pytest.raises(Interrupted):
        tune(study(), watch=Stopper(3))
    summary = read_summary("cancer")
    store.create_run(
        summary["experiment_id"],
        tags={"mlflow.parentRunId": summary["run_id"], "autoreg.trial": "5", "autoreg.backend": "sklearn"},
    )
    result = tune(study()).as_json()
    assert {r.info.status for r in children(store, result)} <= {"FINISHED", "KILLED"}


def test_linear_algebra_has_one_thread_throughout_a_study_and_the_users_again_after_it():
    """One product outside the fits would keep a thread spinning through all of them."""
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        seen = []

        class Threads(Stopper):
            def trial(self, record, replayed):
                seen.append(_algebra_threads())

        tune(study(trials=4), tracking="off", watch=Threads(99))
        assert seen == [1] * 4
        assert _algebra_threads() == 2


def test_the_trials_are_the_same_in_memory_and_in_mlflow(store):
    off = tune(study(), tracking="off").as_json()
    on = tune(study()).as_json()
    assert off["best"] == on["best"]
    assert off["run_id"] == ""
    assert off["model"]["name"] is None


def test_the_summary_is_read_back_from_the_ledger_alone(store):
    result = tune(study(trials=6)).as_json()
    for name in ("cancer", result["run_id"]):
        summary = read_summary(name)
        assert [t["number"] for t in summary["trials_table"]] == list(range(6))
        best = min((t for t in summary["trials_table"] if t["state"] == "complete"), key=lambda t: t["loss"])
        assert best["number"] == result["best"]["trial"]
    with pytest.raises(StudyError, match="nowhere"):
        read_summary("nowhere")


def test_a_run_of_mlflow_run_is_adopted_and_a_later_one_links_to_it(store, monkeypatch):
    experiment = store.create_experiment("mine")
    first, second = (store.create_run(experiment).info.run_id for _ in range(2))
    store.log_param(first, "trials", "what mlflow run logs")
    monkeypatch.setenv("MLFLOW_RUN_ID", first)
    assert tune(study(trials=4)).as_json()["run_id"] == first
    monkeypatch.setenv("MLFLOW_RUN_ID", second)
    assert tune(study(trials=6)).as_json()["run_id"] == first
    assert store.get_run(second).data.tags["autoreg.session_of"] == first


def test_runs_that_are_not_trials_are_left_alone(store):
    with pytest.raises(Interrupted):
        tune(study(), watch=Stopper(2))
    summary = read_summary("cancer")
    mine = store.create_run(
        summary["experiment_id"], tags={"mlflow.parentRunId": summary["run_id"]}
    ).info.run_id
    tune(study())
    assert store.get_run(mine).info.lifecycle_stage == "active"


def test_a_kill_between_finishing_and_ending_the_run_is_mended(store):
    first = tune(study(trials=4)).as_json()
    store.update_run(first["run_id"], status="RUNNING")
    assert tune(study(trials=4)).as_json()["status"] == "skipped"
    assert store.get_run(first["run_id"]).info.status == "FINISHED"


def test_a_parent_that_was_never_described_is_described(store):
    first = tune(study(trials=4)).as_json()
    store.delete_tag(first["run_id"], "autoreg.described")
    tune(study(trials=5))
    run = store.get_run(first["run_id"])
    assert run.data.tags["autoreg.described"] == "true"
    assert run.data.params["autoreg.task"] == "binary"


def test_every_look_at_the_holdout_is_counted(store):
    assert [tune(study(trials=n)).as_json()["estimate"]["looks"] for n in (4, 6)] == [1, 2]


def test_a_password_in_a_source_is_nowhere_in_the_store(store, tmp_path):
    load_breast_cancer(as_frame=True).frame.iloc[:, -6:].to_csv(tmp_path / "t.csv", index=False)
    handler = functools.partial(QuietFiles, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://ada:s3cretpw@127.0.0.1:{server.server_address[1]}/t.csv"
        raw = {**BASE, "data": {"target": "target", "source": source}}
        result = tune(parse_study({**raw, "search": {**BASE["search"], "trials": 2}})).as_json()
        server.shutdown()
    assert result["status"] == "tuned"
    held = [p for p in tmp_path.rglob("*") if p.is_file() and b"s3cretpw" in p.read_bytes()]
    assert not held


def test_an_unknown_run_or_experiment_to_adopt_is_said(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
    with pytest.raises(UsageError, match="MLFLOW_EXPERIMENT_ID"):
        tune(study(trials=2))
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(UsageError, match="MLFLOW_RUN_ID"):
        tune(study(trials=2))


def test_the_commit_of_the_study_is_noted(store, tmp_path):
    import subprocess

    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    result = tune(parse_study({**BASE, "search": {**BASE["search"], "trials": 1}}, tmp_path)).as_json()
    assert store.get_run(result["run_id"]).data.tags["mlflow.source.git.commit"] == head


def test_a_trial_that_diverges_is_a_failed_state_and_never_wins(store):
    failing = study(
        backends=["sklearn", "xgboost"], trials=8, xgboost={"rounds": 20, "eta": 1.0, "alpha": 0.0}
    )
    result = tune(failing).as_json()
    assert result["trials"]["complete"] >= 4
    assert math.isfinite(result["best"]["cv_mean"])


def test_a_study_that_runs_out_of_time_before_any_trial_says_so(store):
    with pytest.raises(NoTrialCompleted, match="--timeout"):
        tune(study(timeout=0.01))


def test_worse_trials_are_given_up_between_folds_and_recorded_as_such(store):
    hopeless = {"alpha": [1e-3, 100.0], "penalty": "l2"}
    given = study(backends=["sklearn"], trials=12, lookahead=1, sampler="random", sklearn=hopeless)
    result = tune(given).as_json()
    runs = children(store, result)
    pruned = [r for r in runs if r.data.tags["autoreg.state"] == State.PRUNED]
    assert 0 < len(pruned) == result["trials"]["pruned"]
    assert all(r.info.status == "KILLED" and float(r.data.params["alpha"]) == 100 for r in pruned)
    assert all("worse than the best after" in r.data.tags["autoreg.reason"] for r in pruned)
    assert all(r.data.metrics["pruned_loss"] > 0 for r in pruned)
    # A list that is sorted by loss ranks what saw the same folds.
    assert {r.data.tags["autoreg.state"] for r in runs if "loss" in r.data.metrics} == {State.COMPLETE}


def test_a_finite_space_ends_the_search_when_everything_is_tried(store):
    given = {"alpha": [1e-3, 1e-2], "penalty": "l2", "l1_ratio": 0.5, "solver": "auto"}
    result = tune(study(backends=["sklearn"], trials=12, sampler="grid", sklearn=given)).as_json()
    assert [float(r.data.params["alpha"]) for r in children(store, result)] == [1e-3, 1e-2]
