"""What a Dask worker does for a study: it holds the study's problem and answers each task in a supervised process.

A task never runs inside the Dask worker itself. So a crash, a shortage of memory or a time limit costs a process of
ours and not the worker; its libraries start with the threads they may use; and the worker, whose interpreter is free,
goes on answering its scheduler. These functions are called by the driver by name, through Dask.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import stat
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from autoreg.executor.process import limited
from autoreg.executor.tasks import Work, WorkerTraceback
from autoreg.executor.worker import Packed, Parcel
from autoreg.executor.workers import Crew
from autoreg.trial import OutOfTime

IDLE = 120.0
"""Seconds without a task after which a problem and its processes are let go: its driver may have died."""
PATIENCE = 30.0
"""Seconds that a task waits for its problem to arrive."""
MISSING, DONE, ERROR = "missing", "done", "error"
Reply = tuple[str, Any]
"""``(MISSING, worker's address)``, ``(DONE, (results, started, ended))`` or ``(ERROR, (exception, where))``."""


@dataclass
class Holding:
    """A problem that this worker holds.

    Attributes
    ----------
    file : file
        The packed problem.
    packed : Packed or None
        None until the file is whole.
    idle : list of Crew
        Supervisors, each with a process that is ready for the next task.
    busy : int
        Tasks under way.
    used : float
        Monotonic time of the last task's end.
    """

    file: IO[bytes]
    packed: Packed | None = None
    idle: list[Crew] = field(default_factory=list)
    busy: int = 0
    used: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """End the processes and give the file back; tasks under way keep their own."""
        while self.idle:
            self.idle.pop().close()
        self.file.close()


_holdings: dict[str, Holding] = {}
_guard = threading.Lock()
_sweeper: list[threading.Thread] = []


# -- what the driver asks before it sends anything -------------------------------------------------------------


def facts(packages: Sequence[str]) -> dict[str, str]:
    """What must be the same for driver and workers: Python, this program and the libraries that fit models."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "autoreg": _source()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def _source() -> str:
    """The version of this program with a hash of its text: two checkouts of one version may differ."""
    version = getattr(sys.modules["autoreg"], "__version__", "")
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{version} ({digest.hexdigest()[:8]})"


# -- the problem ---------------------------------------------------------------------------------------------------


def receive(name: str, size: int, offset: int, chunk: bytes, packed: bytes) -> None:
    """Take a piece of a problem in; the last one completes it.

    Raises
    ------
    ValueError
        What arrived is not what was sent.
    OSError
        The worker's temporary folder is full.
    """
    with _guard:
        if name not in _holdings:
            _holdings[name] = Holding(tempfile.TemporaryFile())  # noqa: SIM115, kept open
            _sweep()
        holding = _holdings[name]
        holding.used = time.monotonic()
        if holding.packed is None:
            os.pwrite(holding.file.fileno(), chunk, offset)
            if offset + len(chunk) == size:
                _complete(name, holding, packed)


def adopt(name: str, path: str, owner: int, packed: bytes) -> None:
    """Use a problem that the driver wrote to a shared folder.

    Raises
    ------
    ValueError
        The file belongs to somebody else, others can write to it, or it is not what the driver wrote.
    OSError
        It is not there, or cannot be read.
    """
    with _guard:
        if name in _holdings:
            return
        holding = Holding(open(path, "rb"))  # noqa: SIM115, kept open
        try:
            status = os.fstat(holding.file.fileno())
            if status.st_uid != owner or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ValueError(f"{path} is not the driver's own, or others can write to it")
            _complete(name, holding, packed)
        except BaseException:
            holding.close()
            raise
        _holdings[name] = holding
        _sweep()


def _complete(name: str, holding: Holding, packed: bytes) -> None:
    """Unpickle nothing that is not, byte for byte, what the driver named."""
    if fingerprint(holding.file, packed) != name:
        raise ValueError("the data arrived damaged")
    holding.packed = pickle.loads(packed)


def fingerprint(file: IO[bytes], packed: bytes) -> str:
    """The name of a packed problem: a hash of all of it."""
    digest = hashlib.sha256(packed)
    file.seek(0)
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()[:32]


def release(name: str) -> None:
    """Forget a problem and end the processes that wait for its tasks."""
    with _guard:
        holding = _holdings.pop(name, None)
        if holding is not None:
            holding.close()


def _sweep() -> None:
    """Let go from time to time of what no driver uses any more."""

    def forever() -> None:
        while True:
            time.sleep(IDLE / 10)
            for name, holding in list(_holdings.items()):
                if not holding.busy and time.monotonic() - holding.used > IDLE:
                    release(name)

    if not _sweeper:
        _sweeper.append(threading.Thread(target=forever, name="autoreg-sweeper", daemon=True))
        _sweeper[0].start()


# -- tasks ---------------------------------------------------------------------------------------------------------


def perform(name: str, task: bytes, limit: float | None) -> Reply:
    """Answer one task, in a process of its own that lives on for the next one.

    Parameters
    ----------
    name : str
        Of the problem.
    task : bytes
        The work, pickled and compressed.
    limit : float or None
        Seconds that one trial may take.
    """
    from distributed import get_worker

    worker = get_worker()
    wanted = _wanted(worker, worker.get_current_task())
    # The driver brings the problem to whoever is new. A task sent again would lose the count of the workers it cost.
    until = time.monotonic() + PATIENCE
    while (taken := _take(name)) is None:
        if time.monotonic() > until or not wanted():
            return MISSING, worker.address
        time.sleep(0.1)
    holding, crew = taken
    crew.in_time, crew.limit = wanted, limit
    work: Work = pickle.loads(zlib.decompress(task))
    return _answer(holding, crew, work)


def _take(name: str) -> tuple[Holding, Crew] | None:
    """A problem with a supervisor for one task, if it is here."""
    with _guard:
        holding = _holdings.get(name)
        if holding is None or holding.packed is None:
            return None
        holding.busy += 1
        return holding, holding.idle.pop() if holding.idle else _crew(holding, holding.packed)


def _answer(holding: Holding, crew: Crew, work: Work) -> Reply:
    good = False
    try:
        crew.submit(work)
        done = crew.wait()
        good = True
        return DONE, (done.results, done.started, done.ended)
    except OutOfTime:
        return ERROR, (OutOfTime(), "")  # nobody waits for it
    except Exception as error:
        where = error.__cause__.args[0] if isinstance(error.__cause__, WorkerTraceback) else ""
        return ERROR, (error.with_traceback(None), where)
    finally:
        with _guard:
            holding.busy -= 1
            holding.used = time.monotonic()
            if good and not holding.file.closed:
                holding.idle.append(crew)
        if crew not in holding.idle:
            crew.close()


def _crew(holding: Holding, packed: Packed) -> Crew:
    """A supervisor of one process. It has one thread, or as many as the Dask worker was started with."""
    granted = os.environ.get("OMP_NUM_THREADS", "")
    share = int(granted) if granted.isdigit() and int(granted) > 0 else 1

    def load() -> Parcel:
        return Parcel(packed, os.fdopen(os.dup(holding.file.fileno()), "rb"))

    return Crew(load, limited(share), lambda: True, 1)


def _wanted(worker: Any, key: Any) -> Callable[[], bool]:
    """Whether anyone still waits for a task: Dask forgets it when it is cancelled, and when its driver dies."""

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    return wanted
