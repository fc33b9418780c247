"""Where trials run: in the caller's process, or in worker processes. Workers never touch MLflow or Optuna."""

from autoreg.executor.serial import SerialExecutor
from autoreg.executor.tasks import Done, Executor, Work
from autoreg.executor.workers import WorkerPool, worker_count

__all__ = ["Done", "Executor", "SerialExecutor", "Work", "WorkerPool", "worker_count"]
