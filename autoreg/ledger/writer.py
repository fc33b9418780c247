"""Writing beside the search, which goes on while the store is away."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

FIRST_PAUSE, LONGEST_PAUSE, HURRIED_PAUSE = 0.5, 15.0, 2.0
"""Seconds between two tries to reach an absent store: doubled from the first; less while someone waits for it."""
PATIENCE = 60.0
"""Seconds that ``flush`` waits for a store which does not answer."""


class Writer:
    """Delivers items in order in one thread. While the store is away they are kept, and tried again.

    Parameters
    ----------
    deliver : callable
        Takes one item to the store. It may be called again with an item that it failed to deliver.
    keep : callable
        Puts an item where a crash cannot take it; does nothing with one that is there already.
    passing : callable
        Whether an error means that the store is away and may come back. Any other ends the writing, and is raised in
        the driver's thread.
    emptied : callable
        Called when nothing is left to deliver.

    Attributes
    ----------
    away : BaseException or None
        Why the store cannot be reached at present.
    outages : list of (BaseException or None)
        Why the store went away, or None where it came back, since someone last looked.
    """

    def __init__(
        self,
        deliver: Callable[[Any], None],
        keep: Callable[[Any], None],
        passing: Callable[[BaseException], bool],
        emptied: Callable[[], None] = lambda: None,
    ) -> None:
        self.deliver, self.keep, self.passing, self.emptied = deliver, keep, passing, emptied
        self.pending: deque[Any] = deque()
        self.changed = threading.Condition(threading.RLock())
        self.error: BaseException | None = None
        self.away: BaseException | None = None
        self.outages: list[BaseException | None] = []
        self.hurry, self.closed = False, False
        self.pause, self.progress = FIRST_PAUSE, time.monotonic()
        self.thread = threading.Thread(target=self._run, name="autoreg-ledger", daemon=True)
        self.thread.start()

    # -- in the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self.changed:
                while not self.pending and not self.closed:
                    self.changed.wait()
                if self.closed:
                    return
                item = self.pending[0]
            try:
                self.deliver(item)
                self._delivered()
            except BaseException as error:  # kept, and raised in the driver's thread
                try:
                    self._put_off(error)
                except BaseException as lasting:
                    with self.changed:
                        self.error = lasting
                        self.changed.notify_all()
                    return

    def _delivered(self) -> None:
        with self.changed:
            self.pending.popleft()
            self.pause, self.progress = FIRST_PAUSE, time.monotonic()
            if self.away is not None:
                self.away = None
                self.outages.append(None)
            if not self.pending:
                self.emptied()
            self.changed.notify_all()

    def _put_off(self, error: BaseException) -> None:
        """Keep what waits and pause; raise what will not pass."""
        if not self.passing(error):
            raise error
        with self.changed:
            for item in self.pending:
                self.keep(item)
            if self.away is None:
                self.outages.append(error)
            self.away = error
            self.changed.notify_all()
            began = time.monotonic()
            while not self.closed:
                rest = (
                    (min(self.pause, HURRIED_PAUSE) if self.hurry else self.pause) + began - time.monotonic()
                )
                if rest <= 0:
                    break
                self.changed.wait(rest)
            self.pause = min(2 * self.pause, LONGEST_PAUSE)

    # -- in the driver's thread --------------------------------------------------------------------------------

    def put(self, item: Any) -> None:
        """Queue an item; while the store is away it is kept first."""
        self.check()
        with self.changed:
            if self.away is not None:
                self.keep(item)
            self.pending.append(item)
            self.changed.notify_all()

    def flush(self, patience: float = PATIENCE) -> bool:
        """Return when everything is delivered, or when an absent store has not answered for so many seconds.

        Returns
        -------
        bool
            Whether everything was delivered.
        """
        began = time.monotonic()
        with self.changed:
            self.hurry = True
            self.changed.notify_all()
            try:
                while self.pending and self.error is None:
                    silent = time.monotonic() - max(began, self.progress)
                    if self.away is not None and silent > patience:
                        return False
                    self.changed.wait(0.5)
            finally:
                self.hurry = False
        self.check()
        return True

    def drain(self, seconds: float) -> bool:
        """Wait for the queue to empty, at most so long; whether everything was delivered."""
        with self.changed:
            self.changed.wait_for(lambda: not self.pending or self.error is not None, seconds)
            return not self.pending and self.error is None

    def close(self) -> None:
        """End the thread; what waits is kept."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
            for item in self.pending:
                self.keep(item)

    def check(self) -> None:
        """Raise what went wrong in the thread."""
        if self.error is not None:
            raise self.error
