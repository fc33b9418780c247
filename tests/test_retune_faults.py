"""Retunes that are killed at every step, and promoters that race, on real stores."""

import json
import multiprocessing
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from fault_servers import Server
from fault_tools import Driver, Store, empty_database

STUDY = """
name = "demo"
[data]
source = "today.csv"
target = "target"
[split]
folds = 2
[search]
backends = ["sklearn"]
trials = 2
race = false
"""
KEY = ("--key", "second", "--quiet", "--json", "-")
LATE = [
    (name, call, after)
    for name, calls in (
        ("register", 1),
        ("alias", 3),
        ("log_artifacts", 4),
        ("version_tag", 2),
        ("model_tag", 1),
    )
    for call in range(1, calls + 1)
    for after in (False, True)
]
FEW = [("alias", 3, True)]
SOME = [("register", 1, True), ("version_tag", 2, True)]
OTHERS = [
    pytest.param(step, marks=[] if step in SOME else pytest.mark.full) for step in LATE if step not in FEW
]


def rows(count, seed, column="a"):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    y = np.where(2 * x[:, "abc".index(column)] + rng.normal(size=count) > 0, "yes", "no")
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "target": y})


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A store with a champion, and a table on which a better one is found."""
    folder = tmp_path_factory.mktemp("before")
    shutil.copy(empty_database(), folder / "mlflow.db")
    (folder / "study.toml").write_text(STUDY)
    rows(300, 0).to_csv(folder / "today.csv", index=False)
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    assert Driver(folder, "retune", "study.toml", "--key", "first", "--quiet", env=env).wait() == 0
    pd.concat([rows(300, 0), rows(900, 1, "b")]).to_csv(folder / "today.csv", index=False)
    return folder


def copied(before, folder):
    for name in ("mlflow.db", "study.toml", "today.csv"):
        shutil.copy(before / name, folder / name)
    return Store(f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/mlflow.db", "demo")


def state(store):
    """What must be the same whatever happened on the way."""
    client = store.client()
    model = client.get_registered_model("demo")
    versions = {str(v.version): v for v in client.search_model_versions("name = 'demo'")}
    experiment = client.get_experiment_by_name("demo").experiment_id
    runs = client.search_runs([experiment], "tags.`autoreg.role` = 'study'")
    second = [r for r in runs if r.data.tags.get("autoreg.retune_key") == "second"]
    tags = second[0].data.tags if second else {}
    return {
        "versions": sorted(versions),
        "aliases": {name: str(number) for name, number in model.aliases.items()},
        "parents": len(runs),
        "of this key": len(second),
        "status": [r.info.status for r in second],
        "retuned": tags.get("autoreg.retuned"),
        "on the run": tags.get("autoreg.gate"),
        "on the version": versions["2"].tags.get("autoreg.gate") if "2" in versions else None,
        "looks": model.tags.get("autoreg.looks_run") == (second[0].info.run_id if second else ""),
    }


WANTED = {
    "versions": ["1", "2"],
    "aliases": {"champion": "2", "challenger": "2", "previous": "1"},
    "parents": 2,
    "of this key": 1,
    "status": ["FINISHED"],
    "retuned": "promoted",
    "looks": True,
}


def killed_and_repeated(before, folder, step):
    store = copied(before, folder)
    killed = Driver(folder, "retune", "study.toml", *KEY, env=store.env, step=step).wait()
    again = Driver(folder, "retune", "study.toml", *KEY, env=store.env)
    assert again.wait() == 0, again.words()
    found, report = state(store), again.result()
    assert {k: found[k] for k in WANTED} == WANTED, step
    assert found["on the run"].startswith("promoted: ")
    assert found["on the version"].endswith(found["on the run"])
    assert report["gate"]["reason"] == found["on the run"]
    third = Driver(folder, "retune", "study.toml", *KEY, env=store.env)
    assert third.wait() == 0
    assert third.result()["status"] == "skipped"
    assert state(store) == found
    return killed, report["status"]


@pytest.mark.parametrize("step", FEW)
def test_killed_when_the_alias_has_moved(before, tmp_path, step):
    """The next run with the key finishes the record; it does not compare the champion with itself."""
    assert killed_and_repeated(before, tmp_path, step) == (-9, "promoted")


@pytest.mark.slow
@pytest.mark.parametrize("step", OTHERS)
def test_killed_at_every_step_after_the_search(before, tmp_path, step):
    killed, status = killed_and_repeated(before, tmp_path, step)
    assert killed == -9
    assert status in ("promoted", "skipped")


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        ("alias", 1, True),
        pytest.param(("set_tag", 4, True), marks=pytest.mark.full),
        pytest.param(("log_artifacts", 3, True), marks=pytest.mark.full),
    ],
)
def test_the_first_study_of_a_model_killed(before, tmp_path, step):
    shutil.copy(empty_database(), tmp_path / "mlflow.db")
    store = Store(f"sqlite:///{tmp_path}/mlflow.db", "", "demo")
    (tmp_path / "study.toml").write_text(STUDY)
    rows(300, 0).to_csv(tmp_path / "today.csv", index=False)
    assert Driver(tmp_path, "retune", "study.toml", *KEY, env=store.env, step=step).wait() == -9
    again = Driver(tmp_path, "retune", "study.toml", *KEY, env=store.env)
    assert again.wait() == 0, again.words()
    assert again.result()["status"] == "tuned"
    found = state(store)
    assert (found["versions"], found["aliases"], found["parents"]) == (["1"], {"champion": "1"}, 1)
    assert found["retuned"] == "tuned"


def test_a_done_key_needs_neither_table_nor_champion(before, tmp_path):
    store = copied(before, tmp_path)
    (tmp_path / "today.csv").unlink()
    again = Driver(tmp_path, "retune", "study.toml", "--key", "first", "--json", "-", env=store.env)
    assert again.wait() == 0, again.words()
    assert again.result()["status"] == "skipped"
    assert "reading the data" not in again.words()


# -- promoters that know nothing of each other -------------------------------------------------------------------


def contender(uri, number, effect, count, barrier, results):
    try:
        _contend(uri, number, effect, count, barrier, results)
    except BaseException as error:
        barrier.abort()
        results.put((-1, number, repr(error)))
        raise


def _contend(uri, number, effect, count, barrier, results):
    """Judge one version against version 1 by the gate, and let it serve if it is better, so many times."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    from autoreg.metrics import get_metric
    from autoreg.quiet import quiet_libraries
    from autoreg.registry import contend
    from autoreg.selection.gate import gate
    from autoreg.tracking import quiet_client

    quiet_libraries()
    quiet_client()
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=300)
    for i in range(count):
        score = (truth - 0.5) * effect[i] + rng.normal(size=300) * 0.05
        new = np.stack([0.5 - score, 0.5 + score], axis=1).clip(0.01, 0.99)
        found = gate(get_metric("log_loss", "binary"), truth, np.full((300, 2), 0.5), new, draws=500)
        assert found.verdict == "promoted"
        barrier.wait(300)
        results.put((i, number, contend(f"race-{i}", number, "champion", "1", found.difference)))


