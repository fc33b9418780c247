"""What a person sees: displays of a running study, results in words, JSON that every parser reads."""

import io
import json
import math
import os
import re
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from rich.console import Console

from autoreg.console import (
    LiveWatch,
    PlainWatch,
    QuietWatch,
    Tally,
    busy,
    paint,
    watching,
    words_only,
    write_json,
)
from autoreg.record import plain
from autoreg.secrets import redact
from autoreg.trial import State, TrialRecord, TrialResult
from autoreg.words import (
    aligned,
    describe_result,
    describe_summary,
    duration,
    number,
    one_line,
    params_line,
)

RESULT = {
    "status": "tuned",
    "study": "churn",
    "experiment_id": "3",
    "run_id": "f00",
    "trials": {"total": 48, "complete": 40, "pruned": 6, "failed": 2},
    "best": {"backend": "xgboost", "params": {"penalty": "l2", "alpha": 0.123456}, "cv_mean": 0.07, "cv_se": 0.01},
    "estimate": {"kind": "holdout", "metric": "log_loss", "holdout": 0.0831, "holdout_low": 0.055, "holdout_high": 0.12,
                 "cv": 0.07, "optimism": 0.0131, "gap": 0.05},
    "model": {"name": "churn", "version": "3", "uri": "models:/churn/3", "alias": "champion"},
    "seconds": {"total": 92.4, "search": 60.0, "refit": 20.0, "tracking_wait": 0.1},
}  # fmt: skip


def record(number, backend="sklearn", state=State.COMPLETE, loss=0.5, reason=""):
    return TrialRecord(number, backend, {}, TrialResult(state, {}, loss=loss, reason=reason))


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class TestSecrets:
    @pytest.mark.parametrize(
        "text",
        [
            "cannot reach postgresql://ada:s3cret@db:5432/x",
            "postgresql://ada:p@s3cret@db/x",
            "https://:s3cret@host/x.csv failed",
            "https://host/x.csv?token=s3cret&y=1",
            "https://bucket/x?X-Amz-Signature=s3cret",
            "api_key=s3cret",
            "mysql+pymysql://u:s3cret@h/d?ssl_password=s3cret",
            "postgresql://me:it's-s3cret@db/x",
            'postgresql://me:a"s3cret@db/x',
            "postgresql://me:my s3cret word@db/x",
            "cannot reach postgresql://me:my w/rd s3cret@db:5432/x",
            "postgresql://me:p@ss s3cret@db/x",
            "postgresql://me:12345s3cret !@db/x",
            "https://s3cret@host/x",
            "https://s3cret@host:5000/x@y",
            "https://me@corp.org:s3cret@host/x",
            "postgresql://h/d?password=it's3cret&y=1",
            "host=h password='my s3cret' dbname=x",
            'source = "https://s3cret@host/t.csv"',
        ],
    )
    def test_passwords_are_masked(self, text):
        assert "s3cret" not in redact(text)
        assert "***" in redact(text)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("https://ghp_x@host/a/b", "https://***@host/a/b"),
            ("git at https://ghp_x@host, yes", "git at https://***@host, yes"),
            ("postgresql://me:it's a b@db/x", "postgresql://me:***@db/x"),
            ("postgresql://me:p@ss w/rd@db/x", "postgresql://me:***@db/x"),
            ("a://u:x@h/d and b://v:y z@i/e", "a://u:***@h/d and b://v:***@i/e"),
            ("a://u:x@h/d failed; ask ada@corp.org", "a://u:***@h/d failed; ask ada@corp.org"),
            ('source = "a://u:x@h/d"  # of ada@corp.org', 'source = "a://u:***@h/d"  # of ada@corp.org'),
            ('{"uri": "https://h/x?token=abc", "n": 1}', '{"uri": "https://h/x?token=***", "n": 1}'),
        ],
    )
    def test_only_the_secret_goes(self, text, shown):
        assert redact(text) == shown

    @pytest.mark.parametrize(
        "text",
        [
            "sqlite:///mlflow.db",
            "http://host:5000/#/x",
            "expected a: b@c",
            "C:/x/y.csv",
            "tokens 3",
            "write to ada@corp.org or bob@corp.org",
            "see https://host/x and ask ada@corp.org",
            "http://host:5000 is down, ask ada@corp.org",
            "http://host:5000/#/x (ask ada@corp.org)",
            "http://host: no answer; ask ada@corp.org",
            '["https://host","ada@corp.org"]',
            "https://host/package@1.2/x",
            "sqlite:///x.db: no such table, ask ada@corp.org",
        ],
    )
    def test_other_text_stays(self, text):
        assert redact(text) == text


