"""A real study with a secret wherever one can come from: no file, tag, line or object that it leaves shows one or runs."""

import base64
import bz2
import gzip
import io
import json
import marshal
import os
import pickle
import re
import shlex
import sqlite3
import subprocess
import sys
import threading
import zipfile
import zlib
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from fault_servers import Server
from secret_tools import pieces, runs, spellings

pytestmark = pytest.mark.full  # a dozen commands, each with all libraries

SECRETS = {
    name: f"{name}-s3cr7/Zq+9"
    for name in (
        "tracking",
        "login",
        "sig",
        "token",
        "key",
        "sql",
        "sqlkey",
        "hookenv",
        "hookpath",
        "hookquery",
        "made",
    )
}
ODD = {"column": "<b>c&d</b>|[x](y)", "formula": "=1+2", "lines": "two\nlines"}
"""Columns that are markup, a formula, and two lines."""
ROWS = {"text": "zebra{:03d}quagga", "number": 7000.125}
"""What tells a raw row: a word of its own, and a number of its own."""
STUDY = """
name = "safe"
[data]
source = "http://ada:{login}@127.0.0.1:{port}/t.csv?year=2026&sig={sig}&access_token={token}&key=${{TABLE_KEY}}"
target = "y"
id = "id"
[search]
trials = 6
block = 2
lookahead = 2
seed = 1
[search.keras]
hidden = "8"
[registry]
example = {example}
"""
SQL = """
name = "safe sql"
[data]
source = "sqlite:///file:{place}?uri=true&mode=ro&password={sql}&api_key=${{SQL_KEY}}"
query = "SELECT * FROM t ORDER BY id"
target = "y"
id = "id"
[search]
backends = ["sklearn"]
trials = 3
seed = 1
[registry]
model = "safe-sql"
"""


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    frame = pd.DataFrame(x, columns=list(ODD.values()))
    frame["note"] = [f"{ROWS['text'].format(i)} of some words {i % 7} and more {i % 3}" for i in range(120)]
    frame["sum"] = ROWS["number"] + np.arange(120) / 64
    frame["id"] = [f"person{i:03d}" for i in range(120)]
    return frame.assign(y=np.where(x[:, 0] + rng.normal(size=120) > 0, "=yes", "<no>"))


class Tables(BaseHTTPRequestHandler):
    """Gives the table to whoever says the secrets."""

    def do_GET(self):
        content = table().to_csv(index=False).encode()
        asked = self.path.startswith("/t.csv") and all(
            part in self.path for part in ("sig=", "access_token=", "key=made")
        )
        self.send_response(200 if asked and self.headers["Authorization"] else 403)
        self.end_headers()
        self.wfile.write(content if asked else self.path.encode())

    def log_message(self, *_):
        pass


def coded(name):
    return quote(SECRETS[name], safe="")


