"""Writing beside the search."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any


class Writer:
    """Runs calls in order in one thread beside the search; an error is kept and raised at the next call.

    Parameters
    ----------
    call : callable
        Takes one item.
    """

    def __init__(self, call: Callable[[Any], None]) -> None:
        self.call = call
        self.queue: queue.Queue[Any] = queue.Queue()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="autoreg-ledger", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            item = self.queue.get()
            try:
                if self.error is None:
                    self.call(item)
            except BaseException as error:  # kept, and raised in the driver's thread
                self.error = error
            finally:
                self.queue.task_done()

    def put(self, item: Any) -> None:
        """Queue an item."""
        self.check()
        self.queue.put(item)

    def flush(self) -> None:
        """Return when the queue is empty."""
        self.queue.join()
        self.check()

    def drain(self, seconds: float) -> bool:
        """Wait for the queue to empty, at most so long; whether everything was written."""
        deadline = time.monotonic() + seconds
        while self.queue.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.queue.unfinished_tasks and self.error is None

    def check(self) -> None:
        """Raise what went wrong in the thread."""
        if self.error is not None:
            raise self.error
