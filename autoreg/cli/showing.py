"""The commands that open a study elsewhere: MLflow's pages, a database of Optuna."""

from __future__ import annotations

import webbrowser
from contextlib import suppress

import click

from autoreg.cli.helping import HelpfulCommand
from autoreg.cli.options import json_option, print_record, study_argument, study_name
from autoreg.cli.reading import reading
from autoreg.cli.stopping import stoppable
from autoreg.console import words_only
from autoreg.errors import Interrupted
from autoreg.quiet import quiet_libraries
from autoreg.secrets import redact
from autoreg.words import aligned, counted


@click.command(cls=HelpfulCommand)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    metavar="N",
    help="Port of the server; the first free one from 5000 on.",
)
@click.option("--no-browser", is_flag=True, help="Print the links and open nothing.")
def ui(port: int | None, no_browser: bool) -> None:
    """Open MLflow's pages on what autoreg has recorded.

    Shows the store that MLFLOW_TRACKING_URI names, or the SQLite file of this folder; only this host can reach it.
    Where the store is a server already, its links are printed. Ctrl-C ends the command and nothing else.
    """
    quiet_libraries()
    with words_only():
        from autoreg import viewer

        store = viewer.store_to_show()
        if store.startswith(("http://", "https://")):
            return _links(viewer.pages(store), no_browser)
        number = viewer.free_port(port)
        click.echo(f"starting MLflow on {redact(store)}, some seconds ...", err=True)
        with suppress(Interrupted), stoppable(), viewer.serving(store, number) as server:
            _links(viewer.pages(f"http://{viewer.HOST}:{number}"), no_browser)
            click.echo("\nPress Ctrl-C to end it; what is recorded stays.", err=True)
            server.wait()
    click.echo("ended", err=True)


def _links(pages: list[tuple[str, str]], no_browser: bool) -> None:
    click.echo("\n" + aligned(pages), err=True)
    if not no_browser:
        with suppress(webbrowser.Error):
            webbrowser.open(pages[1 if len(pages) == 2 else 0][1])


@click.command(cls=HelpfulCommand)
@study_argument("STUDY|RUN_ID|STUDY.toml")
@click.option(
    "--to",
    required=True,
    metavar="URL",
    help="Database such as sqlite:///trials.db, or a file that ends in .log for Optuna's journal.",
)
@click.option(
    "--name", metavar="NAME", help="Call the Optuna studies NAME/BACKEND; the study's name when left out."
)
@json_option
def export(study: str, to: str, name: str | None, json: str | None) -> None:
    """Copy a study's trials to an Optuna database, for optuna-dashboard.

    Each backend becomes one Optuna study. The record in MLflow stays what counts: autoreg never reads the copy.
    """
    with reading():
        from autoreg.export import export as copy

        done = copy(study_name(study), to, name)
    lines = [f"{each.name}: {counted(each.trials, 'trial')}, smallest loss {each.best:.6g}" for each in done]
    shown = redact(to)
    look = f'optuna-dashboard "{shown}"' if shown == to else "optuna-dashboard URL"
    record = {
        "status": "exported",
        "to": shown,
        "studies": [{"name": e.name, "trials": e.trials, "best": e.best} for e in done],
    }
    text = f"written to {shown}\n" + "\n".join(f"  {line}" for line in lines) + f"\nlook with: {look}"
    print_record(text, record, json)
