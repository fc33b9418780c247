"""A network over images as plain records: what is asked in names becomes a shape and a recipe."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod

from autoreg.backends.checks import Limit
from autoreg.backends.layers import Recipe, Shape, layers_of, read_recipe
from autoreg.backends.layers import read_shape as read_dense
from autoreg.trial import Params, Scalar

Image = tuple[int, ...]
POOLS = ("max", "average", "none")
HEADS = ("flatten", "average")
FLIPS = ("none", "horizontal", "vertical", "both")
_SHARE = Limit(0.0, 1.0, open_high=True)
AMOUNTS: dict[str, Limit] = {
    "rotation": Limit(0.0, 180.0),
    "shift": _SHARE,
    "zoom": _SHARE,
    "contrast": Limit(0.0, 1.0),
    "noise": Limit(0.0, 10.0),
    "cutout": _SHARE,
    "mixup": Limit(0.0, 100.0),
    "cutmix": Limit(0.0, 100.0),
}
LIMITS: dict[str, Limit] = {
    "kernel_size": Limit(1, 31, integer=True),
    "pool": Limit(choices=POOLS),
    "head": Limit(choices=HEADS),
    "spatial_dropout": _SHARE,
    "flip": Limit(choices=FLIPS),
    **AMOUNTS,
    "zca": Limit(choices=(False, True)),
    "zca_epsilon": Limit(0.0, 10.0, open_low=True),
}
PLAIN: dict[str, Scalar] = {
    "conv": "none",
    "kernel_size": 3,
    "pool": "max",
    "head": "flatten",
    "spatial_dropout": 0.0,
    "flip": "none",
    **dict.fromkeys(AMOUNTS, 0.0),
    "zca": False,
    "zca_epsilon": 0.1,
}
NAMES = frozenset(PLAIN)


@dataclass(frozen=True)
class ImageShape:
    """What shapes the tensors and the program of a network over images.

    Attributes
    ----------
    image : tuple of int
        Sides, then channels.
    filters : tuple of int
        Of each block; none for a network of dense layers.
    kernel_size : int
        Along every side.
    pool, head : str
        One of ``POOLS`` and ``HEADS``.
    activations : tuple of str
        One for each block; those of the dense layers are in ``dense``.
    zca : bool
        Whether a fixed layer whitens the pixels first.
    dense : Shape
        The dense layers; its ``norm`` is that of the blocks too.
    """

    image: Image
    filters: tuple[int, ...]
    kernel_size: int
    pool: str
    head: str
    activations: tuple[str, ...]
    zca: bool
    dense: Shape

    @property
    def pixels(self) -> int:
        """Columns of the flat rows that the network takes."""
        return prod(self.image)

    @property
    def kernels(self) -> int:
        """Layers with a kernel that is trained."""
        return len(self.filters) + len(self.dense.hidden) + 1

    @property
    def multiplications(self) -> int:
        """Multiplications of a forward pass over one row."""
        sides, channels, total = self.image[:-1], self.image[-1], 0
        for filters in self.filters:
            total += prod(sides) * channels * filters * self.kernel_size ** len(sides)
            sides, channels = _pooled(sides, self.pool), filters
        return total + sum(a * b for a, b in self.dense.sizes) + self.zca * self.pixels**2


@dataclass(frozen=True)
class Augment:
    """How training batches are changed: ``flip`` as in ``FLIPS``, the others as ``autoreg.backends.augment`` has them."""

    flip: str = "none"
    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def parts(self) -> frozenset[str]:
        """What is on."""
        on = {name for name in AMOUNTS if getattr(self, name)}
        return frozenset(on | ({f"flip:{self.flip}"} if self.flip != "none" else set()))


@dataclass(frozen=True)
class ImageRecipe:
    """How a network over images is regularized and trained.

    Attributes
    ----------
    recipe : Recipe
        Its penalties have one entry for each block, then one for each dense layer.
    spatial_dropout : float
        Share of a block's filters that a row goes without.
    augment : Augment
    zca_epsilon : float
    early_stopping : bool
        False: train all epochs and keep the last weights.
    """

    recipe: Recipe
    spatial_dropout: float
    augment: Augment
    zca_epsilon: float
    early_stopping: bool


def parse_conv(text: Scalar) -> tuple[int, ...]:
    """Filters of the blocks from text such as ``"32-64"``; none from ``"none"``.

    Raises
    ------
    ValueError
        Neither "none" nor whole numbers above 0 joined by dashes.

    >>> parse_conv("32-64"), parse_conv("none")
    ((32, 64), ())
    """
    if text == "none":
        return ()
    parts = str(text).split("-")
    if isinstance(text, bool) or not all(part.isdecimal() and 0 < int(part) <= 4096 for part in parts):
        raise ValueError(
            "expected 'none' or whole numbers above 0 joined by dashes (filters of each block), "
            f"such as '32-64', found {text!r}"
        )
    return tuple(int(part) for part in parts)


def _pooled(sides: Image, pool: str) -> Image:
    return sides if pool == "none" else tuple(side // 2 for side in sides)


def read_shape(params: Params, image: Image, outputs: int) -> ImageShape:
    """The shape that effective parameters ask for."""
    filters, pool, head = parse_conv(params["conv"]), str(params["pool"]), str(params["head"])
    sides = image[:-1]
    for _ in filters:
        sides = _pooled(sides, pool)
    columns = prod(image) if not filters else filters[-1] * (1 if head == "average" else prod(sides))
    names = str(params["activation"]).split("-")
    if len(names) == 1:
        blocks, dense = names * len(filters), read_dense(params, columns, outputs)
    else:
        blocks, rest = names[: len(filters)], "-".join(names[len(filters) :])
        dense = read_dense({**params, "activation": rest}, columns, outputs)
    return ImageShape(
        image, filters, int(params["kernel_size"]), pool, head, tuple(blocks), bool(params["zca"]), dense
    )  # fmt: skip


def read_image_recipe(params: Params) -> ImageRecipe:
    """The recipe that effective parameters ask for."""
    amounts = {name: float(params[name]) for name in AMOUNTS}
    return ImageRecipe(
        read_recipe(params, layers_of(params) + len(parse_conv(params["conv"]))),
        float(params["spatial_dropout"]),
        Augment(str(params["flip"]), **amounts),
        float(params["zca_epsilon"]),
        bool(params.get("early_stopping", True)),
    )


def is_ordinary(params: Params) -> bool:
    """Whether a configuration is trained on the ordinary path and not in a population."""
    if not params.keys() >= NAMES:
        return False
    return bool(parse_conv(params["conv"]) or read_image_recipe(params).augment.parts or params["zca"])


def effective_image(params: dict[str, Scalar]) -> dict[str, Scalar]:
    """Image names that have no effect take the value they have in effect, and so do others that images leave out."""
    out = dict(params)
    if not parse_conv(out["conv"]):
        out |= {name: PLAIN[name] for name in ("kernel_size", "pool", "head", "spatial_dropout")}
    else:
        out |= {"layer_norm": False, "residual": False}
    if not out["zca"]:
        out["zca_epsilon"] = PLAIN["zca_epsilon"]
    return {**out, "bins": 0} if is_ordinary(out) else out


def native_image_names(shape: ImageShape, own: ImageRecipe) -> dict[str, Scalar]:
    """The image part of a configuration in the words of Keras, prefixed with ``keras.``."""
    out: dict[str, Scalar] = {
        "filters": "-".join(map(str, shape.filters)) or "none",
        "kernel_size": shape.kernel_size,
        "pool": shape.pool,
        "head": shape.head,
        "spatial_dropout": own.spatial_dropout,
        "zca": shape.zca,
        **{f.name: getattr(own.augment, f.name) for f in fields(Augment)},
    }
    return {f"keras.{name}": value for name, value in out.items()}
