"""Ordinary mistakes of a first hour: one line each, which says what to do next."""

import pandas as pd
import pytest

from autoreg.__main__ import main
from autoreg.planning import plan
from autoreg.spec import parse_study

STUDY = 'name = "churn"\n[data]\nsource = "churn.csv"\ntarget = "churn"\n'


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """The one line that a command says in a folder with a study file; MLflow is set to nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "churn.toml").write_text(STUDY)

    def run(*args: str, code: int) -> str:
        assert main(list(args)) == code
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0]

    return run


@pytest.mark.parametrize(
    "args",
    [
        ("show", "churn"),
        ("show", "churn.toml"),
        ("report", "churn", "--out", "churn.html"),
        ("export", "churn", "--to", "sqlite:///trials.db"),
        ("predict", "models:/churn@champion", "rows.csv", "out.csv"),
        ("promote", "churn", "1"),
        ("rollback", "churn"),
        ("reconcile", "churn"),
        ("retune", "models:/churn@champion"),
    ],
    ids=lambda args: args[0],
)
def test_a_folder_where_nothing_ran_is_said_and_stays_as_it_was(told, tmp_path, args):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    before = sorted(tmp_path.iterdir())
    line = told(*args, code=65)
    assert "nothing is recorded in this folder" in line
    assert "go to the folder where a study ran" in line
    assert sorted(tmp_path.iterdir()) == before


class TestStudyFile:
    def test_a_name_that_is_nearly_right(self, told):
        assert "'chrun.toml' does not exist (did you mean 'churn.toml'?)" in told(
            "tune", "chrun.toml", code=65
        )

    def test_a_name_unlike_any_other_leads_to_init(self, told):
        assert "autoreg init DATA" in told("tune", "x", code=65)

    def test_a_folder(self, told, tmp_path):
        (tmp_path / "studies").mkdir()
        assert "'studies' is a folder; give a .toml file" in told("validate", "studies", code=65)

    def test_a_table_leads_to_init(self, told):
        assert "autoreg init churn.csv" in told("tune", "churn.csv", code=64)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [(STUDY.replace('"churn.csv"', "churn.csv"), "'source = churn.csv'"), ("[data\n", "'[data'")],
    )
    def test_the_line_that_is_no_toml_is_shown(self, told, tmp_path, text, shown):
        (tmp_path / "bad.toml").write_text(text)
        line = told("validate", "bad.toml", code=65)
        assert f"{shown}; a line is key = value" in line

    def test_no_line_is_shown_where_the_text_ends(self, told, tmp_path):
        (tmp_path / "bad.toml").write_text('name = """a')
        assert "not valid TOML" in told("validate", "bad.toml", code=65)

    def test_a_number_out_of_bounds(self, told, tmp_path):
        (tmp_path / "bad.toml").write_text(STUDY + "[search]\ntrials = 0\n")
        assert "search.trials: expected at least 1, found 0" in told("validate", "bad.toml", code=65)


class TestFewTrials:
    def plan(self, tmp_path, **search):
        rows = pd.DataFrame({"a": range(60), "churn": ["no", "yes"] * 30})
        data = {"source": "a frame", "target": "churn"}
        return plan(parse_study({"name": "x", "data": data, "search": search}, tmp_path), rows)

    def test_backends_that_have_no_turn_are_named(self, tmp_path):
        note = self.plan(tmp_path, trials=16).notes[-1]
        assert "16 are too few" in note
        assert "(8 trials each): keras may not be tried; give 24 or more" in note

    @pytest.mark.parametrize(
        "search", [{"trials": 17}, {"trials": 8, "backends": ["keras"]}, {"trials": 8, "sampler": "grid"}]
    )
    def test_nothing_is_said_where_all_may_have_one(self, tmp_path, search):
        planned = self.plan(tmp_path, **search)
        assert planned.notes == planned.table.notes


class TestOptions:
    def test_the_option_is_named_as_it_was_typed(self, told):
        assert "--trials: expected at least 1, found 0;" in told(
            "tune", "churn.toml", "--trials", "0", code=64
        )

    @pytest.mark.parametrize(
        ("word", "hint"), [("tun", "(did you mean 'tune'?)"), ("fit", "(known: completion, export, init")]
    )
    def test_a_command_that_is_not_there(self, told, word, hint):
        assert f"there is no command '{word}' {hint}" in told(word, "churn.toml", code=64)