class TestPlain:
    def test_json_knows_neither_nan_nor_numpy(self, tmp_path):
        value = {
            "nan": math.nan, "inf": -math.inf, "np": np.float32("nan"), "int": np.int64(3), "flag": np.bool_(True),
            "list": (1.5, np.array([1.0, np.nan])), "state": State.PRUNED, "path": tmp_path, 5: "key", "none": None,
        }  # fmt: skip
        write_json(value, str(tmp_path / "out.json"))
        text = (tmp_path / "out.json").read_text()
        assert json.loads(text, parse_constant=pytest.fail) == {
            "nan": None, "inf": None, "np": None, "int": 3, "flag": True, "list": [1.5, [1.0, None]],
            "state": "pruned", "path": str(tmp_path), "5": "key", "none": None,
        }  # fmt: skip

    def test_a_string_enum_becomes_plain_text(self):
        assert type(plain(State.FAILED)) is str

    def test_stdout(self, capsys):
        write_json({"a": 1}, "-")
        assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (4.4, "4 s"), (59.6, "1 min 0 s"), (90, "1 min 30 s"), (7500, "2 h 5 min"), (-3, "0 s")],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_number():
    assert [number(v) for v in (0.123456, 1e-9, 3, None, math.nan)] == ["0.1235", "1e-09", "3", "-", "-"]


def test_one_line_holds_no_control_characters():
    assert one_line("a\nb\x1b[31mc\td") == "a b [31mc d"


def test_aligned_puts_numbers_right_and_text_left():
    assert aligned([("a", 1), ("bcd", 100)], ("name", "n")) == "  name    n\n  a       1\n  bcd   100"


def test_params_line():
    assert (
        params_line({"penalty": "l2", "alpha": 0.123456, "depth": 3}) == "penalty=l2, alpha=0.1235, depth=3"
    )


class TestResult:
    def test_says_what_to_expect_and_how_to_go_on(self):
        text = describe_result(RESULT, "autoreg ui")
        for words in (
            "48 trials in 1 min 32 s: 40 complete, 6 pruned (worse than the best, given up early), 2 failed.",
            "xgboost (boosted trees) with penalty=l2, alpha=0.1235",
            "expect log_loss between 0.055 and 0.12, best guess 0.0831 (lower is better)",
            "the winner's log_loss was 0.07: the search flattered itself by 0.0131",
            "0.05 better on the rows it trained on",
            "churn version 3, alias 'champion'",
            "autoreg ui",
            "autoreg predict 'models:/churn@champion' new_rows.csv predictions.csv",
            'mlflow.pyfunc.load_model("models:/churn@champion")',
        ):
            assert words in text

    def test_no_flattery_is_not_called_flattery(self):
        text = describe_result({**RESULT, "estimate": {**RESULT["estimate"], "optimism": -0.001}})
        assert "no sign of flattering itself" in text

    def test_direction_comes_from_the_metric(self):
        text = describe_result({**RESULT, "estimate": {**RESULT["estimate"], "metric": "roc_auc"}})
        assert "(higher is better)" in text

    def test_skipped(self):
        assert "finished already, nothing was run" in describe_result({**RESULT, "status": "skipped"})

    def test_nothing_known_is_not_made_up(self):
        nothing = dict.fromkeys(RESULT["model"])
        text = describe_result(
            {**RESULT, "model": nothing, "estimate": {**RESULT["estimate"], "optimism": None, "gap": None}}
        )
        assert "models:/" not in text
        assert "overfit" not in text


