"""The model families behind one contract, named in a plain dict and imported only when used.

A backend translates the canonical words (penalty, alpha, l1_ratio, dropout, patience) at its edge, fits jobs and
says what each fit was. It knows nothing of trials, folds, Optuna or MLflow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Protocol

import numpy as np

from autoreg.errors import StudyError, did_you_mean
from autoreg.serving import Member
from autoreg.trial import Dimension, Encoded, Encoding, Floats, OutOfTime, Params, Sizes, Task

BACKENDS = {
    "sklearn": "autoreg.backends.linear:LinearBackend",
    "xgboost": "autoreg.backends.boosted:BoostedBackend",
    "keras": "autoreg.backends.network:NetworkBackend",
}
PACKAGES = {"sklearn": "scikit-learn"}
"""What to install for a module of another name."""


NOTHING_GIVEN: Mapping[str, Dimension] = {}


@dataclass(frozen=True)
class FitJob:
    """One model to fit.

    Attributes
    ----------
    params : Params
        Every name of the backend's space, decoded (0 where "off").
    data : Encoded
        Train, stop and score parts; weights already hold sample and class weights.
    seed : int
        Seed of every random choice inside the fit.
    rounds : int
        0: train until the stop part stops improving for ``patience`` (where there is none, for as long as the backend
        finds fit);
        above 0: train for exactly that many epochs or rounds, as a refit does.
    accuracy : bool
        Whether the curves of a network's accuracy are wanted beside those of its loss.
    """

    params: Params
    data: Encoded
    seed: int
    rounds: int = 0
    accuracy: bool = False


@dataclass(frozen=True)
class Fit:
    """One fitted model.

    Attributes
    ----------
    member : Member
        Predicts from encoded rows and saves itself without pickle.
    params : Params
        Effective canonical parameters: what was really fitted.
    native : Params
        The library's own names, prefixed with the backend's name and a dot.
    rounds : int
        Best stopping point (epochs or boosting rounds that the member holds); 0 for models without one.
    complexity : float
        Effective number of parameters: non-zero coefficients; leaves; weights above 1e-3 of the largest.
    curves : mapping
        "train_loss" and "stop_loss" per epoch or round (mean internal loss without penalty), where there are any;
        "train_accuracy" and "stop_accuracy" of networks, where a job asks for them.
    seconds : float
        Wall time of this fit; a batch divides its time over its jobs.
    """

    member: Member
    params: Params
    native: Params
    rounds: int = 0
    complexity: float = float("nan")
    curves: Mapping[str, Floats] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class FitFailure:
    """A fit that diverged or gave NaN: a state with its reason, never a number."""

    reason: str
    params: Params = field(default_factory=dict)
    seconds: float = 0.0


def always() -> bool:
    """There is no deadline."""
    return True


class Backend(Protocol):
    """What a model family must offer.

    Attributes
    ----------
    name : str
        Key of ``BACKENDS``.
    encoding : Encoding
        "dense" (imputed, scaled, one-hot) or "tree" (numbers with NaN, category codes).
    batched : bool
        True when a block of trials is to be fitted in one call, without pruning between folds.
    shared : tuple of str
        Names that all trials of one block must share (they shape the program).
    rank : int
        Simplicity of the family: linear 0 < boosted 1 < network 2.
    """

    name: str
    encoding: Encoding
    batched: bool
    shared: tuple[str, ...]
    rank: int

    def space(self, sizes: Sizes, given: Mapping[str, Dimension] = NOTHING_GIVEN) -> dict[str, Dimension]:
        """Every name this backend has, with its built-in dimension for data of these sizes.

        ``given`` are the study's own dimensions, where a built-in one hangs on another name.
        """

    def default(
        self, sizes: Sizes, given: Mapping[str, Dimension] = NOTHING_GIVEN
    ) -> dict[str, str | int | float | bool]:
        """The library's own default configuration in canonical names (a subset of ``space``'s names).

        ``given`` are the study's own dimensions, where one default hangs on another name.
        """

    def check(self, space: Mapping[str, Dimension], task: Task, image: tuple[int, ...] | None = None) -> None:
        """Refuse before trial 0 what this backend cannot do; ``image`` as in ``Table``.

        Raises
        ------
        StudyError
            Names the option, what was expected, what was found.
        """

    def fit(self, jobs: Sequence[FitJob], in_time: Callable[[], bool] = always) -> list[Fit | FitFailure]:
        """Fit every job; outcomes in the order of the jobs. Never mutates its input.

        Raises
        ------
        OutOfTime
            ``in_time`` said no: nothing is kept of any job.
        """


def get_backend(name: str) -> Backend:
    """Import and build a backend by name.

    Raises
    ------
    StudyError
        Unknown name, or its library is not installed (the message names the package).
    """
    if name not in BACKENDS:
        raise StudyError(f"search.backends: '{name}' is not a backend{did_you_mean(name, BACKENDS)}")
    place, attribute = BACKENDS[name].split(":")
    # Read when OpenMP starts: threads that spin while they wait made boosting 30 times slower on busy cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        backend: Backend = getattr(import_module(place), attribute)()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("autoreg"):
            raise
        module = (error.name or "").split(".")[0]
        package = PACKAGES.get(module, module)
        raise StudyError(
            f"search.backends: '{name}' needs the package '{package}': pip install {package}"
        ) from error
    return backend


def seconds_apart(backend: Backend, seconds: float) -> float:
    """Seconds that a trial of a search will cost when it is fitted again without the rest of its block.

    A small population costs about twice as much per network as the search's full blocks did.
    """
    return seconds * (2.0 if backend.batched else 1.0)


def opening_seconds(backend: Backend, space: Mapping[str, Dimension], sizes: Sizes, fits: int) -> float:
    """Seconds that so many fits in one call can be expected to take where no fit was timed yet; 0 where a backend cannot say."""
    opening = getattr(backend, "opening", None)
    return 0.0 if opening is None else float(opening(space, sizes, fits))


def hastened(backend: Backend, params: Params, by: float) -> Params:
    """A configuration in so many times fewer and longer steps, as far as that goes; as it is where a backend cannot."""
    quicker = getattr(backend, "hastened", None)
    return params if by <= 1 or quicker is None else dict(quicker(params, by))


def rounds_on_more(backend: Backend, params: Params, rounds: int, times: float) -> int:
    """Where a configuration is to stop on so many times more rows than told it when; as there, where a backend sees no difference."""
    longer = getattr(backend, "rounds_on_more", None)
    return rounds if times <= 1 or not rounds or longer is None else int(longer(params, rounds, times))


def fits_alone(backend: Backend, params: Params) -> bool:
    """Whether a batched backend gains nothing by fitting this trial in one call with others of its block."""
    alone = getattr(backend, "alone", None)
    return alone is not None and bool(alone(params))


def fits_abreast(backend: Backend, job: FitJob) -> int:
    """How many fits of such jobs a backend runs side by side when they are given to it in one call."""
    abreast = getattr(backend, "abreast", None)
    return 1 if abreast is None else max(1, int(abreast(job)))


def each_in_time(
    fit: Callable[[FitJob], Fit | FitFailure],
    jobs: Sequence[FitJob],
    in_time: Callable[[], bool],
    abreast: int = 1,
) -> list[Fit | FitFailure]:
    """Fit jobs one by one, or so many at a time in threads, asking for the time before each.

    NumPy's floating-point warnings are off: a fit judges its own result, and some BLAS kernels raise the
    "invalid value" flag over padding they never return.
    """

    def timely(job: FitJob) -> Fit | FitFailure:
        if not in_time():
            raise OutOfTime
        with np.errstate(all="ignore"):
            return fit(job)

    if min(abreast, len(jobs)) < 2:
        return [timely(job) for job in jobs]
    began = time.perf_counter()
    pool = ThreadPoolExecutor(min(abreast, len(jobs)), "autoreg-fit")
    try:
        outcomes = list(pool.map(timely, jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    # Side by side they took this long together.
    share = (time.perf_counter() - began) / max(1e-9, sum(o.seconds for o in outcomes))
    return [replace(o, seconds=o.seconds * min(1.0, share)) for o in outcomes]
