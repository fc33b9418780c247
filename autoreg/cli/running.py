"""Commands that run a study, or say what it would run."""

from __future__ import annotations

from typing import Any, Literal

import click

from autoreg.cli.helping import HelpfulCommand
from autoreg.cli.looking import where_to_look
from autoreg.cli.options import (
    data_option,
    given_study,
    json_option,
    print_record,
    search_options,
    study_argument,
    write_record,
)
from autoreg.cli.stopping import stoppable
from autoreg.console import paint, watching, words_only
from autoreg.quiet import quiet_libraries
from autoreg.secrets import redact
from autoreg.words import describe_result
from autoreg.words_plan import describe_plan, plan_record


@click.command(cls=HelpfulCommand)
@study_argument()
@data_option
@search_options
@click.option("--fresh", is_flag=True, help="Start over, even where the study is finished or begun.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors and warnings.")
@json_option
def tune(
    study: str,
    data: str | None,
    n_jobs: int | None,
    engine: Literal["processes", "dask"] | None,
    address: str | None,
    fresh: bool,
    quiet: bool,
    json: str | None,
    **search: Any,
) -> None:
    """Search, choose the winner, estimate it once, register it.

    A trial is one configuration, trained on several divisions of the rows. Every trial becomes a run in MLflow
    (MLFLOW_TRACKING_URI; a SQLite file in this folder when unset). A study that was stopped goes on where it ended
    when the command is given again.
    """
    quiet_libraries()
    with words_only(), stoppable(), watching(quiet) as watch:
        loaded = given_study(study, data, search)
        from autoreg import tuner

        result = tuner.tune(
            loaded,
            fresh=fresh,
            watch=watch,
            n_jobs=1 if n_jobs is None else n_jobs,
            engine=engine or "processes",
            address=address,
        )
    record = result.as_json()
    if not quiet:
        paint("\n" + redact(describe_result(record, where_to_look(record))), err=True)
    write_record(record, json)


@click.command(cls=HelpfulCommand)
@study_argument()
@data_option
@json_option
def validate(study: str, data: str | None, json: str | None) -> None:
    """Print what a study would run, without running it.

    Rows, columns, classes, the division of the rows, the limits and every range that is searched.
    """
    quiet_libraries()
    with words_only():
        loaded = given_study(study, data, {})
        from autoreg import tuner

        record = plan_record(loaded, tuner.plan(loaded))
    print_record(redact(describe_plan(record)), record, json)
