"""The command that writes what schedulers need."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from autoreg.cli.helping import HelpfulCommand
from autoreg.cli.options import option, study_argument
from autoreg.errors import UsageError

KINDS = ("cron", "systemd", "k8s", "airflow", "github")


@click.command(cls=HelpfulCommand)
@study_argument("STUDY.toml|models:/NAME@champion")
@click.option("--for", "kind", type=click.Choice(KINDS), required=True, help="Which scheduler.")
@option(
    "--at",
    click.STRING,
    "WHEN",
    'Five fields of cron or a macro, such as "0 3 * * 1"; Mondays at three when left out.',
)
@option("--out", click.STRING, "FOLDER|-", "Where to write; the current folder when left out, - for stdout.")
@option("--environment", click.STRING, "FILE", "File with MLFLOW_TRACKING_URI=..., for cron and systemd.")
@option("--image", click.STRING, "IMAGE", "Container image, for k8s.")
@option("--secret", click.STRING, "NAME", "Kubernetes Secret with MLFLOW_TRACKING_URI.")
@option("--hours", click.FLOAT, "H", "A run is stopped after so long; the next one goes on with it.")
@click.argument("options", nargs=-1, metavar="[-- OPTIONS OF RETUNE]")
def schedule(
    study: str,
    kind: str,
    at: str | None,
    out: str | None,
    environment: str | None,
    image: str | None,
    secret: str | None,
    hours: float | None,
    options: tuple[str, ...],
) -> None:
    """Write ready files that retune a study on a schedule.

    Nothing is installed: the text at the head of each file says where it goes. What stands behind -- is given to
    `autoreg retune`.
    """
    from autoreg.schedule import WEEKLY, files

    folder = Path(out or ".")
    if out != "-" and not folder.is_dir():
        raise UsageError(f"--out: the folder '{out}' does not exist; create it first")
    here = kind in ("cron", "systemd")  # the others run elsewhere, where only the name is known
    found = files(
        study,
        kind,
        at or WEEKLY,
        options,
        program=str(shutil.which("autoreg") or Path(sys.executable).with_name("autoreg"))
        if here
        else "autoreg",
        environment=environment or "",
        image=image or "autoreg:latest",
        secret=secret or "autoreg-tracking",
        hours=6.0 if hours is None else hours,
    )
    for name, text in found.items():
        if out == "-":
            click.echo(text, nl=False)
            continue
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        click.echo(f"written to {place}", err=True)
