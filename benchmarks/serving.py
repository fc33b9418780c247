"""Registered models behind ``mlflow models serve``: a steady load, what it costs the server, and rows that are wrong.

    python benchmarks/serving.py [--backends sklearn,xgboost,keras] [--rate 50] [--seconds 60]

A small model of each backend is tuned on scikit-learn's wines (one column made a category) by ``autoreg tune``, and
served on loopback. Requests leave when a clock says so, whether or not earlier ones are answered, each over a connection
of its own, with 1 row and 20 rows in turn; a latency counts from the moment that its request was due. An answer that is
not what ``autoreg predict`` says of the same rows is a failure. Memory and descriptors are those of all processes of the
server; a growth is judged between the second sample and the last, both under load: at most 10 % of the memory, and no
more descriptors than requests can be under way. Exit code 1 where anything is not as it should be.
"""

import argparse
import http.client
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]

import pandas as pd  # noqa: E402
import psutil  # noqa: E402
from fault_servers import answers, free_port, process  # noqa: E402
from sklearn.datasets import load_wine  # noqa: E402

STUDY = """
name = "wines"
[data]
source = "wines.csv"
target = "grower"
[split]
folds = 3
[search]
backends = ["{backend}"]
trials = 4
seed = 1
[search.xgboost]
rounds = 40
[search.keras]
epochs = 10
hidden = "16"
"""
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
THREADS, SETTLED, GROWTH = 16, 10.0, 1.10
MANY = 100_000


def wines():
    """178 rows, 12 numbers and a category; the target is a word."""
    found = load_wine(as_frame=True)
    table = found.data.rename(columns=lambda name: name.replace("/", " "))
    strength = pd.cut(table.pop("alcohol"), 3, labels=["light", "middling", "strong"]).astype(str)
    return table.assign(strength=strength), found.target_names[found.target]


def command(folder, *words):
    """An ``autoreg`` command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "autoreg", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"autoreg {' '.join(words)}: exit code {done.returncode}\n{done.stderr}")


# -- the load ------------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """What a load came to: milliseconds of every request, and the failures in words."""

    latencies: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def share(self, q):
        """The latency that so many of all requests stay within."""
        found = sorted(self.latencies)
        return found[math.ceil(q * len(found)) - 1] if found else math.nan


def ask(port, body, kind=JSON, seconds=120):
    """Code and body of the answer to one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST", "/invocations", body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def same(found, wanted):
    """Whether predictions are those of the table ``wanted``: the same words, numbers to six digits."""
    if len(found) != len(wanted):
        return False
    pairs = zip(found, wanted.to_dict(orient="records"), strict=True)
    return all(
        row[key] == value if isinstance(value, str) else math.isclose(row[key], value, abs_tol=1e-6)
        for row, want in pairs
        for key, value in want.items()
    )


def requests(rows, predicted):
    """(body, predictions wanted) of single rows and of 20 rows in turn."""
    parts = [slice(i, i + 1 if i % 2 else i + 20) for i in range(len(rows) - 20)]
    return [(as_json(rows.iloc[part]), predicted.iloc[part]) for part in parts]


