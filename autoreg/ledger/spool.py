"""What could not be written to the store yet, in one file beside it: appended line by line, synced, never pickled."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import stat
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.errors import TrackingUnavailable
from autoreg.ledger.decisions import DECIDED, plain
from autoreg.ledger.private import PrivateArrays
from autoreg.ledger.runs import pack, unpack
from autoreg.secrets import redact
from autoreg.tracking import canonical
from autoreg.trial import Extension, TrialRecord, Turn

VERSION = 1


def state_folder() -> Path:
    """Where this user's spools are, made when it is not there.

    ``AUTOREG_STATE_DIR``, else ``autoreg`` in ``XDG_STATE_HOME``, else ``~/.local/state/autoreg``; a folder of the
    user's own in the place for temporary files where that cannot be written.

    Raises
    ------
    TrackingUnavailable
        No folder can be written, or the last resort belongs to someone else.
    """
    named, base = os.environ.get("AUTOREG_STATE_DIR"), os.environ.get("XDG_STATE_HOME")
    wanted = Path(named or Path(base or Path("~/.local/state").expanduser()) / "autoreg")
    with suppress(OSError, RuntimeError):
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK | os.X_OK):
            return wanted
    spare = Path(tempfile.gettempdir()) / f"autoreg-state-{os.getuid()}"
    try:
        spare.mkdir(mode=0o700, exist_ok=True)
        found = spare.lstat()
    except OSError as error:
        raise TrackingUnavailable(
            f"no folder for unwritten trials: {error}; set AUTOREG_STATE_DIR"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise TrackingUnavailable(f"{spare} belongs to another user; set AUTOREG_STATE_DIR")
    return spare


@dataclass
class Contents:
    """What a spool holds.

    Attributes
    ----------
    trials : dict of int to TrialRecord
        Trials that were not delivered, without their arrays.
    drops, extensions, turns
        The last that were noted; empty when none were.
    attempts : dict of int to int
        Trials noted before they were computed, and by how many drivers.
    damaged : int
        Lines that cannot be read; a last line cut short is not counted.
    """

    trials: dict[int, TrialRecord] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    extensions: list[Extension] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    damaged: int = 0

    def __bool__(self) -> bool:
        return bool(self.trials or self.drops or self.extensions or self.turns)


class Spool:
    """The spool of one parent run in one store. The file is there only while it has something to say.

    Parameters
    ----------
    store : str
        Address of the store; its password may change and is neither kept nor hashed.
    digest, run_id : str
        The study and its parent run.

    Attributes
    ----------
    private : PrivateArrays
        Beside it, what is never to be in the store.
    """

    def __init__(self, store: str, digest: str, run_id: str) -> None:
        key = hashlib.sha256(f"{redact(canonical(store))}\n{digest}\n{run_id}".encode()).hexdigest()[:32]
        self.path = state_folder() / f"{key}.jsonl"
        self.private = PrivateArrays(self.path.with_suffix(".predictions"))
        self.run_id = run_id
        self.places: dict[int, int] = {}
        self.attempts: Counter[int] = Counter()
        self.holds = False
        self._file: int | None = None
        self._lock = threading.RLock()

    # -- reading -----------------------------------------------------------------------------------------------

    def read(self) -> Contents:
        """Everything in the file; the spool knows from then on where its trials are."""
        found = Contents()
        with self._lock:
            self.places.clear()
            for place, line in self._lines():
                try:
                    self._take(found, json.loads(line), place)
                except (ValueError, KeyError, TypeError, AttributeError):
                    found.damaged += 1
            self.attempts, self.holds = Counter(found.attempts), bool(found)
        return found

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """(place, line) of every whole line; what follows the last line end was cut short."""
        place = 0
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield place, line
                place += len(line)

    def _take(self, found: Contents, line: Mapping[str, Any], place: int) -> None:
        kind, value = line["kind"], line.get("value")
        if kind == "trial":
            record, _ = _opened(line)
            found.trials[record.number] = record
            self.places[record.number] = place
        elif kind in DECIDED:
            setattr(found, kind, DECIDED[kind](value))
        elif kind == "attempts":
            found.attempts.update({int(n): int(times) for n, times in dict(value or {}).items()})
        elif kind == "left":
            found.attempts.clear()
        elif kind != "spool" or line["version"] != VERSION:
            raise ValueError(f"unknown line '{kind}'")

    def trial(self, number: int) -> tuple[TrialRecord, bytes] | None:
        """A spooled trial with its curves, and the bytes of its artifact; None when it is not here."""
        with self._lock:
            if number not in self.places:
                return None
            with self.path.open("rb") as file:
                file.seek(self.places[number])
                record, content = _opened(json.loads(file.readline()))
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            curves = {name: arrays[name] for name in arrays.files if name != "predictions"}
        return replace(record, result=replace(record.result, curves=curves)), content

    # -- writing -----------------------------------------------------------------------------------------------

    def keep_trial(self, record: TrialRecord, arrays: bytes) -> None:
        """Keep a trial and the bytes of its artifact, synced to the disk."""
        line = {
            "kind": "trial", "number": record.number, "backend": record.backend,
            "state": record.result.state.value, "asked": json.dumps(dict(record.asked)), "record": pack(record),
            "started": record.started, "ended": record.ended, "arrays": base64.b64encode(arrays).decode(),
        }  # fmt: skip
        with self._lock:
            self.places[record.number] = self._append(line)
            self.holds = True

    def keep_decision(self, kind: str, value: Any) -> None:
        """Keep what was decided between turns: all decisions of a kind of ``DECIDED``."""
        with self._lock:
            self._append({"kind": kind, "value": plain(kind, value)})
            self.holds = True

    def attempt(self, numbers: Iterable[int]) -> None:
        """Note that trials are about to be computed. Not synced: this is to outlive the process, not the machine."""
        with self._lock:
            self.attempts.update(numbers)
            self._append({"kind": "attempts", "value": dict.fromkeys(numbers, 1)}, sync=False)

    def resolve(self, number: int) -> None:
        """A trial that was attempted has its result."""
        with self._lock:
            self.attempts.pop(number, None)

    def left(self) -> None:
        """The driver ends on its own accord: none of its trials took it down."""
        with self._lock:
            self.attempts.clear()
            if self.path.exists():
                self._append({"kind": "left"})

    def delivered(self) -> None:
        """All of it is in the store: only the attempts that are still open stay."""
        with self._lock:
            if not self.holds:
                return
            self.remove()
            if self.attempts:
                self._append({"kind": "attempts", "value": dict(self.attempts)}, sync=False)

    def remove(self) -> None:
        """Forget everything."""
        with self._lock:
            self.places.clear()
            self.holds = False
            self.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; it opens again by itself."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _append(self, line: Mapping[str, Any], sync: bool = True) -> int:
        """Add a line and return where it starts; a line that does not fit the disk leaves nothing behind."""
        text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            file = self._open()
            place = os.fstat(file).st_size
            try:
                done = 0
                while done < len(text):
                    done += os.write(file, text[done:])
                if sync:
                    os.fsync(file)
            except BaseException:
                os.ftruncate(file, place)
                raise
            return place

    def _open(self) -> int:
        if self._file is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = file = os.open(self.path, flags, 0o600)
            whole = sum(len(line) for _, line in self._lines())
            os.ftruncate(file, whole)
            if not whole:
                head = {"kind": "spool", "version": VERSION, "run": self.run_id}
                os.write(file, json.dumps(head).encode() + b"\n")
                folder = os.open(self.path.parent, os.O_RDONLY)
                os.fsync(folder)  # or the file's name may be lost with the power
                os.close(folder)
        return self._file


def _opened(line: Mapping[str, Any]) -> tuple[TrialRecord, bytes]:
    """The record and the artifact of a trial's line."""
    record = unpack(int(line["number"]), line["backend"], line["state"], line["asked"], line["record"], "")
    content = base64.b64decode(line["arrays"], validate=True)
    return replace(record, started=float(line["started"]), ended=float(line["ended"])), content
