"""When each part of a study must be over, so that all of its time is used and its limit is kept.

What follows a search costs about what its trials did, so the search may go on until just that is left. Nothing is known before the
first trial is over, and estimates go wrong: so each part is left at most a fixed share of the time, and the search has .6 of it, or .1
less for every time more that what is shipped is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

MORE = 1.25
"""What follows the search is given so many times the seconds that its trials let expect."""
FITS, SHIP, TAIL = 0.2, 0.1, 0.1
"""Shares of the time that are left at most for the finalists' fresh fits, the fits of what is shipped, and all after them."""
ONCE, EACH = 6.0, 0.05
"""Seconds, and the share of the time on top, that are enough for all after the fits where a tenth would be more."""
EXPLAINED, REGISTERED, MOST = 0.4, 5.4, 0.9
"""Share of the last part in which explanations must be over; they leave registration so many seconds, or ``MOST`` of that part: it takes
three to six."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds after its beginning at which each part of a study must be over.

    Parameters
    ----------
    limit : float
        Seconds that the whole may take.
    ships : int
        Shares of the time that the fits of what is shipped are left at most.
    """

    limit: float
    ships: int = 1

    @property
    def explained(self) -> float:
        """For what a model rests on; registration and report come after it."""
        return self.limit - max((1 - EXPLAINED) * self._tail, min(REGISTERED, MOST * self._tail))

    @property
    def shipped(self) -> float:
        """For the fits of what is shipped."""
        return self.limit - self._tail

    def fresh(self, shipping: float) -> float:
        """For the finalists' fresh fits, where those of what is shipped are expected to take ``shipping`` seconds in all."""
        return self.shipped - min(MORE * shipping, self.ships * SHIP * self.limit)

    def search(self, finals: float, shipping: float) -> float:
        """For the search, where the finalists' fresh fits are expected to take ``finals`` seconds."""
        return self.fresh(shipping) - min(MORE * finals, FITS * self.limit)

    @property
    def _tail(self) -> float:
        return min(TAIL * self.limit, ONCE + EACH * self.limit)
