"""Retuning on a real store: first study, promotion, refusal, keys, what is due, rollback."""

import json

import numpy as np
import pandas as pd
import pytest

from autoreg.__main__ import main
from autoreg.errors import Busy, DataError, StudyError, UsageError
from autoreg.ledger import read_files, study_lock
from autoreg.registry import CHALLENGER, PREVIOUS, load_package, promote, rollback, version_at
from autoreg.retune import retune
from autoreg.retune.champion import Looks, read_champion, study_of, warmest
from autoreg.spec import parse_study
from autoreg.tracking import store_address


def table(rows, seed=0, effect=2.0, column="a"):
    """Two classes that column ``a`` tells apart by so much."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    y = np.where(effect * x[:, "abc".index(column)] + rng.normal(size=rows) > 0, "yes", "no")
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "target": y})


def study(**retuned):
    return parse_study(
        {
            "name": "demo",
            "data": {"source": "today.csv", "target": "target"},
            "split": {"folds": 2},
            "search": {"backends": ["sklearn"], "trials": 3, "race": False},
            "retune": retuned,
        }
    )


@pytest.fixture
def champion(store):
    """A first study on 300 rows in an empty store."""
    return retune(study(), table(300), key="first")


def test_the_first_retune_tunes_and_its_winner_serves(champion):
    assert champion.status == "tuned"
    assert champion.report["key"] == "first"
    found = version_at("demo", "champion")
    assert found.number == "1"
    assert found.run_id == champion.report["run_id"]
    kept = read_champion("demo", "champion")
    assert len(kept.keys) == 300
    assert kept.rule["mode"] == "content"
    assert kept.promised[1] < kept.promised[0] < kept.promised[2]
    assert set(kept.warm) == {"sklearn"}


def test_the_same_key_does_nothing(champion, store):
    before = len(store.search_runs([champion.report["experiment_id"]]))
    for _ in range(2):
        again = retune(study(), table(900, 1), key="first")
        assert (again.status, again.report["run_id"]) == ("skipped", champion.report["run_id"])
    assert len(store.search_runs([champion.report["experiment_id"]])) == before
    assert version_at("demo", CHALLENGER) is None


def test_a_challenger_that_learned_from_noise_is_kept_out(champion, store):
    grown = pd.concat([table(300), table(60, 1, effect=0)], ignore_index=True)
    found = retune(study(), grown, key="second")
    assert found.status == "kept"
    assert found.report["due"]["rows_new"] == 60
    assert found.report["gate"]["probability"] < 0.95
    assert version_at("demo", "champion").number == "1"
    assert version_at("demo", CHALLENGER).number == "2"
    assert "champion was version 1; kept" in version_at("demo", "2").tags["autoreg.gate"]
    run = store.get_run(found.report["run_id"])
    assert run.data.tags["autoreg.retuned"] == "kept"
    assert json.loads(read_files(run.info.run_id, ("retune.json",))["retune.json"])["status"] == "kept"
    third = retune(study(), pd.concat([grown, table(60, 2)], ignore_index=True), key="third")
    assert third.report["gate"]["uses"] == 1  # most rows of this gate decided the last one, too
    assert 0 < third.report["gate"]["unused"] < 1


def test_a_better_challenger_serves_and_can_be_taken_back(champion):
    moved = pd.concat([table(300), table(900, 1, column="b")], ignore_index=True)
    found = retune(study(when=["degraded", "drift"]), moved, key="second")
    assert found.status == "promoted"
    assert found.report["due"]["promise"]["verdict"] == "degraded"
    assert found.report["model"]["alias"] == "champion"
    assert (version_at("demo", "champion").number, version_at("demo", PREVIOUS).number) == ("2", "1")
    now, left = rollback("demo", "champion")
    assert (now.number, left.number) == ("1", "2")
    assert (version_at("demo", "champion").number, version_at("demo", PREVIOUS).number) == ("1", "2")
    assert "rolled back from version 2" in version_at("demo", "1").tags["autoreg.gate"]


def test_a_retune_that_is_not_due_runs_nothing(champion, store):
    before = len(store.search_runs([champion.report["experiment_id"]]))
    grown = pd.concat([table(300), table(10, 1)], ignore_index=True)
    found = retune(study(when=["new_rows", "age"], new_rows=50), grown, key="second")
    assert found.status == "kept"
    assert not found.report["due"]["due"]
    assert "10 new rows, of 50" in found.report["due"]["reasons"][0]
    assert len(store.search_runs([champion.report["experiment_id"]])) == before
    assert "not due" in version_at("demo", "champion").tags["autoreg.checked"]


def test_a_table_that_the_champion_cannot_read(champion):
    with pytest.raises(DataError, match="column 'a'"):
        retune(study(), table(300).drop(columns="a"), key="second")


def test_rows_that_only_decide_are_those_neither_model_was_fitted_on(champion):
    from autoreg.planning import plan
    from autoreg.retune.judge import untouched

    then = plan(study(), table(300))
    kept = read_champion("demo", "champion")
    grown = pd.concat([table(300), table(100, 1)], ignore_index=True)
    now = plan(study(), grown, kept.prior)
    rows = untouched(kept, now)
    old = rows[rows < 300]
    assert set(old) == set(then.split.holdout)
    assert len(rows) > len(old)
    other = plan(study(), grown)  # a rule of its own: only rows that are new to the champion are safe
    if dict(other.split.rule) != dict(kept.rule):
        assert (untouched(kept, other) >= 300).all()


def test_two_at_once(champion):
    with study_lock(store_address(), "model:demo", "demo"), pytest.raises(Busy):
        retune(study(), table(300), key="second")


@pytest.mark.parametrize("key", ["", "a" * 201, "two\nlines", "quote'd"])
def test_keys_that_are_none(store, key):
    with pytest.raises(UsageError, match="--key"):
        retune(study(), table(300), key=key)


def test_promotion_by_hand(champion):
    with pytest.raises(StudyError, match="has no version 7"):
        promote("demo", "7", "champion", "by hand")
    assert promote("demo", "1", "champion", "by hand") is None
    with pytest.raises(StudyError, match="had no champion before"):
        rollback("demo", "champion")


def test_a_study_is_read_from_the_registry_alone(store, tmp_path, monkeypatch, capsys):
    table(300).to_csv(tmp_path / "today.csv", index=False)
    (tmp_path / "demo.toml").write_text(
        'name = "demo"\n[data]\nsource = "today.csv"\ntarget = "target"\n[split]\nfolds = 2\n'
        '[search]\nbackends = ["sklearn"]\ntrials = 2\n'
    )
    assert main(["tune", "demo.toml", "--quiet"]) == 0
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert study_of("demo", "champion").search.trials == 2
    grown = pd.concat([table(300), table(100, 1)], ignore_index=True)
    grown.to_csv("new.csv", index=False)
    assert main(["retune", "models:/demo@champion", "--data", "new.csv", "--key", "k", "--json", "-"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["status"] in ("kept", "promoted")
    assert out["due"]["rows_new"] == 100
    assert load_package("models:/demo@champion").columns == ["a", "b", "c"]
    assert main(["retune", "models:/other@champion"]) == 65
    assert main(["retune", "models:/demo"]) == 64
    assert main(["promote", "demo", "2"]) == 0
    assert main(["rollback", "demo"]) == 0
    assert main(["promote", "demo", "x"]) == 64


def test_looks_are_counted_by_row():
    looks = Looks.read(Looks().more(np.array([5, 3, 3], np.uint64)).more(np.array([3, 9], np.uint64)).saved())
    assert looks.of(np.array([3, 5, 9, 4], np.uint64)).tolist() == [2, 1, 1, 0]
    two = Looks().more(np.array([1, 2], np.uint64)).more(np.array([2, 9], np.uint64))
    assert two.of(np.array([1, 2, 3], np.uint64)).tolist() == [1, 2, 0]
    assert Looks.read(None).of(np.array([3], np.uint64)).tolist() == [0]


def test_the_champion_goes_first_among_what_is_handed_on():
    trials = [
        {"number": n, "backend": "sklearn", "state": "complete", "loss": loss, "params": {"alpha": n}}
        for n, loss in enumerate([0.5, 0.1, 0.2, 0.3, float("nan")])
    ]
    assert warmest(trials, {"trial": 0}) == {"sklearn": ({"alpha": 0}, {"alpha": 1}, {"alpha": 2})}
