"""Servers to break: ``mlflow server``, PostgreSQL, and the wire to either of them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from fault_tools import Store, empty_database

LOCAL = "127.0.0.1"


@contextmanager
def process(command, **options):
    """A process in a session of its own, killed with its children at the end."""
    started = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(url, data=None, seconds=120):
    """Body of the first good answer, asked for until the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


class Server:
    """A real ``mlflow server`` over a database; can be killed and started again on its port."""

    def __init__(self, folder, database=""):
        self.folder, self.port = Path(folder), free_port()
        self.database = database or f"sqlite:///{self.folder}/server.db"
        if not database:
            shutil.copy(empty_database(), self.folder / "server.db")
        self.store = Store(f"http://127.0.0.1:{self.port}", self.database)
        self.running = None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.database]
        command += ["--port", str(self.port), "--host", "127.0.0.1", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.running = process(command, cwd=self.folder, env=env)
        self.running.__enter__()
        answers(f"{self.store.uri}/health", seconds=300)

    def stop(self):
        """Kill it with all its processes."""
        if self.running is not None:
            self.running.__exit__(None, None, None)
            self.running = None

    def __exit__(self, *_):
        self.stop()


class Wire:
    """A TCP proxy in front of a server: can be cut, and can lose the answer to one request."""

    def __init__(self, port):
        self.target, self.port = port, free_port()
        self.uri = f"http://{LOCAL}:{self.port}"
        self.open, self.listener = set(), None
        self.losing, self.wanted, self.lost = b"", 0, 0

    def __enter__(self):
        self.mend()
        return self

    def __exit__(self, *_):
        self.cut()

    def mend(self):
        """Accept connections."""
        self.listener = socket.create_server((LOCAL, self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self):
        """Refuse connections, and end those there are."""
        # Closing alone would leave a thread in accept() with the port held.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for each in list(self.open):
            _end(each)

    def lose(self, request, call):
        """Swallow the answer to the so-many-th request that contains these bytes."""
        self.losing, self.wanted, self.lost = request, call, 0

    def _accept(self, listener):
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection((LOCAL, self.target))
                except OSError:
                    client.close()
                    continue
                self.open |= {client, server}
                doomed = threading.Event()
                for source, sink, forth in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._carry, args=(source, sink, forth, doomed), daemon=True
                    ).start()

    def _carry(self, source, sink, forth, doomed):
        with suppress(OSError):
            while data := source.recv(65536):
                if forth and self.losing and self.losing in data:
                    self.wanted -= 1
                    if self.wanted == 0:
                        doomed.set()
                if not forth and doomed.is_set():
                    self.lost += 1
                    break
                sink.sendall(data)
        for each in (source, sink):
            _end(each)
            self.open.discard(each)


def _end(connection):
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Postgres:
    """A real PostgreSQL server on loopback, in a temporary folder; ``available`` says whether there is one."""

    def __init__(self):
        self.stack, self.port = None, free_port()
        self.url = f"postgresql+psycopg://me@{LOCAL}:{self.port}/postgres"
        found = shutil.which("pg_ctl") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")), "")
        self.bin = Path(found).resolve().parent if found else None
        # The server refuses to run as root.
        self.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] * (os.getuid() == 0)

    @property
    def available(self):
        """Whether PostgreSQL is installed and can be started by this user."""
        return self.bin is not None and (not self.prefix or shutil.which("setpriv") is not None)

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="faults-postgres-"))
        if self.prefix:
            os.chown(self.folder, 65534, 65534)
        self._run("initdb", "-D", "db", "-U", "me", "-A", "trust", "-N")
        self.control("start")
        return self

    def __exit__(self, *_):
        self.control("stop", "-m", "immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def control(self, *what):
        """Start, stop or restart it, and wait until that is done."""
        options = f"-p {self.port} -k '' -c listen_addresses={LOCAL}"
        self._run("pg_ctl", "-D", "db", "-l", "log", "-w", *(["-o", options] * (what[0] != "stop")), *what)

    def _run(self, tool, *args):
        # Output into a file: the server inherits it and would keep a pipe open.
        with open(self.folder / "out", "ab") as out:
            command = [*self.prefix, str(self.bin / tool), *args]
            subprocess.run(command, check=True, cwd=self.folder, stdout=out, stderr=out)
