"""One text, quoted for everything that reads it on its way to the program."""

from __future__ import annotations

import hashlib
import re
import shlex

from autoreg.errors import UsageError

shell = shlex.quote


def plain(option: str, text: str) -> str:
    """The text itself, unless no scheduler's file could hold it.

    Raises
    ------
    UsageError
        Empty, with line breaks or control characters, or not Unicode.
    """
    if not text or re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise UsageError(
            f"{option}: expected text without line breaks or control characters, found {text!r:.80}"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{option}: {text!r:.80} is not valid Unicode; rename it") from None
    return text


def cron(text: str) -> str:
    """A word for the shell, inside a line of a crontab.

    There ``%`` is a line break unless a backslash comes right before it, and two backslashes are none: so the
    percent sign stands outside of what is quoted, where a shell that is handed the backslash drops it too.
    """
    quoted = shell(text)
    return quoted.replace("%", "'\\%'" if quoted.startswith("'") else "\\%")


def systemd(text: str) -> str:
    """A word of ``ExecStart``, safe from specifiers (``%``), variables (``$``) and escapes."""
    for char, safe in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        text = text.replace(char, safe)
    return f'"{text}"'


def yaml(text: str) -> str:
    """A double-quoted scalar in ASCII, the same under YAML 1.1 and 1.2."""
    out = []
    for char in text:
        code = ord(char)
        if char in '"\\':
            out.append("\\" + char)
        elif 32 <= code < 127:
            out.append(char)
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def kubernetes(text: str) -> str:
    """A YAML scalar in which Kubernetes expands no ``$(NAME)``."""
    return yaml(text.replace("$", "$$"))


def slug(text: str) -> str:
    """A name of at most 40 lower-case letters, digits and dashes, with a hash where that lost something.

    >>> slug("churn")
    'churn'
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:33].strip("-")
    if name == text:
        return name
    mark = hashlib.blake2b(text.encode(), digest_size=3).hexdigest()
    return f"{name}-{mark}" if name else f"study-{mark}"
