"""The errors a user can cause or meet, each with the exit code scripts rely on.

Every message is one line that names the option or column, what was expected, what was found and what to do.
Anything else that escapes is our own bug (exit 70) and is loud.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path


class AutoregError(Exception):
    """Base of all expected errors; its message is one line, whatever the names in it hold.

    Attributes
    ----------
    exit_code : int
        The process exit code of the command-line contract.
    """

    exit_code = 70

    def __init__(self, message: str = "") -> None:
        super().__init__(" ".join("".join(c if c.isprintable() else " " for c in message).split()))


class UsageError(AutoregError):
    """A command line that cannot be understood (exit 64)."""

    exit_code = 64


class StudyError(AutoregError):
    """A study file that cannot be used: missing, unparsable, unknown key, impossible range (exit 65)."""

    exit_code = 65


class DataError(AutoregError):
    """A table that cannot be used: missing, empty, wrong target, one class; or a record or model of another release (exit 65)."""

    exit_code = 65


class NoTrialCompleted(AutoregError):
    """The search ended and no trial completed, so there is nothing to register (exit 65)."""

    exit_code = 65


class Busy(AutoregError):
    """Another driver works on the same study on this host (exit 75, try again)."""

    exit_code = 75


class TrackingUnavailable(AutoregError):
    """The tracking server or its store cannot be reached or written (exit 75, try again)."""

    exit_code = 75


class ClusterUnavailable(AutoregError):
    """The cluster that trials were to run on cannot be reached, is lost, or has no worker (exit 75, try again)."""

    exit_code = 75


class Interrupted(AutoregError):
    """Stopped by Ctrl-C (exit 130) or SIGTERM (exit 143); the study can be resumed."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest known word, or all known words when none is near."""
    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (known: {', '.join(options)})" if options else ""


def near_file(path: Path) -> str:
    """Return ``" (did you mean 'x.toml'?)"`` for a file beside it of nearly that name, else an empty text."""
    beside = (each.name for each in path.parent.glob("*.toml"))
    near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.6)
    return f" (did you mean '{path.with_name(near[0])}'?)" if near else ""


def toml_line(text: str, error: tomllib.TOMLDecodeError) -> str:
    """Return the line that cannot be read, and what is most often wrong with it; empty at the end of the text."""
    found = re.search(r"at line (\d+)", str(error))
    line = text.split("\n")[int(found[1]) - 1].strip() if found else ""
    return f": '{line[:60]}'; a line is key = value, and text stands in quotes" if line else ""
