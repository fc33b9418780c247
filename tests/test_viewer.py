"""`autoreg ui`: which store it shows, which port it takes, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from autoreg.__main__ import main
from autoreg.errors import UsageError
from autoreg.viewer import HOST, PORT, free_port, pages


@pytest.fixture
def taken():
    """A port that something listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


class TestPort:
    def test_one_in_use_is_refused_with_the_next_free_one(self, taken):
        with pytest.raises(UsageError, match=rf"--port: {taken} is in use; (\d+) is free") as caught:
            free_port(taken)
        assert int(str(caught.value).split()[-3]) > taken

    def test_without_one_the_first_free_is_taken(self):
        assert PORT <= free_port(None) < PORT + 100


def test_nothing_recorded_here_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["ui", "--no-browser"]) == 65
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "nothing is recorded in this folder" in err
    assert not (tmp_path / "mlflow.db").exists()


def test_a_port_in_use_is_one_line(store, taken, capsys):
    assert main(["ui", "--no-browser", "--port", str(taken)]) == 64
    assert "is in use" in capsys.readouterr().err


def test_a_server_that_is_away(monkeypatch, taken, capsys):
    with socket.socket() as closed:
        closed.bind((HOST, 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:s3cret@{HOST}:{closed.getsockname()[1]}")
        assert main(["ui", "--no-browser"]) == 75
    assert "s3cret" not in capsys.readouterr().err


def test_links(store):
    experiment = store.create_experiment("shop")
    store.create_run(experiment, tags={"autoreg.role": "study", "autoreg.study": "shop"})
    found = dict(pages("http://ada:s3cret@host:5000/"))
    assert found["all studies"].startswith("http://ada:***@host:5000/#/experiments?")
    assert f"/#/experiments/{experiment}/runs?" in found["study shop"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)])
def test_a_real_server_answers_and_ends_with_the_command(store, tmp_path, number):
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "autoreg", "ui", "--no-browser", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = ""
            while "Ctrl-C" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            assert f"http://127.0.0.1:{port}/#/experiments" in said
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
                assert answer.status == 200
            process.send_signal(number)
            assert process.wait(60) == 0
            assert process.stderr.read() == "ended\n"
        finally:
            process.kill()
    deadline = time.monotonic() + 10
    with socket.socket() as probe:  # nothing listens there any more
        while probe.connect_ex((HOST, port)) == 0:
            assert time.monotonic() < deadline
            probe.close()
            probe = socket.socket()
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.full
def test_where_the_store_is_a_server_its_links_are_printed(store, tmp_path, monkeypatch, capsys):
    from autoreg.viewer import serving

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with serving(f"sqlite:///{tmp_path}/mlflow.db", port):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{port}")
        assert main(["ui", "--no-browser"]) == 0
        assert f"http://{HOST}:{port}/#/experiments" in capsys.readouterr().err


@pytest.mark.slow
def test_the_server_answers_to_this_hosts_names_alone(store, tmp_path):
    """A web page under a name of its own that leads here must not read the store."""
    from http.client import HTTPConnection

    from autoreg.viewer import serving

    port = free_port(None)
    with serving(f"sqlite:///{tmp_path}/mlflow.db", port):
        for name, code in (
            (f"{HOST}:{port}", 200), ("localhost:8080", 200), (f"10.attacker.example:{port}", 403),
            (f"192.168.attacker.example:{port}", 403), ("attacker.example", 403),
        ):  # fmt: skip
            connection = HTTPConnection(HOST, port, timeout=20)
            connection.request("GET", "/graphql?query={__typename}", headers={"Host": name})
            assert (connection.getresponse().status == 403) is (code == 403), name
            connection.close()


@pytest.mark.slow
def test_a_store_that_no_server_can_read_is_told(tmp_path):
    from autoreg.errors import TrackingUnavailable
    from autoreg.viewer import serving

    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    with (
        pytest.raises(TrackingUnavailable, match="could not start"),
        serving(f"sqlite:///{tmp_path}/broken.db", free_port(None)),
    ):
        pass
