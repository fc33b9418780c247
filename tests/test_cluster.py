"""Trials on a Dask cluster: the same as anywhere else, and no harm done when machines go away."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from test_executor import SHORT, planned, serial, table, told, wait_for, works
from test_processes import _trials, autoreg, free_port, process, trial_table
from worker_backends import Broken, Endless, Logged, Marked, Poison

from autoreg import tune
from autoreg.errors import ClusterUnavailable, StudyError, UsageError
from autoreg.executor import Engine, Work, station
from autoreg.executor.worker import parcel
from autoreg.planning import plan
from autoreg.spec import parse_study
from autoreg.trial import OutOfTime, State

__all__ = ["planned", "serial", "works"]  # fixtures

ROOT = Path(__file__).parent.parent
PLACE = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


def dask(stack, *words, folder=None, **environment):
    env = {**os.environ, "PYTHONPATH": PLACE, **environment}
    return stack.enter_context(process([sys.executable, "-m", "dask", *map(str, words)], env=env, cwd=folder))


class Cluster:
    """A scheduler and its workers, each a process started as a user starts it."""

    def __init__(self, stack, scheme="tcp", more=()):
        self.stack, self.more, self.port = stack, more, free_port()
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self.scheduler = dask(
            stack,
            "scheduler",
            "--host",
            f"{scheme}://127.0.0.1",
            "--port",
            self.port,
            "--no-dashboard",
            *more,
        )
        wait_for(self._listens, 60)

    def _listens(self):
        import socket

        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def start(self, *words, count=1, folder=None, **environment):
        """Start workers of one thread each, under one nanny."""
        words = ("--nthreads", 1, "--nworkers", count, "--no-dashboard", *words, *self.more)
        return dask(self.stack, "worker", self.address, *words, folder=folder, **environment)


@contextmanager
def cluster(**options):
    with ExitStack() as stack:
        yield Cluster(stack, **options)


@pytest.fixture(scope="module")
def remote():
    """A cluster of two workers."""
    with cluster() as made:
        made.nanny = made.start(count=2)
        yield made


def spawned(nanny):
    """A nanny's Dask workers."""
    found = psutil.Process(nanny.pid).children()
    return [p for p in found if p.is_running() and "spawn_main" in " ".join(p.cmdline())]


def computing(nanny):
    """The processes in which tasks run."""
    found = psutil.Process(nanny.pid).children(recursive=True)
    return [p for p in found if "autoreg.executor.worker" in " ".join(_words(p))]


def _words(process):
    with suppress(psutil.Error):
        return process.cmdline()
    return []


@contextmanager
def executor(planned, address=None, backend=None, in_time=lambda: True, said=None, **more):
    """An executor as a study gets it."""
    search = {"backends": ["sklearn"], **more.pop("search", {})}
    study = parse_study(
        {"name": "x", "data": {"source": "s", "target": "t"}, "search": search, "cluster": more}
    )
    backends = planned.backends if backend is None else {"sklearn": backend}
    with Engine("dask", 2, address, said.append if said is not None else print) as engine:
        made = engine.executor(study, planned.problem, backends, in_time)
        try:
            yield made
        finally:
            made.close()


def ran(made, works):
    for work in works:
        made.submit(work)
    return [made.wait() for _ in works]


class TestRefused:
    def test_engines_and_addresses_that_are_none(self, planned):
        with pytest.raises(UsageError, match="did you mean 'dask'"):
            Engine("dusk")
        with pytest.raises(UsageError, match="--address is for --engine dask"):
            Engine("processes", address="tcp://h:1")
        for wrong in ("h:8786", "http://h:8786", "tcp://h", "tcp://h:8786/x"):
            with (
                pytest.raises(UsageError, match="expected tcp://host:port or tls://host:port"),
                executor(planned, wrong),
            ):
                pass

    def test_certificates_that_are_not_there(self, planned, tmp_path):
        security = {name: "no.pem" for name in ("ca_file", "cert_file", "key_file")}
        with (
            pytest.raises(StudyError, match=r"cluster.security.ca_file: '.*no.pem' does not exist"),
            executor(planned, "tls://127.0.0.1:1", security=security),
        ):
            pass

    def test_neither_the_limit_nor_the_cluster_is_part_of_the_study(self, planned):
        raw = planned.study.model_dump(exclude_defaults=True)
        more = {**raw, "search": {**raw["search"], "trial_timeout": "5s"}, "cluster": {"shared": "/x"}}
        assert plan(parse_study(more)).digest == planned.digest


