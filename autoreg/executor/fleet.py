"""The workers of a Dask cluster as the driver sees them: who is there, whether they would compute the same, what they hold."""

from __future__ import annotations

import os
import pickle
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.backends import Backend
from autoreg.errors import AutoregError, ClusterUnavailable, UsageError
from autoreg.evaluation import Problem
from autoreg.executor import station
from autoreg.executor.worker import parcel
from autoreg.executor.workers import PULSE
from autoreg.trial import OutOfTime

if TYPE_CHECKING:
    from distributed import Client

CHUNK = 64 << 20
"""Bytes of the problem that travel at a time; the scheduler holds no more of it."""
ANSWER = 15.0
"""Seconds in which every worker must have answered a question."""
CARRIED = 600.0
"""Seconds in which every worker must have taken in a chunk."""
CENSUS = 2.0
"""Seconds between two counts of the workers."""
LIBRARIES = {
    "": ("numpy", "pandas", "scipy", "distributed"),
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost",),
    "keras": ("tensorflow", "keras"),
}
"""What must be the same on driver and workers, by the backend that uses it."""


class Fleet:
    """All workers of a cluster, with a problem that they are to hold.

    Parameters
    ----------
    client : Client
    problem : Problem
    backends : mapping of str to Backend
    patience : float
        Seconds to wait for a worker where there is none.
    shared : Path or None
        Folder that driver and workers see, for the problem; without one it is sent.
    say : callable
        Hears what is waited for.

    Attributes
    ----------
    name : str
        Of the problem: a hash of all of it.
    threads, gpus : int
        How many there are now, over all workers.
    """

    def __init__(
        self,
        client: Client,
        problem: Problem,
        backends: Mapping[str, Backend],
        patience: float,
        shared: Path | None,
        say: Callable[[str], None],
    ) -> None:
        self.client, self.patience, self.say = client, patience, say
        self.threads, self.gpus, self._counted, self._seen = 1, 0, -CENSUS, time.monotonic()
        self._told, self._held, self._new = False, set[str](), set[str]()
        self.packages = [p for key in ("", *backends) for p in LIBRARIES.get(key, ())]
        self.facts = station.facts(self.packages)
        packed = parcel(problem, backends)
        self.file, self.packed, self.place = packed.file, pickle.dumps(packed.packed), None
        self.name = station.fingerprint(self.file, self.packed)
        try:
            self.place = None if shared is None else self._written(shared)
        except UsageError:
            self.file.close()
            raise

    def census(self) -> dict[str, int]:
        """Threads of every worker there is."""
        info: dict[str, Any] = self._asked(lambda: self.client.scheduler_info(n_workers=-1))["workers"]
        self.gpus = sum(int(w.get("resources", {}).get("GPU", 0)) for w in info.values())
        threads = {address: int(worker["nthreads"]) for address, worker in info.items()}
        self.threads, self._counted = max(1, sum(threads.values())), time.monotonic()
        self._held &= set(threads)
        self._new = set(threads) - self._held
        if threads:
            self._seen, self._told = self._counted, False
        return threads

    def look(self) -> None:
        """Whether scheduler and workers are still there; those that are new get the problem."""
        if self.client.status != "running":
            raise self.lost()
        if time.monotonic() - self._counted >= CENSUS and not self.census():
            self._alone()
        if self._new:
            self.provide(sorted(self._new))

    def _alone(self) -> None:
        """Say that there is no worker, and give up when there has been none for too long."""
        alone = time.monotonic() - self._seen
        if not self._told:
            self.say(f"waiting for a worker at {self.address}, for {self.patience:.0f} s at most")
            self._told = True
        if alone > self.patience:
            raise ClusterUnavailable(
                f"no worker at {self.address} in {self.patience:.0f} s; start workers there and run the same "
                "command again"
            )

    def gather(self, in_time: Callable[[], bool]) -> None:
        """Wait for the first worker, and give all that are there the problem."""
        while not (there := self.census()):
            if not in_time():
                raise OutOfTime
            self._alone()
            time.sleep(PULSE)
        self.provide(list(there))

    def release(self) -> None:
        """Have the workers forget the problem."""
        if self.client.status == "running":
            with suppress(TimeoutError, OSError):
                within(5.0, lambda: self.client.run(station.release, self.name, on_error="ignore"))
        if self.place is not None:
            self.place.unlink(missing_ok=True)
        self.file.close()

    def provide(self, addresses: list[str]) -> None:
        """Give workers the problem, once it is known that they would compute what this process would.

        Raises
        ------
        UsageError
            Their versions differ.
        AutoregError
            They cannot take the problem.
        """
        from distributed.comm import CommClosedError

        def on_all(function: Callable[..., Any], *args: Any) -> dict[str, Any]:
            answers = self._asked(
                lambda: self.client.run(function, *args, workers=addresses, on_error="return"), len(args) > 2
            )
            # One that has gone meanwhile will not be asked again.
            return {a: r for a, r in answers.items() if not isinstance(r, CommClosedError | TimeoutError)}

        for address, there in on_all(station.facts, self.packages).items():
            self._compare(address, there)
        if self.place is not None:
            self._accepted(on_all(station.adopt, self.name, str(self.place), os.getuid(), self.packed))
            self._noted(addresses)
            return
        size = self.file.seek(0, os.SEEK_END)
        for offset in range(0, size, CHUNK):
            chunk = os.pread(self.file.fileno(), CHUNK, offset)
            self._accepted(on_all(station.receive, self.name, size, offset, chunk, self.packed))
        self._noted(addresses)

    def _noted(self, addresses: list[str]) -> None:
        self._held |= set(addresses)
        self._new -= set(addresses)

    def _compare(self, address: str, there: Any) -> None:
        if isinstance(there, ImportError):
            raise UsageError(f"--address: the worker {address} has no autoreg like this one: {there}")
        if isinstance(there, Exception):
            raise UsageError(f"--address: the worker {address} cannot say what it has: {there}")
        differ = [
            f"{name} {there.get(name)} (here {own})"
            for name, own in self.facts.items()
            if there.get(name) != own
        ]
        if differ:
            raise UsageError(
                f"--address: the worker {address} has {', '.join(differ)}; trials are the same everywhere only "
                "where the versions are"
            )

    def _accepted(self, answers: Mapping[str, Any]) -> None:
        for address, answer in answers.items():
            if isinstance(answer, FileNotFoundError):
                raise UsageError(
                    f"cluster.shared: the worker {address} does not see '{self.place}'; name a folder that driver "
                    "and workers share, or leave the key out"
                )
            if isinstance(answer, Exception):
                raise AutoregError(f"the worker {address} cannot take the data: {answer}")

    def _written(self, shared: Path) -> Path:
        """The problem in the shared folder, there as a whole or not at all, for its owner's eyes."""
        place = shared / f"autoreg-{self.name}.problem"
        try:
            handle, draft = tempfile.mkstemp(dir=shared, prefix=".autoreg-")  # mode 0600
            with os.fdopen(handle, "wb") as out:
                self.file.seek(0)
                while piece := self.file.read(CHUNK):
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
            os.replace(draft, place)
        except OSError as error:
            raise UsageError(f"cluster.shared: cannot write to '{shared}': {error.strerror}") from None
        return place

    # -- the line ------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The scheduler's."""
        return str(self.client.scheduler.address) if self.client.scheduler is not None else "the cluster"

    def lost(self) -> ClusterUnavailable:
        """What to raise when the scheduler is gone."""
        return ClusterUnavailable(
            "the Dask scheduler is gone; finished trials are kept: run the same command again when it is back"
        )

    def _asked(self, question: Callable[[], Any], long: bool = False) -> Any:
        """The cluster's answer, or an error that says which one is gone."""
        try:
            return within(CARRIED if long else ANSWER, question)
        except (OSError, TimeoutError) as error:
            if self.client.status != "running":
                raise self.lost() from error
            raise ClusterUnavailable(f"the cluster at {self.address} does not answer: {error}") from error


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What a call gives, if it comes back in time; a frozen worker would hold the driver up for ever.

    Raises
    ------
    TimeoutError
        It did not.
    """
    found: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            found.put((call(), None))
        except BaseException as error:
            found.put((None, error))

    threading.Thread(target=work, name="autoreg-cluster", daemon=True).start()
    try:
        value, error = found.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer in {seconds:.0f} s") from None
    if error is not None:
        raise error
    return value
