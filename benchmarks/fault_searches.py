"""Faults inside one process: losses that are no numbers, a search that dies at any call.

The search, the sampler and the racing are the real ones; a trial's real result is computed once and remembered, so that
hundreds of crashed and resumed searches take seconds.
"""

import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from fault_drivers import Outcome
from fault_files import fuzzed, given_examples
from fault_tools import Driver, account, study
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from autoreg.executor import SerialExecutor
from autoreg.ledger import History, MemoryLedger
from autoreg.planning import plan
from autoreg.racing import Judge
from autoreg.search import Arm, Search
from autoreg.space import Proposer
from autoreg.spec import parse_study
from autoreg.trial import State, TrialResult

HERE = Path(__file__).parent


class Silent:
    """Hears nothing."""

    def say(self, message): ...
    def trial(self, record, replayed): ...


# -- 18: losses that are no numbers ----------------------------------------------------------------------------


def not_numbers(lab, short):
    """Trials that predict NaN and infinities; results of infinite loss told to the sampler."""
    found, folder = Outcome(), lab.folder(study(14))
    store = lab.local(folder)
    code = Driver(folder, "tune", "study.toml", "--quiet", env=store.env, backend="Blown").wait()
    after = account(store)
    failed = [row[0] for row in after.trials if row[2] == "failed"]
    found.times = len(failed)
    if code != 0 or failed != [4, 5, 6]:
        found.wrong.append(f"exit code {code}, failed trials {failed}, expected 4, 5, 6")
    if after.winner.get("best", {}).get("trial") in (4, 5, 6):
        found.wrong.append("a trial without a finite loss is the best")
    import optuna

    for value in (math.nan, math.inf, -math.inf):
        arm = Proposer(_planned().resolved["xgboost"], "tpe", 0, "xgboost")
        for number in range(3):
            arm.tell(arm.ask(number), TrialResult(State.COMPLETE, {}, loss=value if number == 1 else 1.0))
        states = [t.state for t in arm.study.trials]
        found.times += 1
        if states.count(optuna.trial.TrialState.FAIL) != 1 or arm.study.best_value != 1.0:
            found.wrong.append(f"a loss of {value} is told as {states}")
    return found


# -- 23: busy cores --------------------------------------------------------------------------------------------


def busy_cores(lab, short):
    """Two workers beside two processes that burn both cores, against a quiet serial run with one thread."""
    found, burner = Outcome(times=1), [sys.executable, "-c", "while True: pass"]
    sizes = ["--part", "workers", *(["--short"] if short else [])]
    quiet = _scaling(sizes, 1)
    burners = [subprocess.Popen(burner) for _ in range(2)]
    try:
        busy = _scaling(sizes, 2)
    finally:
        for each in burners:
            each.kill()
            each.wait()
    ratios = {name: busy[name] / quiet[name] for name in quiet}
    found.note = ", ".join(f"{name} {ratio:.2f} times the serial run" for name, ratio in ratios.items())
    found.note += f"; load {os.getloadavg()[0]:.1f} at the end"
    found.add("wall", [f"{name} {ratio:.2f}" for name, ratio in ratios.items() if ratio > 2])
    return found


def _scaling(sizes, column):
    """Seconds by backend: column 1 is one process, 2 is the workers."""
    command = [sys.executable, str(HERE / "scaling.py"), *sizes]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^(\w+) +[\d.]+ s +([\d.]+) s +([\d.]+) s", text, re.MULTILINE)
    return {row[0]: max(0.05, float(row[column])) for row in rows}


# -- 24: a state machine ---------------------------------------------------------------------------------------

TRIALS = 60


@cache
def _planned():
    study_of = {
        "name": "machine",
        "data": {"source": "sklearn:load_iris", "target": "target"},
        "split": {"folds": 3},
        "search": {"backends": ["sklearn", "xgboost"], "trials": TRIALS, "block": 4, "lookahead": 6},
    }
    study_of["search"]["sklearn"] = {
        "penalty": "l2",
        "alpha": {"low": 0.3, "high": 3.0, "log": True, "extend": True},
    }
    study_of["search"]["xgboost"] = {"rounds": 2, "eta": {"low": 0.01, "high": 0.05, "log": True}}
    return plan(parse_study(study_of))


class Crash(Exception):
    """The process is gone."""


class Remembering(SerialExecutor):
    """Computes each trial once for all searches; dies when it is asked for the so-many-th."""

    known = {}  # noqa: RUF012, shared on purpose

    def __init__(self, fuse):
        super().__init__(_planned().problem, _planned().backends, lambda: True)
        self.fuse, self.computed = fuse, []

    def wait(self):
        self.fuse.burn("wait")
        work = self.queue[0]
        against = b"" if work.incumbent is None else work.incumbent.tobytes()
        key = (work.numbers, repr(work.candidates), hash(against))
        if key not in self.known:
            self.known[key] = super().wait()
        else:
            self.queue.popleft()
        self.computed += work.numbers
        return self.known[key]


class Fuse:
    """Burns down with every call of a kind, and ends the process with the last."""

    def __init__(self, kind="", calls=0):
        self.kind, self.calls = kind, calls

    def burn(self, kind):
        if kind == self.kind:
            self.calls -= 1
            if self.calls == 0:
                raise Crash


