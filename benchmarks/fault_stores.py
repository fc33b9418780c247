"""Faults of the store and the way to it: a server that is away, a lost answer, a database that restarts or is locked."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

from fault_drivers import TUNE, Outcome, begun, resumed
from fault_servers import Postgres, Server, Wire, free_port
from fault_tools import Driver, Store, broken, nursery, study, until

CREATE = b"POST /api/2.0/mlflow/runs/create"


def _server(lab):
    """The server that rows share, on PostgreSQL where there is one: (server, PostgreSQL or None)."""
    if lab.served is None:
        postgres = Postgres()
        if postgres.available:
            lab.enter(postgres)
        server = lab.enter(Server(lab.folder(), postgres.url if postgres.available else ""))
        lab.served = server, postgres if postgres.available else None
    return lab.served


def _named(lab, text, name):
    """A folder with the study under another name, so that many can lie in one store."""
    return lab.folder(text.replace('name = "faults"', f'name = "{name}"'))


def _slow(store):
    return {"env": {**store.env, "FAULT_PAUSE": 0.1}, "backend": "Slow"}


# -- 7, 8: the server ------------------------------------------------------------------------------------------


def server_down(lab, short):
    """The server is away for a while, for long, and from the start."""
    found, text = Outcome(), study(16)
    whole, notes = lab.whole(text), []
    found.times += 1
    notes.append(_away_from_the_start(found, lab))
    server, _ = _server(lab)
    for seconds in (5, None) if short else (30, 600):
        name = f"away-{seconds}"
        folder = _named(lab, text, name)
        with Wire(server.port) as wire:
            store = Store(wire.uri, server.database, name)
            driver = Driver(folder, *TUNE, **_slow(store))
            begun(store, driver, 5)
            # Short: the wire is cut; full: the server itself is killed and started again.
            (wire.cut if short else server.stop)()
            found.times += 1
            if seconds is None:
                notes.append(_gone(found, driver, 300))
            else:
                time.sleep(seconds)
            (wire.mend if short else server.start)()
            label = "for good" if seconds is None else f"{seconds} s"
            code = driver.wait(900)
            if code not in (0, 75):
                found.wrong.append(f"away {label}: exit code {code}: {driver.words()[-300:]}")
            if seconds is not None and seconds <= 30 and code != 0:
                found.wrong.append(f"away {label}: exit code {code} instead of going on")
            found.add(f"away {label}", resumed(folder, store, whole))
            notes.append(f"away {label}: exit code {code}")
    found.note = "; ".join(notes)
    return found


def _away_from_the_start(found, lab):
    folder = lab.folder(study(16))
    driver = Driver(folder, *TUNE, env={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"})
    code = driver.wait()
    took, lines = time.monotonic() - driver.began, driver.words().splitlines()
    if code != 75 or len(lines) != 1 or took > 20:
        found.wrong.append(f"away from the start: exit code {code} after {took:.0f} s, {len(lines)} lines")
    return f"away from the start: exit code {code} after {took:.1f} s"


def _gone(found, driver, seconds):
    """A driver whose server never comes back must end by itself."""
    if not until(lambda: driver.code is not None, seconds):
        found.wrong.append(f"still running {seconds} s after the server has gone")
        driver.kill()
    words = driver.words()
    # One line when the store goes away, one at the end.
    if driver.code == 75 and (len(words.splitlines()) > 2 or "Traceback" in words):
        found.wrong.append(f"{len(words.splitlines())} lines: {words[-300:]}")
    return f"exit code {driver.code} where it stays away"


def lost_answer(lab, short):
    """The server creates a run, and nobody hears of it: the study's own, or a trial's."""
    found, text = Outcome(), study(12)
    whole = lab.whole(text)
    server, _ = _server(lab)
    for call in (1, 6) if short else (1, 2, 6, 13):
        name = f"lost-{call}"
        folder = _named(lab, text, name)
        with Wire(server.port) as wire:
            store = Store(wire.uri, server.database, name)
            wire.lose(CREATE, call)
            code = Driver(folder, *TUNE, env=store.env).wait()
            found.times += wire.lost
            found.note += f"answer {call} lost: exit code {code}. "
            found.add(f"answer {call} lost", resumed(folder, store, whole))
    return found


# -- 11: two registrations at once -----------------------------------------------------------------------------


def promoters(lab, short):
    """Two processes register versions of one model at the same moments."""
    found, count, text = Outcome(), 4 if short else 50, study(6)
    found.note = "that the better model serves after two retunes: retuning.py"
    folder = lab.folder(text)
    store = lab.local(folder)
    found.add("before", resumed(folder, store, lab.whole(text)))
    context = nursery()
    import fault_child

    barrier = context.Barrier(2)
    both = [
        context.Process(target=fault_child.register_many, args=(str(folder), store.uri, who, count, barrier))
        for who in ("one", "other")
    ]
    for each in both:
        each.start()
    for each in both:
        each.join(900)
        if each.exitcode != 0:
            found.wrong.append(f"a registration ended with exit code {each.exitcode}")
            barrier.abort()
    found.times = count
    client = store.client()
    versions = sorted(int(v.version) for v in client.search_model_versions("name = 'twins'", max_results=500))
    if versions != list(range(1, 2 * count + 1)):
        found.wrong.append(
            f"{len(versions)} versions, {len(set(versions))} different, {2 * count} registered"
        )
    champion = client.get_model_version_by_alias("twins", "champion")
    if champion.status != "READY" or not Path(folder, "mlruns").exists():
        found.wrong.append(f"the alias is on a version that is {champion.status}")
    out = folder / "out.csv"
    rows = folder / "rows.csv"
    from sklearn.datasets import load_iris

    load_iris(as_frame=True).data.head(3).to_csv(rows, index=False)
    predicted = Driver(folder, "predict", "models:/twins@champion", rows, out, env=store.env)
    if predicted.wait() != 0 or not out.exists():
        found.wrong.append(f"the champion does not predict: {predicted.words()[-300:]}")
    return found


# -- 12: the database ------------------------------------------------------------------------------------------


def database_trouble(lab, short):
    """PostgreSQL behind the server restarts in mid-study; somebody else locks the SQLite file."""
    found, text, notes = Outcome(), study(16), []
    whole = lab.whole(text)
    server, postgres = _server(lab)
    if postgres:
        folder = _named(lab, text, "restarted")
        store = replace(server.store, name="restarted")
        driver = Driver(folder, *TUNE, **_slow(store))
        begun(store, driver, 5)
        postgres.control("restart", "-m", "immediate")
        _end(found, notes, "PostgreSQL restarted", driver, folder, store, whole)
    else:
        notes.append("no PostgreSQL here")
    for seconds in (6,) if short else (6, 30):
        folder = lab.folder(text)
        store = lab.local(folder)
        driver = Driver(folder, *TUNE, **_slow(store))
        begun(store, driver, 5)
        with sqlite3.connect(folder / "mlflow.db", timeout=30) as other:
            other.execute("begin exclusive")
            time.sleep(seconds)
            other.rollback()
        other.close()
        _end(found, notes, f"SQLite locked {seconds} s", driver, folder, store, whole)
    found.note = "; ".join(notes)
    return found


def _end(found, notes, label, driver, folder, store, whole):
    """The study should go on by itself, and must be whole when the command is given again."""
    code = driver.wait()
    found.times += 1
    notes.append(f"{label}: exit code {code}")
    if code != 0:
        found.wrong.append(f"{label}: exit code {code}: {driver.words()[-300:]}")
        found.add(f"{label}, resumed", resumed(folder, store, whole))
    else:
        found.add(label, broken(store, whole))
