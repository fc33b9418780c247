"""Reading tables from every kind of source, judging columns and targets, and refusing what cannot be used."""

import decimal
import functools
import gzip
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoreg.data import load_table
from autoreg.errors import DataError
from autoreg.secrets import redact, scrub
from autoreg.spec import DataSpec

N = 40


def small(**columns):
    """A table of 40 rows with a number, a balanced binary target, and more columns."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=N), "y": np.arange(N) % 2, **columns})


def load(frame, target="y", folder=Path("."), **options):
    return load_table(DataSpec(source="frame", target=target, **options), "test", folder, frame)


def read(path, target="y", **options):
    return load_table(DataSpec(source=str(path), target=target, **options), "test", Path(path).parent)


def refusal(call, *args, **options):
    """The message of the DataError that a call raises, which must be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.parquet", "semicolon.csv"])
def test_every_file_format_gives_the_same_table(tmp_path, name):
    frame = small(color=["red", "blue", None, "green"] * 10)
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep={"t.tsv": "\t", "semicolon.csv": ";"}.get(name, ","))
    table = read(path)
    assert table.fingerprint == load(frame).fingerprint
    assert table.kinds == {"x": "numeric", "color": "category"}
    assert table.task == "binary"
    assert table.classes == (0, 1)
    assert list(table.features.index) == list(range(N))
    assert ("separated" in " ".join(table.notes)) == (name in ("t.tsv", "semicolon.csv"))


