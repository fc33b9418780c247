"""What a study may ask of a backend, checked before trial 0: known names, right types, sensible values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from autoreg.errors import StudyError, did_you_mean
from autoreg.trial import Choice, Dimension, Range, Scalar, Task

LARGEST = 1e15  # beyond it neighbouring whole numbers are one float, and no setting means anything


@dataclass(frozen=True)
class Limit:
    """What a name of a backend's space may be.

    Attributes
    ----------
    low, high : float
        Ends of the numbers that make sense; infinite where there is none.
    integer : bool
        Whole numbers only.
    choices : tuple of str, int, float or bool
        The only values there are; the other attributes then say nothing.
    open_low, open_high : bool
        The end itself is excluded.
    """

    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    choices: tuple[Scalar, ...] = ()
    open_low: bool = False
    open_high: bool = False

    def __str__(self) -> str:
        """The expectation in words, as an error message says it."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        kind = "a whole number" if self.integer else "a number"
        if math.isinf(self.low) and math.isinf(self.high):
            return kind
        if math.isinf(self.high):
            return f"{kind} {'above' if self.open_low else 'of at least'} {self.low:g}"
        if math.isinf(self.low):
            return f"{kind} {'below' if self.open_high else 'of at most'} {self.high:g}"
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"{kind} in {left}{self.low:g}, {self.high:g}{right}"

    def holds(self, value: Scalar) -> bool:
        """Whether one value is allowed; booleans are not numbers, and text never is one."""
        if self.choices:
            return any(value == c and isinstance(value, bool) == isinstance(c, bool) for c in self.choices)
        if isinstance(value, bool | str) or not -LARGEST <= value <= LARGEST:
            return False
        if self.integer and value != int(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)


def check_space(backend_name: str, given: Mapping[str, Dimension], limits: Mapping[str, Limit]) -> None:
    """Refuse names and values that a backend cannot use.

    Parameters
    ----------
    backend_name : str
        Key of ``BACKENDS``; the message starts with ``search.<backend_name>.<name>``.
    given : mapping of str to Dimension
        The study's own dimensions, or a whole merged space.
    limits : mapping of str to Limit
        Every name the backend has.

    Raises
    ------
    StudyError
        Names the option, what was expected, what was found.
    """
    for name, dimension in given.items():
        where = f"search.{backend_name}.{name}"
        if name not in limits:
            raise StudyError(f"{where}: unknown name{did_you_mean(name, limits)}")
        if isinstance(dimension, Range):
            _check_range(where, dimension, limits[name])
            continue
        for value in dimension.values if isinstance(dimension, Choice) else (dimension,):
            if not limits[name].holds(value):
                raise StudyError(f"{where}: expected {limits[name]}, found {value!r}")


def _check_range(where: str, given: Range, limit: Limit) -> None:
    """Both ends, and exact 0 where the range has an off switch, must be allowed."""
    if limit.choices:
        raise StudyError(f"{where}: expected {limit}, found a range from {given.low:g} to {given.high:g}")
    ends = {"low": given.low, "high": given.high} | ({"off, that is": 0.0} if given.off else {})
    for end, value in ends.items():
        if not limit.holds(value):
            raise StudyError(f"{where}: expected {limit}, found {end} = {value:g}")


def check_native(space: Mapping[str, Dimension], task: Task) -> None:
    """Refuse what a linear model's ``C`` and ``solver = "liblinear"`` cannot go with.

    Raises
    ------
    StudyError
        Names the option, what was expected, what was found.
    """
    solver, penalty = _named(space.get("solver", "auto")), space.get("penalty", "")
    inverse = space.get("C", 0.0) != 0.0
    asked = [f"search.sklearn.{n}" for n, yes in (("C", inverse), ("solver", "liblinear" in solver)) if yes]
    if inverse and "alpha" in space:
        raise StudyError("search.sklearn.C: stands for alpha = 1 / (C * rows), found both; keep one of them")
    if asked and task == "regression":
        raise StudyError(
            f"{asked[0]}: belongs to logistic regression, found a regression target; leave it out"
        )
    if "liblinear" not in solver:
        return
    if task == "multiclass":
        raise StudyError("search.sklearn.solver: liblinear is for two classes, found more; use 'auto'")
    if isinstance(penalty, Range) or not set(_named(penalty)) <= {"l1", "l2"}:
        raise StudyError(
            'search.sklearn.penalty: liblinear knows l1 and l2; add penalty = "l1", "l2" or a list of both'
        )


def _named(dimension: Dimension) -> tuple[Scalar, ...]:
    if isinstance(dimension, Range):
        return ()
    return dimension.values if isinstance(dimension, Choice) else (dimension,)
