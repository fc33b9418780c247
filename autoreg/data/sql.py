"""Tables from SQL databases, read inside a read-only transaction that is always rolled back."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.errors import DataError
from autoreg.secrets import expand, redact, scrub

CONNECT_SECONDS = 15


def read_sql(source: str, query: str | None, folder: Path) -> pd.DataFrame:
    """Run a query on the database of an SQLAlchemy URL; ``${NAME}`` in the URL is taken from the environment.

    Raises
    ------
    DataError
        No query, unusable URL, missing driver, no connection, failing query. No message holds the password.
    """
    if not query or not query.strip():
        raise DataError(
            f"data.query: the SQL source {redact(source)} needs a query such as 'SELECT * FROM customers'"
        )
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    full, secrets = expand(source)
    try:
        return _run(full, query, folder)
    except DataError:
        raise
    except ArgumentError:
        reason = "it is not an SQLAlchemy URL such as 'postgresql://user:${PASSWORD}@host/shop'"
    except ImportError as error:
        reason = f"the package '{error.name or scrub(error, secrets)}' is missing; install the driver of this database"
    except SQLAlchemyError as error:
        reason = scrub(getattr(error, "orig", None) or error, secrets)
    except (OSError, ValueError) as error:
        reason = scrub(error, secrets)
    # Raised here, outside the handlers: a chained driver error would show the URL in a traceback.
    raise DataError(f"data.source: {redact(source)} cannot be read: {reason}")


def _run(full: str, query: str, folder: Path) -> pd.DataFrame:
    import sqlalchemy as sa

    engine = sa.create_engine(_url(full, folder), poolclass=sa.NullPool, hide_parameters=True)
    options: dict[str, Any] = {"no_parameters": True}  # percent signs in the query are the user's own
    if engine.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    with engine.connect().execution_options(**options) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        result = connection.exec_driver_sql(query)
        if not result.returns_rows:
            raise DataError("data.query returns no table; write a SELECT")
        names = [str(name) for name in result.keys()]  # noqa: SIM118 (keys of a result, not of a dict)
        frame = pd.DataFrame([tuple(row) for row in result], columns=names)
        connection.rollback()
    return frame


def _url(full: str, folder: Path) -> Any:
    """The URL with a driver that is installed, a database file found from ``folder``, and a limit for connecting."""
    import sqlalchemy as sa

    url = sa.make_url(full)
    if url.drivername in ("postgres", "postgresql"):
        found = importlib.util.find_spec("psycopg2") is not None
        url = url.set(drivername="postgresql" if found else "postgresql+psycopg")
    if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        path = folder / url.database
        if not path.is_file():
            raise DataError(f"data.source: the SQLite file '{path}' does not exist; check the path")
        url = url.set(database=str(path))
    return url
