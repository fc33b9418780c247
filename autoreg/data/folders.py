"""Folders of image files, one sub-folder a class; read by Pillow, the optional extra ``images``."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoreg.data.images import MOST_BYTES, Images, Shape
from autoreg.errors import DataError, StudyError

ENDINGS = {
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm",
}  # fmt: skip
GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I")
DEEP = ("I;16", "I;16L", "I;16B", "I")
CHANNELS = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class _Found:
    """One image file: where it is, its class, its size (height, width) and whether it is grey."""

    path: Path
    label: str
    size: tuple[int, int]
    grey: bool


def read_folder(folder: Path, shape: Shape | None, labelled: bool) -> Images:
    """Read the image files of a folder, sorted by class and name.

    Colours become red, green and blue, transparency is dropped, a photograph is turned as its camera says, and of
    several pictures in a file the first is taken. Every image is grey when all files are, or as ``shape`` says.

    Parameters
    ----------
    folder : Path
        With ``labelled`` one sub-folder a class; else any files below it.
    shape : tuple of int, or None
        (height, width, 1 or 3): images of another size are resized.
    labelled : bool

    Raises
    ------
    DataError
        No images, one class, mixed sizes without ``shape``, a damaged file or one outside the folder.
    """
    if shape is not None and (len(shape) != 3 or shape[2] not in CHANNELS):
        raise DataError(
            f"data.image = {list(shape)}: images of a folder have height, width and 1 or 3 channels"
        )
    notes: list[str] = []
    found = [_look(path, label) for path, label in _files(folder, labelled, notes)]
    if not found:
        raise DataError(
            f"data.source: folder '{folder}' holds no images{' in sub-folders' * labelled}; for a table give its CSV or Parquet file"
        )
    classes = sorted({image.label for image in found})
    if labelled and len(classes) < 2:
        raise DataError(
            f"data.source: folder '{folder}' has images of one class ({classes[0]!r}); one sub-folder a class is expected"
        )
    shape = shape or _common(folder, found)
    if (size := len(found) * math.prod(shape)) > MOST_BYTES:
        raise DataError(
            f"data.source: folder '{folder}': {len(found)} images of shape {shape} are {size / 2**30:.0f} GiB; "
            "give a smaller data.image"
        )
    block = np.empty((len(found), math.prod(shape)), np.uint8)
    for row, image in zip(block, found, strict=True):
        row[:] = _pixels(image, shape).reshape(-1)
    resized = sum(image.size != shape[:2] for image in found)
    if resized:
        notes.append(f"{resized} of {len(found)} images were resized to {shape[0]} x {shape[1]}")
    labels = pd.Categorical([image.label for image in found], categories=classes) if labelled else None
    return Images(block, shape, labels, [str(image.path.relative_to(folder)) for image in found], notes)


def _files(folder: Path, labelled: bool, notes: list[str]) -> Iterator[tuple[Path, str]]:
    """Image files with their classes, in order; other and hidden files are passed over."""
    root, other = folder.resolve(), 0
    for place in sorted(p for p in folder.iterdir() if p.is_dir()) if labelled else [folder]:
        if place.name.startswith((".", "__")) and labelled:
            continue
        _inside(place, root)
        for path in sorted(place.rglob("*")):
            hidden = any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
            if hidden or path.is_dir():
                continue
            if path.suffix.lower() not in ENDINGS:
                other += 1
                continue
            _inside(path, root)
            yield path, place.name if labelled else ""
    if other:
        notes.append(f"{other} files in the folder are no images by their names and were passed over")


def _inside(path: Path, root: Path) -> None:
    """Refuse what a link brings in from elsewhere: it may be anything, and is not there on another machine."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise DataError(f"data.source: '{path}' is a link that leads nowhere; remove it") from None
    if not real.is_relative_to(root):
        raise DataError(
            f"data.source: '{path}' is a link out of the folder; copy what it points at, or remove it"
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An image file by Pillow; whatever is wrong with it in one line."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise StudyError("folders of images are read by Pillow: pip install 'autoreg[images]'") from None
    try:
        with warnings.catch_warnings():
            # Above Pillow's limit of pixels a small file may fill the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)  # odd metadata of cameras
            with Image.open(path) as image:
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(
            f"data.source: '{path}' would unfold to more pixels than are safe; make it smaller or remove it"
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError) as error:
        told = (
            "is no image that Pillow can read" if "cannot identify" in str(error) else f"is damaged: {error}"
        )
        raise DataError(f"data.source: '{path}' {told[:200]}") from None


def _look(path: Path, label: str) -> _Found:
    with _opened(path) as image:
        from PIL import ImageOps

        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        width, height = image.size[::-1] if turned else image.size
        grey = image.mode in GREY
        if image.mode == "P":
            low = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            grey = bool((low[..., :1] == low).all())
        return _Found(path, label, (height, width), grey)


def _common(folder: Path, found: list[_Found]) -> Shape:
    """The size all images have, grey where all are."""
    sizes = Counter(image.size for image in found)
    if len(sizes) > 1:
        (size, count), (other, _) = sizes.most_common(2)
        odd = next(image for image in found if image.size == other)
        raise DataError(
            f"data.source: folder '{folder}' has images of {len(sizes)} sizes, such as {size[0]} x {size[1]} ({count}) and "
            f"{other[0]} x {other[1]} ('{odd.path.name}'); set data.image = [height, width, channels], and they are resized"
        )
    return (*next(iter(sizes)), 1 if all(image.grey for image in found) else 3)


def _pixels(found: _Found, shape: Shape) -> Any:
    """One image as uint8 (height, width, channels)."""
    with _opened(found.path) as image:
        from PIL import Image, ImageOps

        turned = ImageOps.exif_transpose(image)
        if turned.mode in DEEP:  # 16 bits; Pillow would cut them off at 255
            deep = np.asarray(turned, np.float64)
            turned = Image.fromarray((deep / 257).round().clip(0, 255).astype(np.uint8))
        mode = CHANNELS[shape[2]]
        plain = turned.convert("RGBA").convert(mode) if turned.mode == "P" else turned.convert(mode)
        if found.size != shape[:2]:
            plain = plain.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
        return np.asarray(plain, np.uint8)
