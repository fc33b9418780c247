"""Processes of a soak: commands from a fresh interpreter, one process that lives on, and what strikes them."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from soak_place import MB

HERE = Path(__file__).resolve().parent
PULSE, LIMIT = 0.2, 400.0
"""Seconds between two looks at a process, and how long one start may take."""
KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "worker")


@dataclass(frozen=True)
class Strike:
    """A signal to the driver, or SIGKILL to one of its workers, so many seconds after the start."""

    kind: str
    after: float

    @property
    def codes(self):
        """Exit codes, as a shell sees them, that are right after it; 0 where it came too late."""
        struck = {"SIGKILL": 137, "SIGTERM": 143, "SIGINT": 130}.get(self.kind)
        return {0} if struck is None else {0, struck}

    def falls(self, pid):
        """Do it; False where there is no worker yet."""
        if self.kind != "worker":
            os.kill(pid, getattr(signal, self.kind))
            return True
        for process in family(pid)[1:]:
            with suppress(psutil.Error):
                if "autoreg.executor.worker" in " ".join(process.cmdline()):
                    process.kill()
                    return True
        return False


@dataclass
class Done:
    """How a start ended: as a shell sees it, whether a signal ended it without a word, and when the strike fell."""

    code: int | None = None
    cut: bool = False
    seconds: float = 0.0
    peak: int = 0
    struck: float | None = None
    answer: dict | None = None
    words: str = ""

    @property
    def cells(self):
        """As cells of a row."""
        late = "" if self.struck is None else round(self.seconds - self.struck, 2)
        return {
            "struck_s": "" if self.struck is None else round(self.struck, 2), "ending_s": late,
            "code": self.code, "status": (self.answer or {}).get("status", ""),
            "seconds": round(self.seconds, 2), "peak_mb": round(self.peak / MB, 1),
        }  # fmt: skip


def family(pid):
    """A process and all its descendants that are there."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def memory(pid):
    """Resident bytes of a process and its descendants."""
    total = 0
    for process in family(pid):
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def watched(process, over, strike):
    """Wait until something is over, note the memory meanwhile, and strike."""
    done, began = Done(), time.monotonic()
    while not over():
        passed = time.monotonic() - began
        done.peak = max(done.peak, memory(process.pid))
        if strike and done.struck is None and passed >= strike.after and strike.falls(process.pid):
            done.struck = passed
        if passed > LIMIT:
            process.kill()
    done.seconds = time.monotonic() - began
    return done


def command(place, *words, strike=None):
    """An ``autoreg`` command to its end, in an interpreter of its own."""
    answer, said = place.work / "answer.json", place.work / "said"
    answer.unlink(missing_ok=True)
    full = [sys.executable, "-m", "autoreg", *map(str, words), "--json", str(answer)]

    def over():
        with suppress(subprocess.TimeoutExpired):
            process.wait(PULSE)
            return True
        return False

    with said.open("w") as file:
        process = subprocess.Popen(
            full, cwd=place.work, env=place.env, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        try:
            done = watched(process, over, strike)
        finally:
            process.kill()
            process.wait()
    done.cut = process.returncode < 0
    done.code = 128 - process.returncode if done.cut else process.returncode
    with suppress(OSError, ValueError):
        done.answer = json.loads(answer.read_text())
    done.words = said.read_text(errors="replace").strip()
    return done


class Inside:
    """One process that runs study after study with ``autoreg.tune``."""

    def __init__(self, place):
        self.said = (place.root / "inside.err").open("w")
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "soak_inside.py")], cwd=place.work, env=place.env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said,
        )  # fmt: skip
        self.pid = self.process.pid

    def tune(self, study, jobs, strike=None):
        """One study to its end."""
        self.process.stdin.write(json.dumps({"study": str(study), "n_jobs": jobs}) + "\n")
        self.process.stdin.flush()
        done = watched(
            self.process, lambda: bool(select.select([self.process.stdout], [], [], PULSE)[0]), strike
        )
        line = self.process.stdout.readline()
        done.answer = json.loads(line) if line else {"code": self.process.wait(), "words": "it is gone"}
        done.code, done.words = done.answer["code"], done.answer.get("words", "")
        return done

    def cells(self):
        """What it holds between two studies, as cells of a row."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return {
                "rss_mb": round(process.memory_info().rss / MB, 2), "fds": process.num_fds(),
                "threads": process.num_threads(), "children": len(process.children(recursive=True)),
            }  # fmt: skip
        return {}

    def end(self):
        """Let it end by itself; its exit code."""
        self.process.stdin.close()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.process.stdout.close()
            self.said.close()
