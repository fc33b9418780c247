"""Commands that run a study, or say what it would run."""

from __future__ import annotations

from typing import Any, Literal

import click

from autoreg.cli.looking import where_to_look
from autoreg.cli.options import data_option, given_study, json_option, option, print_record, write_record
from autoreg.cli.stopping import stoppable
from autoreg.console import watching, words_only
from autoreg.quiet import quiet_libraries
from autoreg.secrets import redact
from autoreg.words import describe_plan, describe_result, plan_record


@click.command()
@click.argument("study", metavar="STUDY.toml")
@data_option
@option(
    "--trials",
    click.INT,
    "N",
    "Number of trials over all backends; more than before goes on where the study ended.",
)
@option("--timeout", click.STRING, "S", "Limit for the whole command: seconds, or text such as 90s, 10m, 1h.")
@option("--backends", click.STRING, "A,B", "Model families to search: sklearn, xgboost, keras.")
@option(
    "--n-jobs",
    click.IntRange(min=-1),
    "N",
    "Trials at a time, each in a process of its own; -1 for one on every core. Changes no trial.",
)
@option(
    "--engine",
    click.Choice(["processes", "dask"]),
    "E",
    "Where trials run: processes of this host (the default), or dask. Changes no trial.",
)
@option(
    "--address",
    click.STRING,
    "A",
    "Dask scheduler, tcp://host:port or tls://host:port; without it, one on this host with N workers.",
)
@option("--seed", click.INT, "N", "Seed of every random choice.")
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

    Every trial is a run in MLflow (MLFLOW_TRACKING_URI; a SQLite file in this folder when unset). A study that was
    stopped goes on where it ended when the command is given again.
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
        click.echo("\n" + redact(describe_result(record, where_to_look(record))), err=True)
    write_record(record, json)


@click.command()
@click.argument("study", metavar="STUDY.toml")
@data_option
@json_option
def validate(study: str, data: str | None, json: str | None) -> None:
    """Print what a study would run, without running it."""
    quiet_libraries()
    with words_only():
        loaded = given_study(study, data, {})
        from autoreg import tuner

        record = plan_record(loaded, tuner.plan(loaded))
    print_record(redact(describe_plan(record)), record, json)
