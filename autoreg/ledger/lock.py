"""One driver per study and host: an advisory file lock that the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoreg.errors import Busy


@contextmanager
def study_lock(store: str, digest: str, name: str) -> Iterator[None]:
    """Hold the lock of a study in a store for as long as the block runs.

    Raises
    ------
    Busy
        Another process of this host holds it.
    """
    folder = Path(tempfile.gettempdir()) / f"autoreg-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    key = hashlib.sha256(f"{store}\n{digest}".encode()).hexdigest()[:24]
    descriptor = os.open(folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise Busy(
                f"study '{name}' is already running on this host (process {holder}); wait for it or stop it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
