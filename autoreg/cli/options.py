"""What the commands have in common: options, reading the study file, printing a record."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoreg.cli.completing import any_file, backend_names, study_files
from autoreg.console import paint, write_json
from autoreg.errors import StudyError, UsageError, did_you_mean

if TYPE_CHECKING:
    from autoreg.spec import Study

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # older versions of click know no type arguments


class Blank(ParamType):
    """A type for which an empty text means "not given", as launchers such as ``mlflow run`` pass it.

    Parameters
    ----------
    inner : click.ParamType
        Converts every other text.
    """

    def __init__(self, inner: ParamType) -> None:
        self.inner, self.name = inner, inner.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """None for an empty text, else what the inner type makes of it."""
        return None if value == "" else self.inner.convert(value, param, ctx)


def json_place(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse a place that cannot be written before hours are spent on what would be written there."""
    if value and value != "-":
        if Path(value).is_dir():
            raise click.BadParameter(f"'{value}' is a folder; give a file, or - for stdout", ctx, param)
        if not Path(value).absolute().parent.is_dir():
            raise click.BadParameter(f"the folder of '{value}' does not exist; create it first", ctx, param)
    return value


def study_argument(metavar: str = "STUDY.toml") -> Callable[[Any], Any]:
    """The argument that names a study."""
    return click.argument("study", metavar=metavar, shell_complete=study_files)


def option(flag: str, kind: ParamType, metavar: str, help: str, **more: Any) -> Callable[[Any], Any]:
    """An option for which an empty text means "not given"."""
    return click.option(flag, type=Blank(kind), metavar=metavar, help=help, **more)


data_option = option(
    "--data",
    click.STRING,
    "P",
    "Read this table instead of the study's source (same columns).",
    shell_complete=any_file,
)
json_option = option(
    "--json",
    click.STRING,
    "PATH|-",
    "Write the outcome as one JSON object to a file, or to stdout (-).",
    callback=json_place,
    shell_complete=any_file,
)

_search = (
    option(
        "--trials",
        click.INT,
        "N",
        "How many configurations to try over all backends; more than before goes on where the study ended.",
    ),
    option(
        "--timeout", click.STRING, "S", "Limit for the whole command: seconds, or text such as 90s, 10m, 1h."
    ),
    option(
        "--backends",
        click.STRING,
        "A,B",
        "Model families to search: sklearn (linear), xgboost (boosted trees), keras (neural networks).",
        shell_complete=backend_names,
    ),
    option(
        "--n-jobs",
        click.IntRange(min=-1),
        "N",
        "Trials at a time, each in a process of its own; -1 for one on every core. Changes no trial.",
    ),
    option(
        "--engine",
        click.Choice(["processes", "dask"]),
        "E",
        "Where trials run: processes of this host (the default), or dask. Changes no trial.",
    ),
    option(
        "--address",
        click.STRING,
        "A",
        "Dask scheduler, tcp://host:port or tls://host:port; without it, one on this host with N workers.",
    ),
    option("--seed", click.INT, "N", "Seed of every random choice."),
)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that runs a search: its budget, its backends and where trials run."""
    for each in reversed(_search):
        command = each(command)
    return command


def given_study(path: str | Study, data: str | None, search: dict[str, Any]) -> Study:
    """The study, or the study file, with what the command line says instead."""
    from autoreg.spec import load_study

    if isinstance(path, str) and path.lower().endswith((".csv", ".parquet")):
        raise UsageError(f"STUDY: '{path}' is a table; write a study file for it with: autoreg init {path}")
    study = load_study(path) if isinstance(path, str) else path
    if search.get("backends"):
        from autoreg.backends import BACKENDS

        for name in filter(None, map(str.strip, search["backends"].split(","))):
            if name not in BACKENDS:
                raise UsageError(f"--backends: '{name}' is not a backend{did_you_mean(name, BACKENDS)}")
    try:
        return study.updated(data={"source": _from_here(data)}, search=search)
    except StudyError as error:
        told = re.sub(r"^command line: search\.(\w+)", _as_option, str(error))
        raise UsageError(told) from None  # the file itself was fine


def _as_option(key: re.Match[str]) -> str:
    """An option as it is typed: ``--n-jobs`` for ``search.n_jobs``."""
    return "--" + key[1].replace("_", "-")


def study_name(given: str) -> str:
    """What a study is looked up by: the name in a study file, else what was given."""
    if not given.endswith(".toml"):
        return given
    from autoreg.spec import load_study

    return load_study(given).name


def _from_here(source: str | None) -> str | None:
    """A relative path on the command line starts in the current folder, not in the study file's."""
    if source is None or re.match(r"[A-Za-z][\w+.-]+:", source):
        return source
    return str(Path(source).absolute())


def print_record(text: str, record: dict[str, Any], place: str | None) -> None:
    """Words on stdout, where they are the product and can be piped, unless the JSON object goes there."""
    paint(text, err=place == "-")
    write_record(record, place)


def write_record(record: dict[str, Any], place: str | None) -> None:
    """The record as one JSON object, to the place that ``--json`` names."""
    if place:
        try:
            write_json(record, place)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"--json: cannot write '{place}': {error.strerror}") from None
