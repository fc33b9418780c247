"""Gradient-boosted trees through XGBoost's own training loop, early stopped on the stop part."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xgboost as xgb

from autoreg.backends import NOTHING_GIVEN, Fit, FitFailure, FitJob, always, each_in_time
from autoreg.backends.boosting import Rows, boost, leaves
from autoreg.backends.checks import Limit, check_space
from autoreg.backends.common import (
    NO_ROW,
    class_totals,
    counted,
    granted_threads,
    mean_weight,
    smooth_rates,
    standardised,
    target_scale,
    threads,
    unit_weights,
)
from autoreg.penalties import PENALTIES, Penalty, effective
from autoreg.serving import BoosterMember, booster_matrix
from autoreg.trial import Choice, Dimension, Encoding, Floats, Params, Part, Range, Scalar, Sizes, Task

LIMITS = {
    "penalty": Limit(choices=PENALTIES),
    "alpha": Limit(low=0.0),
    "l1_ratio": Limit(low=0.0, high=1.0),
    "dropout": Limit(low=0.0, high=1.0, open_high=True),
    "skip_drop": Limit(low=0.0, high=1.0, open_high=True),
    "patience": Limit(low=0, integer=True),
    "eta": Limit(low=0.0, high=1.0, open_low=True),
    "rounds": Limit(low=1, high=100_000, integer=True),
    "max_bin": Limit(low=2, high=65_536, integer=True),
    "max_depth": Limit(low=1, high=30, integer=True),
    "max_leaves": Limit(low=0, high=65_536, integer=True),
    "min_child_weight": Limit(low=0.0),
    "gamma": Limit(low=0.0),
    "subsample": Limit(low=0.0, high=1.0, open_low=True),
    "colsample": Limit(low=0.0, high=1.0, open_low=True),
}
WORK = 1.5e9
"""Budget of one fit in rows * columns * outputs * rounds; the cap on rounds follows from it."""
NARROW, FEW = 256, 2500
"""Columns above which, and train rows below which, 64 bins do instead of 256. Histograms of many columns leave the processor's
cache; for few rows a round costs what its histograms do, and finer ones bring nothing (`benchmarks/bins.py`)."""
WAY = 20.0
"""Steps times their length that the cap on rounds leaves room for at the least: of many rows, 10 ended with trees still wanted (step .033
and 367 rounds had .468 where .06 and 286 had .465 and were done)."""
SHORTEST = 0.03
"""Step that a search begins with at the least: one of .01 takes three times as long, and where short ones are better the search goes on
to them by itself."""

PER_FIT, PER_ROW, USUAL = 0.02, 2e-7, 500
"""Seconds that a first fit is expected to take for each tree of a round, and more of them for rows to the power of 1.5 (many rows bear
more rounds) times the root of columns, where the cap on rounds leaves room for ``USUAL``."""


def round_cap(sizes: Sizes) -> int:
    """Boosting rounds that one fit may take on data of these sizes, between 30 and 2,000."""
    cells = max(1, sizes.rows * sizes.columns * sizes.outputs)
    return int(np.clip(WORK / cells, 30, 2000))


def dart_cap(rows: int, outputs: int) -> int:
    """Rounds that DART may take: every round predicts anew with the trees it drops, so work grows as a square."""
    return int(np.clip(np.sqrt(1e8 / max(1, rows * outputs)), 20, 300))


class BoostedBackend:
    """XGBoost behind the backend contract; see ``autoreg.backends.Backend``.

    ``alpha`` is on XGBoost's own scale, that of the sum of second derivatives in a leaf:
    ``reg_alpha = alpha * l1_ratio`` and ``reg_lambda = alpha * (1 - l1_ratio)``. Sample weights are divided by
    the mean weight of the train part, so that ``alpha`` and ``min_child_weight`` mean the same in any unit.
    ``max_leaves`` above 0 grows trees where the loss falls most, leaf by leaf to at most so many, however deep they lie; 0
    level by level to ``max_depth``.
    ``dropout`` above 0 turns on DART (Vinayak & Gilad-Bachrach 2015). Its recorded stop losses do not
    belong to the ensemble one gets by cutting it there, so it always runs its full number of rounds,
    at most ``dart_cap``.
    """

    name = "xgboost"
    encoding: Encoding = "tree"
    batched = False
    shared: tuple[str, ...] = ()
    rank = 1

    def opening(self, space: Mapping[str, Dimension], sizes: Sizes, fits: int) -> float:
        """See ``opening_seconds``; from twelve tables of 164 to 27,000 train rows on two cores (`benchmarks/opening.py`)."""
        rounds = space["rounds"]
        share = min(1.0, rounds / USUAL) if isinstance(rounds, int | float) else 1.0
        each = PER_FIT + PER_ROW * sizes.rows**1.5 * sizes.columns**0.5
        return float(fits * share * sizes.outputs * each)

    def space(self, sizes: Sizes, given: Mapping[str, Dimension] = NOTHING_GIVEN) -> dict[str, Dimension]:
        """Every name; steps are never so small that the cap on rounds ends training too soon."""
        cap = round_cap(sizes)
        return {
            "penalty": Choice(("l2", "l1", "elasticnet", "none")),
            "alpha": Range(0.01, 20.0, log=True),
            "l1_ratio": Range(0.05, 0.95),
            "dropout": 0.0,
            "skip_drop": 0.5,
            "patience": Range(8, 40, log=True, integer=True),
            "eta": Range(float(np.clip(WAY / cap, SHORTEST, 0.2)), 0.3 if cap >= 100 else 0.6, log=True),
            "rounds": cap,
            "max_bin": 256 if sizes.columns <= NARROW and sizes.rows >= FEW else 64,
            "max_depth": Range(2, 10, integer=True),
            # Leaves of any depth would pass a study's own limit.
            "max_leaves": 0 if "max_depth" in given else Range(4, 64, log=True, integer=True, off=True),
            "min_child_weight": Range(0.001, 32.0, log=True),
            "gamma": Range(0.001, 1.0, log=True, off=True),
            "subsample": Range(0.5, 1.0),
            "colsample": Range(0.5, 1.0),
        }

    def default(
        self, sizes: Sizes, given: Mapping[str, Dimension] = NOTHING_GIVEN
    ) -> dict[str, str | int | float | bool]:
        """XGBoost's own: 100 rounds (fewer on large data) of depth 6, step .3, lambda 1, no early stopping."""
        return {
            "penalty": "l2",
            "alpha": 1.0,
            "dropout": 0.0,
            "patience": 0,
            "eta": 0.3,
            "rounds": min(100, round_cap(sizes)),
            "max_bin": 256 if sizes.columns <= NARROW else 64,
            "max_depth": 6,
            "max_leaves": 0,
            "min_child_weight": 1.0,
            "gamma": 0.0,
            "subsample": 1.0,
            "colsample": 1.0,
        }

    def check(self, space: Mapping[str, Dimension], task: Task, image: tuple[int, ...] | None = None) -> None:
        """Refuse before trial 0 what XGBoost cannot do; raises ``StudyError``."""
        check_space(self.name, space, LIMITS)

    def fit(self, jobs: Sequence[FitJob], in_time: Callable[[], bool] = always) -> list[Fit | FitFailure]:
        """Fit every job, several side by side where one alone would leave cores idle."""
        with warnings.catch_warnings():
            # From 3.4 on XGBoost asks for dropout without this word, which older ones cannot do without.
            warnings.filterwarnings("ignore", r".*`booster=dart` is deprecated", UserWarning)
            return each_in_time(
                partial(_fit, in_time=in_time), jobs, in_time, self.abreast(jobs[0]) if jobs else 1
            )

    def hastened(self, params: Params, by: float) -> Params:
        """Steps so many times longer, .3 at most: about so many times fewer rounds."""
        eta = float(params["eta"])
        return {**params, "eta": max(eta, min(0.3, eta * by))}

    def rounds_on_more(self, params: Params, rounds: int, times: float) -> int:
        """As many times more (`benchmarks/rounds.py`), up to the cap; the same where nothing told when to stop."""
        if float(params["dropout"]) or not int(params["patience"]):
            return rounds
        return max(rounds, min(int(params["rounds"]), round(rounds * times)))

    def abreast(self, job: FitJob) -> int:
        """Fits of such jobs that the cores are enough for."""
        return granted_threads() // _threads(job)


