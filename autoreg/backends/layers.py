"""One network described as plain numbers, and the ordinary Keras model it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.penalties import effective
from autoreg.trial import Params, Scalar, Task

Weights = list[NDArray[np.float32]]
ACTIVATIONS = ("relu", "tanh", "elu", "selu", "gelu", "silu", "sigmoid", "linear")
NORMS = ("none", "batch", "layer")
EPSILON = 1e-3  # of both normalizations: the default of Keras
MOMENTUM = 0.9  # of the moving statistics: at most some hundred steps may be all there are


@dataclass(frozen=True)
class Shape:
    """What shapes the tensors and the program of a network.

    Attributes
    ----------
    columns : int
        Inputs.
    hidden : tuple of int
        Units of each hidden layer.
    activations : tuple of str
        One of ``ACTIVATIONS`` for each hidden layer.
    norm : str
        One of ``NORMS``, before the activation of each hidden layer.
    outputs : int
        Logits, or 1 standardised value.
    """

    columns: int
    hidden: tuple[int, ...]
    activations: tuple[str, ...]
    norm: str
    outputs: int

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(inputs, units) of every dense layer, the output layer last."""
        units = (self.columns, *self.hidden, self.outputs)
        return tuple(pairwise(units))


@dataclass(frozen=True)
class Recipe:
    """How one network is regularized and trained; L1 and L2 are factors of ``sum |w|`` and ``sum w^2`` as Keras has them.

    Attributes
    ----------
    kernel_l1, kernel_l2, activity_l1, activity_l2 : tuple of float
        One per dense layer; activities have no entry for the output layer.
    bias_l1, bias_l2, dropout, input_dropout, learning_rate, weight_decay, label_smoothing, min_delta : float
    patience, epochs, batch_size : int
    monitor : {"loss", "accuracy"}
    optimizer : {"adam", "sgd"}
    """

    kernel_l1: tuple[float, ...]
    kernel_l2: tuple[float, ...]
    activity_l1: tuple[float, ...]
    activity_l2: tuple[float, ...]
    bias_l1: float
    bias_l2: float
    dropout: float
    input_dropout: float
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    patience: int
    monitor: str
    min_delta: float
    batch_size: int
    epochs: int
    optimizer: str


def parse_hidden(text: Scalar) -> tuple[int, ...]:
    """Units of the hidden layers from text such as ``"128-64"``.

    Raises
    ------
    ValueError
        Not whole numbers above 0 joined by dashes.

    >>> parse_hidden("128-64")
    (128, 64)
    """
    parts = str(text).split("-")
    if not all(part.isdecimal() and 0 < int(part) <= 65536 for part in parts):
        raise ValueError(f"expected whole numbers above 0 joined by dashes, such as '128-64', found {text!r}")
    return tuple(int(part) for part in parts)


def parse_activations(text: Scalar, layers: int) -> tuple[str, ...]:
    """Activations of the hidden layers: one name for all, or one per layer joined by dashes.

    Raises
    ------
    ValueError
        An unknown name, or neither one nor ``layers`` of them.
    """
    names = tuple(str(text).split("-"))
    unknown = [name for name in names if name not in ACTIVATIONS]
    if unknown:
        raise ValueError(
            f"expected one of {', '.join(ACTIVATIONS)} (or one per layer, joined by dashes), found {unknown[0]!r}"
        )
    if len(names) not in (1, layers):
        raise ValueError(f"expected 1 or {layers} activations for {layers} hidden layers, found {len(names)}")
    return names * layers if len(names) == 1 else names


def read_shape(params: Params, columns: int, outputs: int) -> Shape:
    """The shape that effective parameters ask for."""
    hidden = parse_hidden(params["hidden"])
    norm = "batch" if params["batch_norm"] else "layer" if params["layer_norm"] else "none"
    return Shape(columns, hidden, parse_activations(params["activation"], len(hidden)), norm, outputs)


def _layered(value: float, where: Scalar, layers: int) -> tuple[float, ...]:
    """``value`` for the layers that ``where`` ("all", "hidden", "first") names, 0 for the others."""
    last = {"all": layers, "hidden": layers - 1, "first": 1}[str(where)]
    return tuple(value if i < last else 0.0 for i in range(layers))


def read_recipe(params: Params) -> Recipe:
    """The recipe that effective parameters ask for; the two ways to ask for a kernel penalty add up."""
    layers = len(parse_hidden(params["hidden"])) + 1
    number = {k: float(v) for k, v in params.items() if isinstance(v, int | float)}
    penalty = effective(str(params["penalty"]), number["alpha"], number["l1_ratio"])
    kernel = (penalty.l1 + number["kernel_l1"], penalty.l2 / 2 + number["kernel_l2"])
    activity = [
        _layered(number[f"activity_{k}"], params["activity_layers"], layers - 1) for k in ("l1", "l2")
    ]
    same = (
        "bias_l1",
        "bias_l2",
        "dropout",
        "input_dropout",
        "learning_rate",
        "weight_decay",
        "label_smoothing",
        "min_delta",
    )
    return Recipe(
        kernel_l1=_layered(kernel[0], params["penalty_layers"], layers),
        kernel_l2=_layered(kernel[1], params["penalty_layers"], layers),
        activity_l1=activity[0],
        activity_l2=activity[1],
        patience=int(number["patience"]),
        monitor=str(params["monitor"]),
        batch_size=int(number["batch_size"]),
        epochs=int(number["epochs"]),
        optimizer=str(params["optimizer"]),
        **{name: number[name] for name in same},
    )


