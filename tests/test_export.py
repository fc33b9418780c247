"""`autoreg export`: a study in a real database of Optuna, read back with Optuna."""

import json
import math

import optuna
import pytest

from autoreg.__main__ import main
from autoreg.export import _distributions, storage_at

STUDY = """
name = "small"
[data]
source = "sklearn:load_iris"
target = "target"
[split]
folds = 3
[search]
backends = ["sklearn", "xgboost"]
trials = 6
block = 3
"""


@pytest.fixture(scope="module")
def home(migrated_store, tmp_path_factory):
    """A folder with a finished study of six trials."""
    import shutil

    place = tmp_path_factory.mktemp("export")
    shutil.copy(migrated_store, place / "mlflow.db")
    (place / "small.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
        assert main(["tune", "small.toml", "--quiet"]) == 0
    return place


@pytest.fixture
def at_home(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    return home


def shown(capsys):
    assert main(["show", "small", "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)["trials_table"]


@pytest.mark.parametrize("to", ["sqlite:///trials.db", "trials.log"])
def test_optuna_reads_what_the_ledger_holds(at_home, capsys, to):
    trials = shown(capsys)
    assert main(["export", "small.toml", "--to", to, "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in record["studies"]] == ["small/sklearn", "small/xgboost"]
    with storage_at(to) as storage:
        check_studies(storage, trials)


def check_studies(storage, trials):
    for backend in ("sklearn", "xgboost"):
        study = optuna.load_study(study_name=f"small/{backend}", storage=storage)
        mine = [t for t in trials if t["backend"] == backend]
        best = min((t for t in mine if t["state"] == "complete"), key=lambda t: t["loss"])
        assert study.best_value == best["loss"]
        assert study.best_params == best["params"]
        assert study.best_trial.user_attrs["autoreg.trial"] == best["number"]
        assert study.user_attrs["autoreg.study"] == "small"
        assert len(study.trials) == len(mine)
        for trial in study.trials:
            assert trial.datetime_complete > trial.datetime_start
            folds = trial.intermediate_values
            assert trial.state is not optuna.trial.TrialState.COMPLETE or math.isclose(
                folds[max(folds)], trial.value
            )


def test_a_study_of_that_name_is_not_touched(at_home, capsys):
    to = "sqlite:///twice.db"
    assert main(["export", "small", "--to", to]) == 0
    capsys.readouterr()
    assert main(["export", "small", "--to", to]) == 64
    assert "already holds a study 'small/sklearn'" in capsys.readouterr().err
    assert main(["export", "small", "--to", to, "--name", "again"]) == 0
    with storage_at(to) as storage:
        names = optuna.get_all_study_names(storage)
        assert sorted(names) == ["again/sklearn", "again/xgboost", "small/sklearn", "small/xgboost"]
        assert all(len(optuna.load_study(study_name=name, storage=storage).trials) == 3 for name in names)


@pytest.mark.parametrize(
    ("what", "to", "code", "words"),
    [
        ("small", "trials.db", 64, "sqlite:///trials.db"),
        ("nothing", "sqlite:///x.db", 65, "'nothing'"),
        ("small", "nosuch://ada:s3cret@host/x", 65, "nosuch"),
        ("small", "sqlite:////no/such/folder/x.db", 65, "cannot be written"),
        ("small", "postgresql+psycopg://ada:s3cret@127.0.0.1:1/x", 65, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_one_line_without_a_password(at_home, capsys, what, to, code, words):
    assert main(["export", what, "--to", to]) == code
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert words in err
    assert "s3cret" not in out + err


def test_ranges_hold_what_was_tried():
    params = [
        {"alpha": 1e-4, "dropout": 0.0, "depth": 3, "penalty": "l1", "early": True},
        {"alpha": 1.0, "dropout": 0.5, "depth": 7, "penalty": "l2", "early": False},
    ]
    found = _distributions(params)
    assert found["alpha"] == optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
    assert found["dropout"] == optuna.distributions.FloatDistribution(0.0, 0.5)
    assert found["depth"] == optuna.distributions.IntDistribution(3, 7)
    assert found["penalty"] == optuna.distributions.CategoricalDistribution(["l1", "l2"])
    assert found["early"] == optuna.distributions.CategoricalDistribution([True, False])
