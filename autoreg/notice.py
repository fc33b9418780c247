"""Tell a command or a URL how a retune ended; never more than a warning when that fails."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, InvalidURL
from typing import Any
from urllib.error import HTTPError

from autoreg.secrets import redact

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
    text, shown = json.dumps(record).encode(), _shown(place)
    try:
        if place.startswith(("http://", "https://")):
            _post(place, text, limit)
            return []
        command = shlex.split(place)
        if not command:
            return []
        done = subprocess.run(command, input=text, timeout=limit, stdout=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        return [f"--notify: '{shown}' did not end within {limit:g} s and was stopped"]
    except (OSError, ValueError, HTTPException) as error:
        return [f"--notify: '{shown}' could not be told: {_said(error, place)}"]
    return [f"--notify: '{shown}' ended with exit code {done.returncode}"] if done.returncode else []


def _shown(place: str) -> str:
    """A place without what may be secret: the path of a hook is, and so are the arguments of a command."""
    if place.startswith(("http://", "https://")):
        scheme, _, rest = redact(place).partition("://")
        host, slash, _ = re.split("[?#]", rest)[0].partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{'...' * bool(slash)}"
    program, blank, _ = place.strip().partition(" ")
    return redact(program + blank + "..." * bool(blank))


def _said(error: Exception, place: str) -> str:
    """What went wrong; an address that is none is quoted in its error."""
    return "it is no address" if isinstance(error, InvalidURL) else str(error).replace(place, _shown(place))


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
