"""Faults of the driver: kills, crashes between two steps, signals, a full disk, clocks, twins."""

import os
import random
import signal
import sqlite3
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fault_child import STEPS
from fault_tools import Driver, account, broken, study, until

TUNE = ("tune", "study.toml", "--quiet")


@dataclass
class Outcome:
    """What a row gave: how often the fault struck, what did not hold, and what else is to be said."""

    times: int = 0
    wrong: list = field(default_factory=list)
    note: str = ""

    def add(self, label, wrong):
        """Keep what did not hold of one case."""
        self.wrong += [f"{label}: {each}" for each in wrong]


def resumed(folder, store, whole, **more):
    """What does not hold after the plain command has been given again."""
    driver = Driver(folder, *TUNE, env=store.env, **more)
    code = driver.wait()
    return ([] if code == 0 else [f"resumed with exit code {code}: {driver.words()[-300:]}"]) + broken(
        store, whole
    )


def begun(store, driver, trials=1, seconds=120):
    """Wait until so many trials are recorded, or the driver has ended."""
    until(lambda: driver.code is not None or store.count() >= trials, seconds)


# -- 1: kill -9 the driver -------------------------------------------------------------------------------------


def killed_drivers(lab, short):
    """Kill -9 at random points of the study's progress, then the plain command."""
    found = Outcome()
    kills, trials, seeds = (5, 50, 1) if short else (20, 50, 5)
    whole = lab.whole(study(trials))
    for seed in range(seeds):
        found.times += _kill(found, lab, study(trials), whole, kills, seed)
    three = study(24, ("sklearn", "xgboost", "keras"))
    if not short:
        found.times += _kill(found, lab, three, lab.whole(three), 5, 0, cold=True)
        long = study(240)
        struck = _kill(found, lab, long, lab.whole(long), 10, 0, beside=True)
        found.times += struck
        found.note = "among them one study of three backends, killed 5 times, and one whose trials' runs "
        found.note += f"another process writes, killed {struck} times"
    return found


def _kill(found, lab, text, whole, kills, seed, **more):
    folder, chance, struck = lab.folder(text), random.Random(seed), 0
    store, trials = lab.local(folder), len(whole.trials)
    for point in sorted(chance.uniform(0, 1.1 * trials) for _ in range(kills)):
        driver = Driver(folder, *TUNE, env=store.env, **more)
        begun(store, driver, min(int(point), trials))
        time.sleep(chance.uniform(0, 0.6))
        struck += driver.kill()
    found.add(f"seed {seed}", resumed(folder, store, whole))
    return struck


# -- 2: crash at each step -------------------------------------------------------------------------------------


def crashed_steps(lab, short):
    """Die before a step, or right after it when nobody knows that it was done; then the plain command."""
    found, text = Outcome(), study(12)
    whole = lab.whole(text)
    calls = {"create_run": (1, 2, 9), "log_batch": (1, 2, 9, 13, 14, 15), "set_tag": (1, 2)}
    for step in STEPS:
        wanted = calls.get(step, (1,) if step in ("log_model", "register", "alias") else (1, 7, 12))
        cases = [(call, after) for call in wanted for after in (False, True)]
        if short:
            cases = [(wanted[-1 if step in ("log_batch", "set_terminated") else 0], True)]
        for call, after in cases:
            folder = lab.folder(text)
            store = lab.local(folder)
            driver = Driver(folder, *TUNE, env=store.env, step=(step, call, after))
            if driver.wait() == -signal.SIGKILL:
                found.times += 1
                label = f"{'after' if after else 'before'} {step} {call}"
                found.add(label, resumed(folder, store, whole))
    return found


# -- 5, 6: signals ---------------------------------------------------------------------------------------------


def signals(lab, short):
    """SIGTERM and Ctrl-C in mid-trial, a second one at once, and one while the command starts."""
    found, text = Outcome(), study(12)
    whole, slowest = lab.whole(text), 0.0
    once = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
    for jobs in (1,) if short else (1, 2):
        for signum, code in once:
            for second in (False, True):
                folder = lab.folder(text)
                store, label = lab.local(folder), f"{signum.name}{' twice' * second}, n_jobs {jobs}"
                env = {**store.env, "FAULT_PAUSE": 0.3}
                driver = Driver(folder, *TUNE, "--n-jobs", jobs, env=env, backend="Slow")
                begun(store, driver, 3)
                driver.send(signum)
                sent = time.monotonic()
                if second:
                    time.sleep(0.02)
                    driver.send(signum)
                ended = driver.wait(60)
                slowest = max(slowest, time.monotonic() - sent)
                found.times += 1
                if ended not in ((code, -signum) if second else (code,)):
                    found.wrong.append(f"{label}: exit code {ended}")
                if "Traceback" in driver.words():
                    found.wrong.append(f"{label}: a traceback")
                found.add(label, resumed(folder, store, whole))
    if slowest > 25:
        found.wrong.append(f"{slowest:.0f} s to exit")
    found.note = f"{slowest:.1f} s to exit at most"
    return found


