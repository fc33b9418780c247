"""The record of a study: one Protocol, kept in memory or in MLflow.

MLflow is the only store; a study is resumed by running it again and looking finished trials up here. A trial's run
is written once, when the trial is over, by one thread beside the search. mlflow is imported on construction alone.
"""

from autoreg.ledger.client import environment
from autoreg.ledger.contract import History, Ledger, MemoryLedger, StudyHeader
from autoreg.ledger.files import KEY, keep_files, read_files, run_of_key
from autoreg.ledger.lock import study_lock
from autoreg.ledger.runs import RECORD
from autoreg.ledger.store import MlflowLedger
from autoreg.ledger.summary import StudyTrials, list_studies, read_record, read_summary, read_trials
from autoreg.ledger.view import runs_page

__all__ = [
    "KEY",
    "RECORD",
    "History",
    "Ledger",
    "MemoryLedger",
    "MlflowLedger",
    "StudyHeader",
    "StudyTrials",
    "environment",
    "keep_files",
    "list_studies",
    "read_files",
    "read_record",
    "read_summary",
    "read_trials",
    "run_of_key",
    "runs_page",
    "study_lock",
]
