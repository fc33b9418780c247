"""The command line: parse, call one function, print. Heavy rooms are imported inside the commands."""

from __future__ import annotations

import os
import re
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from autoreg import __version__
from autoreg.console import watching, words_only, write_json
from autoreg.errors import DataError, Interrupted, StudyError, UsageError, did_you_mean
from autoreg.quiet import quiet_libraries
from autoreg.secrets import redact
from autoreg.words import counted, describe_plan, describe_result, describe_summary, one_line, plan_record

if TYPE_CHECKING:
    import pandas as pd

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


def _json_place(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse a place that cannot be written before hours are spent on what would be written there."""
    if value and value != "-":
        if Path(value).is_dir():
            raise click.BadParameter(f"'{value}' is a folder; give a file, or - for stdout", ctx, param)
        if not Path(value).absolute().parent.is_dir():
            raise click.BadParameter(f"the folder of '{value}' does not exist; create it first", ctx, param)
    return value


def _option(flag: str, kind: ParamType, metavar: str, help: str, **more: Any) -> Callable[[Any], Any]:
    return click.option(flag, type=Blank(kind), metavar=metavar, help=help, **more)


_data = _option("--data", click.STRING, "P", "Read this table instead of the study's source (same columns).")
_json = _option(
    "--json",
    click.STRING,
    "PATH|-",
    "Write the outcome as one JSON object to a file, or to stdout (-).",
    callback=_json_place,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Search how strongly to regularize linear, boosted and neural models, and keep the one that generalizes.

    Start with:  autoreg tune studies/quickstart.toml
    """


@cli.command()
@click.argument("study", metavar="STUDY.toml")
@_data
@_option(
    "--trials",
    click.INT,
    "N",
    "Number of trials over all backends; more than before goes on where the study ended.",
)
@_option(
    "--timeout", click.STRING, "S", "Limit for the whole command: seconds, or text such as 90s, 10m, 1h."
)
@_option("--backends", click.STRING, "A,B", "Model families to search: sklearn, xgboost, keras.")
@_option(
    "--n-jobs",
    click.IntRange(min=-1),
    "N",
    "Trials at a time, each in a process of its own; -1 for one on every core. Changes no trial.",
)
@_option("--seed", click.INT, "N", "Seed of every random choice.")
@click.option("--fresh", is_flag=True, help="Start over, even where the study is finished or begun.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors and warnings.")
@_json
def tune(
    study: str,
    data: str | None,
    n_jobs: int | None,
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
        loaded = _study(study, data, search)
        from autoreg import tuner

        result = tuner.tune(loaded, fresh=fresh, watch=watch, n_jobs=1 if n_jobs is None else n_jobs)
    record = result.as_json()
    if not quiet:
        click.echo("\n" + redact(describe_result(record, where_to_look(record))), err=True)
    _write(record, json)


@cli.command()
@click.argument("study", metavar="STUDY.toml")
@_data
@_json
def validate(study: str, data: str | None, json: str | None) -> None:
    """Print what a study would run, without running it."""
    quiet_libraries()
    with words_only():
        loaded = _study(study, data, {})
        from autoreg import tuner

        record = plan_record(loaded, tuner.plan(loaded))
    _report(redact(describe_plan(record)), record, json)


@cli.command()
@click.argument("model_uri")
@click.argument("source", metavar="IN")
@click.argument("out", metavar="OUT")
def predict(model_uri: str, source: str, out: str) -> None:
    """Predict the rows of a table with a registered model.

    MODEL_URI is models:/NAME@champion, models:/NAME/VERSION or a folder. IN is a CSV or Parquet file with the columns
    of the training data, in any order. OUT ends in .csv or .parquet, or is - for CSV on stdout; it gets one row for
    each row of IN, in the same order.
    """
    quiet_libraries()
    write = _writer(out)
    with words_only():
        frame = _read_rows(source)
        from autoreg.registry import load_package

        package = load_package(model_uri)
        missing = [column for column in package.columns if column not in frame.columns]
        if missing:
            shown = ", ".join(map(repr, missing[:5])) + (
                f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            )
            raise DataError(
                f"{source}: {counted(len(missing), 'column')} missing: {shown}; the model needs {counted(len(package.columns), 'column')}, and the file has {len(frame.columns)}"
            )
        try:
            predictions = package.predict(frame)
        except ValueError as error:
            raise DataError(one_line(f"IN: {source}: {error}")) from error
    write(predictions)
    if out != "-":
        click.echo(f"{counted(len(predictions), 'row')} predicted, written to {out}", err=True)


@cli.command()
@click.argument("study", metavar="STUDY|RUN_ID|STUDY.toml")
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="How many of the best trials to list.",
)
@_json
def show(study: str, top: int, json: str | None) -> None:
    """Show a study's result and its best trials, as MLflow has them.

    With --json, the object holds every trial.
    """
    quiet_libraries()
    with words_only():
        if study.endswith(".toml"):
            from autoreg.spec import load_study

            study = load_study(study).name
        from autoreg.ledger import read_summary

        record = read_summary(study)
    _report(redact(describe_summary(record, top, where_to_look(record))), record, json)


@cli.command()
@click.argument("study", metavar="STUDY|RUN_ID")
@click.option(
    "--out", required=True, metavar="FILE", help="Where to write it: .html, .md (model card) or .json."
)
def report(study: str, out: str) -> None:
    """Write a finished study's report again, from what MLflow holds.

    FILE ends in .html for the report (one file, opens without a network), in .md for the model card, or in .json for
    everything the study found.
    """
    quiet_libraries()
    kind = Path(out).suffix.lower()
    if kind not in (".html", ".md", ".json"):
        raise UsageError(f"--out: expected a name that ends in .html, .md or .json; found '{out}'")
    if not Path(out).absolute().parent.is_dir():
        raise UsageError(f"--out: the folder of '{out}' does not exist; create it first")
    with words_only():
        from autoreg.ledger import read_record
        from autoreg.report import model_card, render

        found = read_record(study)
        text = render(found) if kind == ".html" else model_card(found) if kind == ".md" else found.to_json()
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out: cannot write '{out}': {error.strerror or error}") from None
    click.echo(f"written to {out}", err=True)


class Stop(KeyboardInterrupt):
    """A signal asks to stop.

    Of a type of its own: Python ends itself by SIGINT, whatever exit code it is given, once a plain
    KeyboardInterrupt has passed through code run from text, as named tuples and many imports do.
    """


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first SIGTERM or Ctrl-C into ``Interrupted``; a second one ends the process at once.

    The signal is raised as ``KeyboardInterrupt``, which no library on the way swallows as an ordinary error.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        raise Stop

    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not received:
            raise
        name, code = ("Ctrl-C", 130) if received[0] == signal.SIGINT else ("SIGTERM", 143)
        raise Interrupted(
            f"stopped by {name}; finished trials are kept: run the same command again to resume", code
        ) from error
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def where_to_look(record: dict[str, Any]) -> str:
    """The command or the address that shows a study's runs in MLflow."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return "mlflow ui"
    if uri.startswith(("http://", "https://")):
        return redact(
            f"{uri.rstrip('/')}/#/experiments/{record.get('experiment_id')}/runs/{record.get('run_id')}"
        )
    # An address with a password is named and not printed.
    shown = shlex.quote(uri) if redact(uri) == uri else '"$MLFLOW_TRACKING_URI"'
    return f"mlflow ui --backend-store-uri {shown}"


def _study(path: str, data: str | None, search: dict[str, Any]) -> Study:
    """The study file with what the command line says instead."""
    from autoreg.spec import load_study

    study = load_study(path)
    if search.get("backends"):
        from autoreg.backends import BACKENDS

        for name in filter(None, map(str.strip, search["backends"].split(","))):
            if name not in BACKENDS:
                raise UsageError(f"--backends: '{name}' is not a backend{did_you_mean(name, BACKENDS)}")
    try:
        return study.updated(data={"source": _from_here(data)}, search=search)
    except StudyError as error:
        raise UsageError(str(error)) from None  # the file itself was fine


def _from_here(source: str | None) -> str | None:
    """A relative path on the command line starts in the current folder, not in the study file's."""
    if source is None or re.match(r"[A-Za-z][\w+.-]+:", source):
        return source
    return str(Path(source).absolute())


def _report(text: str, record: dict[str, Any], place: str | None) -> None:
    """Words on stdout, where they are the product and can be piped, unless the JSON object goes there."""
    click.echo(text, err=place == "-")
    _write(record, place)


def _write(record: dict[str, Any], place: str | None) -> None:
    if place:
        try:
            write_json(record, place)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"--json: cannot write '{place}': {error.strerror}") from None


