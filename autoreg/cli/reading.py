"""What every command shares that looks up what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autoreg.console import busy, words_only
from autoreg.quiet import quiet_libraries
from autoreg.tracking import something_recorded


@contextmanager
def reading(recorded: bool = True) -> Iterator[None]:
    """Keep stdout for data and libraries quiet, and show on a terminal that something goes on.

    Parameters
    ----------
    recorded : bool
        Whether a store is read: then there must be one.

    Raises
    ------
    StudyError
        Nothing was recorded here.
    """
    quiet_libraries()
    with words_only():
        if recorded:
            something_recorded()
        with busy("reading"):
            yield
