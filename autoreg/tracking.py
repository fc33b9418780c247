"""The way to the tracking store: a client that is quiet and waits no longer than a person would, and clear errors."""

from __future__ import annotations

import logging
import math
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from autoreg.errors import AutoregError, DataError, StudyError, TrackingUnavailable, UsageError
from autoreg.secrets import redact

T = TypeVar("T")
TIMEOUT, RETRIES = "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
WAITS = {TIMEOUT: "10", RETRIES: "2"}
FIRST_WAITS = {TIMEOUT: "4", RETRIES: "1"}
"""MLflow's settings for a call to a server (seconds, further tries), and those of the first call of all."""
KNOCK_PAUSE = 1.0
"""Seconds before a server that did not answer is asked once more."""
GREETED_FOR = 60.0
"""Seconds for which a server that has answered is not asked again whether it is there."""
SCHEMA = re.compile(
    r"database schema \(found version (?!None)(\w+), but expected|Can't locate revision identified by '(\w+)'"
)
"""How MLflow and its migrations tell that a database is of another MLflow's making."""
_greeted: dict[str, float] = {}
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def something_recorded() -> None:
    """Refuse to look into a store that is not there, for commands that only read; MLflow would make an empty one.

    Raises
    ------
    StudyError
        No store is set, and nothing was recorded in this folder.
    """
    if os.environ.get("MLFLOW_TRACKING_URI") or Path("mlflow.db").exists() or Path("mlruns").is_dir():
        return
    raise StudyError(
        f"nothing is recorded in this folder ('{Path.cwd()}' has no mlflow.db): go to the folder where a study ran, "
        "run `autoreg tune` here first, or set MLFLOW_TRACKING_URI"
    )


def quiet_client() -> Any:
    """An MLflow client with bounded waits; the user's own settings win.

    Raises
    ------
    TrackingUnavailable
        The store cannot be opened.
    DataError
        It is a database that another MLflow has made.
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
    named = (
        "mlflow" not in sys.modules
    )  # once it is imported, another store may be set than the environment's
    if named:
        knock()
    with reaching(os.environ.get("MLFLOW_TRACKING_URI", "of this folder")):
        import mlflow

        uri = mlflow.get_tracking_uri()
        if uri.startswith("sqlite:///"):
            _create_database(Path(uri.removeprefix("sqlite:///").partition("?")[0]))
        known = time.monotonic() - _greeted.get(uri, -math.inf) < GREETED_FOR
        if not uri.startswith("sqlite:///") and not named and not known:
            knock(uri)
        client = mlflow.MlflowClient()
        if uri.startswith(("http://", "https://")) and not known:
            _first_call(client)
            _greeted[uri] = time.monotonic()
        return client


def _first_call(client: Any) -> None:
    """Ask a server for next to nothing: the client's own patience is for calls under way."""
    ours = {n: FIRST_WAITS[n] for n, v in WAITS.items() if os.environ.get(n) == v}
    os.environ.update(ours)
    try:
        client.search_experiments(max_results=1)
    finally:
        os.environ.update({n: WAITS[n] for n in ours})


def knock(uri: str | None = None) -> None:
    """See that a server answers at all, in a few seconds and before anything heavy is imported.

    Parameters
    ----------
    uri : str, optional
        Address of the store; ``MLFLOW_TRACKING_URI`` when left out. Files and other schemes are not asked.

    Raises
    ------
    TrackingUnavailable
        Nothing answers there, or a server with an error of its own (500 and above).
    UsageError
        It is no address.
    """
    named = uri is None
    uri = os.environ.get("MLFLOW_TRACKING_URI", "") if uri is None else uri
    try:
        urlsplit(uri if named or uri.startswith("http") else "")
    except ValueError as error:
        raise UsageError(
            f"MLFLOW_TRACKING_URI: {redact(uri)} is no address ({error}); write '[', ']' and '/' of a password as %5B, %5D, %2F"
        ) from None
    asked = os.environ.get(TIMEOUT, WAITS[TIMEOUT])
    seconds = float(FIRST_WAITS[TIMEOUT] if asked == WAITS[TIMEOUT] else asked)
    with reaching(uri):
        if uri.startswith(("http://", "https://")):
            for last in (False, True):
                try:
                    return _ask(uri, seconds)
                except OSError:
                    if last:
                        raise
                time.sleep(KNOCK_PAUSE)
        with suppress(ValueError):  # an address that only its own driver understands
            parts = urlsplit(uri)
            port = PORTS.get(parts.scheme.partition("+")[0])
            if port and parts.hostname:
                socket.create_connection((parts.hostname, parts.port or port), seconds).close()


def _ask(uri: str, seconds: float) -> None:
    """Raise when a server is not there; what else may be wrong with it, MLflow tells."""
    from http.client import HTTPException
    from ssl import SSLError
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/health")
    try:
        urlopen(bare.geturl(), timeout=seconds).close()
    except HTTPError as error:
        error.close()  # it is the response as well
        if error.code >= 500:
            raise OSError(f"HTTP error {error.code}, {error.reason}") from error
    except URLError as error:
        if not isinstance(error.reason, SSLError):
            raise OSError(f"no connection: {error.reason}") from error
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:g} s") from error
    except HTTPException as error:
        raise OSError(f"no answer that is HTTP: {error!r}") from error


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


def store_address() -> str:
    """The address of the store that MLflow is set to, the same from whatever folder a SQLite file is named."""
    return canonical(str(quiet_client().tracking_uri))


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
        if found := SCHEMA.search(str(error)):
            raise DataError(_schema_words(found[1] or found[2])) from error
        if not _is_store_error(error):
            raise
        first = redact(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
        raise TrackingUnavailable(
            f"the tracking store {redact(uri)} cannot be used: {first[:300]}; what is recorded is kept, run again to resume"
        ) from error


def _schema_words(schema: str) -> str:
    """What to do about a database whose schema is not the one that the installed MLflow works with."""
    import mlflow
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    uri = redact(canonical(str(mlflow.get_tracking_uri())))
    steps = ScriptDirectory.from_config(_get_alembic_config(""))  # type: ignore[no-untyped-call]
    if schema in {step.revision for step in steps.walk_revisions()}:
        return (
            f"the tracking store {uri} was made by an older MLflow than {mlflow.__version__}, which is installed here: "
            f"make a copy of it, then run: mlflow db upgrade '{uri}'"
        )
    return (
        f"the tracking store {uri} was made by a newer MLflow than {mlflow.__version__}, which is installed here and does "
        f"not know its schema {schema}: upgrade mlflow here"
    )


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
