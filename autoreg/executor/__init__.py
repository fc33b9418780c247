"""Where trials run: in the caller's process, in worker processes, or on a cluster. Workers never touch MLflow or Optuna."""

from autoreg.executor.engine import Engine, EngineName
from autoreg.executor.process import worker_count
from autoreg.executor.serial import SerialExecutor
from autoreg.executor.tasks import Done, Executor, Work
from autoreg.executor.workers import WorkerPool

__all__ = ["Done", "Engine", "EngineName", "Executor", "SerialExecutor", "Work", "WorkerPool", "worker_count"]
