"""The command line on real studies: what is printed where, and the exit code of every ending."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest

from autoreg.__main__ import main
from autoreg.cli import cli, running, stoppable, where_to_look
from autoreg.cli.options import given_study
from autoreg.errors import Interrupted

STUDY = """
name = "demo"
[data]
source = "demo.csv"
target = "target"
[split]
folds = 3
[search]
backends = ["sklearn"]
trials = 3
[registry]
model = "demo"
"""
KEYS = {
    "best": {"backend", "params", "cv_mean", "cv_se"},
    "estimate": {"kind", "metric", "holdout", "holdout_low", "holdout_high", "cv", "optimism", "gap"},
    "model": {"name", "version", "uri", "alias"},
    "trials": {"total", "complete", "pruned", "failed"},
    "seconds": {"total", "search", "refit", "tracking_wait"},
}


def table(rows=150, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).round(4)
    y = np.where(x[:, 0] + rng.normal(size=rows) > 0, "yes", "no")
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c d": x[:, 2], "target": y})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a small table and its study; the process works there."""
    table().to_csv(tmp_path / "demo.csv", index=False)
    (tmp_path / "demo.toml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def tuned(migrated_store, tmp_path_factory):
    """A folder with a finished study: its table, its store, its JSON."""
    place = tmp_path_factory.mktemp("tuned")
    shutil.copy(migrated_store, place / "mlflow.db")
    table().to_csv(place / "demo.csv", index=False)
    (place / "demo.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
        assert main(["tune", "demo.toml", "--json", "first.json", "--quiet"]) == 0
    return place


@pytest.fixture
def at_home(tuned, monkeypatch):
    monkeypatch.chdir(tuned)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tuned}/mlflow.db")
    return tuned


class TestUsage:
    @pytest.mark.parametrize(
        ("args", "words", "see"),
        [
            (["tune"], "STUDY.toml", "autoreg tune --help"),
            (["tune", "--trails", "3", "x.toml"], "--trials", "autoreg tune --help"),
            (["tun", "x.toml"], "tune", "autoreg --help"),
            (["tune", "demo.toml", "--trials", "many"], "'many'", "autoreg tune --help"),
            (["tune", "demo.toml", "--trials", "0"], "trials", "autoreg tune --help"),
            (["tune", "demo.toml", "--timeout", "soon"], "timeout", "autoreg tune --help"),
            (["tune", "demo.toml", "--backends", "xgbost"], "did you mean 'xgboost'", "autoreg tune --help"),
            (["tune", "demo.toml", "--seed", "-1"], "seed", "autoreg tune --help"),
            (["tune", "demo.toml", "--json", "no/such/folder.json"], "does not exist", "autoreg tune --help"),
            (["tune", "demo.toml", "--json", "."], "is a folder", "autoreg tune --help"),
            (["validate", "demo.toml", "--json"], "--json", "autoreg validate --help"),
            (["show", "demo", "--top", "x"], "--top", "autoreg show --help"),
            (["predict", "models:/demo@champion", "in.csv", "out.txt"], "out.txt", "autoreg predict --help"),
            (["predict", "models:/demo@champion", "in.csv", "no/out.csv"], "OUT", "autoreg predict --help"),
        ],
    )
    def test_exit_64_with_one_line_that_says_where_to_read_on(self, folder, capsys, args, words, see):
        assert main(args) == 64
        out, err = capsys.readouterr()
        assert out == ""
        lines = [line for line in err.splitlines() if "--json: cannot write" not in line]
        assert len(lines) == 1
        assert lines[0].startswith("autoreg: ")
        assert words in lines[0]
        assert lines[0].endswith(f"see {see}")

    @pytest.mark.parametrize("args", [["--help"], ["tune", "--help"], ["tune", "-h"], [], ["--version"]])
    def test_help_is_not_an_error(self, capsys, args):
        assert main(args) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert "autoreg" in out

    def test_every_command_and_option_says_what_it_is(self):
        for command in cli.commands.values():
            assert command.help
            assert all(p.help for p in command.params if p.param_type_name == "option")

    def test_every_command_is_listed_and_has_an_example_that_parses(self):
        from autoreg.cli.helping import EXAMPLES, ungrouped

        assert ungrouped(cli.commands) == []
        for name, lines in EXAMPLES.items():
            for line in lines:
                words = shlex.split(re.split(r">>? ", line)[0], comments=True)
                assert words[:2] == ["autoreg", name]
                cli.commands[name].make_context(name, words[2:], click.Context(cli))

    def test_help_has_groups_examples_and_exit_codes(self, capsys):
        assert main(["--help"]) == 0
        out = capsys.readouterr().out
        for words in ("Tune:", "Keep it good:", "Exit codes:", "130, 143"):
            assert words in out
        assert main(["tune", "--help"]) == 0
        out = capsys.readouterr().out
        for words in (
            "What to search:",
            "Where trials run:",
            "Examples:",
            "autoreg tune churn.toml --n-jobs 4",
        ):
            assert words in out


class TestCompletion:
    def completed(self, folder, *words):
        """What bash would be offered behind these words."""
        variables = {
            "_AUTOREG_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        done = subprocess.run(
            [sys.executable, "-m", "autoreg"], capture_output=True, text=True, cwd=folder, timeout=60, check=False,
            env={**os.environ, **variables, "PYTHONPATH": str(Path(__file__).parent.parent)},
        )  # fmt: skip
        assert done.stderr == ""
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    def test_commands_study_files_and_backends(self, folder):
        (folder / "studies").mkdir()
        (folder / "studies" / "other.toml").write_text(STUDY)
        assert self.completed(folder, "autoreg", "re") == ["reconcile", "report", "retune"]
        assert self.completed(folder, "autoreg", "tune", "") == ["demo.toml", "studies/other.toml"]
        assert self.completed(folder, "autoreg", "tune", "studies/") == ["studies/other.toml"]
        assert self.completed(folder, "autoreg", "tune", "--backends", "sklearn,") == [
            "sklearn,xgboost",
            "sklearn,keras",
        ]

    @pytest.mark.parametrize(
        ("shell", "words"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --")]
    )
    def test_scripts(self, capsys, shell, words):
        assert main(["completion", shell]) == 0
        out = capsys.readouterr().out
        assert words in out
        assert "_AUTOREG_COMPLETE" in out

    def test_unknown_shell(self, capsys):
        assert main(["completion", "tcsh"]) == 64


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (STUDY.replace("trials", "trialz"), "did you mean 'trials'"),
            (STUDY.replace("demo.csv", "gone.csv"), "gone.csv"),
            (STUDY.replace('target = "target"', 'target = "goal"'), "goal"),
            ("name = ", "TOML"),
        ],
    )
    def test_bad_study_or_data_exit_65(self, folder, capsys, text, words):
        (folder / "bad.toml").write_text(text)
        assert main(["validate", "bad.toml", "--json", "-"]) == 65
        out, err = capsys.readouterr()
        assert len(err.splitlines()) == 1
        assert words in err
        error = json.loads(out)
        assert (error["status"], error["code"]) == ("error", 65)
        assert f"autoreg: {error['message']}\n" == err

    def test_missing_study_file(self, folder, capsys):
        assert main(["tune", "none.toml", "--json", "out.json"]) == 65
        assert "'none.toml' does not exist" in capsys.readouterr().err
        assert json.loads((folder / "out.json").read_text())["code"] == 65

    def test_usage_errors_are_json_too(self, folder, capsys):
        assert main(["tune", "demo.toml", "--nope", "--json=-"]) == 64
        assert json.loads(capsys.readouterr().out)["code"] == 64

    def test_our_own_bug_is_loud_and_holds_no_password(self, folder, capsys, monkeypatch):
        def broken():
            raise RuntimeError("at postgresql://ada:s3cret@db/x")

        monkeypatch.setattr(running, "quiet_libraries", broken)
        assert main(["tune", "demo.toml", "--json", "-"]) == 70
        out, err = capsys.readouterr()
        assert "Traceback" in err
        assert "bug in autoreg" in err.splitlines()[-1]
        assert json.loads(out)["code"] == 70
        assert "s3cret" not in out + err

    def test_ctrl_c_outside_a_search(self, folder, capsys, monkeypatch):
        def interrupted():
            raise KeyboardInterrupt

        monkeypatch.setattr(running, "quiet_libraries", interrupted)
        assert main(["validate", "demo.toml"]) == 130
        assert capsys.readouterr().err == "autoreg: stopped by Ctrl-C\n"


