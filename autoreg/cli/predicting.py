"""The command that applies a registered model to a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoreg.cli.helping import HelpfulCommand
from autoreg.cli.reading import reading
from autoreg.errors import DataError, UsageError
from autoreg.words import counted, one_line

if TYPE_CHECKING:
    import pandas as pd

    from autoreg.serving import Package


@click.command(cls=HelpfulCommand)
@click.argument("model_uri")
@click.argument("source", metavar="IN")
@click.argument("out", metavar="OUT")
def predict(model_uri: str, source: str, out: str) -> None:
    """Predict the rows of a table with a registered model.

    MODEL_URI is models:/NAME@champion, models:/NAME/VERSION or a folder. IN is a CSV or Parquet file with the columns
    of the training data, in any order; for a model of images also an .npz file, an IDX file or a folder of images, whose
    names go into a column `file`. OUT ends in .csv or .parquet, or is - for CSV on stdout; it gets one row for each row
    of IN, in the same order.
    """
    write = _writer(out)
    with reading(recorded=model_uri.startswith("models:/")):
        from autoreg.data.images import form_of

        images = bool(form_of(source, Path.cwd()))
        frame = None if images else _read_rows(source)
        from autoreg.registry import load_package

        package = load_package(model_uri)
        predictions = _of_images(package, source) if frame is None else _of_rows(package, frame, source)
    write(predictions)
    if out != "-":
        click.echo(f"{counted(len(predictions), 'row')} predicted, written to {out}", err=True)


def _of_rows(package: Package, frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Predictions for the rows of a table."""
    missing = [column for column in package.columns if column not in frame.columns]
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (
            f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        )
        raise DataError(
            f"IN: {source}: {counted(len(missing), 'column')} missing: {shown}; add {'it' if len(missing) == 1 else 'them'}, "
            f"with empty cells where a value is not known (the model needs {counted(len(package.columns), 'column')})"
        )
    try:
        return package.predict(frame)
    except ValueError as error:
        raise DataError(one_line(f"IN: {source}: {error}")) from error


def _of_images(package: Package, source: str) -> pd.DataFrame:
    """Predictions for images, with the names of their files where they have such."""
    from autoreg.data.images import read_images

    if package.image is None:
        raise DataError(
            f"IN: {source} holds images, and the model was trained on a table; give a CSV or Parquet file"
        )
    try:
        found = read_images(source, Path.cwd(), package.image, labelled=False)
        predictions = package.predict(found.block)
    except DataError as error:
        told = str(error).replace("data.source:", "IN:", 1)
        raise DataError(told.replace("data.image =", "IN: the model's image shape", 1)) from None
    except ValueError as error:
        raise DataError(one_line(f"IN: {source}: {error}")) from error
    for note in found.notes:
        click.echo(note, err=True)
    if found.files is not None:
        predictions.insert(0, "file", found.files)
    return predictions


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
