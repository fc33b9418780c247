"""The command that writes a first study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoreg.cli.completing import any_file
from autoreg.cli.helping import HelpfulCommand
from autoreg.console import words_only
from autoreg.errors import UsageError
from autoreg.quiet import quiet_libraries

if TYPE_CHECKING:
    import pandas as pd

LISTED = 12


@click.command(cls=HelpfulCommand)
@click.argument("data", required=False, metavar="[DATA]", shell_complete=any_file)
@click.option("--target", metavar="COL", help="Column to predict; asked for on a terminal.")
@click.option(
    "--out",
    default="study.toml",
    show_default=True,
    metavar="FILE",
    help="Where to write the study.",
    shell_complete=any_file,
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(data: str | None, target: str | None, out: str, force: bool) -> None:
    """Look at a table and write a study for it, ready to tune.

    DATA is a CSV or Parquet file, its address, sklearn:NAME or openml:NAME. Columns that look like keys, groups, dates
    or weights, and those that may give the target away, are suggested in the file, each with the reason.
    """
    place = Path(out)
    _check_place(place, force)
    source = data or _ask("Which table? A CSV or Parquet file, or sklearn:NAME", "DATA: name a table")
    quiet_libraries()
    with words_only():
        from autoreg import starter
        from autoreg.spec import read_study

        frame = starter.read_columns(source, Path.cwd())
        chosen = starter.check_target(target, list(frame.columns)) if target else _ask_target(frame)
        found = starter.look_at(frame, source, chosen)
        text = starter.study_text(found, starter.study_name(source), place)
        read_study(text, out, place.absolute().parent)
    try:
        with place.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"--out: cannot write '{out}': {error.strerror or error}") from None
    for hint in (*found.hints, *found.drops):
        click.echo(f"look at: {hint.key} = {hint.value!r}? {hint.reason}", err=True)
    click.echo(f"written to {out}; now:  autoreg validate {out}  and  autoreg tune {out}", err=True)


def _check_place(place: Path, force: bool) -> None:
    if place.suffix != ".toml":
        raise UsageError(f"--out: expected a name that ends in .toml, found '{place}'")
    if not place.absolute().parent.is_dir():
        raise UsageError(f"--out: the folder of '{place}' does not exist; create it first")
    if place.exists() and not force:
        raise UsageError(
            f"--out: '{place}' is there already; name another file, or write over it with --force"
        )


def _ask_target(frame: pd.DataFrame) -> str:
    """Ask which column is to be predicted, until one is named."""
    from autoreg import starter

    columns = [str(name) for name in frame.columns]
    likely = starter.likely_targets(columns)
    listed = ", ".join(columns[:LISTED]) + (
        f" and {len(columns) - LISTED} more" if len(columns) > LISTED else ""
    )
    wanted = f"--target: name the column to predict, for example --target {likely[0]} (columns: {listed})"
    if _interactive():
        click.echo(f"{len(frame)} rows; columns: {listed}", err=True)
    while True:
        given = _ask("Which column is to be predicted?", wanted, likely[0])
        try:
            return starter.check_target(given, columns)
        except UsageError as error:
            click.echo(str(error).removeprefix("--target: "), err=True)


def _ask(question: str, otherwise: str, default: str | None = None) -> str:
    """Ask on a terminal; elsewhere say what to give."""
    if not _interactive():
        raise UsageError(otherwise)
    try:
        return str(click.prompt(question, default=default, err=True)).strip()
    except click.Abort:
        raise KeyboardInterrupt from None


def _interactive() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