class TestSummary:
    def trials(self):
        row = {"cv": 0.5, "cv_se": 0.1, "train": 0.4, "params": {"alpha": 1.0}}
        return [
            {"number": 0, "backend": "sklearn", "state": "complete", "loss": 0.30, **row},
            {"number": 1, "backend": "keras", "state": "failed", "loss": math.nan, **row},
            {"number": 2, "backend": "xgboost", "state": "pruned", "loss": 0.01, **row},
            {"number": 3, "backend": "xgboost", "state": "complete", "loss": 0.20, **row},
        ]

    def listed(self, text):
        lines = text.splitlines()
        start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["trial", "backend"])
        return [int(line.split()[0]) for line in lines[start + 1 : lines.index("", start)]]

    def test_best_first_and_only_complete_trials_are_best(self):
        text = describe_summary({**RESULT, "trials_table": self.trials()}, top=10)
        assert self.listed(text) == [3, 0, 2, 1]

    def test_top(self):
        text = describe_summary({**RESULT, "trials_table": self.trials()}, top=1)
        assert self.listed(text) == [3]
        assert "Best 1 trial of 4" in text

    def test_a_study_without_a_result_yet(self):
        text = describe_summary({"study": "churn", "run_id": "f00", "trials_table": self.trials()}, top=2)
        assert (
            "4 trials: 2 complete, 1 pruned (worse than the best, given up early), 1 failed. No winner yet"
            in text
        )

    def test_no_trial(self):
        assert "no trial is recorded" in describe_summary(
            {"study": "churn", "run_id": "f", "trials_table": []}, top=3
        )


class TestTally:
    def test_counts_and_best(self):
        tally = Tally()
        tally.plan(8, 60.0)
        for r in (record(0, loss=0.5), record(1, loss=0.4), record(2, state=State.PRUNED, loss=0.1)):
            tally.add(r, False)
        tally.add(record(3, "keras", State.FAILED, math.nan, "loss is NaN"), True)
        sklearn = tally.backends["sklearn"]
        assert (tally.done, tally.replayed, sklearn.complete, sklearn.pruned, sklearn.best) == (
            4,
            1,
            2,
            1,
            0.4,
        )
        assert tally.backends["keras"].failed == 1
        assert math.isinf(tally.backends["keras"].best)
        assert tally.left in ("at most 1 min 0 s left", "at most 59 s left")

    def test_each_reason_of_failure_is_said_once_and_three_at_most(self):
        tally = Tally()
        failed = [
            record(n, state=State.FAILED, loss=math.nan, reason=reason) for n, reason in enumerate("aabcd")
        ]
        said = [tally.add(r, False) for r in failed]
        assert [bool(words) for words in said] == [True, False, True, True, False]
        assert said[0] == "trial 0 (sklearn) failed: a"


class TestPlainWatch:
    def test_one_line_a_turn_and_the_last_trial(self, capsys):
        clock = Clock()
        watch = PlainWatch(clock)
        watch.stage("search")
        watch.planned(6, 60.0)
        for n, backend in enumerate(["sklearn", "sklearn", "xgboost", "xgboost", "keras", "keras"]):
            clock.now += 2.0
            watch.trial(record(n, backend, loss=0.5 - n / 100), n == 0)
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition("] ")[2][:10] for line in lines] == [
            "searching",
            "up to 6 tr",
            "a trial is",
            "2/6 trials",
            "4/6 trials",
            "6/6 trials",
        ]
        assert "the rest of the time limit is for choosing the winner" in lines[1]
        assert "smallest loss: sklearn 0.49, xgboost 0.47, keras 0.45" in lines[-1]
        assert "1 from the ledger" in lines[-1]

    def test_ten_seconds_make_a_line_and_a_fast_replay_does_not(self, capsys):
        clock = Clock()
        watch = PlainWatch(clock)
        watch.planned(100, math.inf)
        for n in range(50):
            watch.trial(record(n, ["sklearn", "xgboost"][n % 2]), True)
        assert "/100 trials" not in capsys.readouterr().err
        clock.now = 11.0
        watch.trial(record(50, "xgboost"), False)
        assert "51/100 trials" in capsys.readouterr().err

    def test_failures_are_said(self, capsys):
        watch = PlainWatch(Clock())
        watch.planned(3, 60.0)
        watch.trial(record(0, "keras", State.FAILED, math.nan, "loss is NaN after 3 epochs"), False)
        assert "trial 0 (keras) failed: loss is NaN after 3 epochs" in capsys.readouterr().err

    def test_a_closed_stderr_does_not_stop_a_study(self):
        code = (
            "import sys, os; from autoreg.console import PlainWatch; r, w = os.pipe(); os.dup2(w, 2); os.close(r); os.close(w);"
            "PlainWatch().say('hello'); print('went on')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60, check=False
        )
        assert done.stdout == "went on\n"


