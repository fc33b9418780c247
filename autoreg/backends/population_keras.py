"""A member as an ordinary Keras model, which saves as .keras, predicts the same and goes on training."""

from __future__ import annotations

from typing import Any

from autoreg.backends.layers import EPSILON, MOMENTUM, Recipe, Shape, Weights
from autoreg.backends.population_ramps import Ramps
from autoreg.trial import Task


def build_model(
    shape: Shape, recipe: Recipe, weights: Weights, seed: int = 0, ramps: Ramps | None = None
) -> Any:
    """The network as an ordinary functional Keras model of logits (or standardised values), not compiled.

    Parameters
    ----------
    shape, recipe : Shape, Recipe
    weights : list of ndarray
        In the order of ``keras.Model.get_weights``.
    seed : int
        Seed of the dropout masks, should the model go on training.
    ramps : Ramps, optional
        What stands beside the columns; the model itself makes it of them.
    """
    import keras

    x = inputs = keras.Input((ramps.inputs if ramps else shape.columns,), dtype="float32")
    x = ramps.layers(x) if ramps else x
    if recipe.input_dropout:
        x = keras.layers.Dropout(recipe.input_dropout, seed=seed)(x)
    for i in range(len(shape.hidden)):
        before, x = x, hidden_layer(shape, recipe, i)(x)
        if recipe.dropout:
            x = keras.layers.Dropout(recipe.dropout, seed=seed + i + 1)(x)
        x = keras.layers.Add()([before, x]) if shape.adds(i) else x
    options = regularizers(recipe, len(shape.hidden))
    model = keras.Model(inputs, keras.layers.Dense(shape.outputs, **options)(x))
    fixed = len(model.get_weights()) - len(weights)  # the ramps' arrays come first
    model.set_weights(model.get_weights()[:fixed] + weights)
    return model


def hidden_layer(shape: Shape, recipe: Recipe, i: int) -> Any:
    """A function of a Keras tensor: dense layer, normalization if any, activation, activity regularizer."""
    import keras

    layers = keras.layers
    activity = regularizer(recipe.activity_l1[i], recipe.activity_l2[i])
    units, name, options = shape.hidden[i], shape.activations[i], regularizers(recipe, i)
    if shape.norm == "none":
        return layers.Dense(units, activation=name, activity_regularizer=activity, **options)

    beta = {"beta_regularizer": regularizer(recipe.bias_l1, recipe.bias_l2), "epsilon": EPSILON}

    def stack(x: Any) -> Any:
        x = layers.Dense(units, use_bias=False, kernel_regularizer=options.get("kernel_regularizer"))(x)
        batch = shape.norm == "batch"
        norm = (
            layers.BatchNormalization(momentum=MOMENTUM, **beta)
            if batch
            else layers.LayerNormalization(**beta)
        )
        return layers.Activation(name, activity_regularizer=activity)(norm(x))

    return stack


def regularizers(recipe: Recipe, i: int) -> dict[str, Any]:
    """Options of the layer with the ``i``-th kernel."""
    found = {
        "kernel_regularizer": regularizer(recipe.kernel_l1[i], recipe.kernel_l2[i]),
        "bias_regularizer": regularizer(recipe.bias_l1, recipe.bias_l2),
    }
    return {name: value for name, value in found.items() if value is not None}


def regularizer(l1: float, l2: float) -> Any:
    """Keras' own penalty of these factors; None where both are 0."""
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
    model.compile(optimizer=optimizer, loss=_loss(recipe.label_smoothing, task), jit_compile=False)


def _loss(smoothing: float, task: Task) -> Any:
    import keras

    if task == "regression":
        return keras.losses.MeanSquaredError()
    if task == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    if smoothing:
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