def test_paths_start_at_the_study_files_folder_or_are_absolute(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    small().to_csv(tmp_path / "data" / "t.csv", index=False)
    monkeypatch.chdir("/")
    spec = DataSpec(source="data/t.csv", target="y")
    relative = load_table(spec, "test", tmp_path)
    absolute = load_table(
        DataSpec(source=str(tmp_path / "data" / "t.csv"), target="y"), "test", Path("/nowhere")
    )
    assert relative.fingerprint == absolute.fingerprint


def test_a_missing_file_names_its_neighbour(tmp_path):
    small().to_csv(tmp_path / "churn.csv", index=False)
    assert "did you mean 'churn.csv'?" in refusal(read, tmp_path / "chrun.csv")
    assert "does not exist" in refusal(read, tmp_path / "no" / "churn.csv")
    assert "holds no images" in refusal(read, tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\n\n \n", "is empty"),
        (b"x,y\n", "no rows"),
        (b"x,y\n1,2\n3,4\n", "2 rows with a target are too few"),
        (b"x,x,y\n" + b"1,2,0\n3,4,1\n" * 9, "column 'x' occurs twice"),
        (b"x,y\n" + b"1,0\n2,1\n" * 9 + b"3,1,7\n", "damaged CSV"),
        (b"x,y\n" + b"1,0,5\n2,1,5\n" * 9, "more fields than its 2 column names"),
        (b"a,x,y\n" + b"1,2,0\n3,4,1\n" * 9 + b"1,2", "cut off or damaged: line 20 has 2 of 3 fields"),
        (b"a,x,y\n" + b"1,2,0\n3,4\n" * 9 + b"1,2,1\n", "line 3 has 2 of 3 fields"),
        (b'x,y\n1,0\n"2,1\n' * 9, "CSV"),
        ("x,y\ncaf\u00e9,0\n".encode("latin-1") * 9, "not UTF-8 text (line 2)"),
        ("x,y\n1,0\n".encode("utf-16") * 9, "neither CSV nor Parquet"),
        (b'x,"y\n' + b"1,0\n2,1\n" * 40_000, "damaged CSV"),
        (b"PK\x03\x04 a spreadsheet", "neither CSV nor Parquet"),
        (b"PAR1 not really", "damaged Parquet"),
        (b"\x1f\x8b not really", "damaged gzip"),
        (gzip.compress(b"x,y\n1,0\n" * 99, mtime=0)[:-20], "damaged gzip"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, told):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert told in refusal(read, path)


def test_a_file_cut_off_in_a_line_is_refused_wherever_the_cut_can_be_seen(tmp_path):
    text = small(z=np.arange(N) * 1.5).to_csv(index=False)
    whole = tmp_path / "whole.csv"
    whole.write_text(text.rstrip("\n"))
    assert len(read(whole).target) == N  # a last line without its newline is no damage
    (tmp_path / "half.csv").write_text(text[: text.rindex(",", 0, text.rindex(","))])
    assert "cut off" in refusal(read, tmp_path / "half.csv")


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n\n", "\n  \n"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
def test_line_ends_and_byte_order_marks(tmp_path, ending, start):
    plain = small(w=["a", None] * 20).to_csv(index=False)
    (tmp_path / "t.csv").write_bytes((start + plain.replace("\n", ending)).encode())
    (tmp_path / "plain.csv").write_text(plain)
    assert read(tmp_path / "t.csv").fingerprint == read(tmp_path / "plain.csv").fingerprint


def test_long_text_and_quoted_line_ends(tmp_path):
    letters = [f'letter {i}, "quoted",\nsecond line' for i in range(N)]
    letters[0] = "word " * 40_000
    frame = small(letter=letters, last=[1.5, None] * 20)
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert read(tmp_path / "t.csv").fingerprint == load(frame).fingerprint


def test_keys_of_a_csv_stay_text(tmp_path):
    frame = small(key=[f"{i:04d}" for i in range(N)], g=["007", "07"] * 20)
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read(tmp_path / "t.csv", id="key", group="g")
    assert table.id[:2].tolist() == ["0000", "0001"]
    assert set(table.group) == {"007", "07"}
    assert set(table.kinds) == {"x"}


def test_decimal_commas_of_a_semicolon_file(tmp_path):
    rows = "\n".join(f"{i}a;{i},5;{i % 2}" for i in range(N))
    (tmp_path / "t.csv").write_text(f"name;x;y\n{rows}\n")
    table = read(tmp_path / "t.csv")
    assert table.kinds["x"] == "numeric"
    assert table.features["x"][3] == 3.5
    assert any("decimals written with a comma" in note for note in table.notes)


@pytest.fixture
def web(tmp_path):
    """A web server on loopback that wants a password for /secret."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if (
                self.path.startswith("/secret") and self.headers["Authorization"] != "Basic dTpwQHNz"
            ):  # u:p@ss
                self.send_error(401)
                return
            super().do_GET()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_web_addresses(tmp_path, web, monkeypatch):
    frame = small()
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "secret").mkdir()
    frame.to_parquet(tmp_path / "secret" / "t.parquet")
    plain = read(f"http://{web}/t.csv?token=s3cret&v=1")
    assert plain.source == f"http://{web}/t.csv?token=***&v=1"
    locked = read(f"http://u:p%40ss@{web}/secret/t.parquet")
    assert locked.source == f"http://u:***@{web}/secret/t.parquet"
    assert plain.fingerprint == locked.fingerprint
    monkeypatch.setenv("AUTOREG_TEST_WORD", "p%40ss")
    spelled = read(f"http://u:${{AUTOREG_TEST_WORD}}@{web}/secret/t.parquet")
    assert spelled.fingerprint == plain.fingerprint
    assert "ss" not in spelled.source


def test_web_failures_are_one_line_without_the_password(web):
    assert "HTTP 404" in refusal(read, f"http://{web}/none.csv")
    told = refusal(read, f"http://u:hunter2@{web}/secret/t.csv")
    assert "HTTP 401" in told
    assert "hunter2" not in told
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        told = refusal(read, f"http://u:hunter2@127.0.0.1:{free.getsockname()[1]}/t.csv")
    assert "cannot be downloaded" in told
    assert "hunter2" not in told


# --- scikit-learn and OpenML --------------------------------------------------------------------------------------


def test_sklearn_sources():
    table = read("sklearn:breast_cancer", target="target")
    assert table.features.shape == (569, 30)
    assert table.task == "binary"
    assert read("sklearn:load_breast_cancer", target="target").fingerprint == table.fingerprint
    moons = read("sklearn:make_moons?n_samples=60&noise=0.3&shuffle=false", target="target")
    assert list(moons.features.columns) == ["x0", "x1"]
    assert (
        moons.fingerprint
        == read("sklearn:make_moons?n_samples=60&noise=0.3&shuffle=false", "target").fingerprint
    )
    assert (
        moons.fingerprint
        != read("sklearn:make_moons?n_samples=60&noise=0.3&random_state=1", "target").fingerprint
    )
    assert read("sklearn:make_regression?n_features=3", target="target").task == "regression"
    assert read("sklearn:linnerud", target="Weight").task == "regression"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("sklearn:load_irs", "did you mean 'load_iris'?"),
        ("sklearn:load_files?container_path=/etc", "no data set 'load_files'"),
        ("sklearn:__loader__", "no data set"),
        ("sklearn:os.system", "no data set"),
        ("sklearn:get_data_home", "no data set"),
        ("sklearn:make_moons?n_sample=5", "did you mean 'n_samples'?"),
        ("sklearn:make_moons?n_samples=many", "failed"),
        ("sklearn:make_moons?return_X_y=true", "takes no argument"),
        ("sklearn:make_biclusters?n_clusters=2", "make_biclusters failed"),
        ("sklearn:make_multilabel_classification", "no table with one target column"),
        ("openml:", "needs a name"),
    ],
)
def test_unknown_sklearn_sources(source, told):
    assert told in refusal(read, source, target="target")


@pytest.fixture
def openml_cache(tmp_path, monkeypatch):
    """Real answers of openml.org that scikit-learn ships with its tests, laid into its cache."""
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    recorded = Path(sklearn_datasets.__file__).parent / "tests" / "data" / "openml" / "id_61"
    if not recorded.is_dir():
        pytest.skip("this scikit-learn was installed without its recorded OpenML answers")
    cache = tmp_path / "openml" / "openml.org"
    for name, place in {
        "api-v1-jd-61": "api/v1/json/data/61",
        "api-v1-jdf-61": "api/v1/json/data/features/61",
        "api-v1-jdq-61": "api/v1/json/data/qualities/61",
        "api-v1-jdl-dn-iris-l-2-s-act-": "api/v1/json/data/list/data_name/iris/limit/2/status/active",
        "api-v1-jdl-dn-iris-l-2-dv-1": "api/v1/json/data/list/data_name/iris/limit/2/data_version/1",
        "data-v1-dl-61": "data/v1/download/61/iris.arff",
    }.items():
        source = next(recorded.glob(f"{name}.*gz"))
        (cache / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, cache / f"{place}.gz")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return tmp_path


def test_openml_by_number(openml_cache):
    table = read("openml:61", target="class")
    assert table.classes == ("Iris-setosa", "Iris-versicolor", "Iris-virginica")
    assert table.features.shape == (150, 4)
    assert read("openml:61", target="target").fingerprint != ""


def test_openml_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        told = refusal(read, "openml:adult", target="class")
    assert "openml:adult cannot be fetched" in told


# --- SQL ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path):
    """A real SQLite file with 40 customers."""
    import sqlite3

    frame = small(city=["Bern", "Basel", None, "Chur"] * 10)
    connection = sqlite3.connect(tmp_path / "shop.db")
    frame.to_sql("customers", connection, index=False)
    connection.commit()
    connection.close()
    return tmp_path / "shop.db"


def sql(source, query, folder=Path("."), target="y", **options):
    return load_table(DataSpec(source=source, query=query, target=target, **options), "test", folder)


def test_sqlite(shop):
    table = sql("sqlite:///shop.db", "SELECT * FROM customers ORDER BY x", shop.parent)
    assert table.kinds == {"x": "numeric", "city": "category"}
    assert table.features["x"].is_monotonic_increasing
    assert (
        sql(f"sqlite:///{shop}", "SELECT x, y, city FROM customers ORDER BY x").fingerprint
        == table.fingerprint
    )


def test_rows_of_a_query_without_order_agree_in_any_order(shop):
    one = sql(f"sqlite:///{shop}", "SELECT * FROM customers")
    other = sql(f"sqlite:///{shop}", "SELECT * FROM (SELECT * FROM customers ORDER BY x) ")
    assert any("no ORDER BY" in note for note in one.notes)
    assert sql(f"sqlite:///{shop}", "SELECT * FROM customers LIMIT -1").fingerprint == one.fingerprint
    assert other.target.sum() == one.target.sum()


@pytest.mark.parametrize(
    ("source", "query", "told"),
    [
        ("sqlite:///shop.db", None, "needs a query"),
        ("sqlite:///nowhere.db", "SELECT 1", "does not exist"),
        ("sqlite:///shop.db", "SELECT * FROM clients", "no such table: clients"),
        ("sqlite:///shop.db", "DELETE FROM customers", "readonly"),
        ("sqlite:///shop.db", "SELECT *, x FROM customers", "column 'x' occurs twice"),
        ("sqlite:///shop.db", "PRAGMA query_only", "has no column 'y'"),
        ("nosuch://h/db", "SELECT 1", "cannot be read"),
        ("postgresql://u:hunter2@127.0.0.1:1/db", "SELECT 1", "cannot be read"),
        ("postgresql://u:${AUTOREG_TEST_UNSET}@h/db", "SELECT 1", "'AUTOREG_TEST_UNSET' is not set"),
        ("postgresql://u:hun:ter2@h:port/db", "SELECT 1", "cannot be read"),
        ("shop.csv", "SELECT 1", "data.query is for an SQL source"),
    ],
)
def test_sql_refusals(shop, source, query, told):
    message = refusal(sql, source, query, shop.parent)
    assert told in message
    assert "hunter2" not in message
    assert "ter2" not in message


def test_a_refused_query_changes_nothing(shop):
    before = hashlib.sha256(shop.read_bytes()).hexdigest()
    for query in ("DELETE FROM customers", "DROP TABLE customers", "UPDATE customers SET y = 1"):
        refusal(sql, f"sqlite:///{shop}", query)
    assert hashlib.sha256(shop.read_bytes()).hexdigest() == before


def test_hiding_of_secrets():
    assert redact("postgresql://me:p@ss:w/rd@db.org/shop") == "postgresql://me:***@db.org/shop"
    assert redact("postgresql://db.org/shop?user=me&password=x&sslmode=on") == (
        "postgresql://db.org/shop?user=me&password=***&sslmode=on"
    )
    assert redact("t.csv") == "t.csv"
    assert scrub("cannot log in with p@ss or p%40ss\nmore", ["p%40ss"]) == "cannot log in with *** or ***"


POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))


@pytest.fixture(scope="module")
def postgres():
    """A real PostgreSQL server on loopback with a password; its address without the password."""
    found = shutil.which("pg_ctl") or (str(POSTGRES[-1]) if POSTGRES else None)
    if found is None:
        pytest.skip("no PostgreSQL server is installed (pg_ctl)")
    prefix = []
    if os.getuid() == 0:  # the server refuses to run as root
        if not shutil.which("setpriv"):
            pytest.skip("PostgreSQL refuses to run as root and setpriv is missing")
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    bin_folder = Path(found).resolve().parent

    def run(tool, *args):
        # Output into files: the server inherits it and would keep a pipe open.
        with open(folder / "out", "ab") as out:
            command = [*prefix, str(bin_folder / tool), *map(str, args)]
            subprocess.run(command, check=True, cwd=folder, stdout=out, stderr=out)

    with tempfile.TemporaryDirectory(prefix="autoreg-postgres-") as name, socket.socket() as free:
        folder = Path(name)
        (folder / "word").write_text("s3cr3t-w0rd")
        if prefix:
            os.chown(folder, 65534, 65534)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        run(
            "initdb",
            "-D",
            folder / "db",
            "-U",
            "me",
            f"--pwfile={folder / 'word'}",
            "-A",
            "scram-sha-256",
            "-N",
        )
        options = f"-p {port} -k '' -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-D", folder / "db", "-l", folder / "log", "-w", "-o", options, "start")
        yield f"127.0.0.1:{port}/postgres"
        run("pg_ctl", "-D", folder / "db", "-m", "immediate", "-w", "stop")


@pytest.mark.slow
def test_postgresql(postgres, monkeypatch):
    import psycopg

    with psycopg.connect(f"postgresql://me:s3cr3t-w0rd@{postgres}") as connection:
        connection.execute(
            "CREATE TABLE visits AS SELECT i, (i * 37 % 101)::numeric(8, 2) / 4 AS cost, i % 3 = 0 AS late, "
            "CASE WHEN i % 5 = 0 THEN NULL ELSE 'w%d' || i % 4 END AS ward, "
            "timestamptz '2024-01-01 00:00+00' + i * interval '7 hours' AS at, "
            "CASE WHEN i % 2 = 0 THEN 'yes' ELSE 'no' END AS back FROM generate_series(1, 60) AS i"
        )
    monkeypatch.setenv("AUTOREG_TEST_WORD", "s3cr3t-w0rd")
    source = f"postgresql://me:${{AUTOREG_TEST_WORD}}@{postgres}"
    query = "SELECT * FROM visits WHERE back LIKE '%' AND i::int > 0 ORDER BY i"
    table = sql(source, query, target="back", id="i")
    assert table.kinds == {"cost": "numeric", "late": "boolean", "ward": "category", "at": "date"}
    assert table.classes == ("no", "yes")
    assert table.features["cost"][0] == 9.25
    assert "s3cr3t" not in repr(table)
    literal = sql(f"postgresql+psycopg://me:s3cr3t-w0rd@{postgres}", query, target="back", id="i")
    assert literal.fingerprint == table.fingerprint
    assert literal.source == f"postgresql+psycopg://me:***@{postgres}"
    assert "read-only" in refusal(sql, source, "DELETE FROM visits RETURNING *", target="back")
    assert "read-only" in refusal(sql, source, "CREATE TABLE t (a int)", target="back")
    wrong = refusal(sql, f"postgresql://me:not-the-w0rd@{postgres}", query, target="back")
    assert "authentication failed" in wrong
    assert "not-the-w0rd" not in wrong
    with psycopg.connect(f"postgresql://me:s3cr3t-w0rd@{postgres}") as connection:
        assert connection.execute("SELECT count(*) FROM visits").fetchone() == (60,)


def test_no_password_in_the_chain_of_an_error():
    with pytest.raises(DataError) as caught:
        sql("postgresql://me:hunter2@127.0.0.1:1/db", "SELECT 1")
    error = caught.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__ or error.__context__


# --- kinds of columns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(N, dtype=np.float32) ** 2, "numeric"),
        (np.arange(N, dtype=np.uint8) % 7, "numeric"),
        (pd.array([1, None, 3, 4] * 10, dtype="Int64"), "numeric"),
        (pd.array([1.5, None] * 20, dtype="Float32"), "numeric"),
        ([decimal.Decimal("1.50"), decimal.Decimal(2), None, decimal.Decimal("-3e2")] * 10, "numeric"),
        (["1.5", " 2", "", "-3e2"] * 10, "numeric"),
        (["12.5", "7", "?", "NA"] * 10, "numeric"),
        ([True, False] * 20, "boolean"),
        ([True, False, None, True] * 10, "boolean"),
        (pd.array([True, None] * 19 + [False, None], dtype="boolean"), "boolean"),
        (["true", "False"] * 20, "boolean"),
        (["a", "b", None, "c"] * 10, "category"),
        (pd.Categorical([3, 1, 2, 1] * 10), "category"),
        (pd.array(["a", None] * 19 + ["b", None], dtype="string"), "category"),
        ([1, "a", 2.5, None] * 10, "category"),
        (["01234", "09999"] * 20, "category"),
        (["1,234", "5,678"] * 20, "category"),
        (pd.date_range("2024-01-01", periods=N), "date"),
        (pd.date_range("2024-01-01", periods=N, tz="Europe/Zurich"), "date"),
        (list(pd.date_range("2024-01-01", periods=N).date), "date"),
        (["2024-01-31", "2024-02-01T10:00:00Z", None, "2024-03-01 08:30"] * 10, "date"),
        ([f"customer {i} wrote a letter" for i in range(N - 1)] + [None], "category"),
    ],
)
def test_kinds(values, kind):
    table = load(small(v=values))
    assert table.kinds["v"] == kind
    assert load(small(v=values)).fingerprint == table.fingerprint


def test_free_text_is_text_and_single_words_per_row_are_identifiers():
    n = 200
    frame = pd.DataFrame({"x": np.arange(n) * 0.1, "y": np.arange(n) % 2})
    frame["letter"] = [f"case {i} of {i % 7}" for i in range(n)]
    frame["key"] = [f"k{i}" for i in range(n)]
    frame["index"] = np.arange(n) + 5
    frame["year"] = np.arange(n) + 1800
    frame["town"] = [f"town {i % 150}" for i in range(n)]
    table = load(frame)
    assert table.kinds == {"x": "numeric", "letter": "text", "year": "numeric", "town": "text"}
    told = " ".join(table.notes)
    assert "column 'key': left out, every row has its own word" in told
    assert "column 'index': left out, it counts the rows" in told


def test_clean_values():
    frame = small(
        flag=[True, None] * 20,
        word=[" a", "1.0", 1, None] * 10,
        when=["2024-01-01", None] * 19 + ["2024-01-01T12:00:00+02:00", ""],
        inf=[1.0, np.inf, -np.inf, 2.0] * 10,
    )
    before = frame.copy(deep=True)
    table = load(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert table.features["flag"][:2].tolist() == [True, None]
    assert table.features["word"][:3].tolist() == ["a", "1", "1"]
    assert table.features["when"][38] == pd.Timestamp("2024-01-01T10:00")
    assert np.isnan(table.features["inf"][1:3]).all()
    assert "column 'inf': infinite values count as missing" in table.notes


def test_mostly_numbers_and_mostly_dates_tell_which_words_count_as_missing():
    n = 100
    frame = pd.DataFrame({"x": np.arange(n) % 17, "y": np.arange(n) % 2})
    frame["cost"] = ["unknown", "12 mg"] + [str(i / 2) for i in range(n - 2)]
    frame["when"] = ["soon"] + ["2024-02-03"] * 50 + ["2024-02-04"] * 49
    frame["mixed"] = ["unknown"] * 10 + [str(i) for i in range(n - 10)]
    table = load(frame)
    assert table.kinds == {"x": "numeric", "cost": "numeric", "when": "date", "mixed": "text"}
    told = " ".join(table.notes)
    assert "column 'cost': 98.0% of the values are numbers, so 'unknown', '12 mg' count as missing" in told
    assert "column 'when': 99.0% of the values are ISO dates, so 'soon' count as missing" in told


def test_columns_without_information_are_left_out_with_a_note():
    table = load(
        small(empty=[None] * N, none=np.full(N, np.nan), one=[5] * N, same=["a"] * N, some=["a", None] * 20)
    )
    assert set(table.kinds) == {"x", "some"}
    assert "columns 'empty', 'none': left out, no value is present" in table.notes
    assert "columns 'one', 'same': left out, the value is the same in all rows" in table.notes
    told = refusal(load, small(one=[5] * N).drop(columns="x"))
    assert "no feature is left" in told
    assert "'one'" in told


def test_whole_numbers_beyond_double_precision():
    big = [2**60 + i for i in range(N)]
    table = load(small(big=big, key=big), id="key")
    assert any("column 'big': whole numbers beyond 2**53" in note for note in table.notes)
    assert table.id[1] == str(2**60 + 1)
    huge = load(small(huge=[2**70 * i for i in range(N)]))
    assert huge.kinds["huge"] == "numeric"
    same = load(small(huge=[2**70 + i for i in range(N)]))
    assert [note.partition(":")[2][:31] for note in same.notes[1:]] == [
        " whole numbers beyond 2**53 los",
        " left out, the value is the sam",
    ]


def test_odd_column_names_work():
    names = ["[a]", "b <c>", "\U0001f600", "it's", 'say "hi"', "  ", "a\tb", 7]
    frame = small(**{str(i): np.arange(N) % (i + 3) for i in range(len(names))})
    frame.columns = ["x", "y", *names]
    assert list(load(frame).kinds) == ["x", *map(str, names)]


def test_values_that_cannot_be_features():
    assert "complex" in refusal(load, small(z=np.arange(N) * 1j))
    assert "column 'z' holds values of type list" in refusal(load, small(z=[[1], [2]] * 20))
    assert "several levels" in refusal(load, pd.concat({"a": small()}, axis=1))
    double = small(z=1.0)
    double.columns = ["x", "y", "x"]
    assert "column 'x' occurs twice" in refusal(load, double)


def test_ten_thousand_columns():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(N, 10_000)), columns=[f"c{i}" for i in range(10_000)])
    table = load(frame.assign(y=np.arange(N) % 2))
    assert len(table.kinds) == 10_000


# --- target -------------------------------------------------------------------------------------------------------

TARGETS = [
    (["no", "yes"] * 20, "binary", ("no", "yes")),
    ([True, False] * 20, "binary", (False, True)),
    ([0.0, 1.0] * 20, "binary", (0, 1)),
    ([1, 2] * 20, "binary", (1, 2)),
    (["b", "c", "a", "c"] * 10, "multiclass", ("a", "b", "c")),
    (np.arange(N) % 4, "multiclass", (0, 1, 2, 3)),
    (np.arange(N) % 3 * 10.0, "multiclass", (0, 10, 20)),
    (pd.Categorical([3, 1, 2, 1] * 10), "multiclass", (1, 2, 3)),
    (["1", "2"] * 20, "binary", ("1", "2")),
    ([1, "one"] * 20, "binary", ("1", "one")),
    (pd.array([1, 2] * 20, dtype="Int64"), "binary", (1, 2)),
    ([decimal.Decimal(1), decimal.Decimal("2.0")] * 20, "binary", (1, 2)),
    (np.arange(N) % 4 + 0.5, "regression", ()),
    (np.arange(N) % 10, "regression", ()),
    (np.arange(N) ** 2, "regression", ()),
    ([str(i / 4) for i in range(N)], "regression", ()),
    ([decimal.Decimal(i) / 3 for i in range(N)], "regression", ()),
]


@pytest.mark.parametrize(("values", "task", "classes"), TARGETS)
def test_the_task_is_detected_and_told(values, task, classes):
    table = load(small(y=values))
    assert (table.task, table.classes) == (task, classes)
    assert [type(label) for label in table.classes] == [type(label) for label in classes]
    assert table.target.dtype == (np.float64 if task == "regression" else np.int64)
    assert any(note.startswith("target 'y': ") for note in table.notes)
    if task != "regression":
        raw = pd.Series(values).tolist()
        assert [str(table.classes[code]) for code in table.target[:4]] == [
            str(v).removesuffix(".0") if not isinstance(v, bool) else str(v) for v in raw[:4]
        ]


def test_the_decision_names_what_overrides_it():
    frame = small(y=np.arange(N) % 4)
    assert any('data.task = "regression"' in note for note in load(frame).notes)
    assert load(frame, task="regression").task == "regression"
    counts = small(y=np.arange(N) % 10)
    assert any('data.task = "multiclass"' in note for note in load(counts).notes)
    assert load(counts, task="multiclass").n_classes == 10
    assert load(small(), task="multiclass").task == "binary"
    assert load(small(y=[True, False] * 20), task="regression").target[:2].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "options", "told"),
    [
        ([1] * N, {}, "column 'y' is 1 in every row"),
        ([None] * N, {}, "column 'y' is missing in every row"),
        ([2.5] * N, {"task": "regression"}, "there is nothing to predict"),
        (["a"] + ["b", "c", "b"] * 13, {}, "class 'a' of column 'y' has 1 row"),
        ([f"w{i}" for i in range(N)], {}, "too many for classes"),
        (np.arange(N) + 0.5, {"task": "multiclass"}, "too many for classes"),
        (np.arange(N) % 4, {"task": "binary"}, "expects 2 classes, column 'y' has 4"),
        (["a", "b"] * 20, {"task": "regression"}, "expected a number, found 'a'"),
        ([1.5, np.inf] * 20, {"task": "regression"}, "infinite in 20 rows"),
        (pd.date_range("2024-01-01", periods=N), {}, "holds dates"),
        ([0, 1] * 4 + [None] * 32, {}, "8 rows with a target are too few"),
    ],
)
def test_unusable_targets(values, options, told):
    assert told in refusal(load, small(y=values), **options)


def test_rows_without_a_target_are_left_out_with_a_note():
    table = load(small(y=["a", "b", None, "a"] * 10))
    assert len(table.target) == len(table.features) == 30
    assert "10 rows without a target left out (column 'y')" in table.notes
    assert table.features.index.tolist() == list(range(30))


def test_rare_classes_are_kept_and_told():
    table = load(small(y=["rare"] * 2 + ["a", "b"] * 19))
    assert table.classes == ("a", "b", "rare")
    assert any("'rare' (2)" in note for note in table.notes)


# --- roles --------------------------------------------------------------------------------------------------------


def test_roles_are_taken_out_of_the_features():
    frame = small(
        k=np.arange(N), g=["p", "q"] * 20, t=np.arange(N)[::-1], w=np.ones(N), junk=np.arange(N) % 3
    )
    table = load(frame, id="k", group="g", time="t", weight="w", drop=("junk",))
    assert set(table.kinds) == set(table.features.columns) == {"x"}
    assert table.id[3] == "3"
    assert table.group[1] == "q"
    assert table.time.dtype == np.float64
    assert table.weight.tolist() == [1.0] * N
    dated = load(small(t=["2024-01-02", "2024-01-01"] * 20), time="t")
    assert dated.time[1] < dated.time[0]
    assert dated.time.dtype == "datetime64[us]"


def test_known_names_are_told_in_one_short_line():
    wide = small(**{"a\nb\x1b[31m": 1.0, "long" * 200: 2.0, "third": 3.0})
    message = refusal(load, wide, target="zzz")
    assert (
        message == f"data.target: the table has no column 'zzz' (known: x, y, a b [31m, {'long' * 10}, third)"
    )
    many = pd.concat(
        [small(), pd.DataFrame(0.0, range(N), [f"column number {i} of many" for i in range(20)])], axis=1
    )
    assert refusal(load, many, target="zzz").endswith("column number 9 of many and 10 more)")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target": "Y"}, "data.target: the table has no column 'Y' (did you mean 'y'?)"),
        ({"id": "kee"}, "data.id: the table has no column 'kee' (did you mean 'key'?)"),
        ({"group": "zzz"}, "data.group: the table has no column 'zzz' (known: "),
        ({"drop": ("keys",)}, "data.drop: the table has no column 'keys'"),
        ({"drop": ("y",)}, "data.drop: 'y' is used by another key"),
        ({"weight": "y"}, "data.weight and data.target both name 'y'"),
        ({"weight": "negative"}, "negative values such as -1"),
        ({"weight": "holes"}, "20 missing or infinite values"),
        ({"weight": "zero"}, "0 in every row"),
        ({"weight": "key"}, "data.weight: column 'key': expected a number"),
        ({"group": "holes"}, "missing in 20 rows"),
        ({"id": "holes"}, "missing in 20 rows"),
        ({"time": "holes"}, "missing in 20 rows"),
        ({"time": "key"}, "expected an ISO date"),
    ],
)
def test_unusable_roles(options, told):
    frame = small(
        key=["k1", "k2"] * 20, holes=[1.0, np.nan] * 20, zero=np.zeros(N), negative=np.arange(N) - 1.0
    )
    assert told in refusal(load, frame, **options)


def test_a_table_of_the_target_alone():
    assert "no feature is left" in refusal(load, small()[["y"]])


# --- fingerprint --------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_content():
    frame = small(color=["red", "blue", None, "green"] * 10)
    mark = load(frame).fingerprint
    assert len(mark) == 16
    int(mark, 16)
    same = frame.astype({"x": np.float64, "y": np.int8, "color": "category"}).set_index(np.arange(N) + 7)
    assert load(same).fingerprint == mark
    for column, value in (("x", 0.5), ("y", 1), ("color", "red")):
        other = frame.copy()
        other.loc[2, column] = value
        assert load(other).fingerprint != mark
    assert load(frame.rename(columns={"x": "z"})).fingerprint != mark
    assert load(frame.iloc[::-1]).fingerprint != mark
    assert load(frame.assign(w=1.0), weight="w").fingerprint != mark


def test_the_fingerprint_is_the_same_on_every_machine():
    frame = pd.DataFrame(
        {"n": [1.5, -0.0, np.nan, 3] * 5, "c": ["a", "\u00e9", None, "1.0"] * 5, "y": [0, 1] * 10}
    )
    assert load(frame).fingerprint == "e9f3698669155bf8"


# --- real files ---------------------------------------------------------------------------------------------------

SHARED = Path(os.environ.get("AUTOREG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
REAL = pd.read_csv(SHARED / "INDEX.csv").to_dict("records") if (SHARED / "INDEX.csv").is_file() else []
ORDINAL = {"wine_quality_red": "multiclass"}


@pytest.mark.skipif(not REAL, reason="set AUTOREG_TEST_DATA to a folder with INDEX.csv and its tables")
@pytest.mark.parametrize("about", REAL, ids=[r["name"] for r in REAL])
def test_real_tables(about):
    table = read(SHARED / about["file"], about["target"])
    assert len(table.target) == about["rows"]
    assert table.task == ORDINAL.get(about["name"], about["task"])
    if table.task != "regression" and about["n_classes"] == about["n_classes"]:
        assert table.n_classes == about["n_classes"]
