"""Sources of images: ``.npz`` and IDX files here, folders in ``folders``; told apart by their form."""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoreg.data.files import download, local
from autoreg.errors import DataError
from autoreg.secrets import redact
from autoreg.serving import pixel_names

MOST_BYTES = 4 * 2**30
"""Of values in one file: more would not fit once they are encoded, and a small file may claim to hold it."""
DEFLATE = 1100
"""Deflate makes at most 1,032 bytes of one."""
NPZ: tuple[tuple[tuple[str, str], ...], ...] = (
    (("X", "y"),),
    (("x", "y"),),
    (("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")),
    (("X_train", "y_train"), ("X_val", "y_val"), ("X_test", "y_test")),
    (("train_images", "train_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")),
    (("images", "labels"),),
)
IDX = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Images:
    """Images as they were read.

    Attributes
    ----------
    block : ndarray, shape (n, pixels)
    shape : tuple of int, or None
        Channels last; None for rows of numbers that nobody called images.
    labels : ndarray, shape (n,), or pandas.Categorical, or None
    files : list of str, or None
        Of a folder: every image's path inside it.
    notes : list of str
    """

    block: Array
    shape: Shape | None
    labels: Any = None
    files: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    def frame(self, target: str) -> pd.DataFrame:
        """Pixels as columns, the labels as column ``target``."""
        width = self.block.shape[1]
        names = pixel_names(self.shape) if self.shape else [f"x{i}" for i in range(width)]
        frame = pd.DataFrame(self.block, columns=names)
        frame[target] = self.labels
        return frame


def form_of(source: str, folder: Path) -> Literal["npz", "idx", "folder", ""]:
    """What kind of images a source names; empty for tables."""
    web = source.startswith(("http://", "https://"))
    path = Path(re.split("[?#]", source)[0]) if web else local(source, folder)
    name = path.name.lower()
    if name.endswith(".npz"):
        return "npz"
    if re.search(r"(^|[-_.])idx[1-9]([-_.]ubyte)?(\.gz)?$", name):
        return "idx"
    return "folder" if not web and os.path.isdir(path) else ""  # False for names that no file can have


def read_images(source: str, folder: Path, shape: Shape | None, labelled: bool = True) -> Images:
    """Read images of any form.

    Parameters
    ----------
    source : str
        For which ``form_of`` is not empty.
    folder : Path
        Relative paths start here.
    shape : tuple of int, or None
        What the images are to be; found out where None.
    labelled : bool
        Whether classes are needed, else a folder may hold images without sub-folders.

    Raises
    ------
    DataError
        Missing, damaged or too large files, wrong dimensions, fewer than two classes; one line that names the file.
    """
    form, path = form_of(source, folder), local(source, folder)
    if form == "folder":
        from autoreg.data.folders import read_folder

        return read_folder(path, shape, labelled)
    web = source.startswith(("http://", "https://"))
    if form == "idx":
        if web:
            raise DataError(
                f"data.source: download {redact(source)} and its labels first: IDX files come in pairs"
            )
        values, labels, notes = _idx_pair(path, labelled)
    else:
        given = io.BytesIO(download(source, redact(source))) if web else path
        values, labels, notes = _npz(given, redact(source) if web else str(path), labelled)
    shown = redact(source) if web else str(path)
    block, found = shaped(values, shape, shown, notes)
    return Images(block, found, _labels(labels, len(block), shown) if labelled else None, None, notes)


def shaped(values: Array, wanted: Shape | None, shown: str, notes: list[str]) -> tuple[Array, Shape | None]:
    """Values (n, ...) as rows of pixels (n, pixels), and the shape of their images.

    Raises
    ------
    DataError
        No numbers, no images, or another number of values than ``wanted`` has.
    """
    if values.dtype.kind not in "biuf":
        raise DataError(f"data.source: {shown}: expected pixels as numbers, found {values.dtype}")
    inner = values.shape[1:]
    if not 2 <= values.ndim <= 5 or 0 in values.shape:
        raise DataError(
            f"data.source: {shown}: expected an array of 2 to 5 axes (images, ..., channels), found shape {values.shape}"
        )
    if wanted is None:
        shape = None if len(inner) == 1 else (*inner, 1) if len(inner) == 2 else inner
        if len(inner) == 3 and inner[0] in (1, 3) and inner[2] > 4:
            hint = [*inner[1:], inner[0]]
            notes.append(
                f"the last of the axes {inner} is taken for channels; data.image = {hint} says otherwise"
            )
        return values.reshape(len(values), -1), shape
    if math.prod(inner) != math.prod(wanted):
        raise DataError(
            f"data.image = {list(wanted)} has {math.prod(wanted)} values, an image of {shown} has {math.prod(inner)} "
            f"(shape {inner}); give the shape the images have"
        )
    first = len(inner) == len(wanted) and inner == (wanted[-1], *wanted[:-1]) and inner != wanted
    if first:
        values = np.moveaxis(values, 1, -1)
        notes.append("channels came first and were moved to the end")
    elif inner not in (wanted, wanted[:-1]) and len(inner) > 1:
        notes.append(f"values of shape {inner} were read in their order as {wanted}, as data.image says")
    return values.reshape(len(values), -1), wanted


