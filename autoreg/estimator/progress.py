"""One line that rewrites itself while an estimator is fitted; plain text, so that notebooks show it too."""

from __future__ import annotations

import math
import sys
from contextlib import suppress

from autoreg.console import STAGES, PlainWatch, Tally
from autoreg.trial import SILENT, TrialRecord, Watch
from autoreg.words import number, one_line


class LineWatch:
    """Rewrites one line on stdout; warnings get lines of their own."""

    def __init__(self) -> None:
        self._tally, self._stage, self._width = Tally(), "", 0

    def say(self, message: str) -> None:
        """See ``Watch``."""
        if message.lower().startswith("warning"):
            self._write(one_line(message))
            self.close()

    def planned(self, trials: int, seconds: float) -> None:
        """See ``Watch``."""
        self._tally.plan(trials, seconds)

    def trial(self, record: TrialRecord, replayed: bool) -> None:
        """See ``Watch``."""
        self._tally.add(record, replayed)
        self._show()

    def stage(self, name: str) -> None:
        """See ``Watch``."""
        self._stage = STAGES.get(name, name)
        self._show()

    def close(self) -> None:
        """Leave the line as it is."""
        if self._width:
            self._put("\n")
            self._width = 0

    def _show(self) -> None:
        tally = self._tally
        best = [f"{name} {number(s.best)}" for name, s in tally.backends.items() if math.isfinite(s.best)]
        parts = [f"{tally.done}/{tally.total} trials"] * bool(tally.total) + [
            "best loss: " + ", ".join(best)
        ] * bool(best)
        self._write("; ".join([*parts, self._stage]))

    def _write(self, line: str) -> None:
        self._put("\r" + line.ljust(self._width))
        self._width = len(line)

    def _put(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a fit goes on when nobody reads its progress
            sys.stdout.write(text)
            sys.stdout.flush()


def progress(verbose: int) -> Watch:
    """Nothing, one line, or a log."""
    if not verbose:
        return SILENT
    return LineWatch() if verbose == 1 else PlainWatch()
