"""Keeps the libraries' banners off stderr: settings they read when imported, and a hush round the one import that reads none."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Asked of the libraries before they are imported; what the user has set wins.
SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve the other workers
    "KMP_BLOCKTIME": "0",
    "KMP_WARNINGS": "0",
}


def quiet_libraries() -> None:
    """Set this process (and those it starts) up for quiet libraries; call it before they are imported."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    hushed = any(isinstance(finder, _Tensorflow) for finder in sys.meta_path)
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3" and not hushed and "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Tensorflow())


class _Tensorflow(MetaPathFinder):
    """TensorFlow 2.21 logs from static initialisers, before it has read its own log level: its import alone is hushed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def hushed(module: ModuleType) -> None:
                with _hushed_stderr():
                    execute(module)

            spec.loader.exec_module = hushed  # type: ignore[method-assign]
        return spec


@contextmanager
def _hushed_stderr() -> Iterator[None]:
    """Hold back what this process writes to file descriptor 2; an exception brings it all out again."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            if failed:
                held.seek(0)
                os.write(2, held.read())
