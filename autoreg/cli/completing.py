"""Shell completion: click's own scripts, and what can follow in a word."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from autoreg.cli.helping import HelpfulCommand

VARIABLE = "_AUTOREG_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
BACKENDS = ("sklearn", "xgboost", "keras")


def study_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Study files in the folder that is typed and in those below it; without one, what the shell finds."""
    folder = incomplete.rpartition("/")[0] + "/" if "/" in incomplete else ""
    place = Path(folder or ".").expanduser()
    try:
        found = sorted([*place.glob("*.toml"), *place.glob("[!.]*/*.toml")])
    except OSError:
        found = []
    words = [f"{folder}{path.relative_to(place)}" for path in found]
    return [CompletionItem(w) for w in words if w.startswith(incomplete)] or any_file(ctx, param, incomplete)


def backend_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of backends, the last of a list with commas."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [
        CompletionItem(before + comma + name)
        for name in BACKENDS
        if name.startswith(last) and name not in given
    ]


def any_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows files."""
    return [CompletionItem(incomplete, type="file")]


@click.command(cls=HelpfulCommand)
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
def completion(shell: str) -> None:
    """Print a script that lets the Tab key complete commands, options, study files and backends.

    Append it to the shell's start file and open a new shell.
    """
    from autoreg.cli import cli

    found = get_completion_class(shell)
    assert found is not None, "click knows all three shells"
    maker = found(cli, {}, "autoreg", VARIABLE)
    click.echo(maker.source_template % maker.source_vars())