class TestHolding:
    @pytest.fixture
    def packed(self, planned):
        import pickle

        made = parcel(planned.problem, planned.backends)
        text = pickle.dumps(made.packed)
        yield made.file, text, station.fingerprint(made.file, text)
        made.file.close()

    def test_in_pieces_and_only_what_was_named(self, packed):
        file, text, name = packed
        file.seek(0)
        whole = file.read()
        half = len(whole) // 2
        for wrong, pieces in ((True, (whole[:half], whole[:-half])), (False, (whole[:half], whole[half:]))):
            station.receive(name, len(whole), 0, pieces[0], text)
            assert station._holdings[name].packed is None
            if wrong:
                with pytest.raises(ValueError, match="damaged"):
                    station.receive(name, len(whole), half, pieces[1], text)
            else:
                station.receive(name, len(whole), half, pieces[1], text)
        assert station._holdings[name].packed is not None
        station.release(name)
        assert name not in station._holdings

    def test_a_shared_file_that_others_can_write_or_that_differs_is_not_read(self, packed, tmp_path):
        file, text, name = packed
        file.seek(0)
        place = tmp_path / "problem"
        place.write_bytes(file.read())
        place.chmod(0o666)
        with pytest.raises(ValueError, match="others can write to it"):
            station.adopt(name, str(place), os.getuid(), text)
        place.chmod(0o600)
        with pytest.raises(ValueError, match="not the driver's own"):
            station.adopt(name, str(place), os.getuid() + 1, text)
        with place.open("r+b") as changed:
            changed.write(b"x")
        with pytest.raises(ValueError, match="damaged"):
            station.adopt(name, str(place), os.getuid(), text)
        assert name not in station._holdings


@pytest.mark.slow
class TestSame:
    def test_as_in_one_process(self, planned, works, serial, remote, tmp_path):
        for address in (None, remote.address):
            with executor(planned, address) as made:
                assert made.workers == 2
                assert table(ran(made, works)) == table(serial)
        assert not [
            p for p in psutil.Process().children() if "autoreg.executor.worker" in " ".join(_words(p))
        ]
        wait_for(lambda: not computing(remote.nanny), 10)

    def test_through_a_shared_folder(self, planned, works, serial, remote, tmp_path):
        with executor(planned, remote.address, shared=str(tmp_path)) as made:
            (place,) = tmp_path.iterdir()
            assert place.stat().st_mode & 0o777 == 0o600
            assert table(ran(made, works)) == table(serial)
        assert not list(tmp_path.iterdir())
        with (
            pytest.raises(UsageError, match="cluster.shared: cannot write to"),
            executor(planned, remote.address, shared="/nowhere"),
        ):
            pass

    @pytest.mark.full
    def test_whole_studies_with_networks(self, remote):
        search = {"trials": 18, "block": 3, "lookahead": 6, "xgboost": {"rounds": 30}, "keras": {"epochs": 8}}
        data = {"source": "sklearn:load_diabetes", "target": "target"}
        study = parse_study({"name": "t", "data": data, "split": {"folds": 3}, "search": search})
        alone = tune(study, tracking="off")
        for more in (
            {"n_jobs": 2},
            {"n_jobs": 2, "engine": "dask"},
            {"engine": "dask", "address": remote.address},
        ):
            there = tune(study, tracking="off", **more)
            assert told(alone) == told(there)
            assert alone.report["best"] == there.report["best"]
        assert {trial.backend for trial in told(alone)} == {"sklearn", "xgboost", "keras"}

    def test_encrypted(self, planned, works, serial, tmp_path):
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl")
        words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
        subprocess.run(words.split(), cwd=tmp_path, check=True, capture_output=True)
        cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        security = {"ca_file": str(cert), "cert_file": str(cert), "key_file": str(key)}
        more = ("--tls-ca-file", cert, "--tls-cert", cert, "--tls-key", key)
        with cluster(scheme="tls", more=more) as made:
            made.start()
            with executor(planned, made.address, security=security) as safe:
                assert table(ran(safe, works)) == table(serial)
            with (
                pytest.raises(UsageError, match="tls:// needs certificates"),
                executor(planned, made.address),
            ):
                pass

    @pytest.mark.full
    def test_networks_go_where_the_gpus_are(self, planned, works, tmp_path):
        blocks = [Work((2 * n, 2 * n + 1), "sklearn", works[n].candidates * 2) for n in range(5)]
        with cluster() as made:
            made.start(KIND="plain")
            made.start("--resources", "GPU=1", KIND="gpu")
            with executor(planned, made.address, Marked(tmp_path)) as both:
                wait_for(lambda: len(both.fleet.census()) == 2)
                ran(both, blocks)
        assert {path.name.split("-")[1] for path in tmp_path.iterdir()} == {"gpu"}


