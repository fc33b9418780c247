"""Tell a command or a URL how a retune ended; never more than a warning when that fails."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

LIMIT = 10.0
"""Seconds that whoever is told has."""


def give_notice(place: str, record: Mapping[str, Any]) -> list[str]:
    """Give the record as one JSON object to a command's stdin, or post it to a URL.

    Parameters
    ----------
    place : str
        An ``http://`` or ``https://`` address, or a command; the command is split as a shell would, and run without one.
    record : mapping

    Returns
    -------
    list of str
        A warning where it could not be delivered within 10 seconds.
    """
    text = json.dumps(record).encode()
    try:
        if place.startswith(("http://", "https://")):
            request = urllib.request.Request(place, text, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=LIMIT):
                return []
        command = shlex.split(place)
        if not command:
            return []
        done = subprocess.run(command, input=text, timeout=LIMIT, stdout=subprocess.DEVNULL, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired, urllib.error.URLError) as error:
        return [f"--notify: '{place}' could not be told: {error}"]
    return [f"--notify: '{place}' ended with exit code {done.returncode}"] if done.returncode else []
