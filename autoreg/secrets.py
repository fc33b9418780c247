"""Passwords in addresses: filled in from the environment, never shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

from autoreg.errors import DataError, did_you_mean

_KEY = r"pass|pwd|secret|token|api_?key|access_?key|signature|credential|odbc_connect"


def expand(text: str) -> tuple[str, list[str]]:
    """Fill in ``${NAME}`` from the environment; also the secrets that the result holds.

    Raises
    ------
    DataError
        A variable is not set.
    """
    names = re.findall(r"\$\{(\w+)\}", text)
    for name in names:
        if name not in os.environ:
            near = did_you_mean(name, (n for n in os.environ if n[:1] == name[:1])).partition(" (known")[0]
            raise DataError(
                f"data.source: environment variable '{name}' is not set{near}; export it and run again"
            )
    full = re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], text)
    secrets = [os.environ[name] for name in names] + [_userinfo(full).partition(":")[2]]
    secrets += [
        value for key, value in parse_qsl(urlsplit(full).query) if re.search(_KEY, key, re.IGNORECASE)
    ]
    return full, secrets


def _userinfo(url: str) -> str:
    match = re.search(r"://(.*)@", url)
    return match[1] if match else ""


_MASKS = (
    (re.compile(r"(://[^/\s:@'\"]*):[^\s'\"]+@"), r"\1:***@"),
    (re.compile(rf"(?i)\b([\w-]*(?:{_KEY})[\w-]*=)[^&;\s'\"]+"), r"\1***"),
)


def redact(text: str) -> str:
    """Mask passwords in addresses and in ``key=value`` pairs, whatever wrote them.

    >>> redact("postgresql://ada:s3cret@db/x?sslpassword=abc")
    'postgresql://ada:***@db/x?sslpassword=***'
    """
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


def scrub(message: object, secrets: Iterable[str]) -> str:
    """The first line of a message with every secret replaced, as it is and as it is quoted in addresses."""
    lines = str(message).strip().splitlines() or [type(message).__name__]
    text = redact(lines[0])
    for secret in sorted({s for raw in secrets for s in (raw, unquote(raw))} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text[:300]