@dataclass(frozen=True)
class _Plan:
    """What one job asks of the library."""

    params: dict[str, Scalar]
    penalty: Penalty
    native: dict[str, Any]
    metric: str
    rounds: int
    patience: int


def _plan(job: FitJob, stop: Part | None) -> _Plan:
    """Translate canonical names; names without effect leave the effective parameters."""
    p = job.params
    penalty = effective(str(p["penalty"]), float(p["alpha"]), float(p["l1_ratio"]))
    dropout, rounds = float(p["dropout"]), int(p["rounds"])
    if dropout:
        rounds = min(rounds, dart_cap(len(job.data.train), _outputs(job)))
    patience = int(p["patience"]) if not dropout and not job.rounds else 0
    if patience and stop is None:
        # Nothing tells when to stop: so many steps that together they go ten times the way.
        patience, rounds = 0, min(rounds, math.ceil(10 / float(p["eta"])))
    native: dict[str, Any] = {
        "booster": "dart" if dropout else "gbtree",
        "tree_method": "hist",
        "eta": float(p["eta"]),
        "max_bin": int(p["max_bin"]),
        "max_depth": int(p["max_depth"]),
        "min_child_weight": float(p["min_child_weight"]),
        "gamma": float(p["gamma"]),
        "subsample": float(p["subsample"]),
        "colsample_bytree": float(p["colsample"]),
        "reg_alpha": penalty.l1,
        "reg_lambda": penalty.l2,
    }
    params = dict(p) | {"penalty": penalty.kind, "alpha": penalty.alpha, "l1_ratio": penalty.l1_ratio}
    params |= {"patience": patience, "rounds": rounds}
    if int(p["max_leaves"]):
        native |= {"grow_policy": "lossguide", "max_leaves": int(p["max_leaves"]), "max_depth": 0}
        params.pop("max_depth")
    if dropout:
        native |= {"rate_drop": dropout, "skip_drop": float(p["skip_drop"])}
    else:
        params.pop("skip_drop")
    objective, metric = _objective(job)
    return _Plan(params, penalty, objective | native, metric, job.rounds or rounds, patience)


