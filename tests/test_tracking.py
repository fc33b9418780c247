import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from autoreg import tracking
from autoreg.errors import AutoregError, TrackingUnavailable
from autoreg.tracking import knock, patiently, quiet_client, reaching


def test_a_store_that_is_no_database_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_text("not a database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(TrackingUnavailable) as caught:
        quiet_client().search_experiments()
    assert "mlflow.db" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_passwords_in_store_addresses_are_masked():
    with pytest.raises(TrackingUnavailable) as caught, reaching("postgresql://me:s3cret@host/db"):
        raise OSError("cannot reach postgresql://me:s3cret@host/db")
    assert "s3cret" not in str(caught.value)


def test_our_own_bugs_and_our_own_errors_pass_through():
    with pytest.raises(KeyError), reaching("x"):
        raise KeyError("bug")
    with pytest.raises(AutoregError, match="mine"), reaching("x"):
        raise AutoregError("mine")


@contextmanager
def server(status):
    """A web server that answers everything with a status, and counts what it is asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{made.server_port}", asked
        made.shutdown()


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(tracking, "KNOCK_PAUSE", 0.0)
    monkeypatch.setitem(tracking.FIRST_WAITS, tracking.TIMEOUT, "0.2")
    monkeypatch.setenv(tracking.TIMEOUT, tracking.WAITS[tracking.TIMEOUT])


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404])
def test_a_server_that_answers_is_there_whatever_it_thinks_of_us(hasty, status):
    with server(status) as (address, asked):
        knock(f"http://ada:s3cret@{address}/mlflow/")
    assert asked == ["/mlflow/health"]


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_with_trouble_of_its_own_is_asked_twice_and_given_up(hasty, status):
    with (
        server(status) as (address, asked),
        pytest.raises(TrackingUnavailable, match=str(status)) as caught,
    ):
        knock(f"http://ada:s3cret@{address}")
    assert len(asked) == 2
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_nobody_there_is_one_clear_line(hasty, scheme):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(TrackingUnavailable, match="refused") as caught:
        knock(f"{scheme}://ada:s3cret@127.0.0.1:{port}/x")
    assert "s3cret" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(hasty):
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(TrackingUnavailable, match="no answer"),
    ):
        knock(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_files_and_what_only_mlflow_understands_are_not_asked(hasty):
    for uri in ("", "sqlite:///x.db", "databricks", "file:///tmp/x", "odd://[host"):
        knock(uri)


def test_patience_is_for_a_store_that_is_away_and_for_nothing_else():
    def failing(error, times):
        tries = []

        def call():
            tries.append(1)
            with reaching("http://store"):
                if len(tries) <= times:
                    raise error
            return len(tries)

        return call, tries

    call, _ = failing(ConnectionError("refused"), 1)
    assert patiently(call, 5.0) == 2
    call, tries = failing(ConnectionError("refused"), 9)
    with pytest.raises(TrackingUnavailable):
        patiently(call, 0.6)
    assert len(tries) == 2
    call, tries = failing(MlflowException("no", error_code=PERMISSION_DENIED), 9)
    with pytest.raises(TrackingUnavailable):
        patiently(call, 5.0)
    assert len(tries) == 1


@pytest.mark.slow
def test_killed_while_the_database_is_made_the_next_start_makes_it(tmp_path):
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    command = [
        sys.executable,
        "-c",
        "from autoreg.tracking import quiet_client as c; c().search_experiments()",
    ]
    kills = 0
    for share in (0.1, 0.4, 0.7):
        running = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("mlflow.db*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(2 * share)
        kills += running.poll() is None
        running.kill()
        running.wait()
        for whole in tmp_path.glob("mlflow.db"):
            whole.unlink()  # made in time: begin again, and be killed later
    assert kills
    last = subprocess.run(command, env=env, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
