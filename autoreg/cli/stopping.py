"""Signals: the first asks to stop, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from autoreg.errors import Interrupted


class Stop(KeyboardInterrupt):
    """A signal asks to stop.

    Of a type of its own: Python ends itself by SIGINT, whatever exit code it is given, once a plain
    KeyboardInterrupt has passed through code run from text, as named tuples and many imports do.
    """


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first SIGTERM or Ctrl-C into ``Interrupted``; a second one ends the process at once.

    The signal is raised as ``KeyboardInterrupt``, which no library on the way swallows as an ordinary error.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        raise Stop

    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not received:
            raise
        name, code = ("Ctrl-C", 130) if received[0] == signal.SIGINT else ("SIGTERM", 143)
        raise Interrupted(
            f"stopped by {name}; finished trials are kept: run the same command again to resume", code
        ) from error
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
