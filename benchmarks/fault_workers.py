"""Faults of workers: killed ones, on this host and on a Dask cluster, and trials that kill whatever tries them."""

import os
import random
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from importlib.util import find_spec

import psutil
from fault_drivers import TUNE, Outcome, begun
from fault_servers import free_port, process
from fault_tools import Driver, account, broken, study, until, writing_for

# -- 3: kill -9 a worker ---------------------------------------------------------------------------------------


def killed_workers(lab, short):
    """Kill -9 one of two workers again and again while they fit."""
    found = Outcome()
    _kill(found, lab, short, "--n-jobs 2")
    if find_spec("autoreg.executor.cluster") and find_spec("distributed") and not short:
        with ExitStack() as stack:
            _kill(found, lab, short, "dask", stack)
    for seed in range(0 if short else 5):
        _kill_writing(found, lab, seed)
    return found


def _kill_writing(found, lab, seed):
    """Kill -9 the process that writes trials' runs, once it does."""
    text = study(240)
    whole, folder = lab.whole(text), lab.folder(text)
    store, label = lab.local(folder), f"writing process, seed {seed}"
    driver = Driver(folder, *TUNE, env=store.env, beside=True)
    until(lambda: driver.code is not None or writing_for(driver), 60)
    process = writing_for(driver)
    if process is not None:
        begun(store, driver, random.Random(seed).randrange(100, 220))
        with suppress(psutil.NoSuchProcess):
            process.kill()
            found.times += 1
    if driver.wait() != 0:
        found.wrong.append(f"{label}: exit code {driver.code}: {driver.words()[-300:]}")
    found.add(label, broken(store, whole))


def _kill(found, lab, short, engine, stack=None):
    kills, text = 3 if short else 10, study(16 if short else 40)
    whole, folder = lab.whole(text), lab.folder(text)
    store, chance, notes = lab.local(folder), random.Random(0), folder / "notes"
    env = {**store.env, "FAULT_PAUSE": 0.1, "FAULT_NOTES": notes}
    nanny, address = _cluster(stack, env) if stack else (None, "")
    words = ("--engine", "dask", "--address", address) if stack else ("--n-jobs", 2)
    driver, seen, struck = Driver(folder, *TUNE, *words, env=env, backend="Slow"), 0, 0
    while driver.code is None and struck < kills:
        begun(store, driver, seen + 2)
        time.sleep(chance.uniform(0, 0.2))
        alive = _children(nanny, "spawn_main") if stack else _children(driver.pid, "executor.worker")
        if alive:
            with suppress(psutil.NoSuchProcess):
                chance.choice(alive).kill()
                struck, seen = struck + 1, store.count()
    if driver.wait() != 0:
        found.wrong.append(f"{engine}: exit code {driver.code}: {driver.words()[-300:]}")
    found.add(engine, broken(store, whole))
    found.times += struck
    found.note += f"{engine}: {struck} kills. "
    # A fit is known by its seed: several processes for one seed are attempts of its trial.
    attempts = Counter(line.split()[0] for line in set(notes.read_text().splitlines()))
    again = sum(attempts.values()) - len(attempts)
    if max(attempts.values()) > 4:
        found.wrong.append(f"{engine}: {max(attempts.values())} attempts at one trial")
    if again > struck * 3 * (2 if stack else 1):  # three folds; a cluster's worker may hold a second trial
        found.wrong.append(f"{engine}: {again} fits ran again after {struck} kills")


def _children(pid, word):
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(pid).children(recursive=True)
        return [p for p in children if word in " ".join(p.cmdline())]
    return []


def _cluster(stack, env):
    """A scheduler and a nanny with two workers that can import what the driver's trials need: (nanny's id, address)."""
    address = f"tcp://127.0.0.1:{free_port()}"
    given = {**os.environ, **{k: str(v) for k, v in env.items()}, "PYTHONPATH": os.pathsep.join(sys.path)}
    dask = [sys.executable, "-m", "dask"]
    host, _, port = address.rpartition(":")
    stack.enter_context(
        process([*dask, "scheduler", "--host", host, "--port", port, "--no-dashboard"], env=given)
    )
    words = ["worker", address, "--nthreads", "1", "--nworkers", "2", "--no-dashboard"]
    nanny = stack.enter_context(process([*dask, *words], env=given))
    until(lambda: len(_children(nanny.pid, "spawn_main")) == 2)
    return nanny.pid, address


# -- 4: poison -------------------------------------------------------------------------------------------------


def poison(lab, short):
    """One trial ends the process that tries it: by a segmentation fault, as out of memory; in a worker, in the driver."""
    found, seen = Outcome(), []
    for jobs, name in [(2, "SIGSEGV")] if short else [(j, s) for j in (2, 1) for s in ("SIGSEGV", "SIGKILL")]:
        folder = lab.folder(study(14))
        store, label = lab.local(folder), f"{name}, n_jobs {jobs}"
        env = {**store.env, "FAULT_TRIAL": 5, "FAULT_SIGNAL": name}
        code, starts = -1, 0
        while code < 0 and starts < 6:
            driver = Driver(folder, "tune", "study.toml", "--n-jobs", jobs, env=env, backend="Poison")
            code, starts = driver.wait(), starts + 1
        found.times += starts
        found.note += f"{label}: {starts} starts. "
        states = Counter(row[2] for row in account(store).trials)
        if code != 0:
            found.wrong.append(f"{label}: start {starts} ended with exit code {code}")
        elif states["failed"] != 1 or sum(states.values()) != 14:
            found.wrong.append(f"{label}: {dict(states)}")
        elif jobs == 2 and starts != 1:
            found.wrong.append(f"{label}: the driver ended too")
        elif "fail" not in driver.words():
            found.wrong.append(f"{label}: no word of it")
        else:
            seen.append(account(store).trials)
    if any(trials != seen[0] for trials in seen):
        found.wrong.append("the other trials differ from case to case")
    return found
