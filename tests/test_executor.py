"""Worker processes: the same trials as without them, and no harm done when they die."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import psutil
import pytest
from evidence_data import Silent
from test_processes import STUDY, _trials, autoreg, trial_table
from worker_backends import Broken, Endless, KilledAtFirst, Logged, Poison, Segfault, Unloadable

from autoreg import tune
from autoreg.errors import AutoregError, UsageError
from autoreg.evaluation import Candidate
from autoreg.executor import SerialExecutor, Work, WorkerPool, worker_count
from autoreg.executor.worker import pack, unpack
from autoreg.executor.workers import THREADS, worker_environment
from autoreg.interpreter import cores
from autoreg.planning import plan
from autoreg.spec import parse_study
from autoreg.trial import OutOfTime, State

TRIALS = 6
SHORT = STUDY + "[search.xgboost]\nrounds = 30\n[split]\nfolds = 2\n"


@pytest.fixture(scope="module")
def planned():
    study = {
        "name": "iris",
        "data": {"source": "sklearn:load_iris", "target": "target"},
        "split": {"folds": 3},
        "search": {"backends": ["sklearn"]},
    }
    return plan(parse_study(study))


@pytest.fixture(scope="module")
def works(planned):
    """A few trials of the linear backend that differ in their strength."""
    default = planned.defaults["sklearn"]
    return [
        Work((n,), "sklearn", (Candidate({**default, "penalty": "l2", "alpha": 10.0**-n}, 1000 * n),))
        for n in range(TRIALS)
    ]


def children():
    return psutil.Process().children(recursive=True)


def table(done):
    """Every trial's numbers, exactly."""
    return {
        d.work.numbers: [
            (r.state, r.params, r.native, r.loss, r.fold_losses, r.cv, r.train) for r in d.results
        ]
        for d in done
    }


def run(executor, works):
    try:
        for work in works:
            executor.submit(work)
        return [executor.wait() for _ in works]
    finally:
        executor.close()


def pool(planned, backend=None, in_time=lambda: True, workers=2, limit=None):
    backends = planned.backends if backend is None else {"sklearn": backend}
    return WorkerPool(planned.problem, backends, in_time, workers, limit)


@pytest.fixture(scope="module")
def serial(planned, works):
    return run(SerialExecutor(planned.problem, planned.backends, lambda: True), works)


