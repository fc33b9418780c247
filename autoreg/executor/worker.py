"""What a worker process does: read the problem, then answer tasks until the driver is gone.

Tasks come over the channel; the problem lies in an unnamed file that all workers map into memory. Nothing is read from a place
that others can write to.
"""

from __future__ import annotations

import mmap
import pickle
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import IO, Any

import cloudpickle

from autoreg.backends import Backend
from autoreg.backends.common import calm_algebra
from autoreg.evaluation import Problem, evaluate
from autoreg.executor.tasks import Work
from autoreg.interpreter import listen, opened, portable
from autoreg.quiet import quiet_libraries

ALIGNED = 64
"""Bytes: arrays begin where vector instructions like them to."""

Span = tuple[int, int]
"""Where something lies in the file: offset and bytes."""


@dataclass(frozen=True)
class Packed:
    """Where a worker finds the problem in the file (the problem itself last, its arrays before it), and the backends."""

    spans: tuple[Span, ...]
    backends: Mapping[str, bytes]


@dataclass(frozen=True)
class Parcel:
    """A packed problem and the file it lies in."""

    packed: Packed
    file: IO[bytes]


def parcel(problem: Problem, backends: Mapping[str, Backend]) -> Parcel:
    """A problem packed into an unnamed file, which is gone when all who hold it are."""
    file = tempfile.TemporaryFile()  # noqa: SIM115, whoever asked for it closes it
    return Parcel(pack(problem, backends, file), file)


def pack(problem: Problem, backends: Mapping[str, Backend], file: IO[bytes]) -> Packed:
    """Write a problem to a file, with its encoded folds."""
    buffers: list[pickle.PickleBuffer] = []
    # What encodes new rows stays with the driver, which alone puts models together.
    # A metric's function may come from a notebook or a script, which a worker cannot import: it is sent by value.
    bare = cloudpickle.dumps(replace(problem, _fitted={}), protocol=5, buffer_callback=buffers.append)
    spans = []
    for part in (*(buffer.raw() for buffer in buffers), memoryview(bare)):
        file.write(bytes(-file.tell() % ALIGNED))
        spans.append((file.tell(), part.nbytes))
        file.write(part)
    file.flush()
    return Packed(tuple(spans), {name: pickle.dumps(backend) for name, backend in backends.items()})


def unpack(packed: Packed, data: int) -> Problem:
    """The problem over arrays mapped from file descriptor ``data``; what a worker writes there is its own copy."""
    mapped = memoryview(mmap.mmap(data, 0, access=mmap.ACCESS_COPY))
    *arrays, bare = (mapped[start : start + size] for start, size in packed.spans)
    problem: Problem = pickle.loads(bare, buffers=arrays)
    return problem


def main(channel: int, data: int) -> None:
    """Serve the driver at the other end of file descriptor ``channel``."""
    driver = opened(channel)
    quiet_libraries()
    packed: Packed = driver.recv()
    inbox: SimpleQueue[Work] = SimpleQueue()
    threading.Thread(target=listen, args=(driver, inbox.put), daemon=True).start()
    problem = unpack(packed, data)
    driver.send(("ready", None))
    backends: dict[str, Backend] = {}
    with calm_algebra():
        while True:
            work = inbox.get()
            driver.send(
                _answer(work, problem, packed.backends, backends, lambda: driver.send(("begun", None)))
            )


def _answer(
    work: Work,
    problem: Problem,
    pickled: Mapping[str, bytes],
    backends: dict[str, Backend],
    begin: Callable[[], None],
) -> tuple[str, Any]:
    """The results of a task with their wall-clock start and end, or the exception it raised."""
    started, clock = time.time(), time.monotonic()
    try:
        if work.backend not in backends:  # its library is imported by its first task
            backends[work.backend] = pickle.loads(pickled[work.backend])
        begin()  # a time limit is on the trial, not on the first import of its library
        results = evaluate(backends[work.backend], work.candidates, problem, work.incumbent)
    except Exception as error:
        return "error", (portable(error), traceback.format_exc())
    return "done", (results, started, started + time.monotonic() - clock)
