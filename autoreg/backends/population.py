"""Fits a block of networks together: jobs of one shape are stacked, trained as one program, and taken apart again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from autoreg.backends import Fit, FitFailure, FitJob, always
from autoreg.backends.layers import (
    Recipe,
    Shape,
    Weights,
    complexity,
    initial_weights,
    native_names,
    read_recipe,
    read_shape,
)
from autoreg.backends.population_member import PopulationMember
from autoreg.backends.population_program import STOP_ROWS, Program, program
from autoreg.backends.population_ramps import Ramps, fit_ramps, widened
from autoreg.backends.population_records import Key, Members, Progress, Rows
from autoreg.backends.population_stack import (
    new_progress,
    parts_used,
    round_up,
    scaling,
    stack_recipes,
    stack_rows,
)
from autoreg.trial import Encoded, OutOfTime, Params, Scalar

MEMORY = (
    2**30
)  # bytes for the members of one chunk, and as many for its folds: chunks follow from the study alone
SPREAD = 1.25  # the most rows over the fewest rows in one chunk: its members take the same number of steps an epoch
COMPACT = 0.8  # share of members still training below which the finished ones are taken out


@dataclass
class Entry:
    """One job on its way through."""

    job: FitJob
    params: dict[str, Scalar]
    shape: Shape
    recipe: Recipe
    scale: float
    shift: float
    ramps: Ramps | None = None
    train: list[float] = field(default_factory=list)
    stop: list[float] = field(default_factory=list)
    hits: list[tuple[float, float]] = field(default_factory=list)
    weights: Weights | None = None
    rounds: int = 0
    failed: bool = False
    seconds: float = 0.0

    @property
    def has_stop(self) -> bool:
        """Whether there is a stop part to judge after every epoch."""
        return self.job.data.stop is not None and not self.job.rounds

    @property
    def stops(self) -> bool:
        """Whether the stop part decides when training ends; else the last weights are kept."""
        return self.has_stop and bool(self.params["early_stopping"])

    def outcome(self) -> Fit | FitFailure:
        """What the backend reports."""
        if self.failed or self.weights is None:
            reason = f"the loss became NaN or infinite in epoch {len(self.train)}: the network diverged"
            return FitFailure(reason, self.params, self.seconds)
        task = self.job.data.task
        told = {"train_loss": self.train} | ({"stop_loss": self.stop} if self.has_stop else {})
        with np.errstate(over="ignore"):  # the square of a target beyond 1e154 is infinite, the fit is not
            curves = {name: np.array(curve) * self.scale * self.scale for name, curve in told.items()}
        if self.job.accuracy:
            train, stop = np.array(self.hits).T
            curves |= {"train_accuracy": train} | ({"stop_accuracy": stop} if self.has_stop else {})
        return Fit(
            member=PopulationMember(
                self.shape, self.recipe, self.weights, task, self.scale, self.shift, self.ramps
            ),
            params=self.params,
            native={**native_names(self.recipe, self.shape), "keras.bins": self.params["bins"]},
            rounds=self.rounds,
            complexity=complexity([w for w in self.weights if w.ndim == 2]),
            curves=curves,
            seconds=self.seconds,
        )


Wide = dict[tuple[int, Scalar], tuple[Encoded, Ramps | None]]


def new_entry(job: FitJob, params: Params, wide: Wide | None = None) -> Entry:
    """A job with its effective parameters; ``wide`` keeps folds with ramps, so that members share them."""
    ramps = None
    if params["bins"]:
        wide, key = {} if wide is None else wide, (id(job.data), params["bins"])
        if key not in wide:
            ramps = fit_ramps(job.data.train.X, int(params["bins"]))
            wide[key] = (widened(job.data, ramps) if ramps else job.data), ramps
        data, ramps = wide[key]
        job = replace(job, data=data)
    data = job.data
    shape = read_shape(params, len(data.columns), data.n_classes if data.task == "multiclass" else 1)
    shift, scale = scaling(data)
    return Entry(job, dict(params), shape, read_recipe(params), scale, shift, ramps)


def fit_population(
    jobs: Sequence[FitJob], params: Sequence[Params], in_time: Callable[[], bool] = always
) -> list[Fit | FitFailure]:
    """Fit jobs with their effective parameters; outcomes in the order of the jobs.

    Raises
    ------
    OutOfTime
        ``in_time`` said no between two epochs.
    """
    wide: Wide = {}
    entries = [new_entry(job, own, wide) for job, own in zip(jobs, params, strict=True)]
    groups: dict[Any, list[Entry]] = {}
    for entry in entries:
        recipe = entry.recipe
        key = (entry.shape, entry.job.data.task, recipe.optimizer, recipe.batch_size, entry.job.accuracy)
        groups.setdefault(key, []).append(entry)
    for group in groups.values():
        for chunk in chunks(group):
            _train(chunk, in_time)
    return [entry.outcome() for entry in entries]


def member_bytes(entry: Entry) -> int:
    """Memory that one member takes while it trains: arrays, moments, gradients, an epoch's batches, what a batch leaves."""
    shape, batch = entry.shape, entry.recipe.batch_size
    arrays = sum((inputs + 1) * units for inputs, units in shape.sizes)
    units = sum(shape.hidden) + shape.outputs
    judging = min(STOP_ROWS, len(entry.job.data.stop or ())) * (shape.columns + 3 * units)
    return 4 * (
        8 * arrays
        + batch * (2 * shape.columns + (6 + shape.residual) * units)
        + judging
        + 10 * len(entry.job.data.train)
    )