def _read_rows(source: str) -> pd.DataFrame:
    """New rows, read as the training data was."""
    from autoreg.data.files import parse_table, read_file

    try:
        frame, _ = parse_table(read_file(source, Path.cwd()), source, ())
    except DataError as error:
        raise DataError(str(error).replace("data.source:", "IN:", 1)) from None
    if frame.empty:
        raise DataError(f"IN: {source} holds no rows")
    return frame.rename(columns=str)


def _writer(out: str) -> Callable[[pd.DataFrame], None]:
    """How to write the predictions; refuses what cannot be written before anything is computed."""
    if out != "-" and not out.lower().endswith((".csv", ".parquet")):
        raise UsageError(
            f"OUT: expected a name that ends in .csv or .parquet, or - for stdout; found '{out}'"
        )
    if out != "-" and not Path(out).absolute().parent.is_dir():
        raise UsageError(f"OUT: the folder of '{out}' does not exist; create it first")

    def write(frame: pd.DataFrame) -> None:
        try:
            if out.lower().endswith(".parquet"):
                frame.to_parquet(out, index=False)
            elif out == "-":
                click.echo(frame.to_csv(index=False), nl=False)
            else:
                frame.to_csv(out, index=False)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"OUT: cannot write '{out}': {error.strerror or error}") from None

    return write
