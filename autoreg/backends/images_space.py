"""What a study may ask of networks over images: the built-in space, what it costs, and what is refused before trial 0."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from autoreg.backends.images import NAMES, PLAIN, Image, parse_conv, read_shape
from autoreg.errors import StudyError
from autoreg.trial import Choice, Dimension, Params, Range, Scalar, Sizes

WIDEST_ZCA = 3072  # columns: 32 x 32 pixels of 3 colours; the matrix of the layer has their square
WORK = 2e11  # multiplications of a network's forward passes over all its epochs: about a minute on 2 cores
EPOCHS = (5, 60)  # at least, at most, whatever the work
FLAT_ONLY = ("flip", "rotation", "zoom")  # those that not every image has
UNUSED: dict[str, Scalar] = {"bins": 0, "residual": False, "layer_norm": False}  # of blocks; off


def choices(image: Image) -> tuple[str, ...]:
    """Blocks worth a try on an image: as many as halve its shortest side to no less than 2, one or two."""
    return ("16-32", "32-64") if min(image[:-1]) >= 8 else ("16", "32") if min(image[:-1]) >= 2 else ("none",)


def image_space(sizes: Sizes, params: Params) -> dict[str, Dimension]:
    """The image names with their built-in dimensions, and other ends for some names that tables have too.

    Of 2,000 rows of MNIST (three seeds, a fifth of the rows scored): dense layers alone .918, blocks of 16 and 32 filters
    .938, of 32 and 64 .945, 16 and 32 with shift, rotation and zoom together .964. So these are searched, and dense layers
    alone are left to those who ask. Flips are not: many images mean something else in a mirror, as digits do.

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
    """A small convolutional network without augmentation; ``plain`` is the default of a table of these sizes.

    Its epochs are those that the dearest of the built-in blocks may take.
    """
    assert sizes.image is not None
    out = {**plain, **PLAIN, "conv": choices(sizes.image)[0], "hidden": "64"}
    dearest = read_shape(
        {**out, "conv": choices(sizes.image)[-1]}, sizes.image, sizes.outputs
    ).multiplications
    affordable = int(WORK // (dearest * max(1, sizes.rows)))
    return {**out, "epochs": max(EPOCHS[0], min(EPOCHS[1], affordable, int(out["epochs"])))}


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
    for name in UNUSED:
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
    off = given.get(name, UNUSED[name])
    if all(blocks) and off != UNUSED[name]:
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