def slot_bytes(data: Encoded) -> int:
    """Memory of a fold's training and stop rows."""
    return 4 * (len(data.train) + len(data.stop or ())) * (len(data.columns) + 3)


def chunks(group: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Split jobs of one shape into chunks of like row counts that keep to ``MEMORY``, jobs of one fold together.

    Members and folds have the same budget each, so that even a fold beyond it is trained by many members at a time.
    """
    order: dict[int, int] = {}
    for entry in group:
        order.setdefault(id(entry.job.data), len(order))
    chunk: list[Entry] = []
    slots: dict[int, int] = {}
    for entry in sorted(group, key=lambda e: (len(e.job.data.train), order[id(e.job.data)])):
        data = entry.job.data
        more = slots | {id(data): slot_bytes(data)}
        full = sum(map(member_bytes, [*chunk, entry])) > MEMORY or (
            len(more) > 1 and sum(more.values()) > MEMORY
        )
        if chunk and (full or len(data.train) > SPREAD * len(chunk[0].job.data.train)):
            yield chunk
            chunk, more = [], {id(data): slot_bytes(data)}
        chunk, slots = [*chunk, entry], more
    if chunk:
        yield chunk


def prepare(chunk: Sequence[Entry]) -> tuple[Program, Rows, Members, Any, Any]:
    """The program with the chunk's members loaded, its rows, the members' numbers, steps an epoch and batch width."""
    recipes, task = [e.recipe for e in chunk], chunk[0].job.data.task
    slots = list({id(e.job.data): e.job.data for e in chunk}.values())
    place = {id(data): i for i, data in enumerate(slots)}
    own = stack_recipes(
        recipes,
        [place[id(e.job.data)] for e in chunk],
        [e.job.seed for e in chunk],
        [e.job.rounds or e.recipe.epochs for e in chunk],
        [e.stops for e in chunk],
    )
    parts = parts_used(recipes) | ({"accuracy"} if chunk[0].job.accuracy else frozenset())
    machine = program(Key(chunk[0].shape, task, recipes[0].optimizer, parts))
    machine.load([initial_weights(e.shape, e.job.seed) for e in chunk], own)
    longest = max(len(data.train) for data in slots)
    steps = -(-longest // recipes[0].batch_size)
    return machine, stack_rows(slots), own, tf.constant(steps), tf.constant(round_up(-(-longest // steps)))


def _train(chunk: list[Entry], in_time: Callable[[], bool]) -> None:
    """Train one chunk to its end and note in its entries what came of them."""
    started = time.perf_counter()
    machine, rows, own, steps, width = prepare(chunk)
    try:
        _run(machine, rows, own, chunk, (steps, width), in_time)
    finally:
        machine.keep(np.zeros(0, np.int64))  # gives the memory back; the graph stays for the next block
    for entry in chunk:
        entry.seconds = (time.perf_counter() - started) / len(chunk)


def _run(
    machine: Program,
    rows: Rows,
    own: Members,
    live: list[Entry],
    sizes: tuple[Any, Any],
    in_time: Callable[[], bool],
) -> None:
    """Epoch after epoch until no member is left; finished members are taken out several at a time."""
    at, epoch = new_progress(len(live)), 0
    while live:
        if not in_time():
            raise OutOfTime
        epoch, before = epoch + 1, at.active.numpy()
        at, *losses = machine.epoch(rows, own, at, tf.constant(epoch), *sizes)
        train, stop, *hits = (loss.numpy() for loss in losses)
        for i in np.flatnonzero(before):
            live[i].train.append(float(train[i]))
            live[i].stop.append(float(stop[i]))
            live[i].hits += [(float(hits[0][i]), float(hits[1][i]))] if hits else []
        active = at.active.numpy()
        if active.sum() > COMPACT * len(live):
            continue
        _take_out(machine, at, live, np.flatnonzero(~active))
        stay = np.flatnonzero(active)
        machine.keep(stay)
        own, at = Members(*(tf.gather(t, stay) for t in own)), Progress(*(tf.gather(t, stay) for t in at))
        live = [live[i] for i in stay]


def _take_out(machine: Program, at: Progress, live: list[Entry], which: NDArray[np.int64]) -> None:
    """Note weights and standing of finished members."""
    failed, best = at.failed.numpy(), at.best_epoch.numpy()
    for i, weights in zip(which, machine.best_weights(which), strict=True):
        live[i].failed, live[i].rounds, live[i].weights = bool(failed[i]), int(best[i]), weights
