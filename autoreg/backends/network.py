"""Keras networks: what can be asked of them, and how they are fitted. TensorFlow is imported when the first one is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from autoreg.backends import NOTHING_GIVEN, Fit, FitFailure, FitJob, always, images
from autoreg.backends.checks import Limit, check_space
from autoreg.backends.images_space import check_images, image_default, image_space, values
from autoreg.backends.layers import parse_activations, parse_hidden
from autoreg.errors import StudyError
from autoreg.penalties import PENALTIES, effective
from autoreg.trial import Choice, Dimension, Params, Range, Scalar, Sizes, Task

# Of one network: a block of 40 on 40,000 rows and 100 columns stays within a minute on 2 cores.
ROW_VISITS = 800_000
EPOCHS = (5, 200)  # at least, at most, whatever the row visits
IMPORT, PER_NETWORK, PER_ROW, USUAL = 8.0, 0.05, 75e-6, 60
"""What networks of the built-in ranges cost: seconds once, for each, and for each and every train row of up to 100 columns; and the
epochs that they usually train."""
BATCHES = ((1_000, 32), (4_000, 64), (12_000, 128), (60_000, 256))  # up to so many rows: rows a batch
LARGEST_BATCH = 512
BINS = 8
RAMPED = 300_000  # training rows x columns up to which the search tries ramps: they make the first layer 9 times as wide

_SHARE = Limit(0.0, 1.0, open_high=True)
_FACTOR = Limit(0.0)
LIMITS: dict[str, Limit] = {
    "penalty": Limit(choices=PENALTIES),
    "alpha": _FACTOR,
    "l1_ratio": Limit(0.0, 1.0),
    "dropout": _SHARE,
    "patience": Limit(1, 100_000, integer=True),
    "input_dropout": _SHARE,
    "learning_rate": Limit(0.0, 100.0, open_low=True),
    "weight_decay": _FACTOR,
    "label_smoothing": _SHARE,
    "batch_norm": Limit(choices=(False, True)),
    "layer_norm": Limit(choices=(False, True)),
    "residual": Limit(choices=(False, True)),
    "bins": Limit(0, 64, integer=True),
    "kernel_l1": _FACTOR,
    "kernel_l2": _FACTOR,
    "penalty_layers": Limit(choices=("all", "hidden", "first")),
    "bias_l1": _FACTOR,
    "bias_l2": _FACTOR,
    "activity_l1": _FACTOR,
    "activity_l2": _FACTOR,
    "activity_layers": Limit(choices=("all", "first")),
    "monitor": Limit(choices=("loss", "accuracy")),
    "min_delta": _FACTOR,
    "early_stopping": Limit(choices=(False, True)),
    "optimizer": Limit(choices=("adam", "sgd")),
    "batch_size": Limit(1, 1_000_000, integer=True),
    "epochs": Limit(1, 1_000_000, integer=True),
}
PLAIN: dict[str, Scalar] = {
    "penalty": "none",
    "alpha": 0.0,
    "l1_ratio": 0.0,
    "dropout": 0.0,
    "patience": 10,
    "hidden": "128-64",
    "activation": "relu",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "input_dropout": 0.0,
    "label_smoothing": 0.0,
    "batch_norm": False,
    "layer_norm": False,
    "residual": False,
    "bins": 0,
    "kernel_l1": 0.0,
    "kernel_l2": 0.0,
    "penalty_layers": "all",
    "bias_l1": 0.0,
    "bias_l2": 0.0,
    "activity_l1": 0.0,
    "activity_l2": 0.0,
    "activity_layers": "all",
    "monitor": "loss",
    "min_delta": 0.0,
    "early_stopping": True,
    "optimizer": "adam",
}
LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}  # the defaults of Keras


def batch_size(rows: int) -> int:
    """Rows a batch for ``rows`` training rows."""
    return next((size for limit, size in BATCHES if rows <= limit), LARGEST_BATCH)


def epoch_cap(rows: int) -> int:
    """Epochs at most for ``rows`` training rows, so that no network visits more than ``ROW_VISITS`` rows (or 5 epochs)."""
    return max(EPOCHS[0], min(EPOCHS[1], ROW_VISITS // max(1, rows)))


def effective_params(params: Params) -> dict[str, Scalar]:
    """What a configuration really asks for: names that have no effect take the value they have in effect."""
    out: dict[str, Scalar] = {**PLAIN, **params}
    out["residual"] = bool(out["residual"]) and _repeats(parse_hidden(out["hidden"]))
    if not out["early_stopping"]:  # then nothing is monitored, and no patience runs out
        out |= {"patience": out["epochs"], "monitor": "loss", "min_delta": 0.0}
    out = images.effective_image(out) if images.NAMES & out.keys() else out
    l1, l2 = float(out["kernel_l1"]), 2 * float(out["kernel_l2"])
    if l1 or l2:  # Keras' own factors replace the canonical names, and here those say the same
        kind = "elasticnet" if l1 and l2 else "l1" if l1 else "l2"
        return {**out, "penalty": kind, "alpha": l1 + l2, "l1_ratio": l1 / (l1 + l2)}
    base = effective(str(out["penalty"]), float(out["alpha"]), float(out["l1_ratio"]))
    return {**out, "penalty": base.kind, "alpha": base.alpha, "l1_ratio": base.l1_ratio}


class NetworkBackend:
    """Networks in Keras: perceptrons, a whole block of trials and folds at a time, and convolutional ones one by one.

    See ``Backend``.
    """

    name = "keras"
    encoding = "dense"
    batched = True
    shared = (
        "hidden",
        "activation",
        "batch_norm",
        "layer_norm",
        "residual",
        "bins",
        "optimizer",
        "batch_size",
    )
    rank = 2

    def opening(self, space: Mapping[str, Dimension], sizes: Sizes, fits: int) -> float:
        """See ``opening_seconds``: TensorFlow's import and a program's tracing, then every network.

        From twelve tables of 164 to 27,000 train rows on two cores (`benchmarks/opening.py`); of images nothing is known.
        """
        if sizes.image is not None:
            return 0.0
        epochs = space["epochs"]
        share = min(1.0, epochs / USUAL) if isinstance(epochs, int | float) else 1.0
        each = PER_NETWORK + PER_ROW * sizes.rows * max(1.0, sizes.columns / 100)
        return IMPORT + fits * share * each

    def space(self, sizes: Sizes, given: Mapping[str, Dimension] = NOTHING_GIVEN) -> dict[str, Dimension]:
        """See ``Backend``. Ranges: optima published for tabular networks, and the ranges of Kadra 2021, TabM, TabArena."""
        fixed: dict[str, Dimension] = dict(PLAIN)
        default = self.default(sizes)
        searched: dict[str, Dimension] = {
            "penalty": Choice(("l1", "l2", "elasticnet")),
            "alpha": Range(1e-6, 0.03, log=True, off=True),
            "l1_ratio": Range(0.1, 0.9),
            "dropout": Range(0.05, 0.6, off=True),
            "patience": Range(6, 40, log=True, integer=True),
            "learning_rate": Range(3e-4, 1e-2, log=True),
            "weight_decay": Range(1e-5, 0.3, log=True, off=True),
        }
        if sizes.rows * sizes.columns <= RAMPED:
            searched["bins"] = Choice((0, BINS))
        counts: dict[str, Dimension] = {name: default[name] for name in ("batch_size", "epochs")}
        if sizes.image:
            return fixed | searched | counts | image_space(sizes, default)
        return fixed | searched | counts

    def default(self, sizes: Sizes, given: Mapping[str, Dimension] = NOTHING_GIVEN) -> dict[str, Scalar]:
        """See ``Backend``. A plain network as a tutorial would write it: nothing but early stopping."""
        rate = LEARNING_RATES.get(str(given.get("optimizer")), PLAIN["learning_rate"])
        sized = {"batch_size": batch_size(sizes.rows), "epochs": epoch_cap(sizes.rows)}
        plain = {**PLAIN, "learning_rate": rate, **sized}
        return image_default(sizes, plain) if sizes.image else plain

    def check(self, space: Mapping[str, Dimension], task: Task, image: tuple[int, ...] | None = None) -> None:
        """See ``Backend``."""
        texts = {name: space[name] for name in ("hidden", "activation", "conv") if name in space}
        others = {name: value for name, value in space.items() if name not in texts}
        known = LIMITS | (images.LIMITS if image or images.NAMES & space.keys() else {})
        check_space(self.name, others, known | dict.fromkeys(("hidden", "activation"), _FACTOR))
        hidden = _check_hidden(texts.get("hidden", PLAIN["hidden"]))
        blocks = check_images(space, image)
        depths = {len(units) + len(filters) for units in hidden for filters in blocks}
        _check_activation(texts.get("activation", PLAIN["activation"]), depths)
        if True in values(space.get("residual", False)) and not any(map(_repeats, hidden)):
            raise StudyError(
                "search.keras.residual: expected search.keras.hidden with two layers of one width in a row, "
                f"such as '128-128', found {'-'.join(map(str, hidden[0]))!r}; nothing would be added otherwise"
            )
        if task == "regression" and "accuracy" in values(space.get("monitor", "loss")):
            raise StudyError("search.keras.monitor: expected loss for a regression target, found 'accuracy'")
        if task == "regression" and space.get("label_smoothing", 0.0) not in (0, 0.0):
            raise StudyError("search.keras.label_smoothing: expected 0 for a regression target; leave it out")
        if True in values(space.get("batch_norm", False)) and True in values(space.get("layer_norm", False)):
            raise StudyError(
                "search.keras.layer_norm: expected false where batch_norm may be true, found true; keep one of them"
            )

    def alone(self, params: Params) -> bool:
        """Whether a trial is trained by itself, not in a population."""
        return images.is_ordinary(effective_params(params))

    def fit(self, jobs: Sequence[FitJob], in_time: Callable[[], bool] = always) -> list[Fit | FitFailure]:
        """See ``Backend``."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # or TensorFlow's import writes to stderr
        params = [effective_params(job.params) for job in jobs]
        apart = [i for i, own in enumerate(params) if images.is_ordinary(own)]
        together = [i for i in range(len(jobs)) if i not in apart]
        outcomes: dict[int, Fit | FitFailure] = {}
        if together:
            from autoreg.backends.population import fit_population

            found = fit_population([jobs[i] for i in together], [params[i] for i in together], in_time)
            outcomes |= zip(together, found, strict=True)
        if apart:
            from autoreg.backends.training import fit_images

            found = fit_images([jobs[i] for i in apart], [params[i] for i in apart], in_time)
            outcomes |= zip(apart, found, strict=True)
        return [outcomes[i] for i in range(len(jobs))]


def _repeats(hidden: tuple[int, ...]) -> bool:
    """Whether a hidden layer is as wide as the one before, so that it can add its input."""
    return any(a == b for a, b in pairwise(hidden))


def _check_hidden(dimension: Dimension) -> list[tuple[int, ...]]:
    """The units of the hidden layers that may be asked for."""
    if isinstance(dimension, Range):
        raise StudyError(
            "search.keras.hidden: expected text such as '128-64' or a list of such texts, found a range"
        )
    try:
        return [parse_hidden(value) for value in values(dimension)]
    except ValueError as error:
        raise StudyError(f"search.keras.hidden: {error}") from None


def _check_activation(dimension: Dimension, layers: set[int]) -> None:
    if isinstance(dimension, Range):
        raise StudyError(
            "search.keras.activation: expected a name such as 'relu' or a list of names, found a range"
        )
    try:
        for value in values(dimension):
            for number in layers:
                parse_activations(value, number)
    except ValueError as error:
        raise StudyError(f"search.keras.activation: {error}") from None
