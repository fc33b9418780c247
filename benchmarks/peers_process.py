"""A command under a wall clock, with the memory of its whole tree of processes."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

EVERY = 0.5
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Ran:
    seconds: float
    code: int | None
    peak_mb: float

    @property
    def in_time(self):
        return self.code is not None


def run_limited(command, limit, log, environment):
    """Run a command; everything that it started is ended with it.

    Parameters
    ----------
    command : list of str
    limit : float
        Seconds after which it is killed; its ``code`` is None then.
    log : Path
        Where its words go.
    environment : dict
    """
    began, peak, seen = time.monotonic(), 0.0, {}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
            start_new_session=True, cwd=log.parent,
        )  # fmt: skip
        try:
            while process.poll() is None and time.monotonic() - began < limit:
                peak = max(peak, _memory(process.pid, seen))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(EVERY)
        finally:
            code = process.poll()
            seconds = time.monotonic() - began
            _end(process, seen)
    return Ran(seconds, code, peak / 2**20)


def _memory(pid, seen):
    """Bytes of a process and all below it; pages that several share are counted once where the system can tell."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for each in [root, *root.children(recursive=True)]:
            seen[each.pid] = each
            with suppress(psutil.Error, FileNotFoundError):
                found = each.memory_full_info()
                total += getattr(found, "pss", 0) or found.rss
    return total


def _end(process, seen):
    """Kill what is left of the tree, also what has made itself a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for each in seen.values():
        with suppress(psutil.Error):
            if each.is_running():  # False where the number belongs to somebody else by now
                each.kill()
    process.wait()
