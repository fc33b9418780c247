"""A package as one zip file of what it is saved as, and back."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from autoreg.serving import Package


def packed(package: Package) -> bytes:
    """A zip file of what ``Package.save`` writes; equal models give equal bytes."""
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        package.save(Path(folder))
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    # A time of its own would make equal models differ.
                    name = zipfile.ZipInfo(file.relative_to(folder).as_posix())
                    archive.writestr(name, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def unpacked(content: bytes) -> Package:
    """The package of a zip file; no code and no pickle in it is run, and names that lead elsewhere are cut to its folder.

    Raises
    ------
    ValueError, zipfile.BadZipFile
        It is not what ``packed`` gave.
    """
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(folder)
        return Package.load(folder)