def _labels(labels: Array, n: int, shown: str) -> Array:
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (n,):
        raise DataError(
            f"data.source: {shown}: expected one label for each of {n} images, found labels of shape {labels.shape}"
        )
    if labels.dtype.kind not in "biufUS":
        raise DataError(f"data.source: {shown}: expected labels as numbers or text, found {labels.dtype}")
    if len(np.unique(labels)) < 2:
        raise DataError(f"data.source: {shown}: all {n} images have the label {labels[0]}; two are needed")
    return np.char.decode(labels, "utf-8", "replace") if labels.dtype.kind == "S" else labels


def _npz(given: Path | io.BytesIO, shown: str, labelled: bool) -> tuple[Array, Array, list[str]]:
    """Pixels, labels (empty when not asked for) and notes of an ``.npz`` file; nothing is unpickled."""
    if isinstance(given, Path) and not given.is_file():
        raise DataError(f"data.source: file '{shown}' does not exist")
    try:
        with zipfile.ZipFile(given) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            pairs = _pairs(names, labelled, shown)
            xs = [_member(archive, x, shown) for x, _ in pairs]
            ys = [_member(archive, y, shown) for _, y in pairs] if labelled else []
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"data.source: {shown} is a damaged .npz file: {str(error)[:200]}") from None
    notes = []
    if len(pairs) > 1:
        notes.append(f"{' and '.join(x for x, _ in pairs)} were joined: autoreg divides the rows itself")
    if len({x.shape[1:] for x in xs}) > 1 or len({y.shape[1:] for y in ys}) > 1:
        raise DataError(f"data.source: {shown}: {' and '.join(x for x, _ in pairs)} differ in shape")
    return np.concatenate(xs), np.concatenate(ys) if ys else np.empty(0), notes


def _pairs(names: Sequence[str], labelled: bool, shown: str) -> list[tuple[str, str]]:
    """Names of the arrays to read: pixels and labels of every part."""
    for parts in NPZ:
        found = [(x, y) for x, y in parts if x in names and (y in names or not labelled)]
        if found:
            return found
    if not labelled and len(names) == 1:
        return [(names[0], "")]
    listed = ", ".join(list(names)[:8]) or "none"
    raise DataError(f"data.source: {shown}: expected arrays X and y, or x_train and y_train; found {listed}")


def _member(archive: zipfile.ZipFile, name: str, shown: str) -> Array:
    """One array, after its header was held against what the file holds."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise DataError(
            f"data.source: {shown}: array '{name}' holds Python objects; save it as numbers or as text"
        )
    _check_size(size, shown)
    if not size <= info.file_size <= DEFLATE * max(1, info.compress_size):
        raise ValueError(f"array '{name}' of shape {shape} is cut off")
    with archive.open(info) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _check_size(size: int, shown: str) -> None:
    if size > MOST_BYTES:
        raise DataError(
            f"data.source: {shown} holds {size / 2**30:.0f} GiB of values, more than the {MOST_BYTES / 2**30:.0f} GiB that fit; "
            "give smaller or fewer images"
        )


def _idx_pair(path: Path, labelled: bool) -> tuple[Array, Array, list[str]]:
    """Pixels and labels of an IDX file and the one beside it."""
    values = _idx(path)
    if not labelled:
        return values, np.empty(0), []
    beside = _beside(path)
    return values, _idx(beside), [f"labels are those of {beside.name}"]


def _beside(path: Path) -> Path:
    """The file of labels that belongs to a file of images: ``labels`` and ``idx1`` in its name, gzipped or not."""
    plain = re.sub(r"\.gz$", "", path.name)
    name = re.sub(r"(?i)idx\d", "idx1", re.sub(r"(?i)images?", "labels", plain))
    for candidate in (name, f"{name}.gz"):
        if candidate != plain and (path.parent / candidate).is_file():
            return path.parent / candidate
    raise DataError(f"data.source: the labels of '{path}' are expected beside it as '{name}' or '{name}.gz'")


def _idx(path: Path) -> Array:
    """The array of an IDX file, which may be gzipped."""
    try:
        stored = path.stat().st_size
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.read(4)
            axes = head[3] if len(head) == 4 else 0
            if head[:2] != b"\0\0" or head[2:3] not in [bytes([c]) for c in IDX] or not 1 <= axes <= 5:
                raise DataError(f"data.source: '{path}' is no IDX file: its first bytes are {head.hex()}")
            dtype = np.dtype(IDX[head[2]])
            sizes = np.frombuffer(file.read(4 * axes).ljust(4 * axes, b"\0"), ">u4").tolist()
            size = math.prod(sizes) * dtype.itemsize
            _check_size(size, f"'{path}'")
            if size > stored * (DEFLATE if packed else 1):
                raise EOFError(f"{size} bytes of values are announced")
            data = file.read(size + 1)
    except FileNotFoundError:
        raise DataError(f"data.source: file '{path}' does not exist") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"data.source: '{path}' is cut off or damaged: {error}") from None
    if len(data) != size:
        raise DataError(
            f"data.source: '{path}' is cut off or damaged: {size} bytes of values are announced, "
            f"{'more' if len(data) > size else len(data)} are there"
        )
    return np.frombuffer(data, dtype).reshape(sizes).astype(dtype.newbyteorder("="))
