"""Passwords in addresses: filled in from the environment, never shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote, unquote_plus

from autoreg.errors import DataError, did_you_mean

_KEY = r"pass|pwd|secret|token|(?:api|access|account|private)[_-]?key|signature|credential|odbc_connect"
_NAME = rf"(?i){_KEY}|(?:^|[_.-])(?:key|sig|auth|authorization|jwt)$"
"""What names a secret in the query of an address, where shorter names are secrets, too, than in other text."""


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
    user, colon, password = _userinfo(full).partition(":")
    secrets = [os.environ[name] for name in names] + [password if password or not colon else user]
    secrets += [user] if not colon else []
    asked = [part.partition("=") for part in full.partition("?")[2].split("&")]
    found = [value for name, _, value in asked if re.search(_NAME, unquote_plus(name))]
    secrets += [*found, *map(unquote_plus, found)]
    return full, secrets


def _userinfo(url: str) -> str:
    match = re.search(r"://(.*)@", url)
    return match[1] if match else ""


# The end of the user part, an address begun by another, and the host and path after which an address is over.
_NEXT, _COMPLETE = r"(?!\w://)", r"(?=(?:[\w.-]+|\[[\da-fA-F:.]+\])[:/?#])"
_USER = re.compile(
    rf"""://(?:
      [^/\s?\#:'",;<>()]+ : (?:x-oauth-basic)? @             # a token in the place of the user
    | (?P<user> (?: [^/\s:'"\[] | '(?![],;)}}>\s]) )* ) : (?:
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

_QUERY = re.compile(r"(://[^\s?]*\?)([^\s#]+)")
_VALUE = re.compile(r"""(?x) .+? (?= "(?:[\s,;:)\]}>]|$) | ' [,;:)\]}>]* $ | [,;:)]+ $ | $ )""")
"""A value in a query, without what ends a quotation or a part of a sentence behind it."""


def redact(text: str) -> str:
    """Mask passwords in addresses and in ``key=value`` pairs, whatever wrote them.

    Of an address everything before the last ``@`` of its user part goes, but a user name before a password stays.

    >>> redact("postgresql://ada:s3cret@db/x?sslpassword=abc")
    'postgresql://ada:***@db/x?sslpassword=***'
    >>> redact("https://t0ken@host/x")
    'https://***@host/x'
    >>> redact("https://host/x.csv?year=2026&sig=abc")
    'https://host/x.csv?year=2026&sig=***'
    """
    return _PAIR.sub(r"\1***", _QUERY.sub(_asked, _USER.sub(_masked, text)))


def _masked(found: re.Match[str]) -> str:
    """The user part of an address without what is secret; a name with an ``@`` in it may hold a token."""
    user = found["user"]
    return "://***@" if user is None or "@" in user else f"://{user}:***@"


def _asked(found: re.Match[str]) -> str:
    """The query of an address without the values of names that tell of a secret, however the names are spelled."""
    parts = [part.partition("=") for part in found[2].split("&")]
    shown = [
        name + mark + (_VALUE.sub("***", value, count=1) if re.search(_NAME, unquote_plus(name)) else value)
        for name, mark, value in parts
    ]
    return found[1] + "&".join(shown)


def scrub(message: object, secrets: Iterable[str]) -> str:
    """The first line of a message with every secret replaced, as it is and as it is quoted in addresses."""
    known = sorted({s for raw in secrets for s in (raw, unquote(raw))} - {""}, key=len, reverse=True)
    text = str(message).strip()
    for secret in known:
        if len(secret.splitlines()) > 1:  # the first line would hold its beginning
            text = text.replace(secret, "***")
    lines = text.splitlines() or [type(message).__name__]
    text = redact(lines[0])
    for secret in known:
        text = text.replace(secret, "***")
    return text[:300]