def frozen(lab, short):
    """SIGSTOP for a while, a second driver meanwhile, SIGCONT."""
    found, text = Outcome(times=1), study(12)
    whole, folder = lab.whole(text), lab.folder(text)
    store = lab.local(folder)
    first = Driver(folder, *TUNE, env={**store.env, "FAULT_PAUSE": 0.1}, backend="Slow")
    begun(store, first, 3)
    first.send(signal.SIGSTOP)
    time.sleep(5 if short else 60)
    second = Driver(folder, *TUNE, env=store.env)
    if second.wait() != 75:
        found.wrong.append(f"the second driver ended with {second.code}")
    first.send(signal.SIGCONT)
    if first.wait() != 0:
        found.wrong.append(f"exit code {first.code}: {first.words()[-300:]}")
    found.add("store", broken(store, whole))
    return found


# -- 9: disk full ----------------------------------------------------------------------------------------------


@contextmanager
def _small_disk(folder, size):
    """A folder on a disk of its own; None where mounting is not allowed."""
    place = folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def full_disk(lab, short):
    """A file may grow no further (RLIMIT_FSIZE), at several sizes; a small disk is full."""
    found, text = Outcome(), study(40)
    whole, folder = lab.whole(text), lab.folder(text)
    store = lab.local(folder)
    size = (folder / "mlflow.db").stat().st_size
    for extra in (40_000,) if short else (0, 20_000, 40_000, 60_000, 80_000):
        driver = Driver(folder, *TUNE, env=store.env, file_size=size + extra)
        _refused(found, f"files of {size + extra} bytes at most", driver, folder / "mlflow.db")
    found.add("files", resumed(folder, store, whole))
    with _small_disk(lab.folder(), size + (150_000 if short else 300_000)) as disk:
        if disk is None:
            found.note = "no small disk can be mounted here: RLIMIT_FSIZE alone"
            return found
        (disk / "study.toml").write_text(text)
        store, beside = lab.local(disk), lab.folder()
        driver = Driver(beside, "tune", disk / "study.toml", "--quiet", env=store.env)
        _refused(found, "a full disk", driver, disk / "mlflow.db")
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        found.add("disk", resumed(disk, store, whole))
    return found


def _refused(found, label, driver, database):
    """The driver must say one clear line and leave the database intact."""
    code, words = driver.wait(), driver.words()
    found.times += 1
    lines = [line for line in words.splitlines() if not line.startswith("warning: ")]
    if code not in (75, 65) or len(lines) != 1 or "Traceback" in words:
        found.wrong.append(f"{label}: exit code {code}, {len(lines)} lines: {words[-300:]}")
    with sqlite3.connect(database) as connection:
        state = connection.execute("pragma integrity_check").fetchone()[0]
    if state != "ok":
        found.wrong.append(f"{label}: database {state}")


# -- 10, 14: twins and the same again --------------------------------------------------------------------------


def twins(lab, short):
    """Two commands at once, again and again; then the lock's holder is killed."""
    found, text, frees = Outcome(), study(6), []
    whole = lab.whole(text)
    for _ in range(2 if short else 20):
        folder = lab.folder(text)
        store = lab.local(folder)
        env = {**store.env, "FAULT_PAUSE": 0.3}
        both = [Driver(folder, *TUNE, env=env, backend="Slow") for _ in range(2)]
        codes = sorted(driver.wait() for driver in both)
        found.times += 1
        if codes != [0, 75]:
            found.wrong.append(f"exit codes {codes}")
        found.add("store", broken(store, whole))
    for _ in range(1 if short else 5):
        folder = lab.folder(text)
        store = lab.local(folder)
        holder = Driver(folder, *TUNE, env={**store.env, "FAULT_PAUSE": 0.5}, backend="Slow")
        begun(store, holder)
        holder.kill()
        frees.append(_seconds_until_free(store))
        found.add("after the holder's death", resumed(folder, store, whole))
    if max(frees) >= 1:
        found.wrong.append(f"the lock was free after {max(frees):.2f} s")
    found.note = f"lock free in {max(frees):.2f} s"
    return found


