"""The way to the tracking store: a client that is quiet and waits no longer than a person would, and clear errors."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from autoreg.errors import AutoregError, TrackingUnavailable
from autoreg.secrets import redact

T = TypeVar("T")
TIMEOUT, RETRIES = "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
WAITS = {TIMEOUT: "10", RETRIES: "2"}
FIRST_WAITS = {TIMEOUT: "5", RETRIES: "1"}
"""MLflow's settings for a call to a server (seconds, further tries), and those of the first call of all."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def quiet_client() -> Any:
    """An MLflow client with bounded waits; the user's own settings win.

    Raises
    ------
    TrackingUnavailable
        The store cannot be opened.
    """
    for name, value in WAITS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # The first use of a database logs every migration step.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # A database that is locked or away is raised, and told in one line; there it is a traceback besides.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with reaching(os.environ.get("MLFLOW_TRACKING_URI", "of this folder")):
        import mlflow

        uri = mlflow.get_tracking_uri()
        if uri.startswith("sqlite:///"):
            _create_database(Path(uri.removeprefix("sqlite:///").partition("?")[0]))
        client = mlflow.MlflowClient()
        _knock(client, uri)
        return client


def _knock(client: Any, uri: str) -> None:
    """See that a server answers, at once or in a few seconds: the client's own patience is for calls under way.

    Raises
    ------
    OSError, MlflowException
        It does not.
    """
    if uri.startswith(("http://", "https://")):
        ours = {n: v for n, v in WAITS.items() if os.environ.get(n) == v}
        os.environ.update({n: FIRST_WAITS[n] for n in ours})
        try:
            client.search_experiments(max_results=1)
        finally:
            os.environ.update(ours)
    elif "://" in uri and not uri.startswith(("sqlite:", "file:")):
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            address = make_url(uri)
        except ArgumentError:
            return  # no database: MLflow says what it makes of it
        port = address.port or PORTS.get(address.get_backend_name())
        if address.host and port:
            socket.create_connection((address.host, port), float(FIRST_WAITS[TIMEOUT])).close()


def found_or_none(get: Callable[..., Any], *key: str) -> Any:
    """What a getter of the client finds, or None where there is no such thing; other errors are raised."""
    from mlflow.exceptions import MlflowException

    try:
        return get(*key)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def canonical(uri: str) -> str:
    """A store's address, the same from whatever folder a SQLite file is named."""
    if not uri.startswith("sqlite:///"):
        return uri
    place, mark, options = uri.removeprefix("sqlite:///").partition("?")
    return f"sqlite:///{Path(place).resolve()}{mark}{options}"


def _create_database(place: Path) -> None:
    """Make a new SQLite store beside its place and link it in when it is whole.

    MLflow migrates a new database where it stands, for seconds; killed in the middle it could never be used again.
    """
    if place.exists():
        return
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

    draft = place.with_name(f"{place.name}.{os.getpid()}.new")
    engine = create_sqlalchemy_engine_with_retry(f"sqlite:///{draft}")  # type: ignore[no-untyped-call]
    try:
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
        engine.dispose()
        try:
            os.link(draft, place)
        except FileExistsError:
            pass  # another process was faster: its store counts
        except OSError:  # a file system without hard links
            os.replace(draft, place)
    finally:
        draft.unlink(missing_ok=True)


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
            f"the tracking store {redact(uri)} cannot be used: {first[:300]}; what is recorded is kept, run again to resume"
        ) from error


def patiently(call: Callable[[], T], seconds: float = 60.0) -> T:
    """What a call gives that may be made again, tried until an absent store has been waited for so long.

    Raises
    ------
    TrackingUnavailable
        The store is still away, or says what waiting does not mend.
    """
    deadline, pause = time.monotonic() + seconds, 0.5
    while True:
        try:
            return call()
        except TrackingUnavailable as error:
            cause = error.__cause__
            if cause is None or not store_away(cause) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


OURS = (
    "INVALID_PARAMETER_VALUE",
    "BAD_REQUEST",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "MALFORMED_REQUEST",
)
"""What a store answers to a call that is wrong in itself: a bug of ours, not a store that is away."""


LASTING = (
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "CUSTOMER_UNAUTHORIZED",
    "RESOURCE_DOES_NOT_EXIST",
    "ENDPOINT_NOT_FOUND",
    "FEATURE_DISABLED",
    "NOT_IMPLEMENTED",
)
"""What a store answers to a call that it will not serve however long one waits."""


def store_away(error: BaseException) -> bool:
    """Whether an error means that the store cannot be reached or written now, and may be later."""
    return _is_store_error(error) and getattr(error, "error_code", None) not in LASTING


def _is_store_error(error: BaseException) -> bool:
    """Errors of the store and the way to it, as opposed to bugs of ours."""
    if getattr(error, "error_code", None) in OURS:
        return False
    modules = {type(e).__module__.split(".")[0] for e in (error, error.__cause__) if e}
    return isinstance(error, OSError) or bool(
        modules & {"mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3"}
    )