def _objective(job: FitJob) -> tuple[dict[str, Any], str]:
    """XGBoost's objective and the metric that is its internal loss."""
    if job.data.task == "regression":
        # The target is standardised, so 0 is its mean.
        return {"objective": "reg:squarederror", "base_score": 0.0}, "rmse"
    if job.data.task == "binary":
        return {"objective": "binary:logistic"}, "logloss"
    return {"objective": "multi:softprob", "num_class": job.data.n_classes}, "mlogloss"


def _fit(job: FitJob, in_time: Callable[[], bool] = always) -> Fit | FitFailure:
    started = time.perf_counter()
    train = counted(job.data.train)
    stop = None if job.data.stop is None else counted(job.data.stop)
    plan = _plan(job, stop if stop is not None and len(stop) else None)
    if not len(train):
        return FitFailure(NO_ROW, plan.params)
    unit = mean_weight(train)
    train, stop = unit_weights(train, unit), None if stop is None else unit_weights(stop, unit)
    shift, scale = target_scale(train) if job.data.task == "regression" else (0.0, 1.0)
    try:
        curves: dict[str, Floats] = {}
        if job.data.task != "regression" and (class_totals(train, job.data.n_classes) > 0).sum() == 1:
            booster = _constant(job, plan, train)
        else:
            booster, curves = _train(job, plan, train, stop, shift, scale, in_time)
    except xgb.core.XGBoostError as error:
        return FitFailure(f"xgboost: {_first_line(error)}", plan.params, time.perf_counter() - started)
    wrong = [name for name, curve in curves.items() if not np.isfinite(curve).all()]
    if wrong:
        return FitFailure(
            f"the {wrong[0]} became NaN or infinite", plan.params, time.perf_counter() - started
        )
    kept = int(booster.num_boosted_rounds())
    native = {f"xgboost.{k}": v for k, v in plan.native.items()} | {"xgboost.num_boost_round": kept}
    member = BoosterMember(booster, job.data.levels, job.data.task, scale, shift)
    # Base rates alone have no stopping point: a refit on all classes must not average them in.
    rounds = kept if curves else 0
    return Fit(
        member, plan.params, native, rounds, float(leaves(booster)), curves, time.perf_counter() - started
    )


def _train(
    job: FitJob,
    plan: _Plan,
    train: Part,
    stop: Part | None,
    shift: float,
    scale: float,
    in_time: Callable[[], bool],
) -> tuple[Any, dict[str, Floats]]:
    """Boost and keep the best rounds; losses by round in the internal loss's own unit."""
    parts = {"train_loss": train}
    if stop is not None and len(stop) and not job.rounds:
        parts["stop_loss"] = stop
    matrices = {
        name: booster_matrix(
            part.X,
            job.data.levels,
            Rows,
            label=standardised(part, shift, scale) if job.data.task == "regression" else part.y,
            weight=part.weight,
        )
        for name, part in parts.items()
    }
    settings = plan.native | {"eval_metric": plan.metric, "seed": job.seed, "nthread": _threads(job)}
    found = boost(settings, matrices, plan.rounds, plan.patience, in_time)
    curves = {name: np.asarray(losses) for name, losses in found.losses.items()}
    if job.data.task == "regression":
        curves = {name: (curve * scale) ** 2 for name, curve in curves.items()}
    return found.booster, curves


def _threads(job: FitJob) -> int:
    """Threads of one fit."""
    return threads(job.data.train.X.size * _outputs(job))


def _outputs(job: FitJob) -> int:
    """Trees a round."""
    return job.data.n_classes if job.data.task == "multiclass" else 1


def _constant(job: FitJob, plan: _Plan, train: Part) -> Any:
    """A booster that gives everyone the smoothed base rates, for a train part of one class.

    One row of missing values per class, weighted by its rate, lets unpenalised leaves converge to the rates.
    """
    rates = smooth_rates(train, job.data.n_classes)
    rows = np.full((len(rates), len(job.data.levels)), np.nan, np.float32)
    matrix = booster_matrix(rows, job.data.levels, label=np.arange(len(rates)), weight=rates)
    objective = {k: plan.native[k] for k in ("objective", "num_class") if k in plan.native}
    settings = {"reg_lambda": 0.0, "min_child_weight": 0.0, "eta": 1.0, "nthread": 1}
    return xgb.train(objective | settings, matrix, 30)


def _first_line(error: Exception) -> str:
    """XGBoost's message without time stamp, source position and stack trace."""
    line = str(error).strip().splitlines()[0]
    return line.split(": ", 1)[-1] if line.startswith("[") else line
