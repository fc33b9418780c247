"""What a person sees while a study runs, and the one JSON object that a script reads. Nothing heavy is imported here."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from autoreg.record import plain
from autoreg.words import duration, number, one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from autoreg.trial import TrialRecord, Watch

TERMS = "a trial is one configuration, its loss the error on rows it did not train on (smaller is better)"
STAGES = {
    "data": "reading the data",
    "search": "searching",
    "finalists": "training the best trials again on fresh folds, to choose the winner",
    "refit": "training the model that is shipped",
    "refit_full": "training it once more, on the held-out rows too",
    "nested": "repeating the study in outer folds, to estimate it",
    "none": "adding up",
    "holdout": "scoring it on the held-out rows, once",
    "report": "writing the report",
    "register": "registering the model",
    "gate": "comparing champion and challenger",
}


COLOURS = (
    (r"(?m)^\S.*[.:]?$", "bold"),
    (r"(?m)^  (winner|shipped|on new rows|model)(?=  )", "bold cyan"),
    (r"(?m)^  [a-z][a-z ]*?(?=  )", "cyan"),
    (r"(?m)^  (?:trial|name)  .*$", "underline"),
    (r"(?<=  )complete(?=  )", "green"),
    (r"(?<=  )pruned(?=  )", "yellow"),
    (r"(?<=  )failed(?=  )", "red"),
    (r"(?m)^  autoreg .*$", "green"),
)
"""What stands out in the words of ``autoreg.words``: pattern, style of rich."""


def write_json(value: Mapping[str, Any], place: str) -> None:
    """Write one JSON object to a file, or to stdout when ``place`` is ``"-"``.

    Raises
    ------
    OSError
        The place cannot be written.
    """
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    if place == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        Path(place).write_text(text, encoding="utf-8")


@contextmanager
def words_only() -> Iterator[None]:
    """Send to stderr what libraries and worker processes print to stdout, which is kept for data."""
    sys.stdout.flush()
    saved = os.dup(1) if _descriptor(sys.stdout) == 1 else None
    if saved is not None:
        os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


@contextmanager
def busy(words: str) -> Iterator[None]:
    """Show on a terminal, and nowhere else, that something goes on; wiped at the end."""
    if not _redrawn():
        yield
        return
    from rich.console import Console

    # A descriptor of its own: the display goes on while a library's import is hushed.
    own = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
    with own, Console(file=own).status(f"{words} ..."):
        yield


def _redrawn() -> bool:
    """Whether stderr is a terminal on which a display can redraw itself."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def _descriptor(stream: TextIO) -> int | None:
    with suppress(OSError, ValueError, AttributeError):
        return stream.fileno()
    return None


def paint(text: str, err: bool = False) -> None:
    """Print words, with colours on a terminal only, and none where ``NO_COLOR`` is set.

    The characters are the same either way.
    """
    stream = sys.stderr if err else sys.stdout
    plain_text = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    if plain_text or not stream.isatty():
        click.echo(text, err=err)
        return
    from rich.console import Console
    from rich.text import Text

    shown = Text(text)
    for pattern, style in COLOURS:
        shown.highlight_regex(pattern, style)
    Console(file=stream, highlight=False, soft_wrap=True).print(shown)


@dataclass
class Standing:
    """Where one backend stands: trials by state, and its smallest loss."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    best: float = math.inf


@dataclass
class Tally:
    """The counts behind both displays.

    Attributes
    ----------
    total : int
        Budget of trials; 0 while it is not known.
    seconds : float
        Budget of the search in seconds.
    done, replayed : int
        Trials that are over; those of them that were already in the ledger.
    """

    total: int = 0
    seconds: float = math.inf
    done: int = 0
    replayed: int = 0
    began: float = field(default_factory=time.monotonic)
    backends: dict[str, Standing] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)

    def plan(self, trials: int, seconds: float) -> None:
        """Start the clock of the search."""
        self.total, self.seconds, self.began = trials, seconds, time.monotonic()

    def add(self, record: TrialRecord, replayed: bool) -> str | None:
        """Count a trial; the words to say when it failed for a reason not yet heard."""
        result, standing = record.result, self.backends.setdefault(record.backend, Standing())
        state = str(result.state)
        setattr(standing, state, getattr(standing, state) + 1)
        if state == "complete" and math.isfinite(result.loss):
            standing.best = min(standing.best, result.loss)
        self.done += 1
        self.replayed += replayed
        if state != "failed" or replayed or result.reason in self.reasons or len(self.reasons) >= 3:
            return None
        self.reasons.add(result.reason)
        return f"trial {record.number} ({record.backend}) failed: {result.reason}"

    @property
    def left(self) -> str:
        """Time left of the search's budget, in words; empty when there is no limit."""
        rest = self.seconds - (time.monotonic() - self.began)
        return f"at most {duration(rest)} left" if math.isfinite(rest) else ""


