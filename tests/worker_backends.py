"""Backends that do to a worker process what happens to real ones. They are imported by the workers by name."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from autoreg.backends.linear import LinearBackend
from autoreg.space import derive_seed


class Linear(LinearBackend):
    """The linear backend, with something that happens before one job, known by its seed."""

    def fit(self, jobs, in_time=lambda: True):
        if any(job.seed == self.seed for job in jobs):
            self.happens()
        return super().fit(jobs, in_time)


@dataclass
class Poison(Linear):
    """Ends every process that tries."""

    seed: int

    def happens(self):
        os._exit(7)


@dataclass
class Segfault(Linear):
    """Takes its process down as a library with a bad pointer does."""

    seed: int

    def happens(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class Crashing(Segfault):
    """Takes its process down in trial 3 of a study with seed 0."""

    def __init__(self):
        super().__init__(derive_seed(0, "sklearn", 3, "fit"))


@dataclass
class Logged(LinearBackend):
    """Takes its time, and notes every fit in a file of its own, named by the job's seed and the process."""

    folder: Path
    seconds: float = 0.0

    def fit(self, jobs, in_time=lambda: True):
        for job in jobs:
            (self.folder / f"{job.seed}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(self.seconds)
        return super().fit(jobs, in_time)


@dataclass
class Marked(LinearBackend):
    """Fits whole blocks, and notes on what kind of worker."""

    folder: Path
    batched = True

    def fit(self, jobs, in_time=lambda: True):
        (self.folder / f"{jobs[0].seed}-{os.environ.get('KIND', 'here')}").touch()
        return super().fit(jobs, in_time)


@dataclass
class KilledAtFirst(Linear):
    """Its process is killed so many times; afterwards all is well."""

    seed: int
    folder: Path
    times: int = 1

    def happens(self):
        before = len(list(self.folder.glob("death-*")))
        if before < self.times:
            (self.folder / f"death-{before}").touch()
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Endless(Linear):
    """Never comes back from the job, and says where it is."""

    seed: int
    folder: Path

    def happens(self):
        (self.folder / "endless").write_text(str(os.getpid()))
        time.sleep(3600)


@dataclass
class Broken(Linear):
    """Raises what a bug of ours would."""

    seed: int

    def happens(self):
        raise ZeroDivisionError("a bug")


class Unloadable(LinearBackend):
    """Cannot be rebuilt in another process."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise ImportError("not here")
