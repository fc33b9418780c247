"""The command line: parse, call one function, print. Heavy rooms are imported inside the commands."""

from __future__ import annotations

import click

from autoreg import __version__
from autoreg.cli.completing import completion
from autoreg.cli.helping import HelpfulGroup
from autoreg.cli.looking import report, show, where_to_look
from autoreg.cli.mending import reconcile
from autoreg.cli.predicting import predict
from autoreg.cli.retuning import promote, retune, rollback
from autoreg.cli.running import tune, validate
from autoreg.cli.scheduling import schedule
from autoreg.cli.showing import export, ui
from autoreg.cli.starting import init
from autoreg.cli.stopping import stoppable

__all__ = ["cli", "stoppable", "where_to_look"]


@click.group(
    cls=HelpfulGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Search how strongly to regularize linear, boosted and neural models, and keep the one that generalizes.

    A study is a file that names a table and the column to predict. Write one with `autoreg init`, run it with
    `autoreg tune`, see every trial of it in a browser with `autoreg ui`. `autoreg COMMAND --help` has examples.
    """


for command in (
    init, validate, tune, show, ui, report, export, predict, promote, rollback, retune, schedule, reconcile, completion,
):  # fmt: skip
    cli.add_command(command)