def _seconds_until_free(store):
    from autoreg.errors import Busy
    from autoreg.ledger import study_lock
    from autoreg.tracking import canonical

    client, began = store.client(), time.monotonic()
    experiment = client.get_experiment_by_name("faults").experiment_id
    digest = client.search_runs([experiment], "tags.`autoreg.role` = 'study'")[0].data.tags["autoreg.digest"]
    began = time.monotonic()
    while time.monotonic() - began < 10:
        with suppress(Busy), study_lock(canonical(store.uri), digest, "faults"):
            break
    return time.monotonic() - began


def repeated(lab, short):
    """The same study three times, the same with other data, the same with other settings."""
    found, folder = Outcome(note="by tune; the same key of a retune: retuning.py"), lab.folder()
    _table(folder / "rows.csv")
    text = study(6).replace("sklearn:load_iris", "rows.csv")
    (folder / "study.toml").write_text(text)
    store, parents = lab.local(folder), []
    changes = [None, None, None, lambda: _table(folder / "rows.csv", 5.05)]
    changes += [lambda: (folder / "study.toml").write_text(text.replace("folds = 3", "folds = 4"))]
    for change in changes:
        if change:
            change()
        driver = Driver(folder, *TUNE, env=store.env)
        if driver.wait() != 0:
            found.wrong.append(f"exit code {driver.code}: {driver.words()[-300:]}")
        parents.append(len(account(store).parents))
        found.times += 1
    if parents != [1, 1, 1, 2, 3]:
        found.wrong.append(f"parent runs after each command: {parents}")
    after = account(store)
    if len(after.trials) != 18 or len(set(after.uids)) != 18 or "RUNNING" in after.status.values():
        found.wrong.append(f"{len(after.trials)} trials, {len(set(after.uids))} uids")
    return found


def _table(place, first=5.1):
    from sklearn.datasets import load_iris

    frame = load_iris(as_frame=True).frame
    frame.iloc[0, 0] = first
    frame.to_csv(place, index=False)


# -- 13: clocks ------------------------------------------------------------------------------------------------

FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"


def clocks(lab, short):
    """The driver's wall clock an hour ahead, an hour behind, and turned back while it runs (libfaketime)."""
    found, text = Outcome(), study(12)
    library = next(Path("/").glob(FAKETIME[1:]), None)
    if library is None:
        found.note = "libfaketime is not installed (apt-get install faketime): not tried"
        return found
    whole = lab.whole(text)
    cases = [("+1h", "-1h")] if short else [("+1h", "+1h"), ("-1h", "-1h"), ("+1h", "-1h"), ("-1h", "+1h")]
    for before, after in cases:
        folder = lab.folder(text)
        store, clock, label = lab.local(folder), folder / "clock", f"{before} then {after}"
        clock.write_text(before)
        env = {**store.env, "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": 1}
        env |= {"FAKETIME_DONT_FAKE_MONOTONIC": 1, "FAULT_PAUSE": 0.1}
        killed = Driver(folder, *TUNE, env=env, cold=True, backend="Slow")
        begun(store, killed, 4)
        killed.kill()
        began = time.monotonic()
        driver = Driver(folder, *TUNE, env=env, cold=True, backend="Slow")
        begun(store, driver, 7)
        clock.write_text(after)
        found.times += 1
        if driver.wait() != 0:
            found.wrong.append(f"{label}: exit code {driver.code}: {driver.words()[-300:]}")
        found.add(label, broken(store, whole))
        found.add(label, _durations(store, time.monotonic() - began))
    return found


def _durations(store, wall):
    """Every duration must be one that a steady clock could have shown."""
    client, wrong = store.client(), []
    experiment = client.get_experiment_by_name("faults").experiment_id
    for run in client.search_runs([experiment]):
        # The parent run is stamped by the store's own clock, which was turned; one left RUNNING is told of by ``broken``.
        if "autoreg.trial" not in run.data.tags or run.info.end_time is None:
            continue
        seconds = run.data.metrics.get("fit_seconds", 0.0)
        lasted = (run.info.end_time - run.info.start_time) / 1000
        if not (0 <= seconds <= wall and 0 <= lasted <= wall):
            wrong.append(f"a trial of {seconds:.1f} s that lasted {lasted:.1f} s")
    total = account(store).winner.get("seconds", {})
    return wrong + [f"{name}: {value:.1f} s" for name, value in total.items() if not 0 <= value <= wall]
