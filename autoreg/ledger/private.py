"""Predictions of a study's trials that are not to leave this machine: files of the user's own until the study ends."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from autoreg.errors import TrackingUnavailable


class PrivateArrays:
    """Arrays by trial number in one folder, which is there only while it holds some.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, number: int) -> bool:
        return self._path(number).exists()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.npz"

    def keep(self, number: int, content: bytes) -> None:
        """Keep a trial's arrays, whole or not at all.

        Raises
        ------
        TrackingUnavailable
            The folder cannot be written.
        """
        half = self.folder / f".{number}.part"
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
            half.replace(self._path(number))
        except OSError as error:
            with suppress(OSError):
                half.unlink()
            raise TrackingUnavailable(
                f"registry.predictions = false, and {self.folder} cannot be written: {error.strerror or error}"
            ) from error

    def load(self, number: int) -> bytes | None:
        """What was kept of a trial, or None."""
        path = self._path(number)
        return path.read_bytes() if path.exists() else None

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