def native_names(recipe: Recipe, shape: Shape) -> dict[str, Scalar]:
    """The recipe in the words of Keras, prefixed with ``keras.``."""
    out: dict[str, Scalar] = {
        "kernel_l1": recipe.kernel_l1[0],
        "kernel_l2": recipe.kernel_l2[0],
        "bias_l1": recipe.bias_l1,
        "bias_l2": recipe.bias_l2,
        "activity_l1": recipe.activity_l1[0],
        "activity_l2": recipe.activity_l2[0],
        "dropout": recipe.dropout,
        "input_dropout": recipe.input_dropout,
        "optimizer": "SGD" if recipe.optimizer == "sgd" else "AdamW" if recipe.weight_decay else "Adam",
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "label_smoothing": recipe.label_smoothing,
        "units": "-".join(map(str, shape.hidden)),
        "activation": "-".join(shape.activations),
        "normalization": shape.norm,
    }
    return {f"keras.{name}": value for name, value in out.items()}


def initial_weights(shape: Shape, seed: int) -> Weights:
    """Glorot-uniform kernels and zero biases (and neutral normalizations), in the order of ``keras.Model.get_weights``."""
    rng = np.random.default_rng(seed)
    out: Weights = []
    for i, (inputs, units) in enumerate(shape.sizes):
        limit = np.sqrt(6.0 / (inputs + units))
        out.append(rng.uniform(-limit, limit, (inputs, units)).astype(np.float32))
        out.append(np.zeros(units, np.float32))
        if i < len(shape.hidden) and shape.norm != "none":
            out += [np.ones(units, np.float32), np.zeros(units, np.float32)]
            if shape.norm == "batch":
                out += [np.zeros(units, np.float32), np.ones(units, np.float32)]
    return out


def complexity(kernels: Sequence[NDArray[Any]]) -> float:
    """Number of weights above 1e-3 of the largest."""
    top = max((float(np.abs(k).max(initial=0.0)) for k in kernels), default=0.0)
    return float(sum(int((np.abs(k) > 1e-3 * top).sum()) for k in kernels)) if top > 0 else 0.0


def build_model(shape: Shape, recipe: Recipe, weights: Weights, seed: int = 0) -> Any:
    """The network as an ordinary functional Keras model of logits (or standardised values), not compiled.

    Parameters
    ----------
    shape, recipe : Shape, Recipe
    weights : list of ndarray
        In the order of ``keras.Model.get_weights``.
    seed : int
        Seed of the dropout masks, should the model go on training.
    """
    import keras

    x = inputs = keras.Input((shape.columns,), dtype="float32")
    if recipe.input_dropout:
        x = keras.layers.Dropout(recipe.input_dropout, seed=seed)(x)
    for i in range(len(shape.hidden)):
        x = _hidden_layer(shape, recipe, i)(x)
        if recipe.dropout:
            x = keras.layers.Dropout(recipe.dropout, seed=seed + i + 1)(x)
    options = _regularizers(recipe, len(shape.hidden))
    model = keras.Model(inputs, keras.layers.Dense(shape.outputs, **options)(x))
    model.set_weights(weights)
    return model


def _hidden_layer(shape: Shape, recipe: Recipe, i: int) -> Any:
    """A function of a Keras tensor: dense layer, normalization if any, activation, activity regularizer."""
    import keras

    layers = keras.layers
    activity = _regularizer(recipe.activity_l1[i], recipe.activity_l2[i])
    units, name, options = shape.hidden[i], shape.activations[i], _regularizers(recipe, i)
    if shape.norm == "none":
        return layers.Dense(units, activation=name, activity_regularizer=activity, **options)

    def stack(x: Any) -> Any:
        x = layers.Dense(units, **options)(x)
        batch = shape.norm == "batch"
        norm = (
            layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON)
            if batch
            else layers.LayerNormalization(epsilon=EPSILON)
        )
        return layers.Activation(name, activity_regularizer=activity)(norm(x))

    return stack


def _regularizers(recipe: Recipe, i: int) -> dict[str, Any]:
    """Options of dense layer ``i``."""
    found = {
        "kernel_regularizer": _regularizer(recipe.kernel_l1[i], recipe.kernel_l2[i]),
        "bias_regularizer": _regularizer(recipe.bias_l1, recipe.bias_l2),
    }
    return {name: value for name, value in found.items() if value is not None}


def _regularizer(l1: float, l2: float) -> Any:
    import keras

    if l1 and l2:
        return keras.regularizers.L1L2(l1, l2)
    return keras.regularizers.L1(l1) if l1 else keras.regularizers.L2(l2) if l2 else None


def compile_model(model: Any, recipe: Recipe, task: Task) -> None:
    """Give a built model the optimizer and the loss it was trained with, so that ``model.fit`` goes on.

    Targets are class codes (one-hot rows where there is label smoothing over more than two classes), or standardised values.
    """
    import keras

    decay = recipe.weight_decay or None
    kind = keras.optimizers.SGD if recipe.optimizer == "sgd" else keras.optimizers.Adam
    optimizer = kind(recipe.learning_rate, weight_decay=decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer=optimizer, loss=_loss(recipe.label_smoothing, task))


def _loss(smoothing: float, task: Task) -> Any:
    import keras

    if task == "regression":
        return keras.losses.MeanSquaredError()
    if task == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    if smoothing:
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
