"""Trials on a Dask cluster: the driver's side.

Driver and workers pickle to each other, as all of Dask does: whoever reaches the scheduler can run code on it. So the
cluster is one's own, in a closed network or behind TLS.
"""

from __future__ import annotations

import pickle
import queue
import re
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from autoreg.backends import Backend
from autoreg.errors import ClusterUnavailable, UsageError
from autoreg.executor import station
from autoreg.executor.fleet import ANSWER, Fleet, within
from autoreg.executor.tasks import Done, Task, Work, WorkerTraceback
from autoreg.executor.workers import PULSE
from autoreg.trial import OutOfTime

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT = 10.0
"""Seconds to reach the scheduler in."""


class DaskExecutor:
    """Runs tasks on the workers of a Dask cluster. See ``Executor``.

    Not more tasks are with the cluster than it has threads: one that waited on a worker which dies would be taken for
    what killed it. A worker that lacks the problem says so and gets it, whenever it joined.

    Parameters
    ----------
    fleet : Fleet
        The cluster's workers; the executor releases it when it is closed.
    backends : mapping of str to Backend
    in_time : callable
        False when the deadline has passed.
    limit : float or None
        Seconds that one trial may take.
    """

    def __init__(
        self,
        fleet: Fleet,
        backends: Mapping[str, Backend],
        in_time: Callable[[], bool],
        limit: float | None = None,
    ) -> None:
        self.fleet, self.backends, self.in_time, self.limit = fleet, backends, in_time, limit
        self.queue: deque[Task] = deque()
        self.flying: dict[str, tuple[Future[Any], Task]] = {}
        self.landed: queue.SimpleQueue[str] = queue.SimpleQueue()

    @property
    def workers(self) -> int:
        """Tasks that run at a time: the cluster's threads."""
        return self.fleet.threads

    def submit(self, work: Work) -> None:
        """See ``Executor``."""
        self.queue.append(Task(work))
        self._assign()

    def wait(self) -> Done:
        """See ``Executor``.

        Raises
        ------
        OutOfTime
            The deadline passed.
        ClusterUnavailable
            The scheduler was lost, or all workers.
        """
        while True:
            if not self.in_time():
                raise OutOfTime
            self.fleet.look()
            self._assign()
            if not self.flying:
                raise RuntimeError("nothing was submitted that could be waited for")
            done = self._land(PULSE)
            if done is not None:
                return done

    def drain(self, seconds: float) -> list[Done]:
        """See ``Executor``."""
        until, done = monotonic() + seconds, list[Done]()
        self.queue.clear()
        while self.flying and monotonic() < until:
            landed = self._land(PULSE)
            if landed is not None:
                done.append(landed)
            self.queue.clear()
        return done

    def close(self) -> None:
        """See ``Executor``. What runs on the cluster is abandoned, and the problem released there."""
        self.queue.clear()
        futures = [future for future, _ in self.flying.values()]
        self.flying.clear()
        if futures and self.fleet.client.status == "running":
            with suppress(TimeoutError, OSError):
                within(5.0, lambda: self.fleet.client.cancel(futures))
        self.fleet.release()

    # -- tasks ---------------------------------------------------------------------------------------------------

    def _assign(self) -> None:
        """Give the cluster as many tasks as it has threads."""
        if self.fleet.client.status != "running":
            raise self.fleet.lost()
        while self.queue and len(self.flying) < self.workers:
            task = self.queue.popleft()
            task.begin()
            batched = self.backends[task.work.backend].batched
            key = f"autoreg-{task.work.numbers[0]}-{uuid.uuid4().hex}"
            future = self.fleet.client.submit(
                station.perform,
                self.fleet.name,
                zlib.compress(pickle.dumps(task.work, protocol=5), 1),
                self.limit,
                key=key,
                pure=False,
                resources={"GPU": 1} if batched and self.fleet.gpus else None,
            )
            self.flying[key] = future, task
            future.add_done_callback(lambda future: self.landed.put(future.key))

    def _land(self, seconds: float) -> Done | None:
        """The next finished task, if one finishes within so many seconds."""
        try:
            key = self.landed.get(timeout=seconds)
        except queue.Empty:
            return None
        if key not in self.flying:
            return None
        from distributed import KilledWorker

        future, task = self.flying[key]
        try:
            kind, content = future.result(timeout=ANSWER)
        except TimeoutError:  # its worker died with the result; the scheduler has it computed again
            self.landed.put(key)
            return None
        except OSError as error:  # a task's own errors come as results: this is the line to the scheduler
            self._forget(key)
            raise self.fleet.lost() from error
        except KilledWorker as error:
            self._forget(key)
            times = error.allowed_failures + 1
            return task.failed(f"KilledWorker: the Dask worker that ran it died, {times} times")
        except Exception as error:
            self._forget(key)
            if type(error).__name__ in ("FutureCancelledError", "CancelledError"):
                raise self.fleet.lost() from error
            raise
        self._forget(key)
        return self._understood(task, kind, content)

    def _forget(self, key: str) -> None:
        """Release a future at once: a result that is still held is computed again when its worker dies."""
        future, _ = self.flying.pop(key)
        future.release()

    def _understood(self, task: Task, kind: str, content: Any) -> Done | None:
        if kind == station.MISSING:
            self.fleet.provide([content])
            self.queue.appendleft(task)
            return None
        if kind == station.ERROR:
            error, where = content
            raise error from (WorkerTraceback(where) if where else None)
        results, started, ended = content
        return Done(task.work, results, started, ended)


