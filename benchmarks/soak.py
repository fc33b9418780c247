"""A soak: small studies back to back, many of them killed at random, and what they leave on the machine.

    python benchmarks/soak.py --minutes 60 --out soak.csv
    python benchmarks/soak.py --read soak.csv            (the summary of one that is over)

Two kinds of study alternate over one SQLite store. A study by commands: `autoreg tune` or `autoreg retune` from a fresh
interpreter, in some starts struck at a random moment (SIGKILL, SIGTERM or SIGINT to the driver, SIGKILL to a worker) and
given again until it ends by itself; now and then `autoreg reconcile` between two starts or at the end, and the finished
command once more. And studies inside one process, which runs one after the other with `autoreg.tune`; in some of them a worker is
killed. Every start is a row of the CSV: its end, and what there is afterwards of runs, files, processes and, of the process that
lives on, memory, descriptors and threads. Exit code 1 when something is wrong: see the last lines.

What is struck, and when, follows from --seed and from how long the last study of the kind took. Memory at its peak is a sum
over a driver and its workers, looked at five times a second.
"""

import argparse
import csv
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from soak_place import Place
from soak_processes import KINDS, Inside, Strike, command
from soak_summary import read, summary

TRIALS = 10
STUDY = """
name = "{name}"
[data]
source = "{source}"
target = "target"
[split]
folds = 3
[search]
backends = {backends}
trials = {trials}
block = 4
lookahead = 6
seed = {seed}
timeout = "10m"
[search.xgboost]
rounds = 15
[search.keras]
epochs = 4
hidden = "8"
"""
NAMES = {
    "linear": ["sklearn"], "boosted": ["xgboost"], "both": ["sklearn", "xgboost"], "network": ["keras"],
    "served": ["sklearn"],
}  # fmt: skip
TURNS = ("linear", "boosted", "both", "linear", "network", "boosted")
"""Studies by commands and inside the process take turns like this; "served" is the one that is retuned."""
INSIDE, RETUNES = 3, 4
"""Studies inside the process after each by commands, and how many of these come between two retunes."""
FIRST_ROWS, MORE_ROWS = 300, 15
FIELDS = (
    "elapsed", "study", "part", "what", "name", "jobs", "start", "strike", "struck_s", "ending_s", "code",
    "status", "seconds", "peak_mb", "rss_mb", "fds", "threads", "children", "orphans_s", "running", "finished",
    "failed", "killed", "finished_studies", "unfinished_studies", "doubles", "versions", "logged_models", "store_mb",
    "artifacts_mb", "spools", "spool_kb", "temporary", "locks", "shared_memory", "wrong",
)  # fmt: skip


