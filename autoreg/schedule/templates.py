"""The files of every kind of scheduler, one function for each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autoreg.schedule.quoting import cron, kubernetes, systemd, yaml
from autoreg.schedule.texts import CRON_JOB, DAG, WORKFLOW
from autoreg.schedule.when import When

STAMPS = {"day": "%F", "hour": "%FT%H", "minute": "%FT%H%M"}
"""Formats of ``date`` that are the same in one slot of the time table, and differ between two."""
TRACKING = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
"""Words that no shell changes."""


def _filled(text: str, **values: str) -> str:
    """The template with every ``<<name>>`` replaced, once: what is put in is not read again."""
    return re.sub(r"<<(\w+)>>", lambda found: values[found[1]], text)


@dataclass(frozen=True)
class Job:
    """What is to be run, and when.

    Attributes
    ----------
    name : str
        Letters, digits and dashes.
    command : tuple of str
        Program and arguments, but for the key.
    folder : str
        Absolute; where the command runs.
    when : When
    environment : str
        Absolute path of a file of NAME=VALUE lines, or empty.
    secret : str
        Kubernetes Secret with the tracking address and password.
    image : str
    requirement : str
        What pip installs on GitHub's machines.
    hours : float
        After which a run is stopped; the next one resumes it.
    """

    name: str
    command: tuple[str, ...]
    folder: str
    when: When
    environment: str
    secret: str
    image: str
    requirement: str
    hours: float


def cron_files(job: Job) -> dict[str, str]:
    """A crontab of one line."""
    stamp = STAMPS[job.when.slot].replace("%", "\\%")
    known = f"set -a && . {cron(job.environment)} && set +a && " if job.environment else ""
    command = " ".join(map(cron, job.command))
    where = (
        f"# {TRACKING[0]} is read from {job.environment}."
        if job.environment
        else f"# Put a line {TRACKING[0]}=... above it, or the runs go to mlflow.db in the folder below."
    )
    text = f"""\
# Retunes {job.name}, at times of this machine. To add it: (crontab -l; cat autoreg-{job.name}.cron) | crontab -
{where}
# autoreg locks itself: a run that finds another one at work exits 75, and the next time is soon enough.
{job.when.cron} cd {cron(job.folder)} && {known}{command} --key "$(date +{stamp})"
"""
    return {f"autoreg-{job.name}.cron": text}


def systemd_files(job: Job) -> dict[str, str]:
    """A service and its timer."""
    script = f'cd "$1" && shift && exec "$@" --key "$(date -u +{STAMPS[job.when.slot]})"'
    words = ["-c", script, "autoreg-retune", job.folder, *job.command]
    service = f"""\
[Unit]
Description=Retune {job.name} with autoreg
Wants=network-online.target
After=network-online.target
# Five attempts, ten minutes apart.
StartLimitIntervalSec=55min
StartLimitBurst=5

[Service]
Type=exec
EnvironmentFile={job.environment or f"-/etc/autoreg/{job.name}.env"}
ExecStart=/bin/sh {" ".join(map(systemd, words))}
# 75: another run is at work, or the tracking server is away. 64, 65 and 70 would only fail again.
Restart=no
RestartForceExitStatus=75
RestartSec=10min
# Stopped on request; the next run resumes.
SuccessExitStatus=130 143
RuntimeMaxSec={round(job.hours * 3600)}s
TimeoutStopSec=30s
Nice=10
"""
    timer = f"""\
[Unit]
Description=When to retune {job.name}

[Timer]
OnCalendar={job.when.calendar}
# A time that was missed while the machine was off is made up for.
Persistent=true
AccuracySec=1min

[Install]
WantedBy=timers.target
"""
    return {f"autoreg-{job.name}.service": service, f"autoreg-{job.name}.timer": timer}


def k8s_files(job: Job) -> dict[str, str]:
    """A CronJob; its Job's name is the key, which all pods of one slot share."""
    secrets = "".join(
        f"""
                - name: {name}
                  valueFrom:
                    secretKeyRef:
                      name: {yaml(job.secret)}
                      key: {name}
                      optional: {"false" if name == TRACKING[0] else "true"}"""
        for name in TRACKING
    )
    args = "".join(f"\n                - {kubernetes(word)}" for word in job.command)
    text = _filled(
        CRON_JOB,
        secret=job.secret,
        address=TRACKING[0],
        name=job.name,
        schedule=job.when.cron,
        seconds=str(round(job.hours * 3600)),
        image=yaml(job.image),
        args=args,
        secrets=secrets,
    )
    return {f"autoreg-{job.name}.k8s.yaml": text}


def airflow_files(job: Job) -> dict[str, str]:
    """A DAG of one task, for Airflow 2 and 3."""
    key = "{{ ds }}" if job.when.slot == "day" else "{{ ts_nodash }}"
    text = _filled(
        DAG,
        name=job.name,
        command=ascii(list(job.command)),
        folder=ascii(job.folder),
        dag=job.name.replace("-", "_"),
        schedule=job.when.cron,
        hours=f"{job.hours:g}",
        key=key,
    )
    return {f"autoreg_{job.name.replace('-', '_')}.py": text}


def github_files(job: Job) -> dict[str, str]:
    """A workflow; its run's number is the key, which attempts share."""
    odd = {word: f"WORD_{i}" for i, word in enumerate(job.command) if not PLAIN.fullmatch(word)}
    environment = "".join(f"\n          {name}: {yaml(word)}" for word, name in odd.items())
    secrets = "".join(f"\n          {name}: ${{{{ secrets.{name} }}}}" for name in TRACKING)
    command = " ".join(f'"${odd[word]}"' if word in odd else word for word in job.command)
    text = _filled(
        WORKFLOW,
        name=job.name,
        schedule=job.when.cron,
        minutes=str(round(job.hours * 60)),
        requirement=yaml(job.requirement),
        words=environment,
        secrets=secrets,
        address=TRACKING[0],
        command=command,
    )
    return {f".github/workflows/autoreg-{job.name}.yml": text}
