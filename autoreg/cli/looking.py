"""Commands that show what MLflow holds of a study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from autoreg.cli.completing import any_file
from autoreg.cli.helping import HelpfulCommand
from autoreg.cli.options import json_option, print_record, study_argument, study_name
from autoreg.cli.reading import reading
from autoreg.errors import UsageError
from autoreg.secrets import redact
from autoreg.words import describe_summary


@click.command(cls=HelpfulCommand)
@study_argument("STUDY|RUN_ID|STUDY.toml")
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="How many of the best trials to list.",
)
@json_option
def show(study: str, top: int, json: str | None) -> None:
    """Show a study's result and its best trials, as MLflow has them.

    With --json, the object holds every trial.
    """
    with reading():
        from autoreg.ledger import read_summary

        record = read_summary(study_name(study))
    print_record(redact(describe_summary(record, top, where_to_look(record))), record, json)


@click.command(cls=HelpfulCommand)
@study_argument("STUDY|RUN_ID|STUDY.toml")
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    help="Where to write it: .html, .md (model card) or .json.",
    shell_complete=any_file,
)
def report(study: str, out: str) -> None:
    """Write a finished study's report again, from what MLflow holds.

    FILE ends in .html for the report (one file, opens without a network), in .md for the model card, or in .json for
    everything the study found.
    """
    kind = Path(out).suffix.lower()
    if kind not in (".html", ".md", ".json"):
        raise UsageError(f"--out: expected a name that ends in .html, .md or .json; found '{out}'")
    if not Path(out).absolute().parent.is_dir():
        raise UsageError(f"--out: the folder of '{out}' does not exist; create it first")
    with reading():
        from autoreg.ledger import read_record
        from autoreg.report import model_card, render

        found = read_record(study_name(study))
        text = render(found) if kind == ".html" else model_card(found) if kind == ".md" else found.to_json()
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out: cannot write '{out}': {error.strerror or error}") from None
    click.echo(f"written to {out}", err=True)


def where_to_look(record: dict[str, Any]) -> str:
    """The address that shows a study's run in MLflow, or the command that starts a server and prints it."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        return "autoreg ui"
    run = f"/#/experiments/{record.get('experiment_id')}/runs/{record.get('run_id')}"
    return redact(f"{uri.rstrip('/')}{run}?workflowType=machine_learning")
