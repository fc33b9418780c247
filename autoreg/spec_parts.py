"""What the sections of a study file are made of: durations, lists of names, shapes of images, search dimensions."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from autoreg.trial import Choice, Dimension, Range

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: Any) -> float:
    """Seconds from a number or from text such as ``"90s"``, ``"10m"``, ``"1.5h"``.

    >>> parse_duration("10m")
    600.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value))
    if isinstance(value, bool) or not match:
        raise ValueError(f"expected seconds or text like '90s', '10m', '1h', found {value!r}")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds <= 0:
        raise ValueError("must be longer than 0 seconds")
    return seconds


Duration = Annotated[float, BeforeValidator(parse_duration)]


def _tuple(value: Any) -> Any:
    """A comma-separated text or a list as a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_tuple)]


def printable(name: str) -> str:
    """A name that experiments, models and lines of a log can have: no control characters, no blanks at its ends.

    >>> printable("churn of 2026")
    'churn of 2026'
    """
    if not name.isprintable() or name != name.strip():
        raise ValueError(
            f"a name holds no line breaks or other invisible characters and no blanks at its ends, found {name!a:.80}"
        )
    return name


def _shape(value: Any) -> Any:
    given = value if isinstance(value, list | tuple) else []
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in given)
    if not 2 <= len(given) <= 4 or not whole:
        raise ValueError(
            f"expected 2 to 4 whole numbers above 0, channels last, such as [28, 28, 1], found {value!r:.80}"
        )
    return tuple(given)


Shape = Annotated[tuple[int, ...], BeforeValidator(_shape)]


class Section(BaseModel):
    """A table of a study file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class RangeSpec(Section):
    """A numeric range in a study file."""

    low: float = Field(description="lower end")
    high: float = Field(description="upper end")
    log: bool = Field(False, description="uniform on a log scale")
    off: bool = Field(False, description="exact 0 is possible too")
    extend: bool = Field(False, description="the search may move an end that its best trials crowd")

    @model_validator(mode="after")
    def _ordered(self) -> RangeSpec:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, found low = {self.low:g}, high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range needs low > 0, found {self.low:g}; use off = true to reach 0")
        if self.off and self.low <= 0:
            raise ValueError(f"off = true adds 0 below low, so low must be above 0, found {self.low:g}")
        if self.extend and not self.log:
            raise ValueError("extend = true is for ranges with log = true; add it, or give wider ends")
        return self


def parse_dimension(value: Any) -> Dimension:
    """A scalar fixes, a list chooses, a table ``{low, high, log, off, extend}`` is a range.

    Raises
    ------
    ValueError
        Anything else, an empty list, or a range that is none.
    """
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Choice | Range):
        return value
    if isinstance(value, list | tuple):
        if not value or not all(isinstance(v, bool | int | float | str) for v in value):
            raise ValueError(f"a list must hold at least one number, text or boolean, found {value!r}")
        return Choice(tuple(value)) if len(value) > 1 else value[0]
    if isinstance(value, dict):
        spec = RangeSpec.model_validate(value)
        whole = all(
            isinstance(value[end], int) and not isinstance(value[end], bool) for end in ("low", "high")
        )
        return Range(spec.low, spec.high, spec.log, whole, spec.off, spec.extend)
    raise ValueError(
        f"expected a value, a list of values or a table {{low, high, log, off}}, found {value!r}"
    )


SpaceSpec = dict[str, Annotated[Any, BeforeValidator(parse_dimension)]]
