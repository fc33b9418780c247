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
from autoreg.ledger.summary import read_record, read_summary

__all__ = [
    "KEY",
    "RECORD",
    "History",
    "Ledger",
    "MemoryLedger",
    "MlflowLedger",
    "StudyHeader",
    "environment",
    "keep_files",
    "read_files",
    "read_record",
    "read_summary",
    "run_of_key",
    "study_lock",
]
