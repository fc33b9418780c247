"""Numbers and users' text, made fit to be shown."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

from autoreg.secrets import redact


def finite(value: Any) -> TypeGuard[float]:
    """Whether it is a number to show."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def short(value: Any, digits: int = 4) -> str:
    """A number to so many digits, thousands apart, ``"–"`` when there is none; anything else as text.

    >>> short(0.123456), short(48213.4), short(1e-7), short(None), short(True)
    ('0.1235', '48,213', '1e-07', '–', 'True')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if not finite(value):
        return str(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits}g}"
    if isinstance(value, int) or abs(value) >= 10**digits:
        return f"{value:,.0f}"
    places = digits if value == 0 else digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{value:,.{max(0, places)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def within(value: float, width: float) -> str:
    """A number to two digits of the width of its interval.

    >>> within(0.86123, 0.052), within(48213.0, 2789.0), within(0.86123, 0.0)
    ('0.861', '48,200', '0.8612')
    """
    if not width > 0 or not math.isfinite(width):
        return short(value)
    places = 1 - math.floor(math.log10(width))
    return short(value) if places > 6 else f"{round(value, places):,.{max(0, places)}f}"


def clean(value: Any) -> str:
    """Text in one line, without control characters, halves of surrogate pairs and passwords."""
    return redact(" ".join("".join(c if c.isprintable() else " " for c in str(value)).split()))


def clipped(value: Any, length: int) -> str:
    """``clean`` text of at most so many characters."""
    text = clean(value)
    return text if len(text) <= length else text[: length - 1] + "…"


def counted(n: int, thing: str) -> str:
    """``"1 trial"``, ``"3 trials"``."""
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def duration(seconds: float) -> str:
    """Seconds in words of at most two units."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{short(float(count), 3)} {unit}"
        count /= 1000
    return f"{short(count, 3)} GB"


def plus_minus(value: Any, se: Any) -> str:
    """A value with its standard error to two digits, the value to as many places.

    >>> plus_minus(0.012589, 0.01), plus_minus(0.5, None)
    ('0.013 ± 0.010', '0.5')
    """
    if not (finite(value) and finite(se)) or se <= 0:
        return short(value)
    return f"{within(value, se)} ± {within(se, se)}"
