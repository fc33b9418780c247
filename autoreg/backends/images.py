"""What a network may be asked about images: the names, their limits, what they cost, and the plain records they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import prod

from autoreg.backends.checks import Limit
from autoreg.backends.layers import Recipe, Shape, layers_of, read_recipe
from autoreg.backends.layers import read_shape as read_dense
from autoreg.errors import StudyError
from autoreg.trial import Choice, Dimension, Params, Range, Scalar, Sizes

Image = tuple[int, ...]
POOLS = ("max", "average", "none")
HEADS = ("flatten", "average")
FLIPS = ("none", "horizontal", "vertical", "both")
WIDEST_ZCA = 3072  # columns: 32 x 32 pixels of 3 colours; the matrix of the layer has their square
WORK = 2e11  # multiplications of a network's forward passes over all its epochs: about a minute on 2 cores
EPOCHS = (5, 60)  # at least, at most, whatever the work
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
FLAT_ONLY = ("flip", "rotation", "zoom")  # those that not every image has
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


# -- the space -----------------------------------------------------------------------------------------------------


def choices(image: Image) -> tuple[str, ...]:
    """Blocks worth a try on an image: as many as halve its shortest side to no less than 2, one or two."""
    return ("16-32", "32-64") if min(image[:-1]) >= 8 else ("16", "32") if min(image[:-1]) >= 2 else ("none",)


def image_space(sizes: Sizes, params: Params) -> dict[str, Dimension]:
    """The image names with their built-in dimensions, and other ends for some names that tables have too.

    Parameters
    ----------
    sizes : Sizes
        Of images.
    params : Params
        The default configuration.
    """
    assert sizes.image is not None
    found: dict[str, Dimension] = {
        **PLAIN,
        "conv": Choice(choices(sizes.image)) if len(choices(sizes.image)) > 1 else "none",
        "spatial_dropout": Range(0.05, 0.4, off=True),
        "shift": Range(0.02, 0.15, off=True),
        "epochs": params["epochs"],
        "bins": 0,
    }
    if len(sizes.image) == 3:
        found |= {"rotation": Range(3.0, 20.0, off=True), "zoom": Range(0.03, 0.2, off=True)}
    return found


def image_default(sizes: Sizes, plain: Params) -> dict[str, Scalar]:
    """A small convolutional network as a tutorial would write it, without augmentation.

    ``plain`` is the default of a table of these sizes.
    """
    assert sizes.image is not None
    out = {**plain, **PLAIN, "conv": choices(sizes.image)[-1], "hidden": "64"}
    dearest = read_shape(out, sizes.image, sizes.outputs).multiplications
    affordable = int(WORK // (dearest * max(1, sizes.rows)))
    return {**out, "epochs": max(EPOCHS[0], min(EPOCHS[1], affordable, int(out["epochs"])))}


# -- what is refused -----------------------------------------------------------------------------------------------


def values(dimension: Dimension) -> tuple[Scalar, ...]:
    """The values a dimension names; none for a range."""
    if isinstance(dimension, Range):
        return ()
    return dimension.values if isinstance(dimension, Choice) else (dimension,)


def check_images(given: Mapping[str, Dimension], image: Image | None) -> list[tuple[int, ...]]:
    """Refuse what cannot be done with these images; the blocks that may be asked for, ``()`` among them for none.

    Raises
    ------
    StudyError
    """
    if image is None:
        for name in sorted(NAMES & given.keys()):
            raise StudyError(
                f"search.keras.{name}: expected rows that are images, found a table; leave it out"
            )
        return [()]
    blocks = _check_conv(given.get("conv", Choice(choices(image))), image, given.get("pool", PLAIN["pool"]))
    _check_kinds(given, image)
    if True in values(given.get("zca", False)) and prod(image) > WIDEST_ZCA:
        raise StudyError(
            f"search.keras.zca: expected at most {WIDEST_ZCA:,} pixels times channels, found {prod(image):,}: "
            "the layer would hold the square of them"
        )
    _check_kernel(given.get("kernel_size", 1), max(3, *image[:-1]))
    for name in ("bins", "residual", "layer_norm"):
        _check_unused(name, given, blocks)
    return blocks


def _check_kernel(dimension: Dimension, side: int) -> None:
    largest = dimension.high if isinstance(dimension, Range) else max(map(float, values(dimension)))
    if largest > side:
        raise StudyError(
            f"search.keras.kernel_size: expected at most {side}, the longest side of the images, found {largest:g}"
        )


def _check_conv(dimension: Dimension, image: Image, pool: Dimension) -> list[tuple[int, ...]]:
    if isinstance(dimension, Range):
        raise StudyError("search.keras.conv: expected text such as '32-64' or a list of such, found a range")
    try:
        blocks = [parse_conv(value) for value in values(dimension)]
    except ValueError as error:
        raise StudyError(f"search.keras.conv: {error}") from None
    longest = max(blocks, key=len)
    if set(values(pool)) & {"max", "average"} and longest and min(image[:-1]) < 2 ** len(longest):
        shape = " x ".join(map(str, image[:-1]))
        raise StudyError(
            f"search.keras.conv: expected blocks whose pools leave a pixel of {shape}, found "
            f"'{'-'.join(map(str, longest))}', which halves it {len(longest)} times; give fewer blocks or pool = 'none'"
        )
    return blocks


def _check_kinds(given: Mapping[str, Dimension], image: Image) -> None:
    """Turns and zooms need flat images, flips those or volumes."""
    kind = {2: "a series", 4: "a volume"}.get(len(image))
    for name in FLAT_ONLY if kind else ():
        off = given.get(name, PLAIN[name]) == PLAIN[name]
        if not off and not (name == "flip" and len(image) == 4):
            raise StudyError(f"search.keras.{name}: expected images of two sides, found {kind}; leave it out")


def _check_unused(name: str, given: Mapping[str, Dimension], blocks: list[tuple[int, ...]]) -> None:
    off = given.get(name, PLAIN_OFF[name])
    if all(blocks) and off != PLAIN_OFF[name]:
        raise StudyError(
            f"search.keras.{name}: expected search.keras.conv = 'none' beside it, found blocks of convolutions, "
            "which have none; leave it out"
        )
    if name == "bins" and off != 0 and () in blocks:
        for other in sorted(
            NAMES & given.keys() - {"conv", "kernel_size", "pool", "head", "spatial_dropout"}
        ):
            if other != "zca_epsilon" and given[other] not in (0, PLAIN[other]):
                raise StudyError(
                    f"search.keras.bins: expected 0 beside search.keras.{other}, found {off!r}: bins are made "
                    "of the pixels before they are changed"
                )


PLAIN_OFF: dict[str, Scalar] = {"bins": 0, "residual": False, "layer_norm": False}
