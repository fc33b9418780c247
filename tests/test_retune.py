"""Retuning on a real store: first study, promotion, refusal, keys, what is due, rollback."""

import json

import numpy as np
import pandas as pd
import pytest

from autoreg.__main__ import main
from autoreg.console import QuietWatch
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


class Heard(QuietWatch):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, message):
        self.lines.append(message)


def study(data=(), split=(), **retuned):
    return parse_study(
        {
            "name": "demo",
            "data": {"source": "today.csv", "target": "target", **dict(data)},
            "split": {"folds": 2, **dict(split)},
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


def test_every_difference_is_told_and_the_champion_stays(champion, store):
    today = table(300).drop(columns=["a"]).assign(d=np.arange(300) % 7, c=np.tile(["x", "y"], 150))
    today.loc[:40, "target"] = "maybe"
    heard, tags = Heard(), dict(version_at("demo", "champion").tags)
    with pytest.raises(DataError, match="does not fit the champion") as caught:
        retune(study(), today, key="second", watch=heard)
    fatal = [
        "column 'a' is missing",
        "column 'c' was numeric and is category today: the champion cannot read it (expected a number, found 'x')",
        "the target was binary and is multiclass today",
    ]
    assert [line.removeprefix("warning: ") for line in heard.lines] == [
        *fatal,
        "column 'd' is new: the champion does not use it",
        "class 'maybe' is new: the champion cannot predict it",
    ]
    assert all(line in str(caught.value) for line in fatal)
    assert "\n" not in str(caught.value)
    assert dict(version_at("demo", "champion").tags) == tags
    assert version_at("demo", CHALLENGER) is None


def test_differences_are_told_when_the_study_lacks_its_own_columns(store):
    def timed(rows):
        return rows.assign(day=np.arange(len(rows)), who=np.arange(len(rows)) // 2)

    spec = study({"time": "day", "drop": ["who"]})
    assert retune(spec, timed(table(300)), key="first").status == "tuned"
    heard = Heard()
    with pytest.raises(DataError, match=r"'day' \(data.time\) is missing"):
        retune(spec, table(300).drop(columns="b").assign(c=1.0), key="second", watch=heard)
    assert heard.lines == [
        "warning: column 'day' (data.time) is missing",
        "warning: column 'who' (data.drop) is missing",
        "warning: column 'b' is missing",
        "warning: column 'c' is empty today, or the same in all rows",
    ]
    assert version_at("demo", "champion").number == "1"


def test_a_column_that_changed_and_can_still_be_read(champion):
    heard = Heard()
    today = table(300).assign(c=lambda t: t["c"] > 0)
    assert retune(study(when=["age"]), today, key="second", watch=heard).status == "kept"
    told = next(line for line in heard.lines if line.startswith("warning: column 'c' was numeric and is "))
    assert told.endswith("the champion reads it as before")


def test_a_fresh_retune_is_a_new_generation(champion, store):
    grown = pd.concat([table(300), table(60, 1, effect=0)], ignore_index=True)
    found = retune(study(), grown, key="second")
    again = retune(study(), grown, key="second", fresh=True)
    assert found.status == again.status == "kept"
    assert again.report["run_id"] != found.report["run_id"]
    assert store.get_run(again.report["run_id"]).data.tags["autoreg.generation"] == "1"
    third = retune(study(), grown, key="second")
    assert (third.status, third.report["run_id"]) == ("skipped", again.report["run_id"])


def test_nested_studies_are_kept_and_told_why(champion):
    heard = Heard()
    grown = pd.concat([table(300), table(60, 1)], ignore_index=True)
    found = retune(study(split={"estimate": "nested"}), grown, key="second", watch=heard)
    assert found.status == "kept"
    assert 'split.estimate = "nested" keeps no rows aside' in found.report["gate"]["reason"]
    assert any(line.startswith('warning: split.estimate = "nested"') for line in heard.lines)
    assert found.report["gate"]["reason"] in version_at("demo", CHALLENGER).tags["autoreg.gate"]


def test_a_column_that_holds_the_answer_stops_the_retune(champion, store):
    grown = pd.concat([table(300), table(300, 1)], ignore_index=True)
    answer = (grown["target"] == "yes") + np.random.default_rng(0).uniform(0, 0.1, len(grown))
    grown["later"], heard = answer, Heard()
    before = len(store.search_runs([champion.report["experiment_id"]]))
    found = retune(study(), grown, key="second", watch=heard)
    assert found.status == "kept"
    assert found.report["gate"]["reason"].startswith("kept: column 'later' looks as if it held the answer")
    assert "column 'later'" in version_at("demo", "champion").tags["autoreg.checked"]
    assert any("warning: kept: column 'later'" in line for line in heard.lines)
    assert len(store.search_runs([champion.report["experiment_id"]])) == before
    assert retune(study({"trusted": ["later"]}), grown, key="second").status == "promoted"


def test_what_was_taken_back_is_not_promoted_again(champion):
    moved = pd.concat([table(300), table(900, 1, column="b")], ignore_index=True)
    assert retune(study(), moved, key="second").status == "promoted"
    rollback("demo", "champion")
    found = retune(study(), moved, key="third")
    assert found.status == "kept"
    assert "has served and was rolled back" in found.report["gate"]["reason"]
    assert version_at("demo", "champion").number == "1"
    fourth = retune(study(), moved, key="fourth")
    assert (fourth.status, fourth.report["key"]) == ("kept", "fourth")
    promote("demo", "2", "champion", "by hand")
    assert "autoreg.rolled_back" not in version_at("demo", "2").tags


def test_another_key_over_the_same_data_looks_at_no_row_again(champion, store):
    grown = pd.concat([table(300), table(60, 1, effect=0)], ignore_index=True)
    found = retune(study(), grown, key="second")
    heard = Heard()
    again = retune(study(), grown, key="third", watch=heard)
    assert (again.status, again.report["run_id"]) == ("kept", found.report["run_id"])
    assert again.report["key"] == "third"
    assert again.report["gate"] == found.report["gate"]
    assert "nothing is new since the retune 'second', whose verdict still holds" in heard.lines


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
    with pytest.raises(StudyError, match="'other' has no version 1"):
        promote("other", "1", "champion", "by hand")
    assert promote("demo", "1", "champion", "by hand") is None
    with pytest.raises(StudyError, match="had no champion before"):
        rollback("demo", "champion")
    with pytest.raises(StudyError, match="'other' has no version with the alias"):
        rollback("other", "champion")


def test_somebody_is_told_of_the_outcome_and_of_errors(champion, tmp_path, capsys):
    (tmp_path / "demo.toml").write_text(
        'name = "demo"\n[data]\nsource = "today.csv"\ntarget = "target"\n[split]\nfolds = 2\n'
        '[search]\nbackends = ["sklearn"]\ntrials = 3\nrace = false\n[retune]\nwhen = ["new_rows"]\n'
    )
    table(300).to_csv(tmp_path / "today.csv", index=False)
    told = ["--notify", "tee told.json", "--quiet"]
    assert main(["retune", "demo.toml", *told]) == 0
    assert json.loads((tmp_path / "told.json").read_text())["status"] == "kept"
    table(300).drop(columns="a").to_csv(tmp_path / "today.csv", index=False)
    assert main(["retune", "demo.toml", *told]) == 65
    record = json.loads((tmp_path / "told.json").read_text())
    assert (record["status"], record["code"]) == ("error", 65)
    assert "column 'a' is missing" in record["message"]
    assert main(["retune", "demo.toml", "--notify", "false"]) == 65
    assert "warning: --notify: 'false' ended with exit code 1" in capsys.readouterr().err


def test_rolled_back_twice_is_where_it_was(champion):
    moved = pd.concat([table(300), table(900, 1, column="b")], ignore_index=True)
    retune(study(), moved, key="second")
    assert [v.number for v in rollback("demo", "champion")] == ["1", "2"]
    assert [v.number for v in rollback("demo", "champion")] == ["2", "1"]
    assert "autoreg.rolled_back" not in version_at("demo", "2").tags


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


def test_a_champion_whose_alias_is_gone_serves_again(champion, store):
    store.delete_registered_model_alias("demo", "champion")
    assert retune(study(), table(300), key="second").status == "tuned"
    assert version_at("demo", "champion").number == "1"