class TestSignals:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_the_first_signal_is_interrupted_whatever_is_made_of_it(self, number, code):
        def tuner():
            try:
                os.kill(os.getpid(), number)
            except KeyboardInterrupt:
                raise Interrupted("cleaned up", 130) from None

        before = signal.getsignal(number)
        with pytest.raises(Interrupted) as caught, stoppable():
            tuner()
        assert caught.value.exit_code == code
        assert signal.getsignal(number) is before

    def test_an_ordinary_error_stays_what_it_is(self):
        with pytest.raises(ZeroDivisionError), stoppable():
            _ = 1 / 0

    def test_the_second_signal_ends_the_process_at_once(self):
        code = (
            "import time; from autoreg.cli import stoppable\n"
            "with stoppable():\n"
            "    try: print('ready', flush=True); time.sleep(60)\n"
            "    except KeyboardInterrupt: print('tidying', flush=True); time.sleep(60)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            try:
                for line in ("ready\n", "tidying\n"):
                    assert process.stdout.readline() == line
                    process.send_signal(signal.SIGTERM)
                assert process.wait(10) == -signal.SIGTERM
            finally:
                process.kill()


class TestOptions:
    def parsed(self, *args):
        parent = click.Context(cli, **cli.context_settings)
        with cli.commands["tune"].make_context("tune", ["demo.toml", *args], parent) as context:
            return context.params

    def test_empty_text_means_not_given(self):
        params = self.parsed(
            *(
                word
                for name in ("data", "trials", "timeout", "backends", "seed", "json")
                for word in (f"--{name}", "")
            )
        )
        assert all(not params[name] for name in ("data", "trials", "timeout", "backends", "seed", "json"))
        assert params == self.parsed() | {"json": params["json"]}

    def test_the_command_line_wins_over_the_study(self, folder):
        search = {"trials": 7, "timeout": "90s", "backends": "sklearn, xgboost", "seed": 5}
        study = given_study("demo.toml", None, search)
        assert (study.search.trials, study.search.timeout, study.search.seed) == (7, 90.0, 5)
        assert study.search.backends == ("sklearn", "xgboost")
        assert study.data.source == "demo.csv"

    @pytest.mark.parametrize("source", ["sklearn:load_iris", "https://host/x.csv", "openml:31", "/abs/x.csv"])
    def test_sources_that_are_not_relative_paths_stay(self, folder, source):
        assert given_study("demo.toml", source, {}).data.source == source

    def test_a_relative_path_starts_in_the_current_folder(self, folder):
        (folder / "studies").mkdir()
        (folder / "studies" / "x.toml").write_text(STUDY)
        assert given_study("studies/x.toml", "new.csv", {}).data.source == str(folder / "new.csv")


class TestValidate:
    def test_words(self, folder, capsys):
        assert main(["validate", "demo.toml"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        for words in (
            "150 rows, 3 columns",
            "binary",
            "no (",
            "yes (",
            "log_loss (lower is better)",
            "3 trials",
            "sklearn",
            "alpha",
            "library's default",
            "configurations to try",
            "not searched: C=0, solver=auto, patience=5",
            "alpha     strength of the penalty",
            "c d",
        ):
            assert words in out

    def test_json(self, folder, capsys):
        assert main(["validate", "demo.toml", "--json", "-"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["status"] == "valid"
        assert (record["rows"], record["task"], record["metric"]) == (150, "binary", "log_loss")
        assert record["columns"] == [{"name": name, "kind": "numeric"} for name in ("a", "b", "c d")]
        assert sum(entry["rows"] for entry in record["classes"]) == 150
        split = record["split"]
        assert split["search"] + split["holdout"] == 150
        assert [sum(fold.values()) for fold in split["folds"]] == [split["search"]] * 3
        assert set(record["backends"]["sklearn"]["default"]) == set(record["backends"]["sklearn"]["space"])

    def test_other_data(self, folder, capsys):
        table(rows=120, seed=1).to_csv(folder / "other.csv", index=False)
        assert main(["validate", "demo.toml", "--data", "other.csv"]) == 0
        assert "120 rows" in capsys.readouterr().out


class TestTune:
    def test_json_has_every_key_of_the_contract(self, tuned):
        record = json.loads((tuned / "first.json").read_text())
        assert record["status"] == "tuned"
        assert {"study", "experiment_id", "run_id"} <= set(record)
        assert all(keys <= set(record[section]) for section, keys in KEYS.items())
        assert record["model"]["uri"] == "models:/demo/1"

    def test_a_finished_study_is_skipped_with_one_json_object_on_stdout(self, at_home, capsys):
        assert main(["tune", "demo.toml", "--json", "-"]) == 0
        out, err = capsys.readouterr()
        again, first = json.loads(out), json.loads((at_home / "first.json").read_text())
        assert again["status"] == "skipped"
        assert again["run_id"] == first["run_id"]
        assert "finished already" in err
        assert "expect log_loss between" in err

    def test_progress_and_result_are_words_on_stderr(self, at_home, capsys):
        assert main(["tune", "demo.toml", "--fresh", "--seed", "4"]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        for words in ("3/3 trials", "searching", "winner", "models:/demo@champion", "autoreg ui"):
            assert words in err

    def test_quiet(self, at_home, capsys):
        assert main(["tune", "demo.toml", "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")


class TestShow:
    @pytest.mark.parametrize("what", ["demo", "demo.toml", "run"])
    def test_by_name_file_and_run(self, at_home, capsys, what):
        if what == "run":
            what = json.loads((at_home / "first.json").read_text())["run_id"]
        assert main(["show", what, "--top", "2"]) == 0
        out = capsys.readouterr().out
        assert "Best 2 trials of 3" in out
        assert "expect log_loss between" in out

    def test_json_holds_every_trial(self, at_home, capsys):
        run = json.loads((at_home / "first.json").read_text())
        assert main(["show", run["run_id"], "--top", "1", "--json", "-"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert [trial["number"] for trial in record["trials_table"]] == [0, 1, 2]
        assert record["best"] == run["best"]

    def test_unknown(self, at_home, capsys):
        assert main(["show", "demmo"]) == 65
        err = capsys.readouterr().err
        assert "'demmo'" in err
        assert "did you mean 'demo'?" in err
        assert "mlflow.db" in err

    @pytest.mark.parametrize("what", ["demo", "demo.toml"])
    def test_the_report_takes_the_same_names(self, at_home, what):
        assert main(["report", what, "--out", "card.md"]) == 0
        assert (at_home / "card.md").read_text(encoding="utf-8").startswith("# demo")


class TestPredict:
    def rows(self, folder, **changed):
        frame = table(rows=20, seed=9).drop(columns="target").assign(**changed)
        frame.to_csv(folder / "new.csv", index=False)
        return frame

    def test_csv_parquet_and_stdout_agree(self, at_home, capsys):
        frame = self.rows(at_home)
        frame[["c d", "b", "a"]].to_parquet(at_home / "new.parquet")
        uri = "models:/demo@champion"
        assert main(["predict", uri, "new.csv", "out.csv"]) == 0
        assert "20 rows predicted, written to out.csv" in capsys.readouterr().err
        assert main(["predict", uri, "new.parquet", "out.parquet"]) == 0
        capsys.readouterr()
        assert main(["predict", uri, "new.csv", "-"]) == 0
        assert capsys.readouterr() == ((at_home / "out.csv").read_text(), "")
        one, other = pd.read_csv(at_home / "out.csv"), pd.read_parquet(at_home / "out.parquet")
        assert list(one) == ["prediction", "probability_no", "probability_yes"]
        pd.testing.assert_frame_equal(one, other, check_dtype=False)
        assert one["probability_yes"].corr(frame["a"]) > 0.5

    def test_missing_columns_are_named(self, at_home, capsys):
        self.rows(at_home).drop(columns=["a", "c d"]).to_csv(at_home / "less.csv", index=False)
        assert main(["predict", "models:/demo@champion", "less.csv", "out.csv"]) == 65
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert "IN: less.csv: 2 columns missing: 'a', 'c d'; add them" in err

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "does not exist"),
            (b"", "is empty"),
            (b"a,b,c d\n", "no rows"),
            (b'a,b\n1,2\n"x', "damaged"),
        ],
    )
    def test_unusable_rows(self, at_home, capsys, content, words):
        path = at_home / "bad.csv"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        assert main(["predict", "models:/demo@champion", "bad.csv", "out.csv"]) == 65
        assert words in capsys.readouterr().err

    def test_a_word_among_numbers_is_named_with_its_column(self, at_home, capsys):
        self.rows(at_home, b=["1"] * 12 + ["oops"] + ["1"] * 7)
        assert main(["predict", "models:/demo@champion", "new.csv", "out.csv"]) == 65
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert "new.csv: column 'b': expected a number, found 'oops'" in err

    @pytest.mark.parametrize(
        ("uri", "words"),
        [
            ("models:/demmo@champion", "no model is called 'demmo' (did you mean 'demo'?)"),
            ("models:/nothing/1", "no model is called 'nothing'"),
            ("models:/demo@prod", "prod"),
            ("models:/demo", "say which version: models:/demo@champion"),
            ("demo", "for example models:/demo@champion"),
        ],
    )
    def test_unknown_model(self, at_home, capsys, uri, words):
        self.rows(at_home)
        assert main(["predict", uri, "new.csv", "out.csv"]) == 65
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert words in err


TRAINING = "?workflowType=machine_learning"  # the pages of training runs, not those of language models


class TestWhereToLook:
    RECORD = {"experiment_id": "3", "run_id": "f00"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("uri", "words"),
        [
            ("", "autoreg ui"),
            ("sqlite:///a b.db", "autoreg ui"),
            (
                "http://user:s3cret@host:5000/",
                f"http://user:***@host:5000/#/experiments/3/runs/f00{TRAINING}",
            ),
            ("postgresql://u:s3cret@db/x", "autoreg ui"),
        ],
    )
    def test_address(self, monkeypatch, uri, words):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert where_to_look(self.RECORD) == words


def test_a_reader_that_leaves_early_is_no_error():
    code = "import sys; from autoreg.__main__ import main; sys.exit(main(['--help']))"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent.parent / "studies").glob("*.toml")), ids=lambda p: p.name
)
def test_studies_in_the_repository_parse(path):
    from autoreg.spec import load_study

    assert load_study(path).name


def test_the_template_shows_every_key():
    import tomllib

    from autoreg.spec import load_study, parse_study, reference

    path = Path(__file__).parent.parent / "studies" / "template.toml"
    text = path.read_text().replace("#: ", "")
    before, after = text.split("holdout = "), text.split("#= reproduce")
    published = f"{before[0]}#= reproduce{after[1]}".replace(
        "#= ", ""
    )  # in the place of the other keys of [split]
    studies = [parse_study(tomllib.loads(words)) for words in (text, published)]
    given = {
        f"{section}.{key}"
        for study in studies
        for section, value in study.model_dump(exclude_unset=True).items()
        if section != "name"
        for key in value
    }
    keys = {line.split("`")[1] for line in reference().splitlines()[2:]} - {"name"}
    assert keys <= given, f"not in the template: {keys - given}"
    plain = load_study(path).model_dump()
    bare = parse_study({"name": "mine", "data": {"source": "mine.csv", "target": "target"}})
    assert plain == bare.model_dump(), (
        "a line of the template that is not commented out differs from the default"
    )
