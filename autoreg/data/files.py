"""Tables from files and web addresses: CSV and Parquet, gzipped or not."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import os
import re
import select
import stat
import urllib.request
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import pandas as pd

from autoreg.errors import DataError, did_you_mean
from autoreg.secrets import expand, scrub

SECONDS = 60.0
PIPE_SECONDS = 60.0
"""How long a pipe may say nothing: nobody may ever write into it."""
DELIMITERS = ",;\t|"
T = TypeVar("T")


def local(source: str, folder: Path) -> Path:
    """Path of a source, relative to ``folder``.

    Raises
    ------
    DataError
        No path at all, or the home folder of somebody who has none.
    """
    if "\0" in source:
        raise DataError("data.source: a path cannot hold the character NUL; remove it")
    try:
        return folder / Path(source.removeprefix("file://")).expanduser()
    except RuntimeError:
        raise DataError(
            f"data.source: '{source:.200}' starts in a home folder that is not known; give the whole path"
        ) from None


def read_file(source: str, folder: Path) -> bytes:
    """The bytes of a file or a pipe, relative to ``folder``.

    Raises
    ------
    DataError
        Missing or unreadable; a device or a socket, which may never end; a pipe that says nothing for a minute.
    """
    path = local(source, folder)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.read_bytes()
        if stat.S_ISFIFO(mode):
            return _from_pipe(path)
    except FileNotFoundError:
        near = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, near).partition(" (known")[0]
        raise DataError(f"data.source: file '{path}' does not exist{hint}") from None
    except OSError as error:
        raise DataError(f"data.source: file '{path!s:.200}' cannot be read: {error.strerror}") from None
    raise DataError(f"data.source: file '{path}' is a device or a socket; expected a file of rows")


def _from_pipe(path: Path) -> bytes:
    """Everything that is written into a pipe until its writers close it."""
    content = bytearray()
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # or opening waits for a writer
    try:
        waiting = select.poll()
        waiting.register(pipe, select.POLLIN)
        while waiting.poll(PIPE_SECONDS * 1000):
            part = os.read(pipe, 1 << 20)
            if not part:
                return bytes(content)
            content += part
    finally:
        os.close(pipe)
    raise DataError(
        f"data.source: no data came through the pipe '{path}' for {PIPE_SECONDS:g} s; write into it, or give a file"
    )


def download(source: str, shown: str) -> bytes:
    """The bytes behind an http(s) address; user and password go into a header, never into a message."""
    full, secrets = expand(source)
    try:
        with urllib.request.urlopen(_request(full), timeout=SECONDS) as answer:
            return bytes(answer.read())
    except (OSError, ValueError) as error:  # URLError, HTTPError and timeouts are OSErrors
        reason = scrub(getattr(error, "reason", None) or error, secrets)
        code = getattr(error, "code", None)
    raise DataError(f"data.source: {shown} cannot be downloaded: {f'HTTP {code} ' if code else ''}{reason}")


def _request(full: str) -> urllib.request.Request:
    parts = urlsplit(full)
    user, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host, fragment="")))
    if user:
        token = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def parse_table(content: bytes, shown: str, as_text: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    """A frame from the bytes of a CSV or Parquet file (told apart by content), and what was decided.

    Parameters
    ----------
    content : bytes
    shown : str
        Name of the source for messages.
    as_text : tuple of str
        Columns of a CSV file to read as text, so that the key 007 stays 007.

    Raises
    ------
    DataError
        Empty, cut off, not UTF-8, or neither CSV nor Parquet.
    """
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"data.source: {shown} is a damaged gzip file: {error}") from None
    if content.startswith(b"PAR1"):
        return _parquet(content, shown), []
    if content.startswith(b"PK\x03\x04") or b"\x00" in content[:10_000]:
        raise DataError(
            f"data.source: {shown} is neither CSV nor Parquet; export it as one of these, in UTF-8"
        )
    return _csv(content, shown, as_text)


def _parquet(content: bytes, shown: str) -> pd.DataFrame:
    from pyarrow.parquet import read_schema

    check_names(_whole(lambda: read_schema(io.BytesIO(content)).names, shown))
    frame = _whole(lambda: pd.read_parquet(io.BytesIO(content), page_checksum_verification=True), shown)
    return (
        frame
        if isinstance(frame.index, pd.RangeIndex)
        else frame.reset_index(drop=frame.index.names == [None])
    )


def _whole(read: Callable[[], T], shown: str) -> T:
    """What is read, where the file is not damaged."""
    try:
        return read()
    except Exception as error:  # damaged bytes lead pyarrow and pandas anywhere, from KeyError to MemoryError
        raise DataError(f"data.source: {shown} is a damaged Parquet file: {scrub(error, ())}") from None


def _csv(content: bytes, shown: str, as_text: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    text = _decode(content, shown)
    if not text.strip():
        raise DataError(f"data.source: {shown} is empty; a header line and rows are expected")
    start = text.lstrip("\r\n")
    start = start if "\n" in start else start.replace("\r", "\n")
    delimiter, header = _header(start, shown)
    comma = delimiter == ";" and re.search(r"(^|;)-?\d+,\d+(;|$)", start[:100_000], re.MULTILINE) is not None
    check_names([name for name in header if name])  # pandas counts the others
    try:
        with warnings.catch_warnings():
            # Rows longer than the header would lose their ends behind a mere warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(start),
                sep=delimiter,
                decimal="," if comma else ".",
                index_col=False,
                low_memory=False,
                dtype=dict.fromkeys((name for name in as_text if name in header), str),
                **_exactly(),
            )
    except pd.errors.ParserWarning:
        raise DataError(
            f"data.source: {shown} has rows with more fields than its {len(header)} column names; repair the header"
        ) from None
    except ValueError as error:  # ParserError and EmptyDataError are ValueErrors
        reason = scrub(error, ()).removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"data.source: {shown} is a damaged CSV file: {reason}") from None
    _check_fields(start, frame, header, delimiter, shown)
    name = {"\t": "tab"}.get(delimiter, delimiter)
    told = f"fields are separated by '{name}'" + (", decimals written with a comma" if comma else "")
    return frame, [] if delimiter == "," else [told]


def _exactly() -> dict[str, Any]:
    """Numbers as they are written, to the last bit: before 3.1 pandas has to be asked, later it must not be."""
    older = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)
    return {"float_precision": "round_trip"} if older else {}


def _header(text: str, shown: str) -> tuple[str, list[str]]:
    """The separator that finds most column names, and these."""
    try:
        found = [(d, next(csv.reader(io.StringIO(text), delimiter=d))) for d in DELIMITERS]
    except csv.Error:
        raise DataError(f"data.source: {shown} is a damaged CSV file: a quote in line 1 never ends") from None
    return max(found, key=lambda pair: len(pair[1]))  # of equals the first, a comma


def _decode(content: bytes, shown: str) -> str:
    if (place := content.find(b"\0")) >= 0:  # what a crash leaves of a file that was being written
        line = content[:place].count(b"\n") + 1
        raise DataError(f"data.source: {shown} is damaged: line {line} holds a NUL byte; get the whole file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"data.source: {shown} is not UTF-8 text (line {line}); save it as UTF-8") from None


def check_names(names: list[str]) -> None:
    """Refuse two columns of one name: readers would rename one of them behind the user's back.

    Raises
    ------
    DataError
        Names the column.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"data.source: column '{name}' occurs twice; rename one of them")
        seen.add(name)


def _check_fields(text: str, frame: pd.DataFrame, header: list[str], delimiter: str, shown: str) -> None:
    """Refuse rows with too few fields, which the parser fills up silently: half a file must not pass for a whole.

    Short rows leave the last column empty, so only then, or where the last line is open, is every row counted.
    """
    if text.endswith("\n") and not (len(frame) and frame.iloc[:, -1].isna().any()):
        return
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        for row in reader:
            if len(row) != len(header) and "".join(row).strip():
                raise DataError(
                    f"data.source: {shown} is cut off or damaged: line {reader.line_num} has {len(row)} of "
                    f"{len(header)} fields; get the whole file"
                )
    except csv.Error:  # a field beyond 128 KiB; it has been parsed above, and long text is no damage
        return
