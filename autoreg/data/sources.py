"""Where tables come from, by the form of ``data.source``: each as a raw frame, with notes."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pandas as pd

from autoreg.data.files import download, parse_table, read_file
from autoreg.data.images import form_of, read_images
from autoreg.errors import DataError, did_you_mean
from autoreg.secrets import redact, scrub
from autoreg.spec import DataSpec

# These read the user's own files or give no table.
NOT_TABLES = {
    "load_files",
    "load_svmlight_file",
    "load_svmlight_files",
    "load_sample_image",
    "load_sample_images",
}


class Source(NamedTuple):
    """What was read.

    Attributes
    ----------
    frame : pandas.DataFrame
        As read.
    source : str
        Where it came from, without any password.
    notes : list of str
        What was decided while reading.
    image : tuple of int, or None
        Shape of the images whose pixels the features are.
    """

    frame: pd.DataFrame
    source: str
    notes: list[str]
    image: tuple[int, ...] | None


def read_source(spec: DataSpec, folder: Path) -> Source:
    """Read the table a study names.

    Parameters
    ----------
    spec : DataSpec
    folder : Path
        Relative paths start here.

    Raises
    ------
    DataError
        Missing, unreadable, damaged or empty source.
    """
    source = spec.source.strip()
    shown = redact(source)
    kind = re.match(r"(\w[\w+.-]*):", source)
    scheme = kind[1].lower() if kind else ""
    sql = "://" in source and scheme not in ("http", "https", "file")
    if spec.query and not sql:
        raise DataError(
            "data.query is for an SQL source such as 'sqlite:///shop.db'; remove it or change data.source"
        )
    if sql:
        from autoreg.data.sql import read_sql

        return Source(read_sql(source, spec.query, folder), shown, [], spec.image)
    if scheme in ("sklearn", "openml"):
        read = from_sklearn if scheme == "sklearn" else from_openml
        return Source(read(source.partition(":")[2], spec.target), source, [], spec.image)
    if form_of(source, folder):
        found = read_images(source, folder, spec.image)
        return Source(found.frame(spec.target), shown, found.notes, found.shape)
    content = download(source, shown) if scheme in ("http", "https") else read_file(source, folder)
    frame, notes = parse_table(content, shown, tuple(name for name in (spec.id, spec.group) if name))
    return Source(frame, shown, notes, spec.image)


def from_sklearn(text: str, target: str) -> pd.DataFrame:
    """A data set or generator of ``sklearn.datasets``, such as ``load_iris`` or ``make_moons?n_samples=500&noise=.2``.

    Generators get ``random_state=0`` unless another is given. The frame has a column ``target``.
    """
    name, _, query = text.partition("?")
    function = _sklearn_function(name)
    arguments = {key: _value(value) for key, value in parse_qsl(query, keep_blank_values=True)}
    known = inspect.signature(function).parameters
    for key in arguments:
        if key not in known or key in ("return_X_y", "as_frame"):
            usable = [k for k in known if k not in ("return_X_y", "as_frame")]
            raise DataError(
                f"data.source: sklearn:{name} takes no argument '{key}'{did_you_mean(key, usable)}"
            )
    if "random_state" in known:
        arguments.setdefault("random_state", 0)
    if "as_frame" in known:
        arguments["as_frame"] = True
    try:
        return _framed(function(**arguments), f"sklearn:{name}", target)
    except (TypeError, ValueError, OSError) as error:
        raise DataError(f"data.source: sklearn:{name} failed: {scrub(error, ())}") from None


def _sklearn_function(name: str) -> Callable[..., Any]:
    import sklearn.datasets

    known = [n for n in dir(sklearn.datasets) if re.match("(load|make|fetch)_", n) and n not in NOT_TABLES]
    for full in (name, f"load_{name}", f"make_{name}", f"fetch_{name}"):
        if full in known:
            function: Callable[..., Any] = getattr(sklearn.datasets, full)
            return function
    raise DataError(f"data.source: sklearn has no data set '{name}'{did_you_mean(name, known)}")


def _value(text: str) -> int | float | bool | str | None:
    """An argument as the plainest value it spells."""
    named: dict[str, bool | None] = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for cast in (int, float):
        try:
            return cast(text)
        except ValueError:
            continue
    return text


def _framed(result: Any, shown: str, target: str) -> pd.DataFrame:
    """What a function of ``sklearn.datasets`` returned as one frame; generated features are named x0, x1, ..."""
    if isinstance(result, tuple) and len(result) >= 2:
        X, y = result[:2]
        X = X.toarray() if hasattr(X, "toarray") else X
        if getattr(X, "ndim", 0) == 2 and getattr(y, "ndim", 0) == 1 and len(X) == len(y):
            return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]).assign(target=y)
    frame: pd.DataFrame | None = result.get("frame") if hasattr(result, "get") else None
    if frame is None and isinstance(getattr(result, "data", None), pd.DataFrame):
        frame = result.data.assign(target=result.target)
    if frame is None:
        raise DataError(
            f"data.source: {shown} gives no table with one target column; choose another data set"
        )
    found = getattr(result, "target_names", None)
    only = [] if found is None else list(found)
    default = getattr(result.get("target"), "name", None) or (only[0] if len(only) == 1 else None)
    if target == "target" and "target" not in frame.columns and default in frame.columns:
        frame = frame.rename(columns={default: "target"})
    return frame


def from_openml(text: str, target: str) -> pd.DataFrame:
    """A data set of openml.org by name (``adult`` or ``adult?version=2``) or number, kept in scikit-learn's cache."""
    from sklearn.datasets import fetch_openml

    name, _, query = text.strip().partition("?")
    version = dict(parse_qsl(query)).get("version", "active")
    which: dict[str, Any] = (
        {"data_id": int(name)} if name.isdigit() else {"name": name, "version": _value(version)}
    )
    if not name:
        raise DataError("data.source: openml: needs a name or number, such as openml:adult or openml:1590")
    try:
        with warnings.catch_warnings():
            # Several versions of a name are usual there; the active one is taken, or the one that is asked for.
            warnings.filterwarnings("ignore", "(?s).*(version|Version).*", UserWarning)
            # A failed request is told by our own error below.
            warnings.filterwarnings("ignore", "(A network error occurred|Invalid cache)", Warning)
            bunch = fetch_openml(**which, as_frame=True, parser="auto", n_retries=1)
    except (OSError, ValueError) as error:
        raise DataError(f"data.source: openml:{name} cannot be fetched: {scrub(error, ())}") from None
    return _framed(bunch, f"openml:{name}", target)
