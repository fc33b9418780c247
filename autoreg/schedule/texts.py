"""The longer files; ``<<name>>`` is filled in."""

CRON_JOB = """\
# kubectl create secret generic <<secret>> --from-literal=<<address>>=https://... (and _USERNAME, _PASSWORD)
apiVersion: batch/v1
kind: CronJob
metadata:
  name: autoreg-<<name>>
  labels:
    app.kubernetes.io/name: autoreg
spec:
  schedule: "<<schedule>>"
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      # Pods that end with 75 (busy, or the tracking server is away) are tried again after 10, 20, 40, ... seconds.
      backoffLimit: 8
      activeDeadlineSeconds: <<seconds>>
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
              image: <<image>>
              command:<<args>>
                - --key
                - $(AUTOREG_KEY)
              env:
                - name: AUTOREG_KEY
                  valueFrom:
                    fieldRef:
                      fieldPath: metadata.labels['job-name']<<secrets>>
              resources:
                requests:
                  cpu: "2"
                  memory: 4Gi
              securityContext:
                allowPrivilegeEscalation: false
"""

DAG = '''\
"""Retunes <<name>> with autoreg; the worker's own environment names the tracking server."""

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

COMMAND = <<command>>
FOLDER = <<folder>>
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
        raise AirflowFailException(f"autoreg ended with exit code {code}; trying again would not help")


with DAG(
    dag_id="autoreg_<<dag>>",
    schedule="<<schedule>>",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 6,
        "retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours=<<hours>>),
    },
):
    PythonOperator(task_id="retune", python_callable=retune, op_kwargs={"key": "<<key>>"})
'''

WORKFLOW = """\
name: Retune <<name>>

on:
  schedule:
    - cron: "<<schedule>>"
  workflow_dispatch:

permissions:
  contents: read

concurrency:
  group: autoreg-<<name>>
  cancel-in-progress: false

jobs:
  retune:
    runs-on: ubuntu-latest
    timeout-minutes: <<minutes>>
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install "$REQUIREMENT"
        env:
          REQUIREMENT: <<requirement>>
      - name: Retune, and wait where another run is at work or the tracking server is away
        env:
          KEY: github-${{ github.run_id }}<<words>><<secrets>>
        run: |
          test -n "$<<address>>" || { echo "set the secret <<address>> of this repository"; exit 64; }
          for pause in 0 600 1200; do
            sleep "$pause"
            code=0
            <<command>> --key "$KEY" || code=$?
            test "$code" = 75 || exit "$code"
          done
          exit 75
"""