class Store:
    """What outlives a process: the records that were written, and what was said of the race."""

    def __init__(self):
        self.records, self.drops, self.extensions, self.written = {}, {}, [], []

    def history(self):
        bare = {n: replace(r, result=replace(r.result, predictions=None)) for n, r in self.records.items()}
        return History(bare, dict(self.drops), extensions=list(self.extensions))


class Fragile(MemoryLedger):
    """A ledger that writes behind, as the real one does: a crash loses what is still in the queue."""

    def __init__(self, store, fuse, behind):
        super().__init__()
        self.store, self.fuse, self.behind, self.queue = store, fuse, behind, []

    def record(self, record):
        self.fuse.burn("before record")
        super().record(record)
        self.queue.append(record)
        while len(self.queue) > self.behind:
            self._write(self.queue.pop(0))
        self.fuse.burn("after record")

    def _write(self, record):
        self.store.records[record.number] = replace(record, run_id=str(record.number))
        self.store.written.append(record.number)
        self.fuse.burn("written")

    def predictions(self, record):
        self.fuse.burn("predictions")
        kept = self.store.records.get(record.number, record)
        return kept.result.predictions

    def drop(self, drops):
        self.fuse.burn("before drop")
        self.store.drops = dict(drops)
        self.fuse.burn("after drop")

    def extend(self, extensions):
        self.fuse.burn("before extend")
        self.store.extensions = list(extensions)
        self.fuse.burn("after extend")

    def flush(self):
        self.fuse.burn("flush")
        while self.queue:
            self._write(self.queue.pop(0))


KINDS = ["ask", "tell", "wait", "before record", "after record", "written", "predictions"]
KINDS += ["before drop", "after drop", "before extend", "after extend", "flush"]


def _search(store, fuse=None, behind=0, trials=TRIALS):
    """A search that begins with what the store holds."""
    planned, fuse = _planned(), fuse or Fuse()
    spec = planned.study.search.model_copy(update={"trials": trials})
    arms = {}
    for name, backend in planned.backends.items():
        proposer = Proposer(planned.resolved[name], spec.sampler, spec.seed, name)
        for kind in ("ask", "tell"):
            real = getattr(proposer, kind)

            def called(*args, kind=kind, real=real):
                fuse.burn(kind)
                return real(*args)

            setattr(proposer, kind, called)
        arms[name] = Arm(backend, proposer)
    judge = Judge(planned.table.task, planned.problem.row_losses)
    executor, ledger = Remembering(fuse), Fragile(store, fuse, behind)
    return Search(spec, planned.block, arms, executor, ledger, store.history(), lambda: 1e9, Silent(), judge)


def told(records):
    """What must be the same of every trial."""
    return [(r.number, r.backend, r.result.state, dict(r.result.params), r.result.loss) for r in records]


@cache
def _whole():
    running = _search(Store())
    return told(running.run()), running.drops, running.extensions


class Machine(RuleBasedStateMachine):
    """Searches that crash at any call, lose what was not written yet, and go on."""

    @initialize()
    def begin(self):
        """A new store."""
        self.store, self.crashes = Store(), 0

    @rule(kind=st.sampled_from(KINDS), calls=st.integers(1, TRIALS), behind=st.integers(0, 4))
    def crash(self, kind, calls, behind):
        """Run until a call of this kind, or to the end where there are not so many."""
        running = _search(self.store, Fuse(kind, calls), behind)
        before = set(self.store.records)
        try:
            running.run()
        except Crash:
            self.crashes += 1
        assert not before & set(running.executor.computed), "a finished trial ran again"
        self.holds()

    @rule(trials=st.integers(1, TRIALS))
    def shorter(self, trials):
        """Run a shorter study of the same kind: it is a prefix."""
        running = _search(self.store, trials=trials)
        assert told(running.run()) == _whole()[0][:trials]
        self.holds()

    def holds(self):
        """What is stored is what the undisturbed study has, each trial once."""
        expected = _whole()[0]
        assert len(self.store.written) == len(set(self.store.written)), "a trial twice"
        for record in self.store.records.values():
            assert told([record]) == [expected[record.number]]

    def teardown(self):
        """The plain command in the end."""
        running = _search(self.store)
        assert (told(running.run()), running.drops, running.extensions) == _whole()
        assert sorted(self.store.records) == list(range(TRIALS))
        self.holds()


def machine(lab, short):
    """Hypothesis drives searches through crashes; study files are fuzzed."""
    found, examples, files = Outcome(), 30 if short else 500, 300 if short else 10_000
    if not (_whole()[1] and _whole()[2]):
        raise RuntimeError("no backend leaves or no range grows in this study")
    try:
        run_state_machine_as_test(Machine, settings=settings(given_examples(examples), stateful_step_count=4))
    except AssertionError as error:
        found.wrong.append(f"state machine: {error}")
    found.times = examples
    place = lab.folder() / "study.toml"
    try:
        fuzzed(place, files)
    except Exception as error:  # whatever is not a typed error is what is looked for
        found.wrong.append(f"study file: {type(error).__name__}: {error}: {place.read_bytes()[:300]!r}")
    found.note = f"{examples} histories, {files} study files"
    return found
