"""What runs in a driver that is to suffer: the real command, with one step that kills it or one backend that does harm.

``run`` is the target of a forked process; ``python fault_child.py SPEC`` is the same from a fresh interpreter.
"""

import json
import os
import resource
import select
import signal
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from autoreg.backends import BACKENDS
from autoreg.backends.linear import LinearBackend
from autoreg.evaluation import fold_seed
from autoreg.ledger import beside
from autoreg.space import derive_seed

CLIENT = ("mlflow", "MlflowClient")
STEPS = {
    "ask": ("autoreg.space", "Proposer", "ask"),
    "tell": ("autoreg.space", "Proposer", "tell"),
    "create_run": (*CLIENT, "create_run"),
    "log_batch": (*CLIENT, "log_batch"),
    "log_artifact": ("mlflow.store.artifact.local_artifact_repo", "LocalArtifactRepository", "log_artifact"),
    "set_tag": (*CLIENT, "set_tag"),
    "set_terminated": (*CLIENT, "set_terminated"),
    "log_model": ("mlflow.models.model", "Model", "log"),
    "register": (*CLIENT, "create_model_version"),
    "alias": (*CLIENT, "set_registered_model_alias"),
}
"""Module, class and method of every step of a study that leaves something behind."""
LATER_STEPS = {
    "log_artifacts": (*CLIENT, "log_artifacts"),
    "version_tag": (*CLIENT, "set_model_version_tag"),
    "model_tag": (*CLIENT, "set_registered_model_tag"),
}
"""The same of a retune, after its study."""


def run(spec):
    """Be the command line, in the folder, environment and trouble of the spec."""
    os.chdir(spec["cwd"])
    os.environ.update(spec["env"])
    for stream, place in ((sys.stdout, spec["out"]), (sys.stderr, spec["err"])):
        stream.flush()
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, stream.fileno() if stream in (sys.__stdout__, sys.__stderr__) else 1)
        os.close(descriptor)
    sys.argv = ["autoreg", *spec["argv"]]
    if spec.get("step"):
        _deadly(*spec["step"])
    if spec.get("backend"):
        BACKENDS["sklearn"] = f"fault_child:{spec['backend']}"
    if spec.get("beside"):
        beside.AFTER = beside.SHARE = beside.BUSY = 0
    if spec.get("file_size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (spec["file_size"], resource.RLIM_INFINITY))
    from autoreg.__main__ import main

    sys.exit(main(spec["argv"]))


def _deadly(name, call, after):
    """Kill the process at the so-many-th call of a step, before it has happened or when nobody knows it has."""
    module, holder, method = (STEPS | LATER_STEPS)[name]
    target = getattr(import_module(module), holder)
    real, calls = getattr(target, method), []

    def step(*args, **options):
        calls.append(name)
        deadly = len(calls) == call
        if deadly and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = real.__func__(*args, **options) if hasattr(real, "__func__") else real(*args, **options)
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(target, method, classmethod(step) if hasattr(real, "__func__") else step)


def _seeds(trial):
    """Seeds of the fits of a trial in the search (seed 3, at most ten folds)."""
    return {fold_seed(derive_seed(3, "sklearn", trial, "fit"), fold) for fold in range(10)}


class Slow(LinearBackend):
    """The linear models, each fit after a pause, noted with its process."""

    def fit(self, jobs, in_time=lambda: True):
        for job in jobs:
            self.happens(job)
        return super().fit(jobs, in_time)

    def happens(self, job):
        if os.environ.get("FAULT_NOTES"):
            with open(os.environ["FAULT_NOTES"], "a") as file:
                file.write(f"{job.seed} {os.getpid()}\n")
        # Not time.sleep: it waits for a moment of the steady clock, which libfaketime shifts even if told not to.
        select.select([], [], [], float(os.environ.get("FAULT_PAUSE", "0")))


class Poison(Slow):
    """One trial ends whatever process tries it."""

    def happens(self, job):
        super().happens(job)
        if job.seed in _seeds(int(os.environ["FAULT_TRIAL"])):
            # A process that dies by a segmentation fault at an address would leave a dump as well; the signal is the same.
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            os.kill(os.getpid(), getattr(signal, os.environ["FAULT_SIGNAL"]))


class _Blown:
    """A fitted model whose predictions are one value everywhere."""

    def __init__(self, member, value):
        self.member, self.value = member, value

    def predict(self, X):
        return np.full_like(self.member.predict(X), self.value)


class Blown(LinearBackend):
    """Some trials predict what is not a number."""

    values = {4: np.nan, 5: np.inf, 6: -np.inf}  # noqa: RUF012, never changed

    def fit(self, jobs, in_time=lambda: True):
        found = super().fit(jobs, in_time)
        for i, job in enumerate(jobs):
            for trial, value in self.values.items():
                if job.seed in _seeds(trial):
                    found[i] = replace(found[i], member=_Blown(found[i].member, value))
        return found


def register_many(folder, uri, who, count, barrier):
    """Register the winner of the study in a store so many times, each as a version of its own, together with a twin."""
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = uri
    from sklearn.datasets import load_iris

    from autoreg.quiet import quiet_libraries
    from autoreg.registry import Registration, load_package, register
    from autoreg.tracking import quiet_client

    quiet_libraries()
    package = load_package("models:/faults/1")
    run_id = quiet_client().get_model_version("faults", "1").run_id
    example = load_iris(as_frame=True).data.head(3)
    for i in range(count):
        barrier.wait(300)
        tags = {"autoreg.uid": f"{who}-{i}"}
        register(package, Registration("twins", "champion", run_id, example, tags, f"by {who}"))


if __name__ == "__main__":
    # By its module's name, under which workers find the backends, too.
    import_module("fault_child").run(json.loads(Path(sys.argv[1]).read_text()))
