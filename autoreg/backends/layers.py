"""One network described as plain numbers, and the ordinary Keras model it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.penalties import effective
from autoreg.trial import Params, Scalar

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
    residual : bool
        Whether a hidden layer as wide as the one before adds that one's output to its own.
    """

    columns: int
    hidden: tuple[int, ...]
    activations: tuple[str, ...]
    norm: str
    outputs: int
    residual: bool = False

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(inputs, units) of every dense layer, the output layer last."""
        units = (self.columns, *self.hidden, self.outputs)
        return tuple(pairwise(units))

    def adds(self, i: int) -> bool:
        """Whether hidden layer ``i`` is a residual block, ``x + dropout(activation(norm(dense(x))))``.

        The identity shortcut of He et al. 2016, around one dense layer; the tabular ResNet of Gorishniy et al. 2021 has two
        a block. The first layer and those that change the width are plain and serve as projections.
        """
        return self.residual and 0 < i < len(self.hidden) and self.hidden[i] == self.hidden[i - 1]

    def vectors(self, i: int) -> tuple[str, ...]:
        """The vectors of dense layer ``i``, in Keras' order; before a normalization a bias would shift in vain."""
        if self.norm == "none" or i == len(self.hidden):
            return ("bias",)
        return ("gamma", "beta", "mean", "variance") if self.norm == "batch" else ("gamma", "beta")


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
    activations = parse_activations(params["activation"], len(hidden))
    return Shape(columns, hidden, activations, norm, outputs, bool(params["residual"]))


def _layered(value: float, where: Scalar, layers: int) -> tuple[float, ...]:
    """``value`` for the layers that ``where`` ("all", "hidden", "first") names, 0 for the others."""
    last = {"all": layers, "hidden": layers - 1, "first": 1}[str(where)]
    return tuple(value if i < last else 0.0 for i in range(layers))


def layers_of(params: Params) -> int:
    """Dense layers of a network, the output layer among them."""
    return len(parse_hidden(params["hidden"])) + 1


def read_recipe(params: Params, layers: int = 0) -> Recipe:
    """The recipe that effective parameters ask for; Keras' own kernel factors, where given, replace the canonical names.

    ``layers`` is the number of layers with a kernel, where they are more than the dense ones.
    """
    layers = layers or layers_of(params)
    number = {k: float(v) for k, v in params.items() if isinstance(v, int | float)}
    penalty = effective(str(params["penalty"]), number["alpha"], number["l1_ratio"])
    kernel = number["kernel_l1"], number["kernel_l2"]
    kernel = kernel if any(kernel) else (penalty.l1, penalty.l2 / 2)
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
        "residual": shape.residual,
    }
    return {f"keras.{name}": value for name, value in out.items()}


def initial_weights(shape: Shape, seed: int) -> Weights:
    """Glorot-uniform kernels and zero biases (and neutral normalizations), in the order of ``keras.Model.get_weights``."""
    rng = np.random.default_rng(seed)
    out: Weights = []
    for i, (inputs, units) in enumerate(shape.sizes):
        limit = np.sqrt(6.0 / (inputs + units))
        out.append(rng.uniform(-limit, limit, (inputs, units)).astype(np.float32))
        out += [np.full(units, kind in ("gamma", "variance"), np.float32) for kind in shape.vectors(i)]
    return out


def complexity(kernels: Sequence[NDArray[Any]]) -> float:
    """Number of weights above 1e-3 of the largest."""
    top = max((float(np.abs(k).max(initial=0.0)) for k in kernels), default=0.0)
    return float(sum(int((np.abs(k) > 1e-3 * top).sum()) for k in kernels)) if top > 0 else 0.0
