"""Trials' runs written beside the search: by a thread at first, by a process of its own once that pays.

A trial that is fitted in the driver's process takes turns with MLflow's client, some 25 ms of computing a run, in one interpreter.
Where that has gone on for a while and costs a share of the time worth a second interpreter, writing moves there.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import cloudpickle

from autoreg.interpreter import cores, listen, opened, portable, start
from autoreg.ledger.trials import TrialRuns
from autoreg.tracking import quiet_client, store_away
from autoreg.trial import TrialRecord

AFTER, SHARE, BUSY = 5.0, 0.08, 0.3
"""The process is started after so many seconds, if in them writing took this share of a core, and all else in this process that."""
GOODBYE = 5.0
"""Seconds that an idle process has to end."""


class ProcessGone(Exception):
    """The process beside has died, or cannot be heard."""


class BesideRuns:
    """Writes trials' runs as ``runs`` does, here or in a process.

    What goes wrong there never counts against the study: when the process dies or meets an error that is not the store's
    absence, the trial is written here, and so is all that follows.

    Parameters
    ----------
    runs : TrialRuns
    """

    def __init__(self, runs: TrialRuns) -> None:
        self.runs = runs
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Connection | None = None
        self.ready, self.given_up, self.closed, self.waiting = False, cores() < 2, False, False
        self.wall, self.cpu, self.spent = 0.0, 0.0, 0.0

    def write(self, record: TrialRecord, arrays: bytes, begun: str, on_begun: Callable[[str], None]) -> str:
        """As ``TrialRuns.write``, wherever that is done now."""

        def hear(run_id: str) -> None:
            nonlocal begun
            begun = run_id
            on_begun(run_id)

        if self._is_ready():
            try:
                return self._written_there(record, arrays, begun, hear)
            except Exception as error:
                if self.closed or store_away(error):
                    raise
                self._give_up()
        return self._written_here(record, arrays, begun, hear)

    def _written_here(
        self, record: TrialRecord, arrays: bytes, begun: str, hear: Callable[[str], None]
    ) -> str:
        if not self.wall:
            self.wall, self.cpu = time.monotonic(), time.process_time()
        clock = time.thread_time()
        try:
            return self.runs.write(record, arrays, begun, hear)
        finally:
            self.spent += time.thread_time() - clock
            if self.process is None and not self.given_up and self._pays():
                self._start()

    def _pays(self) -> bool:
        passed = time.monotonic() - self.wall
        elsewhere = time.process_time() - self.cpu - self.spent
        return passed >= AFTER and self.spent >= SHARE * passed and elsewhere >= BUSY * passed

    def _start(self) -> None:
        environment = os.environ | {"MLFLOW_TRACKING_URI": str(self.runs.client.tracking_uri)}
        try:
            self.process, self.channel = start("autoreg.ledger.beside", environment)
            self.channel.send_bytes(cloudpickle.dumps(replace(self.runs, client=None)))
        except OSError:
            self._give_up()

    def _is_ready(self) -> bool:
        if self.channel is None or self.ready:
            return self.ready
        try:
            if self.channel.poll(0):
                self.ready = self.channel.recv()[0] == "ready"
                if not self.ready:
                    self._give_up()
        except (EOFError, OSError):
            self._give_up()
        return self.ready

    def _written_there(
        self, record: TrialRecord, arrays: bytes, begun: str, hear: Callable[[str], None]
    ) -> str:
        """The process's answer; an error it met is raised."""
        bare = replace(record, result=replace(record.result, predictions=None))  # they are in ``arrays``
        self.waiting = True
        try:
            word, value = self._exchange((bare, arrays, begun))
            while word == "begun":
                hear(value)
                word, value = self._exchange()
        finally:
            self.waiting = False
        if word == "error":
            raise value
        return str(value)

    def _exchange(self, message: Any = None) -> tuple[str, Any]:
        if self.channel is None:
            raise ProcessGone
        try:
            if message is not None:
                self.channel.send(message)
            answer: tuple[str, Any] = self.channel.recv()
        except (EOFError, OSError) as error:
            raise ProcessGone from error
        return answer

    def close(self) -> None:
        """Let the process go; a trial that it has not written yet is left as a crash would leave it."""
        self.closed = True
        self._end()

    def _give_up(self) -> None:
        self.given_up = True
        self._end()

    def _end(self) -> None:
        process, channel, idle = self.process, self.channel, self.ready and not self.waiting
        self.channel, self.ready = None, False
        if process is not None and not idle:
            process.kill()  # or its last answer, or the end of its start, would be waited for
        if channel is not None:
            channel.close()
        if process is not None:
            patience = threading.Timer(GOODBYE, process.kill)
            patience.daemon = True
            patience.start()
            process.wait()
            patience.cancel()


def main(channel: int) -> None:
    """Write runs for the driver at the other end of file descriptor ``channel``."""
    driver = opened(channel)
    runs: TrialRuns = cloudpickle.loads(driver.recv_bytes())
    inbox: SimpleQueue[tuple[TrialRecord, bytes, str]] = SimpleQueue()
    threading.Thread(target=listen, args=(driver, inbox.put), daemon=True).start()
    try:
        runs = replace(runs, client=quiet_client())
        driver.send(("ready", None))
    except Exception as error:
        driver.send(("error", portable(error)))
        return
    while True:
        record, arrays, begun = inbox.get()
        try:
            written = runs.write(record, arrays, begun, lambda run_id: driver.send(("begun", run_id)))
            driver.send(("written", written))
        except Exception as error:
            driver.send(("error", portable(error)))
