"""The files themselves, one function for each kind of scheduler."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autoreg.schedule.quoting import cron, kubernetes, systemd, yaml
from autoreg.schedule.when import When

STAMPS = {"day": "%F", "hour": "%FT%H", "minute": "%FT%H%M"}
"""Formats of ``date`` that are the same in one slot of the time table, and differ between two."""
TRACKING = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
"""Words that no shell changes."""


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
    text = f"""\
# kubectl create secret generic {job.secret} --from-literal={TRACKING[0]}=https://... (and _USERNAME, _PASSWORD)
apiVersion: batch/v1
kind: CronJob
metadata:
  name: autoreg-{job.name}
  labels:
    app.kubernetes.io/name: autoreg
spec:
  schedule: "{job.when.cron}"
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      # Pods that end with 75 (busy, or the tracking server is away) are tried again after 10, 20, 40, ... seconds.
      backoffLimit: 8
      activeDeadlineSeconds: {round(job.hours * 3600)}
      podFailurePolicy:
        rules:
          - action: FailJob
            onExitCodes:
              containerName: autoreg
              operator: In
              values: [64, 65, 70]
          - action: Count
            onExitCodes:
              containerName: autoreg
              operator: In
              values: [75]
          - action: Ignore
            onPodConditions:
              - type: DisruptionTarget
      template:
        metadata:
          labels:
            app.kubernetes.io/name: autoreg
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          terminationGracePeriodSeconds: 30
          containers:
            - name: autoreg
              image: {yaml(job.image)}
              command:{args}
                - --key
                - $(AUTOREG_KEY)
              env:
                - name: AUTOREG_KEY
                  valueFrom:
                    fieldRef:
                      fieldPath: metadata.labels['job-name']{secrets}
              resources:
                requests:
                  cpu: "2"
                  memory: 4Gi
              securityContext:
                allowPrivilegeEscalation: false
"""
    return {f"autoreg-{job.name}.k8s.yaml": text}


def airflow_files(job: Job) -> dict[str, str]:
    """A DAG of one task, for Airflow 2 and 3."""
    key = "{{ ds }}" if job.when.slot == "day" else "{{ ts_nodash }}"
    text = f'''\
"""Retunes {job.name} with autoreg; the worker's own environment names the tracking server."""

import subprocess
from datetime import datetime, timedelta, timezone

try:
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.python import PythonOperator
try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
except ImportError:
    from airflow.exceptions import AirflowException, AirflowFailException

COMMAND = {list(job.command)!a}
FOLDER = {job.folder!a}
TRY_AGAIN = 75


def retune(key):
    with subprocess.Popen([*COMMAND, "--key", key], cwd=FOLDER) as process:
        try:
            code = process.wait()
        except BaseException:
            process.terminate()  # autoreg stops within 25 seconds and can be resumed
            process.wait(timeout=30)
            raise
    if code == TRY_AGAIN:
        raise AirflowException("another run is at work, or the tracking server is away (exit code 75)")
    if code:
        raise AirflowFailException(f"autoreg ended with exit code {{code}}; trying again would not help")


with DAG(
    dag_id="autoreg_{job.name.replace("-", "_")}",
    schedule="{job.when.cron}",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={{
        "retries": 6,
        "retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours={job.hours:g}),
    }},
):
    PythonOperator(task_id="retune", python_callable=retune, op_kwargs={{"key": "{key}"}})
'''
    return {f"autoreg_{job.name.replace('-', '_')}.py": text}


def github_files(job: Job) -> dict[str, str]:
    """A workflow; its run's number is the key, which attempts share."""
    odd = {word: f"WORD_{i}" for i, word in enumerate(job.command) if not PLAIN.fullmatch(word)}
    environment = "".join(f"\n          {name}: {yaml(word)}" for word, name in odd.items())
    secrets = "".join(f"\n          {name}: ${{{{ secrets.{name} }}}}" for name in TRACKING)
    command = " ".join(f'"${odd[word]}"' if word in odd else word for word in job.command)
    text = f"""\
name: Retune {job.name}

on:
  schedule:
    - cron: "{job.when.cron}"
  workflow_dispatch:

permissions:
  contents: read

concurrency:
  group: autoreg-{job.name}
  cancel-in-progress: false

jobs:
  retune:
    runs-on: ubuntu-latest
    timeout-minutes: {round(job.hours * 60)}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install "$REQUIREMENT"
        env:
          REQUIREMENT: {yaml(job.requirement)}
      - name: Retune, and wait where another run is at work or the tracking server is away
        env:
          KEY: github-${{{{ github.run_id }}}}{environment}{secrets}
        run: |
          test -n "${TRACKING[0]}" || {{ echo "set the secret {TRACKING[0]} of this repository"; exit 64; }}
          for pause in 0 600 1200; do
            sleep "$pause"
            code=0
            {command} --key "$KEY" || code=$?
            test "$code" = 75 || exit "$code"
          done
          exit 75
"""
    return {f".github/workflows/autoreg-{job.name}.yml": text}
