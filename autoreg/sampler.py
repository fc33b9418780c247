"""What proposes configurations: multivariate TPE over what a search has seen, of which it keeps what it still needs.

Imported with the first proposal alone, because it needs Optuna.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from autoreg.parzen import Axis, Floats, likeliest
from autoreg.trial import Params, State, TrialResult

KEPT = 300
"""Finished trials that are kept where there were too many."""
SLACK = 100
"""Finished trials beyond those that make too many."""
BEST = 25
"""TPE's good group: a tenth of the trials, and never more than so many."""
STARTUP = 10
"""Finished trials before which proposals are random."""
Rank = tuple[float, float]


class Seen:
    """The configurations of one backend's search as numbers: those that have a rank, and those that are still open.

    TPE draws from its best trials and weighs the others, the older the less. So where there are too many the best stay, and
    of the others the most recent; the cost of a proposal stays bounded. Failed trials are forgotten.

    Parameters
    ----------
    space : mapping of str to BaseDistribution

    Attributes
    ----------
    params : dict of int to Params
        Coded configurations by their place in the search, in order.
    ranks : dict of int to Rank
        By place, of those that are told: complete trials by their loss, then pruned ones, those that came far first.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.params: dict[int, Params] = {}
        self.ranks: dict[int, Rank] = {}
        self._rows: dict[int, Floats] = {}
        self._order: list[tuple[Rank, int]] = []
        self._searched(space)

    def _searched(self, space: Mapping[str, BaseDistribution]) -> None:
        self.space = {name: space[name] for name in sorted(space) if not space[name].single()}
        self.axes = [_axis(distribution) for distribution in self.space.values()]

    def widen(self, space: Mapping[str, BaseDistribution], code: Callable[[Params], Params]) -> None:
        """Go on in a wider space, in which everything is coded anew."""
        self._searched(space)
        for place, params in list(self.params.items()):
            self.ask(place, code(params))

    def ask(self, place: int, params: Params) -> None:
        """Note a configuration that is about to be tried."""
        self.params[place] = params
        self._rows[place] = np.array(
            [d.to_internal_repr(params[n]) for n, d in self.space.items()], np.float64
        )

    def tell(self, place: int, result: TrialResult) -> None:
        """Note what came of it."""
        if result.state is State.COMPLETE and math.isfinite(result.loss):
            self._rank(place, (-math.inf, result.loss))
        elif result.state is State.PRUNED:
            self._rank(place, (-len(result.fold_losses), result.loss))
        else:
            self._forget(place)
        if len(self.ranks) > KEPT + SLACK:
            best = self._best(BEST)
            others = [n for n in sorted(self.ranks) if n not in best]
            for n in others[: len(self.ranks) - KEPT]:
                self._forget(n)

    def _rank(self, place: int, rank: Rank) -> None:
        self.ranks[place] = rank
        insort(self._order, (rank, place))

    def _forget(self, place: int) -> None:
        if place in self.ranks:
            del self._order[bisect_left(self._order, (self.ranks[place], place))]
        for known in (self.params, self.ranks, self._rows):
            known.pop(place, None)

    def _best(self, many: int) -> set[int]:
        return {place for _, place in self._order[:many]}

    def groups(self) -> tuple[Floats, Floats] | None:
        """Good configurations and all others, the open ones among them, in order; None while there is too little to go by."""
        if not self.space or len(self.ranks) < STARTUP:
            return None
        best = self._best(min(math.ceil(0.1 * len(self.ranks)), BEST))
        good = [self._rows[place] for place in sorted(best)]
        others = [self._rows[place] for place in sorted(self._rows) if place not in best]
        return np.concatenate(good).reshape(len(good), -1), np.concatenate(others).reshape(len(others), -1)


class KnownSpaceSampler(BaseSampler):
    """Multivariate TPE over a space that is the same in every trial.

    It proposes what Optuna's ``TPESampler(multivariate=True, constant_liar=True)`` of the same seed does, in a fraction of
    the time: that one finds out the names that all trials share, codes every trial anew, and takes logarithms one by one.
    An open trial counts among those that were no good, so that it is not proposed twice.

    Parameters
    ----------
    seen : Seen
    seed : int
    """

    def __init__(self, seen: Seen, seed: int) -> None:
        self._seen, self._seed, self._random = seen, seed, RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space."""
        return dict(self._seen.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values for every name; none while there is too little to go by."""
        groups = self._seen.groups()
        if groups is None:
            return {}
        chosen = likeliest(self._seen.axes, *groups, self._seed)
        return {
            name: distribution.to_external_repr(float(value))
            for (name, distribution), value in zip(self._seen.space.items(), chosen, strict=True)
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """One value at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _axis(distribution: BaseDistribution) -> Axis:
    if isinstance(distribution, CategoricalDistribution):
        return Axis(len(distribution.choices))
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"a choice or a range was expected, found {distribution}")
    step = float(distribution.step or 0.0)
    return Axis(0, float(distribution.low), float(distribution.high), distribution.log, step)