class TestLiveWatch:
    def shown(self, act):
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=100, color_system=None, legacy_windows=False)
        with LiveWatch(console) as watch:
            act(watch)
            watch._live.refresh()
        return out.getvalue()

    def test_shows_progress_and_each_backend(self):
        def act(watch):
            watch.stage("search")
            watch.planned(48, 60.0)
            watch.trial(record(0, "sklearn", loss=0.25), False)
            watch.trial(record(1, "keras", State.PRUNED), False)

        text = self.shown(act)
        for words in ("searching", "2/48 trials", "at most", "sklearn", "0.25", "keras"):
            assert words in text

    def test_markup_in_user_text_is_shown_as_it_is(self):
        def act(watch):
            watch.say("column '[red]price[/red]' and [/] stay")
            watch.planned(2, 60.0)
            watch.stage("[bold]odd")
            watch.trial(record(0, "[b]x", State.FAILED, math.nan, "bad [/b] value"), False)

        text = self.shown(act)
        for words in ("column '[red]price[/red]' and [/] stay", "[bold]odd", "[b]x", "bad [/b] value"):
            assert words in text


class TestWatching:
    def test_plain_where_there_is_no_terminal(self, capsys):
        with watching(quiet=False) as watch:
            assert isinstance(watch, PlainWatch)

    def test_quiet_says_warnings_alone(self, capsys):
        with watching(quiet=True) as watch:
            assert isinstance(watch, QuietWatch)
            watch.stage("search")
            watch.planned(3, 4.0)
            watch.trial(record(0, state=State.FAILED, reason="r"), False)
            watch.say("a note")
            watch.say("warning: the holdout has 12 rows")
        assert capsys.readouterr().err == "warning: the holdout has 12 rows\n"

    @pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
    def test_live_on_a_terminal(self):
        leader, follower = os.openpty()
        code = (
            "from autoreg.console import watching\nwith watching(False) as w: pass\nprint(type(w).__name__)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=follower, text=True, timeout=60, check=True,
            env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(follower)
        os.close(leader)
        assert "LiveWatch" in done.stdout


def test_words_only_keeps_stdout_for_data_even_from_child_processes():
    code = (
        "import subprocess, os\n"
        "from autoreg.console import words_only, write_json\n"
        "with words_only():\n"
        "    print('noise'); os.write(1, b'from below\\n'); subprocess.run(['echo', 'from a child'])\n"
        "write_json({'a': 1}, '-')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == {"a": 1}
    assert all(words in done.stderr for words in ("noise", "from below", "from a child"))


def test_words_only_gives_stdout_back_after_an_error(capsys):
    with pytest.raises(ValueError, match="x"), words_only():
        raise ValueError("x")
    print("back")
    assert capsys.readouterr().out == "back\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestPaint:
    def painted(self, monkeypatch, stream, **variables):
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.delenv("NO_COLOR", raising=False)
        for name, value in {"TERM": "xterm-256color", **variables}.items():
            monkeypatch.setenv(name, value)
        paint(describe_summary({**RESULT, "trials_table": TestSummary().trials()}, top=4))
        return stream.getvalue()

    def test_colours_on_a_terminal_change_no_character(self, monkeypatch):
        coloured = self.painted(monkeypatch, Terminal())
        plain = self.painted(monkeypatch, io.StringIO())
        assert "\x1b[" in coloured
        assert "\x1b[" not in plain
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_no_colours_where_they_are_not_wanted(self, monkeypatch, variables):
        assert "\x1b[" not in self.painted(monkeypatch, Terminal(), **variables)


def test_that_something_is_read_is_shown_on_a_terminal_and_wiped(monkeypatch):
    master, slave = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with busy("reading"):
            pass
        os.set_blocking(master, False)
        shown = ""
        with suppress(BlockingIOError):
            while True:
                shown += os.read(master, 4096).decode()
    os.close(master)
    assert "reading ..." in shown
    assert shown.endswith("\x1b[1A\x1b[2K")


def test_nothing_of_it_goes_into_a_log(capfd):
    with busy("reading"):
        pass
    assert capfd.readouterr().err == ""
