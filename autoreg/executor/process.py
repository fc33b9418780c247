"""One worker process: how it is started, what it may use, how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from autoreg.errors import UsageError
from autoreg.executor.tasks import Task
from autoreg.executor.worker import Parcel
from autoreg.interpreter import cores, start

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def worker_count(n_jobs: int) -> int:
    """How many trials are to run at a time; -1 asks for one on every core.

    Raises
    ------
    UsageError
        0, or below -1.
    """
    if n_jobs == -1:
        return cores()
    if n_jobs < 1:
        raise UsageError(f"n_jobs: expected 1 or more, or -1 for one on every core; found {n_jobs}")
    return n_jobs


def worker_environment(workers: int, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of one of so many workers: each gets its share of the cores, and no more than the user grants."""
    return limited(max(1, cores() // workers), given)


def limited(share: int, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment whose libraries use at most ``share`` threads, or fewer where the user grants fewer."""
    environment = dict(os.environ if given is None else given)
    for name in THREADS:
        granted = environment.get(name, "")
        limit = int(granted) if granted.isdigit() and int(granted) > 0 else share
        environment[name] = str(min(limit, share))
    return environment


@dataclass(eq=False)
class WorkerProcess:
    """A worker process as its supervisor sees it.

    Attributes
    ----------
    process : Popen
    channel : Connection
        Tasks go down, results come up; its other end closes when the process dies.
    ready : bool
        It has said that it can take tasks.
    task : Task or None
        What it works on.
    known : set of str
        Backends whose libraries it has imported.
    torn : bool
        The supervisor was interrupted inside a message: nothing that follows on the channel can be understood.
    """

    process: subprocess.Popen[bytes]
    channel: Connection
    ready: bool = False
    task: Task | None = None
    known: set[str] = field(default_factory=set)
    torn: bool = False

    @classmethod
    def start(cls, parcel: Parcel, environment: Mapping[str, str]) -> WorkerProcess:
        """Start a process; it says when it is ready."""
        process, channel = start("autoreg.executor.worker", environment, [parcel.file.fileno()])
        return cls(process, channel)

    def end(self) -> int:
        """Kill the process; its exit code."""
        self.channel.close()
        self.process.kill()
        return self.process.wait()


def ending(code: int) -> str:
    """An exit code in words. A process that still ran was killed because it had hung up."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