@pytest.mark.slow
class TestTrouble:
    @pytest.mark.full
    def test_workers_killed_ten_times(self, planned, serial, works, tmp_path):
        """Only trials without a result run again."""
        many = [Work((n,), "sklearn", works[n % len(works)].candidates) for n in range(40)]
        expected = {d.work.numbers[0]: table([d])[d.work.numbers] for d in serial}
        chance, final = random.Random(0), {}
        with cluster() as made:
            nanny = made.start(count=2)
            with executor(planned, made.address, Logged(tmp_path, 0.3)) as killed:
                for work in many:
                    killed.submit(work)
                for n in range(len(many)):
                    done = killed.wait()
                    final[done.work.numbers[0]] = table([done])[done.work.numbers]
                    if n % 4 == 1:
                        wait_for(lambda: len(computing(nanny)) >= 1)
                        chance.choice(spawned(nanny)).kill()
        assert final == {n: expected[n % len(works)] for n in range(40)}
        # 3 folds each; a kill costs the two tasks under way at most.
        assert 3 * 40 <= len(list(tmp_path.iterdir())) <= 3 * 40 + 3 * 10 * 2

    def test_a_poison_task_is_failed_by_its_own_process_and_the_worker_lives(
        self, planned, works, serial, remote
    ):
        before = {p.pid for p in spawned(remote.nanny)}
        with executor(planned, remote.address, Poison(3000)) as made:
            done = ran(made, works)
        (failed,) = [d for d in done if d.work.numbers == (3,)]
        assert failed.results[0].reason == "its worker process died 4 times, the last time with exit code 7"
        assert table(d for d in done if d is not failed) == table(d for d in serial if d.work.numbers != (3,))
        assert {p.pid for p in spawned(remote.nanny)} == before

    @pytest.mark.full
    def test_a_task_whose_workers_die_four_times_is_failed(self, planned, works, tmp_path):
        with cluster() as made:
            nanny = made.start()
            with executor(planned, made.address, Endless(0, tmp_path)) as killed:
                killed.submit(works[0])
                note, done = tmp_path / "endless", []
                waiting = threading.Thread(target=lambda: done.append(killed.wait()))
                waiting.start()
                for _ in range(4):
                    wait_for(note.exists)
                    note.unlink()
                    spawned(nanny)[0].kill()
                waiting.join(60)
        assert done[0].results[0].state is State.FAILED
        assert done[0].results[0].reason == "KilledWorker: the Dask worker that ran it died, 4 times"

    def test_an_overdue_trial_is_failed(self, planned, works, serial, remote, tmp_path):
        search = {"trial_timeout": "2s"}
        with executor(planned, remote.address, Endless(3000, tmp_path), search=search) as made:
            done = ran(made, works)
        (failed,) = [d for d in done if d.work.numbers == (3,)]
        assert failed.results[0].reason == "took longer than search.trial_timeout (2 s)"
        assert table(d for d in done if d is not failed) == table(d for d in serial if d.work.numbers != (3,))

    def test_at_the_deadline_tasks_under_way_are_ended(self, planned, works, remote, tmp_path):
        note = tmp_path / "endless"
        with (
            executor(planned, remote.address, Endless(0, tmp_path), lambda: not note.exists()) as made,
            pytest.raises(OutOfTime),
        ):
            ran(made, works[:1])
        wait_for(lambda: not psutil.pid_exists(int(note.read_text())), 10)

    def test_drained(self, planned, works, serial, remote, tmp_path):
        with executor(planned, remote.address, Logged(tmp_path, 0.5)) as made:
            for work in works:
                made.submit(work)
            done = [made.wait(), *made.drain(30.0)]
        assert 2 <= len(done) < len(works)
        numbers = {d.work.numbers for d in done}
        assert table(done) == table(d for d in serial if d.work.numbers in numbers)

    def test_a_bug_is_as_loud_as_here(self, planned, works, remote):
        with (
            executor(planned, remote.address, Broken(0)) as made,
            pytest.raises(ZeroDivisionError, match="a bug") as caught,
        ):
            ran(made, works[:1])
        assert "worker_backends.py" in str(caught.value.__cause__)

    @pytest.mark.full
    def test_a_worker_that_joins_later_gets_the_problem(self, planned, works, serial):
        said = []
        with cluster() as made:
            late = threading.Timer(3.0, lambda: made.start())
            late.start()
            with executor(planned, made.address, said=said) as first:
                assert table(ran(first, works)) == table(serial)
                made.start()
                wait_for(lambda: len(first.fleet.census()) == 2)
                assert table(ran(first, works)) == table(serial)
            late.join()
        assert said[0].startswith("waiting for a worker at tcp://")

    def test_no_worker_in_time(self, planned):
        said = []
        with (
            cluster() as made,
            pytest.raises(ClusterUnavailable, match="no worker at tcp://.* in 2 s"),
            executor(planned, made.address, said=said, wait="2s"),
        ):
            pass
        assert len(said) == 1

    def test_another_version(self, planned, tmp_path):
        shutil.copytree(ROOT / "autoreg", tmp_path / "autoreg")
        with (tmp_path / "autoreg/penalties.py").open("a") as changed:
            changed.write("# another version\n")
        with cluster() as made:
            made.start(folder=tmp_path, PYTHONPATH=str(tmp_path))
            with (
                pytest.raises(UsageError, match=r"the worker tcp://.* has autoreg .*\(here .*\)"),
                executor(planned, made.address),
            ):
                pass


