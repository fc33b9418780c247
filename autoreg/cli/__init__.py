"""The command line: parse, call one function, print. Heavy rooms are imported inside the commands."""

from __future__ import annotations

import click

from autoreg import __version__
from autoreg.cli.looking import report, show, where_to_look
from autoreg.cli.mending import reconcile
from autoreg.cli.predicting import predict
from autoreg.cli.running import tune, validate
from autoreg.cli.stopping import stoppable

__all__ = ["cli", "stoppable", "where_to_look"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Search how strongly to regularize linear, boosted and neural models, and keep the one that generalizes.

    Start with:  autoreg tune studies/quickstart.toml
    """


for command in (tune, validate, predict, show, report, reconcile):
    cli.add_command(command)
