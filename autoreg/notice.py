"""Tell a command or a URL how a retune ended; never more than a warning when that fails."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

LIMIT = 10.0
"""Seconds that whoever is told has."""


def give_notice(place: str, record: Mapping[str, Any], limit: float = LIMIT) -> list[str]:
    """Give the record as one JSON object to a command's stdin, or post it to a URL.

    Parameters
    ----------
    place : str
        An ``http://`` or ``https://`` address, or a command; the command is split as a shell would, and run without one.
    record : mapping
    limit : float
        Seconds.

    Returns
    -------
    list of str
        A warning where it could not be delivered in time.
    """
    text = json.dumps(record).encode()
    try:
        if place.startswith(("http://", "https://")):
            _post(place, text, limit)
            return []
        command = shlex.split(place)
        if not command:
            return []
        done = subprocess.run(command, input=text, timeout=limit, stdout=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        return [f"--notify: '{place}' did not end within {limit:g} s and was stopped"]
    except (OSError, ValueError, HTTPException) as error:
        return [f"--notify: '{place}' could not be told: {error}"]
    return [f"--notify: '{place}' ended with exit code {done.returncode}"] if done.returncode else []


def _post(place: str, text: bytes, limit: float) -> None:
    """Post within a limit for the whole of it: that of the library counts anew with every byte it gets."""
    raised: list[Exception] = []

    def post() -> None:
        request = urllib.request.Request(place, text, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=limit).close()
        except Exception as error:
            if isinstance(error, HTTPError):
                error.close()  # it is the response as well
            raised.append(error)

    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    thread.join(limit)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {limit:g} s")
    if raised:
        raise raised[0]
