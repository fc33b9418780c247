"""Runs a bad table through the real command, ``autoreg.tune`` or an estimator, and judges what came of it."""

import contextlib
import io
import json
import os
import signal
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bad_tables import Case, good, study

HUNG_AFTER = 900
PIPE_SECONDS = 2.0
MOST_LINES, MOST_LETTERS = 40, 1200
# Python shows none of these to users.
HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
PADDING = "invalid value encountered in matmul"  # see pyproject.toml


class Hung(BaseException):
    """The case did not end; no ``except Exception`` may hide it."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes
    ----------
    ending : {"works", "refused", "failed"}
        "failed" is anything that the contract does not allow.
    line : str
        The refusal, or what went wrong.
    said : str
        Everything that was said.
    """

    ending: str
    line: str
    seconds: float
    said: str = ""

    def wrong(self, case: Case) -> str:
        """How the outcome differs from the expected one; empty where it does not."""
        if self.ending == "failed":
            return self.line
        if self.ending == "refused":
            known = case.refused and case.refused in self.line
            return "" if known else f"refused, expected {case.refused or 'to work'!r}: {self.line}"
        if case.refused:
            return f"works, expected to be refused: {case.refused!r}"
        return "" if case.note in self.said else f"works without a word of {case.note!r}: {self.said}"


def run(case: Case, backend: str, folder: Path) -> Outcome:
    """Run a case in an empty folder with the tracking store of ``MLFLOW_TRACKING_URI``."""
    name = f"{case.name}-{backend}"
    began = time.perf_counter()
    before = signal.signal(signal.SIGALRM, _hung)
    signal.alarm(HUNG_AFTER)
    heard = io.StringIO()
    try:
        with warnings.catch_warnings(record=True) as shown, contextlib.redirect_stderr(heard):
            warnings.simplefilter("default")
            made = case.make(good(case.task), folder)
            ending, line = {"command": _command, "tune": _tune, "fit": _fit}[case.way](
                case, name, made, backend, folder
            )
    except Hung:
        ending, line = "failed", "hangs"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    said = heard.getvalue()
    complaint = _storm(said, shown) or (_left_behind(name, ending) if case.way != "fit" else "")
    if ending != "failed" and complaint:
        ending, line = "failed", f"{complaint} (else: {ending}: {line})"
    return Outcome(ending, line, time.perf_counter() - began, said)


def _hung(*_: Any) -> None:
    raise Hung


def _command(case: Case, name: str, source: str, backend: str, folder: Path) -> tuple[str, str]:
    """``autoreg tune``, then ``autoreg predict`` of the same rows."""
    from autoreg.__main__ import main

    (folder / "study.toml").write_text(study(case, name, source, backend), encoding="utf-8")
    code, told = _said(main, ["tune", str(folder / "study.toml"), "--json", str(folder / "out.json")])
    if code == 65:
        lines = [line for line in told.splitlines() if not line.startswith("[")]
        one = len(lines) == 1 and lines[0].startswith("autoreg: ") and len(lines[0]) <= MOST_LETTERS
        return ("refused", lines[0]) if one else ("failed", f"not one line: {told}")
    if code:
        return "failed", f"exit {code}: {told[-1500:]}"
    model = json.loads((folder / "out.json").read_text(encoding="utf-8"))["model"]
    if case.rows or "query" in case.options:
        return _finite(_of_package(model["uri"], (case.rows or (lambda t: t))(good(case.task))))
    code, told = _said(main, ["predict", model["uri"], source, str(folder / "out.csv")])
    return _finite(pd.read_csv(folder / "out.csv")) if code == 0 else ("failed", f"predict: {told[-1500:]}")


def _said(main: Any, args: list[str]) -> tuple[int, str]:
    """The exit code, and what went to stderr, which is passed on."""
    import sys

    heard = io.StringIO()
    with contextlib.redirect_stderr(heard):
        code = main(args)
    sys.stderr.write(heard.getvalue())
    return code, heard.getvalue()


def _tune(case: Case, name: str, frame: pd.DataFrame, backend: str, folder: Path) -> tuple[str, str]:
    import sys

    import autoreg
    from autoreg.console import PlainWatch
    from autoreg.errors import AutoregError

    (folder / "study.toml").write_text(study(case, name, "frame", backend), encoding="utf-8")
    try:
        result = autoreg.tuner.tune(folder / "study.toml", frame, watch=PlainWatch())
    except AutoregError as error:
        told = str(error)
        fine = error.exit_code == 65 and "\n" not in told
        return ("refused" if fine else "failed"), told
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    sys.stderr.flush()
    return _finite(_of_package(result.report["model"]["uri"], frame))


def _fit(case: Case, name: str, given: tuple[Any, ...], backend: str, folder: Path) -> tuple[str, str]:
    """An estimator; what it raises may have several lines, as scikit-learn's own errors have."""
    from autoreg import AutoRegClassifier, AutoRegRegressor

    X, y, more = (*given, {})[:3]
    kind = AutoRegRegressor if case.task == "regression" else AutoRegClassifier
    model = kind(trials=3, timeout=300, backends=[backend], tracking="off", random_state=0)
    try:
        model.fit(X, y, **more)
        out = pd.DataFrame({"prediction": model.predict(X)})
        if case.task != "regression":
            out = out.join(pd.DataFrame(model.predict_proba(X)).add_prefix("probability_"))
    except (ValueError, TypeError) as error:
        return "refused", f"{type(error).__name__}: {error}"
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    return _finite(out)


def _of_package(uri: str, frame: pd.DataFrame) -> pd.DataFrame:
    from autoreg.registry import load_package

    return load_package(uri).predict(frame.rename(columns=str))


def _finite(out: pd.DataFrame) -> tuple[str, str]:
    numbers = out.filter(regex="^probability_") if "probability" in "".join(out.columns) else out
    values = numbers.to_numpy(np.float64)
    if len(values) and values.size and np.isfinite(values).all():
        return "works", ""
    return "failed", f"predictions are not finite or none: {values[:3].tolist()}"


def _storm(said: str, shown: list[Any]) -> str:
    """What is too much: warnings of libraries, tracebacks, many lines, long lines."""
    loud = [w for w in shown if not issubclass(w.category, HIDDEN) and PADDING not in str(w.message)]
    if loud:
        return f"{len(loud)} warnings: {loud[0].filename}:{loud[0].lineno}: {loud[0].message!s:.200}"
    if "Traceback (most recent call last)" in said:
        return "a traceback"
    lines = said.splitlines()
    if len(lines) > MOST_LINES:
        return f"{len(lines)} lines"
    long = max(map(len, lines), default=0)
    return f"a line of {long} letters" if long > MOST_LETTERS else ""


def _left_behind(name: str, ending: str) -> str:
    """A run that still runs, a version after a refusal, or none or several after a success."""
    from autoreg.tracking import quiet_client

    client = quiet_client()
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        active = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
        if active:
            return f"{len(active)} runs are left RUNNING"
    versions = client.search_model_versions(f"name = '{name}'")
    wanted = int(ending == "works")
    return "" if ending == "failed" or len(versions) == wanted else f"{len(versions)} versions, not {wanted}"


@contextlib.contextmanager
def at_home(folder: Path, store: Path):
    """Work in a folder with a tracking store, and wait a short time for pipes."""
    from unittest import mock

    from autoreg.data import files

    before = os.getcwd()
    os.chdir(folder)
    try:
        with (
            mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}),
            mock.patch.object(files, "PIPE_SECONDS", PIPE_SECONDS, create=True),
        ):
            yield
    finally:
        os.chdir(before)