def race(uri, count):
    """Two processes, two challengers of one champion, one better than the other: who serves in the end."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    for i in range(count):
        client.create_registered_model(f"race-{i}")
        made = [client.create_model_version(f"race-{i}", f"s3://models/{i}/{v}").version for v in range(3)]
        assert sorted(map(int, made)) == [1, 2, 3]
        client.set_registered_model_alias(f"race-{i}", "champion", "1")
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    better = {i: "2" if i % 2 else "3" for i in range(count)}
    sides = [
        context.Process(
            target=contender,
            args=(uri, n, [0.8 if better[i] == n else 0.6 for i in range(count)], count, barrier, results),
        )
        for n in ("2", "3")
    ]
    for side in sides:
        side.start()
    told = []
    while len(told) < 2 * count:
        told.append(results.get(timeout=120))
        assert told[-1][0] >= 0, told[-1]
    for side in sides:
        side.join(60)
        assert side.exitcode == 0
    for i in range(count):
        aliases = client.get_registered_model(f"race-{i}").aliases
        assert str(aliases["champion"]) == better[i]
        assert str(aliases["previous"]) == "1"
        assert {n: serves for j, n, serves in told if j == i}[better[i]] == better[i]
    return told


RACES = pytest.mark.parametrize("count", [8, pytest.param(50, marks=pytest.mark.full)])


@pytest.mark.slow
@RACES
def test_races_on_sqlite(store, tmp_path, count):
    race(f"sqlite:///{tmp_path}/mlflow.db", count)


@pytest.mark.slow
@RACES
def test_races_on_a_server(tmp_path, count):
    with Server(tmp_path) as server:
        race(server.store.uri, count)


def test_a_late_loser_learns_who_serves(store):
    """One after the other: the second finds the first one's claim; a claim over a champion of before counts no more."""
    from autoreg.registry import contend, promote, rollback, version_at

    store.create_registered_model("m")
    for v in range(4):
        store.create_model_version("m", f"s3://models/{v}")
    store.set_registered_model_alias("m", "champion", "1")
    assert contend("m", "2", "champion", "1", 0.2) == "2"
    assert contend("m", "3", "champion", "1", 0.1) == "2"
    assert contend("m", "2", "champion", "1", 0.2) == "2"
    assert [v.number for v in rollback("m", "champion")] == ["1", "2"]
    assert contend("m", "3", "champion", "1", 0.1) == "3"  # version 2 was taken back
    assert promote("m", "4", "champion", "by hand").number == "3"
    assert contend("m", "2", "champion", "3", 0.5) == "4"  # a person's decision stands
    assert version_at("m", "champion").number == "4"
    assert json.loads(store.get_model_version("m", "3").tags["autoreg.claim"])["over"] == "1"
    promote("m", "1", "champion", "by hand")
    assert "autoreg.claim" not in store.get_model_version("m", "3").tags


def test_a_tag_that_several_set_at_once_is_set(store):
    """Each first looks whether it is there, so that the database refuses the second who adds it."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from autoreg.registry import tag_model
    from autoreg.tracking import quiet_client

    client, keys = quiet_client(), [f"key{i}" for i in range(12)]
    client.create_registered_model("tagged")
    barrier = Barrier(4, timeout=20)

    def put(who):
        for key in keys:
            barrier.wait()
            tag_model("tagged", key, str(who))

    with ThreadPoolExecutor(4) as crew:
        list(crew.map(put, range(4)))
    assert client.get_registered_model("tagged").tags.keys() >= set(keys)