def loaded(port, bodies, rate, seconds, samples):
    """Send requests by the clock from several threads; ``samples`` maps a second to what is called then."""
    load, numbers, total = Load(), itertools.count(), int(rate * seconds)
    began = time.monotonic() + 0.5

    def sender():
        while (i := next(numbers)) < total:
            due = began + i / rate
            time.sleep(max(0.0, due - time.monotonic()))
            body, wanted = bodies[i % len(bodies)]
            try:
                code, answer = ask(port, body, seconds=30)
                load.latencies.append(1e3 * (time.monotonic() - due))
                if code != 200 or not same(json.loads(answer)["predictions"], wanted):
                    load.failures.append(f"{code}: {answer[:200]!r}")
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                load.failures.append(repr(error))

    threads = [threading.Thread(target=sender) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for second, call in samples.items():
        time.sleep(max(0.0, began + second - time.monotonic()))
        call()
    for thread in threads:
        thread.join()
    return load


def family(pid):
    """A process and all below it."""
    whole = psutil.Process(pid)
    return [whole, *whole.children(recursive=True)]


def cost(pid):
    """Resident MB and open descriptors of a process and all below it."""
    return sum(p.memory_info().rss for p in family(pid)) / 2**20, sum(p.num_fds() for p in family(pid))


def worked(pid):
    """Milliseconds of processor time that a process and all below it have used."""
    return 1e3 * sum(sum(p.cpu_times()[:2]) for p in family(pid))


# -- rows that are wrong -------------------------------------------------------------------------------------------


def as_json(rows):
    """A table as the body of a request."""
    table = {"columns": list(rows.columns), "data": rows.astype(object).to_numpy().tolist()}
    return json.dumps({"dataframe_split": table}).encode()


@dataclass(frozen=True)
class Case:
    """A body, the code that its answer should have, a word that its line should hold, and its number of predictions."""

    name: str
    body: bytes
    code: int = 200
    word: str = ""
    count: int = 5
    kind: str = JSON


def cases(rows):
    """Rows as they are, rows that are unusual, and rows that cannot be used."""
    five, mixed = rows.head(5), rows.head(5).astype(object)
    many = pd.concat([rows] * (MANY // len(rows) + 1), ignore_index=True).head(MANY)

    def ash(value):
        table = mixed.copy()
        table.at[3, "ash"] = value
        return as_json(table)

    nested = mixed.assign(strength=[["strong"]] * 5)
    return [
        Case("as they are", as_json(five)),
        Case("columns in another order", as_json(five[five.columns[::-1]])),
        Case("a column more", as_json(five.assign(more=1))),
        Case("a level never seen", as_json(five.assign(strength="nuclear"))),
        Case("a whole number for a fraction", ash(2)),
        Case("a number as text", ash(" 2.5 ")),
        Case("NaN", ash(math.nan)),
        Case("null in every cell", as_json(mixed.assign(**dict.fromkeys(five.columns)))),
        Case("no rows", as_json(five.head(0)), count=0),
        Case("100,000 rows", as_json(many), count=MANY),
        Case("a column less", as_json(five.drop(columns="ash")), 400, "'ash'"),
        Case("a word for a number", ash("much"), 400, "column 'ash'"),
        Case("a list in a cell", ash([1, 2]), 400, "column 'ash'"),
        Case("a list for a level", as_json(nested), 400, "column 'strength'"),
        Case("a column twice", as_json(pd.concat([five, five[["ash"]]], axis=1)), 400),
        Case("not JSON", b"ash, strength", 400, "JSON"),
        Case("CSV", five.to_csv(index=False).encode(), 400, kind=CSV),
        Case("Parquet", five.to_parquet(index=False), kind=PARQUET),
    ]


def line_of(answer):
    """The line that an answer's message ends with: MLflow puts what it was asked before it."""
    try:
        message = json.loads(answer)["message"]
    except (ValueError, KeyError, TypeError):
        message = answer.decode(errors="replace")
    return message.rpartition("Error: ")[2].strip().partition("\n")[0]


def outcome(port, case):
    """(as it should be, code, line) of a case."""
    code, answer = ask(port, case.body, case.kind)
    if code != 200:
        line = line_of(answer)
        return code == case.code and case.word in line, code, line
    count = len(json.loads(answer)["predictions"])
    return case.code == 200 and count == case.count, code, f"{count:,} predictions"


# -- one backend ---------------------------------------------------------------------------------------------------


def served(backend, folder, rate, seconds):
    """Train, serve, load, ask; prints a row of the load and one a case, returns what is wrong."""
    rows, target = wines()
    rows.assign(grower=target).to_csv(folder / "wines.csv", index=False)
    rows.to_csv(folder / "rows.csv", index=False)
    (folder / "study.toml").write_text(STUDY.format(backend=backend))
    command(folder, "tune", "study.toml", "--quiet")
    command(folder, "predict", "models:/wines@champion", "rows.csv", "predicted.csv")
    bodies = requests(rows, pd.read_csv(folder / "predicted.csv"))
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/wines@champion"]
    words += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    beside = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )  # uvicorn is started by name
    with process(words, cwd=folder, env={**os.environ, "PATH": beside}) as server:
        answers(f"http://127.0.0.1:{port}/ping", seconds=300)
        costs, before = [cost(server.pid)], worked(server.pid)

        def sample():
            costs.append(cost(server.pid))

        settled = min(SETTLED, seconds / 2)
        load = loaded(port, bodies, rate, seconds, {settled: sample, seconds - 0.5: sample})
        wrong = said(backend, load, costs, worked(server.pid) - before)
        for case in cases(rows):
            good, code, line = outcome(port, case)
            print(f"{backend:8} {case.name:30} {code}  {line}" + ("" if good else "   <- WRONG"), flush=True)
            wrong += [] if good else [f"{backend}: {case.name}: {code} {line}"]
    return wrong


def said(backend, load, costs, work):
    """Print what a load came to; returns what is wrong with it."""
    memory, descriptors = ([pair[i] for pair in costs] for i in (0, 1))
    print(
        f"{backend:8} {len(load.latencies)} answers, {len(load.failures)} failures; "
        f"median {load.share(0.5):.1f} ms, p99 {load.share(0.99):.1f} ms, max {load.share(1):.1f} ms; "
        f"processor {work / max(1, len(load.latencies)):.1f} ms each; "
        f"RSS {' -> '.join(f'{mb:.0f}' for mb in memory)} MB; descriptors {' -> '.join(map(str, descriptors))}",
        flush=True,
    )
    wrong = [f"{backend}: {failure}" for failure in load.failures[:3]]
    if memory[2] > GROWTH * memory[1]:
        wrong.append(f"{backend}: the memory grew from {memory[1]:.0f} to {memory[2]:.0f} MB")
    if descriptors[2] > descriptors[1] + THREADS:
        wrong.append(f"{backend}: descriptors grew from {descriptors[1]} to {descriptors[2]}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="sklearn,xgboost,keras", help="separated by commas")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    for name in [
        name for name in os.environ if name.startswith("MLFLOW_")
    ]:  # its store is a folder of its own
        del os.environ[name]
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", TF_CPP_MIN_LOG_LEVEL="3")
    wrong = []
    for backend in given.backends.split(","):
        with tempfile.TemporaryDirectory(prefix="autoreg-serving-") as folder:
            wrong += served(backend, Path(folder), given.rate, given.seconds)
    print("\n".join(["", f"{len(wrong)} not as it should be" if wrong else "all as it should be", *wrong]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
