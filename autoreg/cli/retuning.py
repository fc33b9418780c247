"""Commands for a model in use: retune it, let another version serve, go back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

from autoreg.cli.helping import HelpfulCommand
from autoreg.cli.looking import where_to_look
from autoreg.cli.options import data_option, given_study, json_option, option, search_options, write_record
from autoreg.cli.reading import reading
from autoreg.cli.stopping import stoppable
from autoreg.console import watching, words_only
from autoreg.errors import AutoregError, Busy, Interrupted, UsageError
from autoreg.quiet import quiet_libraries
from autoreg.secrets import redact
from autoreg.tracking import something_recorded
from autoreg.words import describe_retune, one_line

if TYPE_CHECKING:
    from autoreg.spec import Study

MODEL = re.compile(r"models:/([^/@]+)@([\w-]+)")


@click.command(cls=HelpfulCommand)
@click.argument("study", metavar="STUDY.toml|models:/NAME@champion")
@data_option
@option(
    "--key",
    click.STRING,
    "K",
    "Name of this retune: the same key again does nothing. Made from study, data and date.",
)
@search_options
@click.option("--fresh", is_flag=True, help="Search anew, also where the key is done or its search begun.")
@option(
    "--notify", click.STRING, "CMD|URL", "Give the outcome to a command (stdin) or a URL (POST), as JSON."
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors and warnings.")
@json_option
def retune(
    study: str,
    data: str | None,
    key: str | None,
    n_jobs: int | None,
    engine: Literal["processes", "dask"] | None,
    address: str | None,
    fresh: bool,
    notify: str | None,
    quiet: bool,
    json: str | None,
    **search: Any,
) -> None:
    """Tune again where that is due, and let the better one of champion and challenger serve.

    The champion, its study and what it has seen are read from MLflow (MLFLOW_TRACKING_URI). A schedule may call this
    as often as it likes: with the key of a retune that is done, nothing happens.
    """
    quiet_libraries()
    with _told_of_errors(notify), words_only(), stoppable(), watching(quiet) as watch:
        loaded = _study_of(study, data, search)
        from autoreg.retune import retune as run_retune

        result = run_retune(
            loaded,
            key=key,
            watch=watch,
            n_jobs=1 if n_jobs is None else n_jobs,
            engine=engine or "processes",
            address=address,
            fresh=fresh,
        )
    record = result.as_json()
    if not quiet:
        click.echo("\n" + redact(describe_retune(record, where_to_look(record))), err=True)
    _tell(notify, record)
    write_record(record, json)


@contextmanager
def _told_of_errors(notify: str | None) -> Iterator[None]:
    """Tell of an error, too; not of a retune that is under way already or was stopped by hand, which others know."""
    try:
        yield
    except (Busy, Interrupted):
        raise
    except AutoregError as error:
        _tell(notify, {"status": "error", "code": error.exit_code, "message": one_line(str(error))})
        raise


def _tell(notify: str | None, record: dict[str, Any]) -> None:
    """Give the outcome to whom ``--notify`` names; a warning where that fails."""
    if notify:
        from autoreg.notice import give_notice

        for warning in give_notice(notify, record):
            click.echo(f"warning: {redact(warning)}", err=True)


@click.command(cls=HelpfulCommand)
@click.argument("model")
@click.argument("version")
@option("--alias", click.STRING, "A", "The alias that serves; champion when left out.")
def promote(model: str, version: str, alias: str | None) -> None:
    """Let a version of a model serve; the one before stays at hand as 'previous'."""
    if not version.isdecimal():
        raise UsageError(f"VERSION: expected a number, found '{version}'")
    with reading():
        from autoreg.ledger import study_lock
        from autoreg.registry import promote as let_serve
        from autoreg.tracking import store_address

        with study_lock(store_address(), f"model:{model}", model):
            before = let_serve(model, version, alias or "champion", "by hand")
    left = f"; version {before.number} is 'previous'" if before else ""
    click.echo(f"{model} version {version} is '{alias or 'champion'}'{left}", err=True)


@click.command(cls=HelpfulCommand)
@click.argument("model")
@option("--alias", click.STRING, "A", "The alias that serves; champion when left out.")
def rollback(model: str, alias: str | None) -> None:
    """Let the champion before the present one serve again; the two change places."""
    with reading():
        from autoreg.ledger import study_lock
        from autoreg.registry import rollback as go_back
        from autoreg.tracking import store_address

        with study_lock(store_address(), f"model:{model}", model):
            now, left = go_back(model, alias or "champion")
    click.echo(
        f"{model} version {now.number} is '{alias or 'champion'}' again, instead of version {left.number}",
        err=True,
    )


def _study_of(place: str, data: str | None, search: dict[str, Any]) -> Study:
    """The study of a file, or the one that made a registered model."""
    if not place.startswith("models:/"):
        return given_study(place, data, search)
    found = MODEL.fullmatch(place)
    if found is None:
        raise UsageError(f"STUDY: expected a .toml file or models:/NAME@ALIAS, found '{place}'")
    something_recorded()
    from autoreg.retune.champion import study_of

    return given_study(study_of(*found.groups()), data, search)
