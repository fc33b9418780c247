"""Ledgers that older releases left, and formats that newer ones might: read, gone on with, or refused in one line."""

import json
import shutil
import sqlite3
import tarfile
import warnings
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from make_ledger_fixture import FIXTURES, MOST, PLACE, STOPPED_AFTER, unpack
from test_tuner import Stopper

from autoreg import tune
from autoreg.__main__ import main
from autoreg.errors import DataError
from autoreg.ledger import MlflowLedger, read_record, read_summary
from autoreg.ledger.client import FORMAT, FORMAT_TAG
from autoreg.record import StudyRecord
from autoreg.registry import load_package, version_at
from autoreg.retune import retune
from autoreg.tracking import quiet_client

ARCHIVES = sorted(FIXTURES.glob("ledger-*.tar.gz"))


def revisions():
    """Schemas that the installed MLflow knows, the newest first."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    return [each.revision for each in ScriptDirectory.from_config(_get_alembic_config("")).walk_revisions()]


def schema(folder):
    with closing(sqlite3.connect(folder / "mlflow.db")) as base:
        return base.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def marked(folder, version):
    """Let a database say that it has another schema."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as base, base:
        base.execute("UPDATE alembic_version SET version_num = ?", [version])


@pytest.fixture(scope="session", params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def archive(request):
    return request.param


@pytest.fixture
def ledger(archive, tmp_path, monkeypatch):
    """A ledger of an older release, in the current folder; its database as the installed MLflow wants it."""
    folder = tmp_path / "kept"
    folder.mkdir()
    uri = unpack(archive, folder)
    if schema(folder) not in (known := revisions()):
        pytest.skip("the installed MLflow is older than the one that wrote this ledger")
    if schema(folder) != known[0]:
        from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

        engine = create_sqlalchemy_engine_with_retry(uri)
        _upgrade_db(engine)
        engine.dispose()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return folder


def test_there_is_a_ledger_to_read():
    assert ARCHIVES


def test_a_kept_ledger_is_small_and_tells_of_no_machine(archive):
    assert archive.stat().st_size < MOST
    with tarfile.open(archive) as tar:
        entries = tar.getmembers()
        contents = {entry.name: tar.extractfile(entry).read() for entry in entries}
    assert all((e.uid, e.gid, e.uname, e.gname, e.mtime) == (0, 0, "", "", 0) for e in entries)
    assert not [name for name in contents if name.endswith((".pkl", ".pickle", ".joblib"))]
    for name, content in contents.items():
        for place in (b"/home/", b"/root/", b"/tmp/", b"/usr/", b"file:///"):
            assert place not in content, (name, place)
    assert PLACE.encode() in contents["mlflow.sql"]


def test_show_and_report_read_it(ledger, capsys):
    assert main(["show", "finished", "--json", "-"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (kept,) = [json.loads(path.read_text()) for path in ledger.glob("mlruns/**/artifacts/result.json")]
    assert shown["trials"]["complete"] == kept["trials"]["complete"] == 6
    assert (shown["best"], shown["estimate"]) == (kept["best"], kept["estimate"])
    assert [row["number"] for row in shown["trials_table"]] == list(range(6))
    assert main(["report", "finished", "--out", "report.html"]) == 0
    assert Path("report.html").stat().st_size > 10_000
    assert main(["show", "stopped"]) == 0


def test_predict_gives_what_it_gave(ledger):
    assert main(["predict", "models:/finished@champion", "rows.csv", "now.csv"]) == 0
    then, now = pd.read_csv("predicted.csv"), pd.read_csv("now.csv")
    pd.testing.assert_frame_equal(now, then, check_exact=False, rtol=1e-6)


def test_mlflow_alone_still_loads_the_model(ledger):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about hints of its own
        import mlflow.pyfunc

    found = mlflow.pyfunc.load_model("models:/finished@champion").predict(pd.read_csv("rows.csv"))
    then = pd.read_csv("predicted.csv")
    assert list(found["prediction"]) == list(then["prediction"])


def test_reconcile_puts_it_in_order(ledger, capsys):
    assert main(["reconcile", "stopped", "--json", "-"]) == 0
    done = json.loads(capsys.readouterr().out)["done"]
    assert [line for line in done if "unfinished run" in line and "trial 5" in line]
    assert main(["reconcile", "finished", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == []


def test_the_finished_study_is_known_as_finished(ledger):
    before = read_summary("finished")
    assert tune("finished.toml").as_json()["run_id"] == before["run_id"]
    assert tune("finished.toml").status == "skipped"
    assert read_record("finished").report["best"] == before["best"]


def test_the_stopped_study_goes_on_from_its_trials(ledger):
    before = read_summary("stopped")
    rows = {row["number"]: row for row in before["trials_table"]}
    assert len(rows) == STOPPED_AFTER
    watch = Stopper(-1)
    found = tune("stopped.toml", watch=watch).as_json()
    assert (found["status"], found["run_id"]) == ("tuned", before["run_id"])
    assert (watch.numbers, watch.replayed) == (list(range(6)), STOPPED_AFTER)
    after = {row["number"]: row for row in read_summary("stopped")["trials_table"]}
    assert {number: after[number] for number in rows} == rows
    assert sorted(after) == list(range(6))


def test_a_challenger_is_judged_against_its_champion(ledger):
    rows = pd.concat(
        [pd.read_csv("flowers.csv"), pd.read_csv("flowers.csv").assign(**{"petal width (cm)": 9.9})]
    )
    found = retune("finished.toml", rows, key="next")
    assert found.status in ("kept", "promoted")
    assert found.report["champion"] == "1"
    assert {"promoted", "reason", "rows"} <= set(found.report["gate"])
    assert version_at("finished", "2") is not None


def test_a_run_without_a_format_is_read_as_the_first(ledger):
    client, run_id = quiet_client(), read_summary("stopped")["run_id"]
    client.delete_tag(run_id, FORMAT_TAG)
    assert read_summary("stopped")["run_id"] == run_id
    watch = Stopper(-1)
    tune("stopped.toml", watch=watch)
    assert watch.replayed == STOPPED_AFTER


@pytest.mark.parametrize("written", [str(FORMAT + 1), "next"])
@pytest.mark.parametrize(
    "command",
    [
        ("show", "finished"),
        ("report", "finished", "--out", "report.html"),
        ("reconcile", "finished"),
        ("export", "finished", "--to", "sqlite:///optuna.db"),
        ("tune", "finished.toml"),
        ("retune", "finished.toml", "--key", "next"),
    ],
    ids=lambda words: words[0],
)
def test_a_ledger_of_a_newer_release_is_refused_in_one_line(ledger, capsys, command, written):
    client, run_id = quiet_client(), read_summary("finished")["run_id"]
    client.set_tag(run_id, FORMAT_TAG, written)
    before = sorted(
        run.info.run_id for run in client.search_runs([client.get_run(run_id).info.experiment_id])
    )
    assert main([*command]) == 65
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("autoreg: ")]
    assert len(said) == 1
    assert run_id in said[0]
    assert "was recorded by a newer autoreg" in said[0]
    assert f"reads up to {FORMAT}; upgrade autoreg" in said[0]
    after = sorted(run.info.run_id for run in client.search_runs([client.get_run(run_id).info.experiment_id]))
    assert after == before


def test_a_new_generation_beside_one_of_a_newer_release_has_this_ones_format(ledger):
    client, run_id = quiet_client(), read_summary("finished")["run_id"]
    client.set_tag(run_id, FORMAT_TAG, str(FORMAT + 1))
    found = tune("finished.toml", fresh=True).as_json()
    assert found["run_id"] != run_id
    assert client.get_run(found["run_id"]).data.tags[FORMAT_TAG] == str(FORMAT)


def test_a_model_of_a_newer_release_is_refused_in_one_line(ledger, capsys):
    (place,) = ledger.glob("mlruns/**/artifacts/package/package.json")
    about = json.loads(place.read_text())
    place.write_text(json.dumps(about | {"format": 99}))
    assert main(["predict", "models:/finished@champion", "rows.csv", "now.csv"]) == 65
    said = capsys.readouterr().err
    assert "model 'models:/finished@champion' was made by a newer autoreg (package format 99" in said
    assert "upgrade autoreg" in said
    for wrong in (None, 1, "2"):
        place.write_text(json.dumps(about | {"format": wrong}))
        with pytest.raises(DataError, match="damaged or of another format: expected package format 2 or 3"):
            load_package("models:/finished@champion")


def test_a_record_of_a_newer_release_is_told_by_its_format_before_anything_else():
    with pytest.raises(ValueError, match="a newer autoreg wrote it"):
        StudyRecord.from_json(json.dumps({"format": 2, "what": "is not known"}))


# -- the database's own schema -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("older", "lacking", "words"),
    [
        (True, False, "was made by an older MLflow than {version}, which is installed here: make a copy of it, then run: mlflow db upgrade 'sqlite:///"),
        (False, False, "was made by a newer MLflow than {version}, which is installed here and does not know its schema feedfacecafe: upgrade mlflow here"),
        (False, True, "was made by a newer MLflow than {version}, which is installed here and does not know its schema feedfacecafe: upgrade mlflow here"),
    ],
)  # fmt: skip
def test_a_database_of_another_mlflow_is_told_with_what_to_do(
    migrated_store, tmp_path, monkeypatch, capsys, older, lacking, words
):
    import mlflow

    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    marked(tmp_path, revisions()[1] if older else "feedfacecafe")
    if lacking:
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as base, base:
            base.execute("DROP TABLE webhook_events")
    monkeypatch.chdir(tmp_path)
    for uri in ("", f"sqlite:///{tmp_path}/mlflow.db"):
        if uri:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert main(["show", "anything"]) == 65
        said = capsys.readouterr().err
        assert words.format(version=mlflow.__version__) in said
        assert said.count("\n") == 1
        assert f"sqlite:///{tmp_path}/mlflow.db" in said


def test_a_study_says_its_format(store):
    from test_spool import HEADER

    ledger = MlflowLedger()
    ledger.begin(HEADER)
    assert store.get_run(ledger.run_id).data.tags[FORMAT_TAG] == str(FORMAT)
    ledger.abandon("KILLED")