class Soak:
    """One soak in a folder; ``keep`` takes a row."""

    def __init__(self, place, seed, keep):
        from sklearn.datasets import load_breast_cancer

        self.place, self.chance, self.keep = place, random.Random(seed), keep
        self.began, self.number, self.retunes, self.littered = time.monotonic(), 0, 0, 0
        self.usual, self.said = {}, set()
        self.table = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=seed)
        self.table.to_csv(place.work / "table.csv", index=False)
        self.inside = Inside(place)

    def run(self, minutes):
        """Study after study until the time is over, then the end of the process that lived on."""
        turn = 0
        while time.monotonic() - self.began < 60 * minutes:
            if turn % RETUNES == RETUNES - 1:
                self.retuned()
            else:
                self.commanded(TURNS[turn % len(TURNS)])
            for k in range(INSIDE):
                self.lived(INSIDE * turn + k)
            turn += 1
        code = self.inside.end()
        left = self.place.processes()
        wrong = [f"the process that lived on ended with {code}"] if code else []
        wrong += [f"{len(left)} processes left at the end"] if left else []
        self.row(part="inside", what="end", code=code, wrong=wrong)

    # -- studies by commands -------------------------------------------------------------------------------------

    def commanded(self, name):
        """`autoreg tune` until it ends by itself."""
        study = self.written(name, "table.csv")
        self.to_the_end("tune", name, (study,))

    def retuned(self):
        """`autoreg retune` over a table that has grown, under a key of its own."""
        self.retunes += 1
        today = self.place.work / "today.csv"
        self.table[: FIRST_ROWS + MORE_ROWS * self.retunes].to_csv(today, index=False)
        study = self.written("served", today.name)
        self.to_the_end("retune", "served", (study, "--key", f"day {self.retunes}"))

    def written(self, name, source):
        """A study file with the next number as its seed."""
        self.number += 1
        place = self.place.work / f"{name}-{self.number}.toml"
        backends = str(NAMES[name]).replace("'", '"')
        place.write_text(
            STUDY.format(name=name, source=source, backends=backends, trials=TRIALS, seed=self.number)
        )
        return place

    def to_the_end(self, what, name, words):
        """Give a command, strike it, give it again until it ended; then look at what is there."""
        jobs, start, struck = self.chance.choice((1, 2)), 0, True
        strikes = self.strikes(f"{what} {name}", jobs)
        while struck:
            strike, start = strikes.pop(0) if strikes else None, start + 1
            done = command(self.place, what, *words, "--n-jobs", jobs, strike=strike)
            struck = done.struck is not None and done.code != 0
            wrong = self.told(done, strike) + ([] if struck else self.ended(done.answer))
            self.row(done, strike, part="command", what=what, name=name, jobs=jobs, start=start, wrong=wrong)
            if struck and self.chance.random() < 0.3 and self.place.studies_of(name):
                self.reconciled(words[0], name)
        if done.struck is None:
            self.usual[f"{what} {name}"] = done.seconds
        if self.chance.random() < 0.2:
            self.reconciled(words[0], name, clean=True)
        if self.chance.random() < 0.2:
            self.again(what, name, words)

    def again(self, what, name, words):
        """A finished command once more: there is nothing to do."""
        done = command(self.place, what, *words, "--quiet")
        status = (done.answer or {}).get("status")
        wrong = self.told(done) + self.ended(done.answer)
        wrong += [] if status == "skipped" else [f"given again, it ended as '{status}', not as 'skipped'"]
        self.row(done, part="command", what=f"{what} again", name=name, jobs=1, wrong=wrong)

    def strikes(self, kind, jobs):
        """What befalls the starts of a study: nothing in 3 of 10, else one to three strikes."""
        if self.chance.random() < 0.3:
            return []
        kinds = KINDS if jobs > 1 else KINDS[:3]
        count, usual = self.chance.randint(1, 3), self.usual.get(kind, 20.0)
        return [
            Strike(self.chance.choice(kinds), self.chance.uniform(0.02, 1.0) * usual) for _ in range(count)
        ]

    def reconciled(self, study, name, clean=False):
        """`autoreg reconcile` between two starts, or once the study has ended: then there is nothing to do."""
        done = command(self.place, "reconcile", study)
        wrong = self.told(done)
        status = (done.answer or {}).get("status")
        wrong += [f"something was left to do: {done.words[-300:]}"] if clean and status != "clean" else []
        self.row(done, part="command", what="reconcile", name=name, wrong=wrong)

    # -- studies inside one process ------------------------------------------------------------------------------

    def lived(self, turn):
        """A study inside the process that lives on. In the first round each backend is fitted by that process itself."""
        name = TURNS[turn % len(TURNS)]
        jobs = 1 if turn < len(TURNS) else self.chance.choice((1, 2))
        struck = jobs > 1 and self.chance.random() < 0.5
        strike = Strike("worker", self.chance.uniform(0, 5)) if struck else None
        done = self.inside.tune(self.written(name, "table.csv"), jobs, strike)
        wrong = self.told(done, strike) + self.ended(done.answer)
        self.row(
            done, strike, part="inside", what="tune", name=name, jobs=jobs, wrong=wrong, **self.inside.cells()
        )

    # -- what is there afterwards ---------------------------------------------------------------------------------

    def told(self, done, strike=None):
        """What is wrong with how a start ended."""
        expected = strike.codes if strike and done.struck is not None else {0}
        if done.code not in expected:
            return [f"exit code {done.code}: {done.words[-300:]}"]
        return ["a traceback"] if "Traceback" in done.words and done.code != 130 else []

    def ended(self, answer):
        """What is wrong after a study has ended."""
        return self.place.runs().wrong((answer or {}).get("run_id"), TRIALS)

    def row(self, done=None, strike=None, *, wrong=(), **cells):
        """Look at everything, keep a row of it and say a line."""
        began, but, wrong = time.monotonic(), (self.inside.pid,), list(wrong)
        while (left := self.place.processes(but)) and time.monotonic() - began < 10:
            time.sleep(0.05)
        wrong += [f"{len(left)} processes left behind" for _ in left[:1]]
        disk = self.place.disk
        if disk["temporary"] > self.littered and not (done and done.cut):
            wrong.append(f"{disk['temporary'] - self.littered} temporary files left behind")
        self.littered = disk["temporary"]
        if done and done.code == 0 and cells["what"] in ("tune", "retune") and disk["spools"]:
            wrong.append(f"{disk['spools']} spools left behind")
        row = dict.fromkeys(FIELDS, "")
        row |= {"elapsed": round(began - self.began, 1), "study": self.number, **cells}
        row |= {"strike": strike.kind if strike and done.struck is not None else ""}
        row |= done.cells if done else {}
        row |= {"orphans_s": round(time.monotonic() - began, 2), **self.place.runs().cells, **disk}
        new = [line for line in wrong if line not in self.said]  # what stays wrong is said once
        self.said.update(new)
        row["wrong"] = " ".join("; ".join(new).split())
        self.keep({name: str(value) for name, value in row.items()})


def progress(row):
    """A line of progress."""
    strike = f"{row['strike']} at {row['struck_s']} s" if row["strike"] else ""
    alive = f"{row['rss_mb']:>7} MB {row['fds']:>3} fds {row['threads']:>3} threads" if row["rss_mb"] else ""
    line = (
        f"{float(row['elapsed']):7.0f} s  {row['study']:>4} {row['part']:7} {row['what']:12} {row['name']:8}"
    )
    line += f" {strike:20} code {row['code']:>3} {row['seconds']:>6} s {alive}"
    print(line.rstrip() + (f"  WRONG: {row['wrong']}" if row["wrong"] else ""), flush=True)


def main():
    """Soak, or read what one has written; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="an empty folder that is kept; a temporary one when left out"
    )
    parser.add_argument("--out", type=Path, default=Path("soak.csv"))
    parser.add_argument("--read", type=Path, metavar="CSV", help="print the summary of a soak that is over")
    given = parser.parse_args()
    if given.read:
        return int(summary(read(given.read)))
    if given.folder and given.folder.is_dir() and any(given.folder.iterdir()):
        parser.error(f"--folder: '{given.folder}' is not empty; give a new one")
    if given.out.exists():
        parser.error(f"--out: '{given.out}' is there already; give another name, or see it with --read")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    with ExitStack() as stack:
        folder = given.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))
        file = stack.enter_context(given.out.open("w", newline="", encoding="utf-8"))
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()

        def keep(row):
            writer.writerow(row)
            file.flush()
            progress(row)

        place = Place(folder)
        stack.callback(lambda: [process.kill() for process in place.processes()])
        Soak(place, given.seed, keep).run(given.minutes)
    return int(summary(read(given.out)))


if __name__ == "__main__":
    sys.exit(main())