@dataclass(frozen=True)
class Certificates:
    """PEM files that prove who is who; without them Dask's own configuration says."""

    ca: str
    cert: str
    key: str


def connect(
    address: str | None, workers: int, certificates: Certificates | None = None
) -> tuple[Client, Any]:
    """A client of the cluster at an address, or of one in this process; and that one, to be closed after it.

    Raises
    ------
    UsageError
        The address is none, or Dask is not installed.
    ClusterUnavailable
        No scheduler answers there.
    """
    try:
        import distributed
    except ImportError:
        raise UsageError(
            "--engine dask needs the package 'distributed': pip install 'autoreg[cluster]'"
        ) from None
    if address is None:
        local = _local(workers)
        return distributed.Client(local, set_as_default=False), local
    if not re.fullmatch(r"(tcp|tls)://[^\s/]+:\d+", address):
        raise UsageError(f"--address: expected tcp://host:port or tls://host:port, found '{address}'")
    try:
        security = _security(certificates)
        return distributed.Client(address, timeout=CONNECT, security=security, set_as_default=False), None
    except TypeError:  # what Dask raises where it has no certificate to show
        raise UsageError(
            "--address: tls:// needs certificates; name them in the study file ([cluster] security) or in Dask's "
            "own configuration"
        ) from None
    except (OSError, TimeoutError) as error:
        raise ClusterUnavailable(
            f"no Dask scheduler answers at {address} ({_cause(error)}); start one, or check the address"
        ) from None


def _local(workers: int) -> Any:
    """A cluster in this process: its worker's threads supervise processes of ours, which need none of its own.

    It talks through memory. The web server that Dask insists on has no pages and listens to this host alone.
    """
    import dask
    from distributed import LocalCluster

    routes: dict[str, list[str]] = {f"distributed.{role}.http.routes": [] for role in ("scheduler", "worker")}
    with dask.config.set(routes):
        return LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            worker_dashboard_address="127.0.0.1:0",
            memory_limit=0,
        )


def _security(certificates: Certificates | None) -> Any:
    from distributed import Security

    if certificates is None:
        return None
    return Security(
        tls_ca_file=certificates.ca,
        tls_client_cert=certificates.cert,
        tls_client_key=certificates.key,
        require_encryption=True,
    )


def _cause(error: BaseException) -> str:
    """The innermost reason in a chain of exceptions, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:120] or type(error).__name__