class TestUnits:
    def test_how_many(self):
        assert worker_count(1) == 1
        assert worker_count(3) == 3
        assert worker_count(-1) == cores() >= 1
        for wrong in (0, -2):
            with pytest.raises(UsageError, match="n_jobs: expected 1 or more"):
                worker_count(wrong)

    def test_each_worker_gets_its_share_of_the_cores_and_no_more_than_the_user_grants(self):
        for workers in (1, 2, 2 * cores()):
            environment = worker_environment(workers, {"PATH": "/bin"})
            assert {environment[name] for name in THREADS} == {str(max(1, cores() // workers))}
            assert environment["PATH"] == "/bin"
        granted = worker_environment(1, {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1000"})
        assert granted["OMP_NUM_THREADS"] == "1"
        assert granted["OPENBLAS_NUM_THREADS"] == str(cores())

    def test_a_problem_survives_being_mapped(self, planned):
        with tempfile.TemporaryFile() as file:
            packed = pack(planned.problem, planned.backends, file)
            there = unpack(packed, file.fileno())
        assert (there.metric.name, there.metric.rows) == (planned.metric.name, planned.metric.rows)
        assert there.table.features.equals(planned.table.features)
        for mine, its in zip(planned.problem.folds("dense"), there.folds("dense"), strict=True):
            np.testing.assert_array_equal(mine.train.X, its.train.X)
            assert mine.train.X.strides == its.train.X.strides
            assert its.train.X.ctypes.data % 64 == 0
        before = planned.problem.folds("dense")[0].train.X.copy()
        there.folds("dense")[0].train.X[:] = 0.0
        np.testing.assert_array_equal(planned.problem.folds("dense")[0].train.X, before)

    def test_workers_start_only_when_there_is_work(self, planned):
        idle = pool(planned)
        idle.close()
        assert not children()

    def test_waiting_for_nothing_is_refused(self, planned):
        with pytest.raises(RuntimeError, match="nothing was submitted"):
            pool(planned).wait()


@pytest.mark.slow
class TestPool:
    def test_the_same_results_as_in_one_process(self, planned, works, serial):
        done = run(pool(planned), works)
        assert table(done) == table(serial)
        for d in done:
            assert time.time() - 600 < d.started <= d.ended <= time.time()
        by_number = {d.work.numbers: d.results[0] for d in serial}
        for d in done:
            np.testing.assert_array_equal(d.results[0].predictions, by_number[d.work.numbers].predictions)
        assert not children()

    def test_a_killed_workers_task_is_run_again(self, planned, works, serial, tmp_path):
        for times in (1, 3):
            folder = tmp_path / str(times)
            folder.mkdir()
            done = run(pool(planned, KilledAtFirst(2000, folder, times)), works)
            assert table(done) == table(serial)
            assert len(list(folder.iterdir())) == times
        assert not children()

    def test_workers_killed_from_outside_are_replaced(self, planned, works, serial):
        running = pool(planned)
        try:
            for work in works:
                running.submit(work)
            done = []
            for kills in range(len(works)):
                done.append(running.wait())
                if kills < 3:
                    running.crew[0].process.kill()
            assert table(done) == table(serial)
        finally:
            running.close()

    def test_a_task_that_kills_four_workers_is_failed_and_the_others_complete(self, planned, works, serial):
        done = run(pool(planned, Poison(3000)), works)
        (failed,) = [d for d in done if d.work.numbers == (3,)]
        result = failed.results[0]
        assert result.state is State.FAILED
        assert result.params == works[3].candidates[0].params
        assert result.reason == "its worker process died 4 times, the last time with exit code 7"
        assert table(d for d in done if d is not failed) == table(d for d in serial if d.work.numbers != (3,))
        assert not children()

    def test_at_the_deadline_tasks_under_way_are_given_up(self, planned, works, tmp_path):
        running = pool(planned, Endless(0, tmp_path), lambda: not (tmp_path / "endless").exists())
        with pytest.raises(OutOfTime):
            run(running, works[:1])
        assert not children()

    def test_an_overdue_trial_is_failed_and_its_worker_replaced(self, planned, works, serial, tmp_path):
        done = run(pool(planned, Endless(3000, tmp_path), workers=1, limit=2.0), works)
        (failed,) = [d for d in done if d.work.numbers == (3,)]
        assert failed.results[0].state is State.FAILED
        assert failed.results[0].reason == "took longer than search.trial_timeout (2 s)"
        assert failed.ended - failed.started >= 2.0
        assert table(d for d in done if d is not failed) == table(d for d in serial if d.work.numbers != (3,))
        assert not psutil.pid_exists(int((tmp_path / "endless").read_text()))
        assert not children()

    @pytest.mark.full
    def test_a_block_has_its_trials_limits_together(self, planned, works, tmp_path):
        block = Work((0, 1, 2), "sklearn", tuple(work.candidates[0] for work in works[:3]))
        (slow,) = run(pool(planned, Logged(tmp_path, 0.4), workers=1, limit=2.0), [block])
        assert {r.state for r in slow.results} == {State.COMPLETE}  # 9 fits of .4 s: more than one limit
        (done,) = run(pool(planned, Endless(2000, tmp_path), workers=1, limit=0.5), [block])
        assert {r.reason for r in done.results} == {
            "3 trials together took longer than 3 times search.trial_timeout (0.5 s)"
        }

    def test_drained_tasks_under_way_finish_and_nothing_more_starts(self, planned, works, serial, tmp_path):
        running = pool(planned, Logged(tmp_path, 0.5))
        try:
            for work in works:
                running.submit(work)
            first = running.wait()
            done = [first, *running.drain(30.0)]
            assert 2 <= len(done) <= 4 < len(works)
            numbers = {d.work.numbers for d in done}
            assert table(done) == table(d for d in serial if d.work.numbers in numbers)
        finally:
            running.close()

    def test_a_task_that_does_not_finish_in_time_is_not_waited_for(self, planned, works, tmp_path):
        running = pool(planned, Endless(0, tmp_path), workers=1)
        try:
            running.submit(works[0])
            running.in_time = lambda: not (tmp_path / "endless").exists()
            with pytest.raises(OutOfTime):
                running.wait()
            assert running.drain(0.5) == []
        finally:
            running.close()
        assert not children()

    def test_what_took_this_process_down_runs_in_one_of_its_own(self, planned, works, serial):
        executor = SerialExecutor(planned.problem, {"sklearn": Segfault(3000)}, lambda: True, {3})
        done = run(executor, works)
        (failed,) = [d for d in done if d.work.numbers == (3,)]
        assert failed.results[0].state is State.FAILED
        assert failed.results[0].reason == "its worker process died 4 times, the last time by SIGSEGV"
        assert table(d for d in done if d is not failed) == table(d for d in serial if d.work.numbers != (3,))
        assert not children()

    def test_a_bug_in_a_worker_is_as_loud_as_here(self, planned, works):
        with pytest.raises(ZeroDivisionError, match="a bug") as caught:
            run(pool(planned, Broken(0)), works[:1])
        assert "worker_backends.py" in str(caught.value.__cause__)
        with pytest.raises(ImportError, match="not here"):
            run(pool(planned, Unloadable()), works[:1])
        assert not children()

    def test_workers_that_cannot_start_are_not_tried_for_ever(self, planned, works, monkeypatch):
        monkeypatch.setenv("PYTHONHOME", "/nowhere")  # the interpreter finds no library there
        with pytest.raises(AutoregError, match="4 of them ended before their first task"):
            run(pool(planned), works)
        assert not children()

    def test_workers_die_with_a_killed_driver(self, tmp_path):
        code = (
            "import sys; from pathlib import Path; from autoreg.planning import plan; from autoreg.spec import parse_study\n"
            "from autoreg.executor import Work, WorkerPool; from autoreg.evaluation import Candidate\n"
            "from worker_backends import Endless\n"
            "p = plan(parse_study({'name': 'i', 'data': {'source': 'sklearn:load_iris', 'target': 'target'},"
            " 'search': {'backends': ['sklearn']}}))\n"
            "pool = WorkerPool(p.problem, {'sklearn': Endless(0, Path(sys.argv[1]))}, lambda: True, 2)\n"
            "for n in range(2): pool.submit(Work((n,), 'sklearn', (Candidate(p.defaults['sklearn'], n),)))\n"
            "pool.wait(); pool.wait()\n"
        )
        place = os.pathsep.join(filter(None, sys.path))
        driver = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": place}
        )
        try:
            wait_for(lambda: (tmp_path / "endless").exists() and (tmp_path / "endless").read_text())
            workers = psutil.Process(driver.pid).children(recursive=True)
            assert len(workers) == 2
        finally:
            driver.kill()
            driver.wait()
        gone, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive
        assert len(gone) == 2


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def told(result):
    """Every trial but how long it took; a trial of one fold has no error of its mean over folds, and NaN equals nothing."""
    trials = result.record.trials
    return [replace(t, seconds=0.0, cv_se=-1.0 if np.isnan(t.cv_se) else t.cv_se) for t in trials]


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [pytest.param("sklearn:load_breast_cancer", marks=pytest.mark.full), "sklearn:load_diabetes"]
)
def test_a_study_gives_the_same_trials_and_the_same_winner_with_workers(source):
    search = {"trials": 18, "block": 3, "lookahead": 6, "xgboost": {"rounds": 60}, "keras": {"epochs": 12}}
    study = parse_study({"name": "t", "data": {"source": source, "target": "target"}, "search": search})
    alone, together = (tune(study, tracking="off", n_jobs=n) for n in (1, 2))
    assert told(alone) == told(together)
    assert {trial.backend for trial in told(alone)} == {"sklearn", "xgboost", "keras"}
    for key in ("best", "estimate"):
        assert alone.report[key] == together.report[key]
    assert not children()


def test_workers_that_the_lookahead_leaves_idle_are_spoken_of():
    search = {"backends": ["sklearn"], "trials": 2, "block": 1, "lookahead": 1}
    study = parse_study(
        {"name": "t", "data": {"source": "sklearn:load_wine", "target": "target"}, "search": search}
    )
    for workers in (1, 2):
        watch = Silent()
        watch.say = (said := []).append
        tune(study, tracking="off", n_jobs=workers, watch=watch)
        assert any("search.lookahead = 2" in words for words in said) is (workers == 2)


def finished(folder):
    """How each trial ended, by number."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return {
        int(r.data.tags["autoreg.trial"]): r.data.tags["autoreg.state"]
        for r in runs
        if "autoreg.state" in r.data.tags
    }


@pytest.mark.slow
class TestCommand:
    """The real command on a real store."""

    def started(self, folder, trials):
        (folder / "study.toml").write_text(SHORT.format(trials=trials))
        command = [
            sys.executable,
            "-m",
            "autoreg",
            "tune",
            "study.toml",
            "--n-jobs",
            "2",
            "--json",
            "out.json",
        ]
        return subprocess.Popen(
            command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )

    def workers(self, driver):
        """Worker processes, told by the module they run."""
        found = psutil.Process(driver.pid).children(recursive=True)
        return [p for p in found if p.is_running() and "autoreg.executor.worker" in " ".join(p.cmdline())]

    @pytest.mark.full
    def test_killed_workers_change_no_trial(self, tmp_path):
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        for folder in (whole, killed):
            folder.mkdir()
        (whole / "study.toml").write_text(SHORT.format(trials=40))
        assert autoreg(whole, "tune", "study.toml", "--quiet").returncode == 0
        driver, chance, kills, seen = self.started(killed, 40), random.Random(0), 0, 0
        while driver.poll() is None:
            time.sleep(0.1)
            # Between two kills a few trials end, so that none is killed so often that it is given up.
            if _trials(killed) >= seen + 3:
                with suppress(psutil.NoSuchProcess, IndexError):
                    chance.choice(self.workers(driver)).kill()
                    kills, seen = kills + 1, _trials(killed)
        _, words = driver.communicate(timeout=300)
        assert driver.returncode == 0, words
        assert kills >= 3, kills
        assert trial_table(whole) == trial_table(killed)

    @pytest.mark.full
    def test_a_trial_that_takes_the_driver_down_is_failed_the_second_time(self, tmp_path):
        study = (
            STUDY.format(trials=8).replace('["sklearn", "xgboost"]', '["sklearn"]').replace("seed = 3", "")
        )
        (tmp_path / "study.toml").write_text(study)
        code = (
            "import sys; from autoreg.backends import BACKENDS; BACKENDS['sklearn'] = 'worker_backends:Crashing'\n"
            "from autoreg.__main__ import main; sys.exit(main(['tune', 'study.toml']))\n"
        )
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        first, second = (
            subprocess.run(
                [sys.executable, "-c", code],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                timeout=300,
            )
            for _ in range(2)
        )
        assert first.returncode == -signal.SIGSEGV, first.stderr
        assert second.returncode == 0, second.stderr
        assert "warning: this study died with trial" in second.stderr
        assert "its worker process died 4 times, the last time by SIGSEGV" in second.stderr
        assert finished(tmp_path) == {n: "failed" if n == 3 else "complete" for n in range(8)}

    @pytest.mark.full
    def test_stopped_the_trials_under_way_are_kept_and_the_next_run_goes_on(self, tmp_path):
        whole = tmp_path / "whole"
        whole.mkdir()
        (whole / "study.toml").write_text(SHORT.format(trials=16))
        assert autoreg(whole, "tune", "study.toml", "--quiet").returncode == 0
        driver = self.started(tmp_path, 16)
        wait_for(lambda: _trials(tmp_path) >= 2, 120)
        began = time.monotonic()
        driver.send_signal(signal.SIGTERM)
        _, words = driver.communicate(timeout=60)
        assert driver.returncode == 143, words
        assert time.monotonic() - began < 25
        assert autoreg(tmp_path, "tune", "study.toml", "--quiet").returncode == 0
        assert trial_table(tmp_path) == trial_table(whole)

    @pytest.mark.parametrize(
        ("signum", "code"),
        [
            pytest.param(signal.SIGINT, 130, marks=pytest.mark.full),
            (signal.SIGTERM, 143),
            pytest.param(signal.SIGKILL, -9, marks=pytest.mark.full),
        ],
    )
    def test_stopped_or_killed_the_driver_leaves_no_worker(self, tmp_path, signum, code):
        driver = self.started(tmp_path, 400)
        try:
            wait_for(lambda: _trials(tmp_path), 120)
            workers = self.workers(driver)
            assert len(workers) == 2
        finally:
            driver.send_signal(signum)
            _, words = driver.communicate(timeout=25)
        assert driver.returncode == code, words
        assert not psutil.wait_procs(workers, timeout=5)[1]
        assert "Traceback" not in words
        if code > 0:
            assert trial_table(tmp_path)
            assert "resume" in words