class Work:
    """A folder with its tracking server, where commands run; what they say is kept."""

    def __init__(self, folder, server):
        self.folder, self.server, self.said = folder, server, {}
        self.environment = {
            **os.environ, "TABLE_KEY": SECRETS["made"], "SQL_KEY": SECRETS["sqlkey"], "HOOK": SECRETS["hookenv"],
            "AUTOREG_STATE_DIR": str(folder / "state"),
            "MLFLOW_TRACKING_URI": server.store.uri.replace("://", f"://bob:{coded('tracking')}@"),
        }  # fmt: skip

    def run(self, *args, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "autoreg", *map(str, args)],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.said[" ".join(map(str, args))[:60]] = done.stdout + done.stderr
        assert done.returncode == code, done.stderr
        return done.stdout

    def files(self):
        """(name, content) of everything that is there, but for what the test itself wrote."""
        own = {"study.toml", "sql.toml", "shop.db", "rows.csv", "hook.py"}
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name not in own):
            yield from pieces(str(path.relative_to(self.folder)), path.read_bytes())
        for path in sorted(p for p in self.folder.rglob("study.toml") if "artifacts" in p.parts):
            yield str(path.relative_to(self.folder)), path.read_bytes()
        yield from ((f"output of {name}", text.encode()) for name, text in self.said.items())

    def package(self):
        return next(self.folder.rglob("package.json")).parent


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Everything done once: validate, tune, retune with hooks, show, report, export, predict, and what fails."""
    folder = tmp_path_factory.mktemp("work")
    with closing(sqlite3.connect(folder / "shop.db")) as shop:
        table().to_sql("t", shop, index=False)
    table().drop(columns=["y", "id"]).head(20).to_csv(folder / "rows.csv", index=False)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), Tables)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    (folder / "server").mkdir()
    try:
        with Server(folder / "server") as server:
            work = Work(folder, server)
            everything(work, listener.server_port)
            yield work
    finally:
        listener.shutdown()
        listener.server_close()


def everything(work, port):
    parts = {name: coded(name) for name in SECRETS}
    study = STUDY.format(port=port, example="true", **parts)
    (work.folder / "study.toml").write_text(study)
    (work.folder / "sql.toml").write_text(SQL.format(place=work.folder / "shop.db", **parts))
    (work.folder / "hook.py").write_text("import os, sys\nsys.exit(len(os.environ['HOOK']) and 3)\n")
    work.run("validate", "study.toml", "--json", "valid.json")
    work.run("tune", "study.toml", "--json", "tuned.json")
    hook = f"{shlex.quote(sys.executable)} hook.py --token {SECRETS['hookquery']}"
    work.run("retune", "sql.toml", "--notify", hook, "--json", "retuned.json")
    away = f"http://eve:{parts['hookquery']}@127.0.0.1:9/hooks/{parts['hookpath']}?code={parts['hookquery']}"
    work.run("retune", "sql.toml", "--notify", away, "--key", "again")
    run_id = json.loads((work.folder / "tuned.json").read_text())["run_id"]
    work.run("show", "safe", "--json", "shown.json")
    work.run("report", run_id, "--out", "report.html")
    work.run("export", "safe", "--to", "sqlite:///trials.db")
    work.run("predict", "models:/safe@champion", "rows.csv", "out.csv")
    (work.folder / "broken.toml").write_text(study.replace("t.csv", "none.csv"))
    work.run("tune", "broken.toml", code=65)
    (work.folder / "broken.toml").unlink()


def test_no_file_and_no_line_shows_a_secret(work):
    wanted = {name: spellings(secret) for name, secret in SECRETS.items()}
    found = [
        (where, name)
        for where, content in work.files()
        for name, told in wanted.items()
        if any(spelled in content for spelled in told)
    ]
    assert found == []


def test_what_is_no_secret_is_told(work):
    """The search above looks at the right places, and only what is secret is gone."""
    told = {where: content for where, content in work.files()}
    study = next(content for where, content in told.items() if where.endswith("study.toml"))
    assert b"/t.csv?year=2026&sig=***&access_token=***&key=***" in study
    assert b"http://ada:***@127.0.0.1:" in study
    text = b"\n".join(told.values())
    assert b"uri=true&mode=ro&password=***&api_key=***" in text
    assert b"'http://127.0.0.1:9/...' could not be told" in text
    assert b"...' ended with exit code 3" in text


def test_nothing_that_is_kept_is_a_pickle(work):
    looked = [(where, runs(content)) for where, content in work.files()]
    assert [(where, why) for where, why in looked if why] == []
    endings = {where.rpartition(".")[2] for where, _ in looked}
    assert {"npz", "npy", "json", "toml", "html", "db"} <= endings


@pytest.mark.parametrize(
    "made",
    [
        lambda: pickle.dumps({"a": [1]}), lambda: pickle.dumps([1, 2], 0), lambda: pickle.dumps(os.getcwd, 2),
        lambda: cloudpickle.dumps(lambda: 1), lambda: gzip.compress(pickle.dumps(os.getcwd)),
        lambda: bz2.compress(pickle.dumps({})), lambda: zlib.compress(pickle.dumps({1: 2})),
        lambda: marshal.dumps(compile("1", "x", "eval")), lambda: _joblib(0), lambda: _joblib(3),
        lambda: _saved(np.array([{}], object)), lambda: _zipped(pickle.dumps({})),
    ],
)  # fmt: skip
def test_the_search_finds_what_runs(made):
    assert any(runs(content) for _, content in pieces("x", made()))


def test_the_search_finds_what_is_hidden():
    for spelled in (f"bob:{SECRETS['key']}", f"x{SECRETS['key']}yz", SECRETS["key"]):
        coded = base64.b64encode(spelled.encode())
        assert any(part in coded for part in spellings(SECRETS["key"])), spelled


def _joblib(compress):
    content = io.BytesIO()
    joblib.dump({"a": np.ones(3)}, content, compress=compress)
    return content.getvalue()


def _saved(array):
    content = io.BytesIO()
    np.savez(content, x=array)
    return content.getvalue()


def _zipped(content):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("inside", content)
    return whole.getvalue()


def test_raw_rows_are_in_the_example_alone(work):
    """Words of one row, and keys of rows, are nowhere but in the example of the model."""
    word = re.compile(rb"zebra\d{3}quagga|person\d{3}")
    places = {where for where, content in work.files() if word.search(content)}
    assert {place.rpartition("/")[2] for place in places} <= {
        "input_example.json",
        "serving_input_example.json",
    }
    assert places


def test_names_of_columns_and_classes_are_text(work):
    page = (work.folder / "report.html").read_text()
    assert "<b>c&d</b>" not in page
    assert "&lt;b&gt;c&amp;d&lt;/b&gt;" in page
    assert "<no>" not in page
    out = pd.read_csv(work.folder / "out.csv")
    assert set(out["prediction"]) <= {"=yes", "<no>"}  # data stay what they are
    assert list(out.columns) == ["prediction", "probability_<no>", "probability_=yes"]


def test_descriptions_hold_no_markup_of_others(work):
    with closing(sqlite3.connect(work.folder / "server" / "server.db")) as base:
        notes = [n for (n,) in base.execute("select value from tags where key = 'mlflow.note.content'")]
        notes += [n for (n,) in base.execute("select description from model_versions")]
    assert len(notes) >= 2
    for note in notes:
        bare = re.sub(r"`[^`\n]*`", "", note)
        assert "<b>" not in bare.replace("\\<", "").replace("&lt;", "")
        assert "[x](y)" not in bare


def test_a_study_without_an_example_keeps_no_row(work, tmp_path):
    study = (work.folder / "study.toml").read_text().replace('name = "safe"', 'name = "private"')
    study = re.sub(r'source = ".*"', f'source = "{tmp_path}/t.csv"', study).replace("= true", "= false")
    table().to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "private.toml").write_text(study.replace("trials = 6", 'backends = ["sklearn"]\ntrials = 2'))
    work.run("tune", tmp_path / "private.toml", "--json", tmp_path / "private.json")
    told = json.loads((tmp_path / "private.json").read_text())
    found = work.run("predict", told["model"]["uri"], "rows.csv", "-")
    assert len(found.splitlines()) == 21
    with closing(sqlite3.connect(work.folder / "server" / "server.db")) as base:
        (made,) = base.execute("select source from model_versions where name = 'private'").fetchone()
    model = next(p for p in work.folder.rglob(made.rpartition("/")[2]) if p.is_dir())
    assert any(model.rglob("package.json"))
    for path in model.rglob("*"):
        assert "example" not in path.name
        if path.is_file() and not path.name.startswith(
            "preprocess_"
        ):  # words of texts are what it predicts from
            assert b"quagga" not in path.read_bytes(), path.name
    again = work.run("tune", tmp_path / "private.toml", "--json", "-")
    assert json.loads(again)["status"] == "skipped"
