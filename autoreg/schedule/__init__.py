"""Files for schedulers: each runs ``autoreg retune STUDY --key SLOT --json -`` and tries again on exit code 75 alone.

Pure: nothing is written or installed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from autoreg.errors import UsageError, did_you_mean
from autoreg.schedule.quoting import plain, slug
from autoreg.schedule.templates import (
    Job,
    airflow_files,
    cron_files,
    github_files,
    k8s_files,
    systemd_files,
)
from autoreg.schedule.when import When, read_when

__all__ = ["KINDS", "When", "files", "read_when"]

KINDS = {
    "cron": cron_files,
    "systemd": systemd_files,
    "k8s": k8s_files,
    "airflow": airflow_files,
    "github": github_files,
}
WEEKLY = "0 3 * * 1"
HERE = ("cron", "systemd", "airflow")
"""Kinds that run on machines where the study file has an absolute path."""


def files(
    study: str,
    kind: str,
    at: str = WEEKLY,
    options: Sequence[str] = (),
    *,
    program: str = "autoreg",
    folder: str = "",
    environment: str = "",
    secret: str = "autoreg-tracking",
    image: str = "autoreg:latest",
    requirement: str = "autoreg",
    hours: float = 6.0,
) -> dict[str, str]:
    """What to give a scheduler so that it retunes a study.

    The key names the slot of the time table: the date (with hour and minute where it comes more than once a day),
    the Job of Kubernetes, the run of GitHub. Attempts of one slot share it.

    Parameters
    ----------
    study : str
        Path of the study file, or ``models:/NAME@ALIAS``; for k8s in the image, for github in the repository.
    kind : {"cron", "systemd", "k8s", "airflow", "github"}
    at : str
        Five fields of cron, or a macro; UTC, but for cron, which goes by its machine's clock.
    options : sequence of str
        Further arguments of ``autoreg retune``.
    program : str
        The program, best with its full path for cron and systemd.
    folder : str
        Where the command runs (cron, systemd, airflow); the current folder when left out.
    environment : str
        File of NAME=VALUE lines with MLFLOW_TRACKING_URI and, if need be, its password (cron, systemd).
    secret, image : str
        Kubernetes: name of the Secret with the same, and the image.
    requirement : str
        GitHub: what pip installs, such as ``.`` where the repository is the package.
    hours : float
        A run is stopped after that long; the next one resumes it.

    Returns
    -------
    dict of str to str
        Text by path.

    Raises
    ------
    UsageError
        Unknown kind, unreadable time table, or a text that no such file can hold.
    """
    if kind not in KINDS:
        raise UsageError(f"--for: '{kind}' is not a scheduler{did_you_mean(kind, KINDS)}")
    if not 0.1 <= hours <= 10_000:
        raise UsageError(f"--hours: expected .1 to 10000, found {hours:g}")
    for option in options:
        if re.match(r"--(key|json)(=|$)", option):
            raise UsageError(f"'{option}' is set by the schedule itself; leave it out")
    study = plain("STUDY", study)
    named = re.sub(r"^models:/+", "", study)
    stem = os.path.basename(named.rstrip("/")).removesuffix(".toml")
    place = _place(study, kind)
    command = (
        plain("--program", program),
        "retune",
        place,
        *(plain("option", o) for o in options),
        "--json",
        "-",
    )
    _no_expressions(kind, command)
    job = Job(
        slug(stem or "study"), command, plain("--folder", os.path.abspath(folder or os.getcwd())), read_when(at),
        _environment(environment), _secret(secret), plain("--image", image), plain("--requirement", requirement), hours,
    )  # fmt: skip
    return KINDS[kind](job)


def _place(study: str, kind: str) -> str:
    """The study as the command names it: never taken for an option."""
    if study.startswith("models:/"):
        return study
    if kind in HERE:
        return os.path.abspath(study)
    return f"./{study}" if study.startswith("-") else study


def _no_expressions(kind: str, words: Sequence[str]) -> None:
    for word in words:
        if kind == "github" and "${{" in word:
            raise UsageError(f"{word!r:.80}: GitHub would take '${{{{' for an expression; rename it")


def _environment(path: str) -> str:
    if path and not re.fullmatch(r"/[\w./@+-]*", path, re.ASCII):
        raise UsageError(
            f"--environment: expected an absolute path of letters, digits and ._@+-, found {path!r:.80}"
        )
    return path


def _secret(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name):
        raise UsageError(
            f"--secret: expected the name of a Secret (lower-case letters, digits, dots, dashes), found {name!r:.80}"
        )
    return name
