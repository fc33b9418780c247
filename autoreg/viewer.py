"""MLflow's pages on the store that autoreg uses: a server for this host alone, or the address of the one that runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO
from urllib.request import urlopen

from autoreg.errors import Busy, TrackingUnavailable, UsageError
from autoreg.ledger import list_studies, runs_page
from autoreg.secrets import redact
from autoreg.tracking import knock, something_recorded, store_address

HOST, PORT = "127.0.0.1", 5000
START_SECONDS, STOP_SECONDS = 120.0, 10.0
SHOWN = 5


def store_to_show() -> str:
    """The address of the store that autoreg would use here.

    Raises
    ------
    StudyError
        None is set, and nothing was recorded in this folder.
    TrackingUnavailable
        A server is set that does not answer.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if given.startswith(("http://", "https://")):
        knock(given)
        return given
    something_recorded()
    return store_address()


def pages(base: str) -> list[tuple[str, str]]:
    """What to open: (what it is, address) of the list of experiments and of the newest studies.

    Parameters
    ----------
    base : str
        Address of the server.
    """
    base = redact(base.rstrip("/"))
    studies = [(f"study {name}", base + runs_page(number)) for name, number in list_studies()[:SHOWN]]
    return [("all studies", f"{base}/#/experiments?workflowType=machine_learning"), *studies]


def free_port(wanted: int | None) -> int:
    """The port that was asked for, or the first free one from 5000 on.

    Raises
    ------
    UsageError
        The one that was asked for is in use; names the next free one.
    """
    for port in range(wanted or PORT, min((wanted or PORT) + 100, 65_536)):
        if _is_free(port):
            if wanted and port != wanted:
                raise UsageError(f"--port: {wanted} is in use; {port} is free")
            return port
    raise Busy(f"no port from {wanted or PORT} on is free on this host; end a server, or give another --port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


@contextmanager
def serving(store: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A running ``mlflow server`` on a store, for this host alone; it ends with the block, however that ends.

    Parameters
    ----------
    store : str
        Address of the store; handed over in the environment, where a password is not in the list of processes.
    port : int

    Raises
    ------
    TrackingUnavailable
        It ended before it answered, or did not answer within two minutes.
    """
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    settings = {
        "MLFLOW_BACKEND_STORE_URI": store,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs are for language models; their processes stay away
    }
    # MLflow's own list takes any name that begins like a private address: a page of such a name could read the store.
    names = {"MLFLOW_SERVER_ALLOWED_HOSTS": f"{HOST},localhost,{HOST}:*,localhost:*"}
    environment = names | {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | settings
    with tempfile.TemporaryFile() as log:
        # A group of its own: Ctrl-C reaches this process alone, which then ends all of the server's.
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _wait_for(server, port, log)
            yield server
        finally:
            _end(server)


def _wait_for(server: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            log.seek(0)
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
            said = redact(lines[-1])[:300] if lines else f"exit code {server.returncode}"
            raise TrackingUnavailable(f"mlflow server could not start: {said}")
        with suppress(OSError), urlopen(f"http://{HOST}:{port}/health", timeout=2):
            return
        time.sleep(0.3)
    raise TrackingUnavailable(f"mlflow server did not answer within {START_SECONDS:g} s; try again")


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and what it started."""
    for each in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, each)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
            if each is signal.SIGTERM:
                time.sleep(0.2)  # its workers end just behind it
