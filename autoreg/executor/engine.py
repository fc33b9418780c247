"""Which executor runs a study's trials, as the command line and the study file say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from autoreg.backends import Backend
from autoreg.errors import StudyError, UsageError, did_you_mean
from autoreg.evaluation import Problem
from autoreg.executor.process import worker_count
from autoreg.executor.serial import SerialExecutor
from autoreg.executor.tasks import Executor
from autoreg.executor.workers import WorkerPool
from autoreg.spec import ClusterSpec, Study

if TYPE_CHECKING:
    from distributed import Client

EngineName = Literal["processes", "dask"]


@dataclass
class Engine:
    """Where trials run. Use it as a context: it closes what it opened.

    Parameters
    ----------
    name : {"processes", "dask"}
    n_jobs : int
        Trials at a time on this host; -1 for one on every core. A cluster at an address has its own number.
    address : str or None
        A Dask scheduler's address; None for one in this process.
    say : callable
        Hears what is waited for.

    Raises
    ------
    UsageError
        An engine or a number that is none, or an address for processes of this host.
    """

    name: EngineName = "processes"
    n_jobs: int = 1
    address: str | None = None
    say: Callable[[str], None] = field(default=lambda words: None)
    _open: tuple[Client, Any] | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(EngineName):
            raise UsageError(
                f"engine: '{self.name}' is not an engine{did_you_mean(self.name, get_args(EngineName))}"
            )
        if self.address is not None and self.name != "dask":
            raise UsageError("--address is for --engine dask")
        self.workers = worker_count(self.n_jobs)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        if self._open is not None:
            (client, cluster), self._open = self._open, None
            # A client that lost its scheduler logs a traceback of its attempts to reach it; the loss is told by us.
            log = logging.getLogger("distributed.client")
            before = log.level
            log.setLevel(logging.CRITICAL)
            try:
                client.close(timeout=5)
            finally:
                log.setLevel(before)
            if cluster is not None:
                cluster.close(timeout=5)

    def executor(
        self,
        study: Study,
        problem: Problem,
        backends: dict[str, Backend],
        in_time: Callable[[], bool],
        suspects: Container[int] = (),
        goes_on: Callable[[], bool] | None = None,
    ) -> Executor:
        """What runs a search's trials.

        Parameters
        ----------
        study : Study
        problem : Problem
        backends : dict of str to Backend
        in_time : callable
            False when the deadline has passed.
        suspects : container of int
            Trials that may take down the process they run in.
        goes_on : callable, optional
            False when also what was begun must end; ``in_time`` without one. Workers have ``Executor.drain`` for that.
        """
        limit = study.search.trial_timeout
        if self.name == "dask":
            return self._on_cluster(study, problem, backends, in_time, limit)
        if self.workers == 1 and limit is None:
            return SerialExecutor(problem, backends, in_time, suspects, goes_on)
        return WorkerPool(problem, backends, in_time, self.workers, limit)

    def _on_cluster(
        self,
        study: Study,
        problem: Problem,
        backends: dict[str, Backend],
        in_time: Callable[[], bool],
        limit: float | None,
    ) -> Executor:
        from autoreg.executor.cluster import DaskExecutor, connect
        from autoreg.executor.fleet import Fleet

        spec = study.cluster
        if self._open is None:
            self._open = connect(self.address, self.workers, _certificates(spec, study.folder))
        shared = None if spec.shared is None else study.folder / spec.shared
        fleet = Fleet(self._open[0], problem, backends, spec.wait, shared, self.say)
        try:
            fleet.gather(in_time)
        except BaseException:
            fleet.release()
            raise
        return DaskExecutor(fleet, backends, in_time, limit)


def _certificates(spec: ClusterSpec, folder: Path) -> Any:
    """The study's PEM files, which must be there before anybody is asked for their trust."""
    from autoreg.executor.cluster import Certificates

    if spec.security is None:
        return None
    places = []
    for name, value in spec.security:
        place = folder / value
        if not place.is_file():
            raise StudyError(f"cluster.security.{name}: '{place}' does not exist")
        places.append(str(place))
    return Certificates(*places)
