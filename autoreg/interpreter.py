"""A fresh interpreter beside this one, and a channel to it.

Never a fork: a fork of a process that has used XGBoost, TensorFlow or OpenMP hangs. What goes over the channel is pickled, by two
processes of one program over a socket pair that nobody else can open.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

BOOT = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(*map(int, sys.argv[3:]))"
)


def cores() -> int:
    """Processor cores open to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(
    module: str, environment: Mapping[str, str], handles: Sequence[int] = ()
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start an interpreter that calls ``module.main(channel, *handles)``.

    Parameters
    ----------
    module : str
        Found as this process would find it.
    environment : mapping of str to str
    handles : sequence of int
        File descriptors that it inherits, besides its end of the channel.

    Returns
    -------
    process : Popen
        Ctrl-C does not reach it: it is in a session of its own.
    channel : Connection
        Our end; its other end closes when the process dies.
    """
    ours, theirs = Pipe()
    paths = json.dumps([place for place in sys.path if isinstance(place, str)])
    with theirs:
        inherited = (theirs.fileno(), *handles)
        process = subprocess.Popen(
            [sys.executable, "-c", BOOT, paths, module, *map(str, inherited)],
            stdin=subprocess.DEVNULL,
            stdout=2,  # stdout is kept for data
            env=environment,
            pass_fds=inherited,
            start_new_session=True,
        )
    return process, ours


def opened(channel: int) -> Connection:
    """The started process's end of the channel, which its own children do not inherit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(channel, False)
    return Connection(channel)


def listen(channel: Connection, take: Callable[[Any], None]) -> None:
    """Take messages in; end this process when the other one has ended, whatever it is about."""
    try:
        while True:
            take(channel.recv())
    except (EOFError, OSError):
        os._exit(1)


def portable(error: Exception) -> Exception:
    """The exception, or one of a plain type that says the same where it does not survive being sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