class QuietWatch:
    """Says warnings and nothing else."""

    def say(self, message: str) -> None:
        """See ``Watch``."""
        if message.lower().startswith("warning"):
            _line(message)

    def planned(self, trials: int, seconds: float) -> None:
        """See ``Watch``."""

    def trial(self, record: TrialRecord, replayed: bool) -> None:
        """See ``Watch``."""

    def stage(self, name: str) -> None:
        """See ``Watch``."""


class PlainWatch:
    """Plain lines for logs and pipes: one when a backend's turn ends, or every ten seconds, never two in one second.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start, self._last = clock, clock(), clock()
        self._tally, self._turn, self._shown = Tally(), "", 0

    def say(self, message: str) -> None:
        """See ``Watch``."""
        self._print(message)

    def planned(self, trials: int, seconds: float) -> None:
        """See ``Watch``."""
        self._tally.plan(trials, seconds)
        rest = "the rest of the time limit is for choosing the winner and the report"
        limit = (
            f" or at most {duration(seconds)}, whichever ends first ({rest})"
            if math.isfinite(seconds)
            else ""
        )
        self._print(f"up to {trials} trials{limit}")
        self._print(TERMS)

    def trial(self, record: TrialRecord, replayed: bool) -> None:
        """See ``Watch``."""
        quiet_for = self._clock() - self._last
        if self._turn not in ("", record.backend) and quiet_for >= 1.0:
            self._progress()
        self._turn = record.backend
        trouble = self._tally.add(record, replayed)
        if trouble:
            self._print(trouble)
        if self._clock() - self._last >= 10.0 or self._tally.done == self._tally.total:
            self._progress()

    def stage(self, name: str) -> None:
        """See ``Watch``."""
        if self._tally.done > self._shown:
            self._progress()
        self._print(STAGES.get(name, name))

    def _progress(self) -> None:
        tally = self._tally
        best = ", ".join(f"{name} {number(s.best)}" for name, s in tally.backends.items())
        pruned, failed = (
            sum(getattr(s, state) for s in tally.backends.values()) for state in ("pruned", "failed")
        )
        counts = [(pruned, "pruned"), (failed, "failed"), (tally.replayed, "from the ledger")]
        more = [f"{n} {word}" for n, word in counts if n] + [tally.left] * bool(tally.left)
        self._shown = tally.done
        self._print(
            f"{tally.done}/{tally.total} trials; smallest loss: {best}"
            + (f"; {', '.join(more)}" if more else "")
        )

    def _print(self, message: str) -> None:
        self._last = self._clock()
        _line(f"[{self._last - self._start:6.1f} s] {message}")


class LiveWatch:
    """A display that redraws itself, for a terminal. Use it as a context manager.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to draw; stderr when left out.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._tally, self._stage = Tally(), "loading libraries"
        self._spinner = Spinner("dots")
        # A descriptor of its own: the display goes on while a library's import is hushed.
        self._own = None if console else os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
        console = console or Console(file=self._own, highlight=False)
        self._live = Live(get_renderable=self._render, console=console, transient=True, refresh_per_second=6)

    def __enter__(self) -> LiveWatch:
        """Start to draw."""
        self._live.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        """Wipe the display, so that the result stands alone."""
        self._live.__exit__(*exc)
        if self._own:
            self._own.close()

    def say(self, message: str) -> None:
        """See ``Watch``."""
        from rich.text import Text

        self._live.console.print(Text(one_line(message)))  # a Text is never read as markup

    def planned(self, trials: int, seconds: float) -> None:
        """See ``Watch``."""
        self._tally.plan(trials, seconds)

    def trial(self, record: TrialRecord, replayed: bool) -> None:
        """See ``Watch``."""
        trouble = self._tally.add(record, replayed)
        if trouble:
            self.say(trouble)

    def stage(self, name: str) -> None:
        """See ``Watch``."""
        self._stage = STAGES.get(name, name)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tally = self._tally
        self._spinner.update(text=Text(self._stage))
        if not tally.total:
            return self._spinner
        left = tally.left if self._stage == STAGES["search"] else ""
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(tally.total, tally.done, width=30), f"{tally.done}/{tally.total} trials", left
        )
        table = Table(
            "backend", "smallest loss", "complete", "pruned", "failed", box=None, padding=(0, 2, 0, 0)
        )
        for name, s in list(tally.backends.items()):
            table.add_row(Text(name), number(s.best), str(s.complete), str(s.pruned), str(s.failed))
        return Group(self._spinner, bar, table)


@contextmanager
def watching(quiet: bool) -> Iterator[Watch]:
    """The watch that suits stderr: live on a terminal, plain lines elsewhere, silent when asked."""
    if quiet:
        yield QuietWatch()
    elif _redrawn():
        with LiveWatch() as watch:
            yield watch
    else:
        yield PlainWatch()


def _line(message: str) -> None:
    with suppress(OSError, ValueError):  # a study goes on when nobody reads its progress any more
        print(one_line(message), file=sys.stderr, flush=True)