@pytest.mark.slow
class TestCommand:
    """The real command, a real store and a real cluster."""

    def started(self, folder, address, trials):
        (folder / "study.toml").write_text(SHORT.format(trials=trials))
        words = [
            sys.executable,
            "-m",
            "autoreg",
            "tune",
            "study.toml",
            "--engine",
            "dask",
            "--address",
            address,
        ]
        return subprocess.Popen(
            words, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )

    @pytest.mark.full
    def test_ten_killed_workers_change_no_trial(self, tmp_path):
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        for folder in (whole, killed):
            folder.mkdir()
        (whole / "study.toml").write_text(SHORT.format(trials=40))
        assert autoreg(whole, "tune", "study.toml", "--quiet").returncode == 0
        chance, kills, seen = random.Random(0), 0, 0
        with cluster() as made:
            nanny = made.start(count=2)
            driver = self.started(killed, made.address, 40)
            while driver.poll() is None:
                time.sleep(0.1)
                if kills < 10 and _trials(killed) >= seen + 3:
                    with suppress(psutil.NoSuchProcess, IndexError):
                        chance.choice(spawned(nanny)).kill()
                        kills, seen = kills + 1, _trials(killed)
            _, words = driver.communicate(timeout=300)
        assert driver.returncode == 0, words
        assert kills == 10, kills
        assert trial_table(whole) == trial_table(killed)

    @pytest.mark.parametrize(
        ("signum", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.full)]
    )
    def test_a_stopped_or_killed_driver_leaves_nothing_on_the_cluster(self, tmp_path, remote, signum, code):
        driver = self.started(tmp_path, remote.address, 400)
        try:
            wait_for(lambda: _trials(tmp_path), 120)
            assert computing(remote.nanny)
        finally:
            driver.send_signal(signum)
            _, words = driver.communicate(timeout=25)
        assert driver.returncode == code, words
        assert "Traceback" not in words
        # What runs is ended at once; processes without a task end when it is certain that no more come.
        if code == 143:
            wait_for(lambda: not computing(remote.nanny), 10)

    @pytest.mark.full
    def test_without_a_scheduler_it_is_said_at_once_and_with_one_lost_the_study_resumes(self, tmp_path):
        with cluster() as made:
            made.start(count=2)
            driver = self.started(tmp_path, made.address, 24)
            wait_for(lambda: _trials(tmp_path) >= 4, 120)
            made.scheduler.kill()
            _, words = driver.communicate(timeout=90)
        assert driver.returncode == 75, words
        assert "the Dask scheduler is gone" in words
        assert "Traceback" not in words
        driver = self.started(tmp_path, made.address, 24)
        _, words = driver.communicate(timeout=90)
        assert driver.returncode == 75, words
        assert "no Dask scheduler answers at" in words
        assert autoreg(tmp_path, "tune", "study.toml", "--quiet").returncode == 0
        assert [row[0] for row in trial_table(tmp_path)] == list(range(24))
