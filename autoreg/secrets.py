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


# The end of the user part, an address begun by another, and the host and path after which an address is over.
_NEXT, _COMPLETE = r"(?!\w://)", r"(?=[\w.-]+[:/?#])"
_USER = re.compile(
    rf"""://(?:
      (?P<user> [^/\s:'"\[]* ) : (?:
          (?: {_NEXT}\S )+ @ {_COMPLETE}                     # a password without spaces, before a host
        | (?! \s | \d{{1,5}} (?:[^\w@%+-]|$) ) (?: {_NEXT}[^\n] )+ @   # one that may hold spaces, unless it is a port
        | (?: {_NEXT}\S )+ @
      )
    | [^/\s?\#:'",;<>()]+ @                               # a token alone
    )""",
    re.VERBOSE,
)
_PAIR = re.compile(
    rf"""(?ix) \b ( [\w-]* (?:{_KEY}) [\w-]* = ) (?:
      '[^'\n]*' | "[^"\n]*" | [^&;\s]+? (?= ['"]? (?:[&;\s]|$) | ['"][,)\]}}>] )
    )""",
)


def redact(text: str) -> str:
    """Mask passwords in addresses and in ``key=value`` pairs, whatever wrote them.

    Of an address everything before the last ``@`` of its user part goes, but a user name before a password stays.

    >>> redact("postgresql://ada:s3cret@db/x?sslpassword=abc")
    'postgresql://ada:***@db/x?sslpassword=***'
    >>> redact("https://t0ken@host/x")
    'https://***@host/x'
    """
    return _PAIR.sub(r"\1***", _USER.sub(_masked, text))


def _masked(found: re.Match[str]) -> str:
    """The user part of an address without what is secret; a name with an ``@`` in it may hold a token."""
    user = found["user"]
    return "://***@" if user is None or "@" in user else f"://{user}:***@"


def scrub(message: object, secrets: Iterable[str]) -> str:
    """The first line of a message with every secret replaced, as it is and as it is quoted in addresses."""
    lines = str(message).strip().splitlines() or [type(message).__name__]
    text = redact(lines[0])
    for secret in sorted({s for raw in secrets for s in (raw, unquote(raw))} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text[:300]
