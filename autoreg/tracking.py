"""The way to the tracking store: a client that is quiet and waits no longer than a person would, and clear errors."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autoreg.errors import AutoregError, TrackingUnavailable
from autoreg.secrets import redact


def quiet_client() -> Any:
    """An MLflow client with bounded waits, and its tracking URI; the user's own settings win."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # The first use of a database logs every migration step.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    return MlflowClient()


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn what a store or server raises into one clear error."""
    try:
        yield
    except (AutoregError, KeyboardInterrupt):
        raise
    except Exception as error:
        if not _is_store_error(error):
            raise
        first = redact(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
        raise TrackingUnavailable(
            f"the tracking store {redact(uri)} cannot be used: {first[:300]}; finished trials are kept, run again to resume"
        ) from error


OURS = (
    "INVALID_PARAMETER_VALUE",
    "BAD_REQUEST",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "MALFORMED_REQUEST",
)
"""What a store answers to a call that is wrong in itself: a bug of ours, not a store that is away."""


def _is_store_error(error: BaseException) -> bool:
    """Errors of the store and the way to it, as opposed to bugs of ours."""
    if getattr(error, "error_code", None) in OURS:
        return False
    modules = {type(e).__module__.split(".")[0] for e in (error, error.__cause__) if e}
    return isinstance(error, OSError) or bool(
        modules & {"mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3"}
    )
