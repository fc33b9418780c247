"""The files of a package, looked at before any library opens them: sizes, hashes, what archives hold, layers of networks."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

LAYERS = frozenset(
    [
        "Activation",
        "Add",
        "BatchNormalization",
        "Concatenate",
        "Dense",
        "Dropout",
        "Flatten",
        "InputLayer",
        "LayerNormalization",
        "Normalization",
        "ReLU",
        "Reshape",
    ]
) | {
    f"{name}{sides}D"
    for name in ("Conv", "MaxPooling", "AveragePooling", "GlobalAveragePooling", "SpatialDropout")
    for sides in (1, 2, 3)
}
"""Layers of the networks that are packaged: those alone are built from a file."""
PARTS = ("keras.initializers", "keras.regularizers", "keras.constraints")
MODELS = {"Functional", "DTypePolicy", "__keras_tensor__"}
NETWORK = ("config.json", "metadata.json", "model.weights.h5")


def listing(folder: Path) -> dict[str, list[Any]]:
    """Size and SHA-256 of every file below a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): [path.stat().st_size, digest(path)] for path in files}


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_listed(folder: Path, listed: Mapping[str, Any], names: Collection[str]) -> None:
    """Files are what was written: listed, there, of the same size, with the same hash.

    Raises
    ------
    ValueError
        The first that is not.
    """
    for name in names:
        if name not in listed:
            raise ValueError(f"'{name}' is not in its list of files")
        size, wanted = listed[name]
        path = folder / name
        if not path.is_file():
            raise ValueError(f"'{name}' is missing")
        if (found := path.stat().st_size) != size:
            raise ValueError(f"'{name}' has {found} bytes where {size} were written")
        if digest(path) != wanted:
            raise ValueError(f"'{name}' is not the file that was written: its SHA-256 is another")


def check_archive(path: Path, names: Collection[str]) -> None:
    """An archive holds the files it should and no others, and unpacks to no more than it is itself.

    Raises
    ------
    ValueError
        It is none, or does not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"'{path.name}' is no archive: {error}") from None
    found = sorted(entry.filename for entry in inside)
    if found != sorted(names):
        shown = ", ".join(map(repr, found[:5])) or "nothing"
        raise ValueError(f"'{path.name}' should hold {', '.join(sorted(names))} alone, found {shown}")
    unpacked = sum(entry.file_size for entry in inside)
    if unpacked > path.stat().st_size or any(entry.compress_type != zipfile.ZIP_STORED for entry in inside):
        raise ValueError(
            f"'{path.name}' would unpack to {unpacked} bytes; what autoreg writes is not compressed"
        )


def check_network(path: Path) -> None:
    """A ``.keras`` file describes a network of known layers, with no class or function from elsewhere.

    Raises
    ------
    ValueError
        It names another.
    """
    check_archive(path, NETWORK)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    config.pop("compile_config", None)  # how it was trained, which is not loaded
    for module, name in _classes(config):
        known = name in MODELS or (module == "keras.layers" and name in LAYERS) or module in PARTS
        if not known or (module or "keras").split(".")[0] != "keras":
            raise ValueError(f"'{path.name}' names {module}.{name}, which is no part of autoreg's networks")


def _classes(config: Any) -> Iterator[tuple[Any, Any]]:
    """(module, name) of every class that a configuration names."""
    inner: Any = []
    if isinstance(config, dict):
        inner = config.values()
        if "class_name" in config or "registered_name" in config:
            yield config.get("module"), config.get("class_name")
    elif isinstance(config, list):
        inner = config
    for part in inner:
        yield from _classes(part)
