"""`autoreg init`: what is written for a table, what is asked, and what is refused."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoreg.__main__ import main
from autoreg.spec import load_study
from autoreg.starter import likely_targets, study_name


def shop(rows=300, seed=0):
    """Orders with a key, customers, days, a weight, and a code that is only known afterwards."""
    rng = np.random.default_rng(seed)
    spend = rng.exponential(50, rows).round(2)
    bought = (spend + rng.normal(0, 30, rows) > 90).astype(int)
    return pd.DataFrame(
        {
            "order_id": np.arange(1000, 1000 + rows),
            "customer": rng.integers(1, 60, rows),
            "day": pd.date_range("2025-01-01", periods=rows).strftime("%Y-%m-%d"),
            "spend": spend,
            "sample_weight": rng.random(rows).round(3),
            "refund": np.where(bought, "R", "N"),
            'odd "name"\t#': rng.normal(size=rows).round(3),
            "bought": bought,
        }
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shop().to_csv(tmp_path / "shop.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def uncommented(path):
    """The study with every suggestion taken."""
    text = path.read_text(encoding="utf-8")
    whole = path.with_name("whole.toml")
    whole.write_text(text.replace("#: ", ""), encoding="utf-8")
    return load_study(whole)


class TestFile:
    def test_it_validates_and_names_what_was_found(self, folder, capsys):
        assert main(["init", "shop.csv", "--target", "bought"]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert "written to study.toml" in err
        study = load_study("study.toml")
        assert (study.name, study.data.source, study.data.target) == ("shop", "shop.csv", "bought")
        assert (study.data.id, study.data.group, study.data.time, study.data.drop) == (None, None, None, ())
        data = uncommented(folder / "study.toml").data
        assert (data.id, data.group, data.time, data.weight) == (
            "order_id",
            "customer",
            "day",
            "sample_weight",
        )
        assert data.drop == ("refund",)
        assert main(["validate", "study.toml"]) == 0
        assert "300 rows" in capsys.readouterr().out

    def test_the_suggestions_make_a_study_that_validates(self, folder, capsys):
        assert main(["init", "shop.csv", "--target", "bought"]) == 0
        text = (
            Path("study.toml")
            .read_text()
            .replace("#: id", "id")
            .replace("#: time", "time")
            .replace("#: drop", "drop")
        )
        Path("taken.toml").write_text(text)
        assert main(["validate", "taken.toml"]) == 0
        assert "refund" not in capsys.readouterr().out

    def test_it_tunes_at_once(self, folder, store, capsys):
        assert main(["init", "shop.csv", "--target", "spend"]) == 0
        assert load_study("study.toml").search.metric == "rmse"
        assert main(["tune", "study.toml", "--trials", "2", "--backends", "sklearn", "--quiet"]) == 0

    def test_data_elsewhere_is_named_from_the_study_s_folder(self, folder, capsys):
        (folder / "studies").mkdir()
        assert main(["init", "shop.csv", "--target", "bought", "--out", "studies/s.toml"]) == 0
        assert load_study("studies/s.toml").data.source == "../shop.csv"
        assert main(["validate", "studies/s.toml"]) == 0

    @pytest.mark.parametrize("source", ["sklearn:load_iris", "sklearn:load_diabetes"])
    def test_tables_of_sklearn(self, folder, capsys, source):
        assert main(["init", source, "--target", "target"]) == 0
        assert main(["validate", "study.toml"]) == 0

    def test_a_rare_class_is_pointed_out(self, folder):
        frame = shop()
        frame["rare"] = np.where(np.arange(len(frame)) % 30 == 0, "yes", "no")
        frame.to_parquet("rare.parquet")
        assert main(["init", "rare.parquet", "--target", "rare"]) == 0
        assert "class yes has 3.3% of the rows" in Path("study.toml").read_text()
        assert uncommented(folder / "study.toml").search.class_weight == "balanced"


class TestRefusals:
    def test_nothing_is_written_over_without_force(self, folder, capsys):
        Path("study.toml").write_text("mine")
        assert main(["init", "shop.csv", "--target", "bought"]) == 64
        assert "--force" in capsys.readouterr().err
        assert Path("study.toml").read_text() == "mine"
        assert main(["init", "shop.csv", "--target", "bought", "--force"]) == 0
        assert load_study("study.toml").name == "shop"

    @pytest.mark.parametrize(
        ("args", "code", "words"),
        [
            (["shop.csv"], 64, "--target bought"),
            ([], 64, "name a table"),
            (["shop.csv", "--target", "Bought"], 64, "did you mean 'bought'"),
            (["shop.csv", "--target", "bought", "--out", "no/s.toml"], 64, "does not exist"),
            (["shop.csv", "--target", "bought", "--out", "s.txt"], 64, ".toml"),
            (["gone.csv", "--target", "x"], 65, "gone.csv"),
            (["shop.csv", "--target", "day"], 65, "day"),
            (["sqlite:///x.db", "--target", "x"], 65, "query"),
        ],
    )
    def test_one_line_and_no_question_without_a_terminal(self, folder, capsys, args, code, words):
        assert main(["init", *args]) == code
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert words in err
        assert not Path("study.toml").exists()


def asked(folder, answers):
    """What a terminal shows while it is asked for the target."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "TERM": "dumb"}
    with subprocess.Popen(
        [sys.executable, "-m", "autoreg", "init", "shop.csv"],
        stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment,
    ) as process:  # fmt: skip
        os.close(slave)
        os.write(master, answers.encode())
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            shown += part
        os.close(master)
        return process.wait(60), shown.decode()


@pytest.mark.parametrize(("answers", "target"), [("\n", "bought"), ("nope\nspend\n", "spend")])
def test_a_terminal_is_asked_and_the_likeliest_is_proposed(folder, answers, target):
    code, shown = asked(folder, answers)
    assert code == 0
    assert "Which column is to be predicted? [bought]" in shown
    assert ("no column 'nope'" in shown) == ("nope" in answers)
    assert load_study(folder / "study.toml").data.target == target


@pytest.mark.parametrize(
    ("columns", "first"),
    [
        (["a", "b"], "b"),
        (["label", "b"], "label"),
        (["Y", "x"], "Y"),
        (["is_class", "x"], "is_class"),
        (["y", "target"], "target"),
    ],
)
def test_likely_targets(columns, first):
    assert likely_targets(columns)[0] == first
    assert sorted(likely_targets(columns)) == sorted(columns)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/churn.csv", "churn"),
        ("sklearn:load_iris", "iris"),
        ("sklearn:make_moons?n_samples=100", "moons"),
        ("https://host/a/my file.csv.gz?x=1", "my_file"),
        ("openml:31", "31"),
        ("...", "study"),
    ],
)
def test_study_name(source, name):
    assert study_name(source) == name
