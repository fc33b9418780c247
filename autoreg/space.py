"""From names and ranges to Optuna and back: one flat space per backend.

Every searched name has a value in every trial, so the multivariate sampler keeps its joint space; ``coding`` says how a
regularizer that is off has one.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autoreg.backends import Backend
from autoreg.coding import decode, distribution, encode
from autoreg.errors import StudyError
from autoreg.trial import Choice, Dimension, Params, Range, Scalar, Sizes, State, TrialResult

if TYPE_CHECKING:
    import optuna

LONG = 100
"""Told trials that an Optuna study holds at most: with each the next is slower to ask for."""
SMALL = 64
"""Spaces of at most so many configurations are tried one by one, whatever the sampler."""
LISTED = {"grid": "a grid", "turns": "taking turns"}
"""Samplers that try what the study lists, in its order and nothing else, with what they are called."""


def derive_seed(*parts: object) -> int:
    """A 31-bit seed that depends on all parts and on nothing else.

    >>> derive_seed(0, "xgboost", 3) == derive_seed(0, "xgboost", 3)
    True
    """
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1


@dataclass(frozen=True)
class Space:
    """A backend's names, resolved for one study.

    Attributes
    ----------
    dimensions : mapping
        Every name with its dimension.
    default : Params
        A value for every name: the library's own default, moved into what the study pins.
    warm : tuple of Params
        Configurations tried right after the default: those of an earlier study, then those that did well elsewhere. What
        the space does not hold of them is proposed anew.
    exact : bool
        Nothing is tried but what the study lists, the default neither.
    """

    dimensions: Mapping[str, Dimension]
    default: Params
    warm: tuple[Params, ...] = ()
    exact: bool = False

    @property
    def searched(self) -> dict[str, Choice | Range]:
        """The names that are not fixed."""
        return {name: d for name, d in self.dimensions.items() if isinstance(d, Choice | Range)}

    @property
    def size(self) -> int | None:
        """Number of distinct configurations, or None when a range makes them countless."""
        counts = [len(d.values) if isinstance(d, Choice) else None for d in self.searched.values()]
        return None if None in counts else math.prod(c for c in counts if c)

    def widened(self, ends: Mapping[str, tuple[float, float]]) -> Space:
        """The same space with other ends of some ranges."""
        ranges = {name: self.searched[name] for name in ends}
        moved = {
            name: replace(d, low=ends[name][0], high=ends[name][1])
            for name, d in ranges.items()
            if isinstance(d, Range)
        }
        return replace(self, dimensions={**self.dimensions, **moved})

    def fill(self, chosen: Params) -> dict[str, Scalar]:
        """A value for every name: chosen ones, and the fixed."""
        return {
            name: chosen[name] if isinstance(d, Choice | Range) else d for name, d in self.dimensions.items()
        }

    def decode(self, coded: Params) -> dict[str, Scalar]:
        """Full parameters from the sampler's coded ones."""
        return self.fill({name: decode(d, coded[name]) for name, d in self.searched.items()})

    def grid(self) -> Iterator[dict[str, Scalar]]:
        """Every combination of the choices, the last name turning fastest."""
        names = list(self.searched)
        for values in itertools.product(*(d.values for d in self.searched.values() if isinstance(d, Choice))):
            yield dict(zip(names, values, strict=True))

    def turns(self) -> Iterator[dict[str, Scalar]]:
        """The first value of every list, then each other value alone, the other lists at their first."""
        lists = {name: d.values for name, d in self.searched.items() if isinstance(d, Choice)}
        first = {name: values[0] for name, values in lists.items()}
        yield first
        for name, values in lists.items():
            yield from ({**first, name: value} for value in values[1:])


def resolve(
    backend: Backend,
    sizes: Sizes,
    given: Mapping[str, Dimension],
    sampler: str,
    exact: bool = False,
    starts: Sequence[Params] = (),
) -> Space:
    """Lay a study's own dimensions over the backend's built-in ones.

    Parameters
    ----------
    backend : Backend
    sizes : Sizes
    given : mapping of str to Dimension
        The study's own dimensions.
    sampler : {"tpe", "random", "grid", "turns"}
    exact : bool
        Whatever the sampler, try what the study lists and nothing else, as the authors of an experiment did.
    starts : sequence of Params
        Configurations to begin with, moved into the ranges of this study.

    Raises
    ------
    StudyError
        Unknown names or impossible values (from the backend), or a grid over a range.
    """
    backend.check(given, sizes.task, sizes.image)
    built_in = backend.space(sizes, given)
    merged = {
        name: _merge(f"search.{backend.name}.{name}", d, given[name]) if name in given else _free(d)
        for name, d in built_in.items()
    }
    preferred = backend.default(sizes, given)
    if sampler in LISTED or exact:
        # They try what the study lists and nothing else: what it does not name stays at the default.
        merged = {
            name: d if name in given else preferred.get(name, _representative(d))
            for name, d in merged.items()
        }
    if sampler in LISTED:
        ranges = [name for name, d in merged.items() if isinstance(d, Range)]
        if ranges:
            raise StudyError(
                f"search.{backend.name}.{ranges[0]}: {LISTED[sampler]} needs a list of values, found a range;"
                ' give a list or use sampler = "tpe"'
            )
    default = {name: _nearest(d, preferred.get(name), name in given) for name, d in merged.items()}
    space = Space(merged, default, exact=exact)
    return replace(space, warm=_moved(starts, space.searched))


def _moved(starts: Sequence[Params], searched: Mapping[str, Choice | Range]) -> tuple[Params, ...]:
    """Every start with its values moved into the ranges, once each: ranges of a study may leave no difference."""
    moved = [
        {name: _nearest(d, start[name], pinned=True) for name, d in searched.items() if name in start}
        for start in starts
    ]
    return tuple(start for i, start in enumerate(moved) if start and start not in moved[:i])


def _merge(where: str, built_in: Dimension, given: Dimension) -> Dimension:
    """The study's dimension, whole numbers only where the backend counts in whole numbers."""
    if not isinstance(given, Range):
        return given
    counts = built_in.integer if isinstance(built_in, Range) else type(built_in) is int
    if counts and given.extend:
        raise StudyError(f"{where}: extend = true is not for whole numbers; give wider ends instead")
    return replace(given, integer=counts)


def _free(built_in: Dimension) -> Dimension:
    """Our own ends are guesses: where the best trials crowd one, the search goes past it."""
    if isinstance(built_in, Range) and built_in.log and not built_in.integer:
        return replace(built_in, extend=True)
    return built_in


def _representative(dimension: Dimension) -> Scalar:
    if isinstance(dimension, Choice):
        return dimension.values[0]
    if isinstance(dimension, Range):
        return 0 if dimension.off else dimension.low
    return dimension


def _nearest(dimension: Dimension, preferred: Scalar | None, pinned: bool) -> Scalar:
    """The preferred value itself where the backend is free, else the nearest one the study allows."""
    if preferred is None or not isinstance(dimension, Choice | Range):
        return _representative(dimension) if pinned or preferred is None else preferred
    if not pinned or (isinstance(dimension, Choice) and preferred in dimension.values):
        return preferred
    if isinstance(dimension, Choice) or isinstance(preferred, str):
        return _representative(dimension)
    if dimension.off and preferred <= 0:
        return 0
    value = min(max(float(preferred), dimension.low), dimension.high)
    return round(value) if dimension.integer else value


@dataclass(frozen=True)
class Asked:
    """A configuration to try: full parameters, the sampler's coded ones (empty for a default), its place among all."""

    params: dict[str, Scalar]
    coded: dict[str, Scalar]
    place: int | None = None


class Proposer:
    """Proposes the configurations of one backend; a pure function of the seed, the numbers asked and the results told.

    Parameters
    ----------
    space : Space
    sampler : {"tpe", "random", "grid", "turns"}
    seed : int
    name : str
        Backend, part of every trial's seed.
    """

    def __init__(self, space: Space, sampler: str, seed: int, name: str) -> None:
        import optuna

        from autoreg.sampler import Seen

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.sampler, self.seed, self.name = space, sampler, seed, name
        self.distributions = {key: distribution(d) for key, d in space.searched.items()}
        self.study = optuna.create_study(direction="minimize")
        self.seen = Seen(self.distributions)
        self.asked = 0
        self._list = self._listed()
        self._open: dict[int, optuna.trial.Trial] = {}

    def _listed(self) -> list[dict[str, Scalar]] | None:
        """All configurations in the order of trial: a grid's own, or a small space's shuffled behind its default."""
        if self.sampler in LISTED:
            listed = self.space.turns() if self.sampler == "turns" else self.space.grid()
            return [self.space.fill(chosen) for chosen in listed]
        if self.space.size is None or self.space.size > SMALL:
            return None
        every = [self.space.fill(chosen) for chosen in self.space.grid()]
        random.Random(derive_seed(self.seed, self.name, "order")).shuffle(every)
        if self.space.exact:
            return every
        first = dict(self.space.default)
        return [first, *(configuration for configuration in every if configuration != first)]

    @property
    def capacity(self) -> int | None:
        """Number of trials after which there is nothing new to try; None when there always is."""
        return None if self._list is None else len(self._list)

    def ask(self, number: int, recorded: Params | None = None, shared: Params | None = None) -> Asked:
        """Propose trial ``number``.

        Parameters
        ----------
        number : int
            Position in the study's global sequence; seeds the sampler.
        recorded : Params, optional
            Coded parameters that the ledger holds for this trial, proposed again.
        shared : Params, optional
            Values that the trials of one block share.
        """
        first, self.asked = self.asked == 0, self.asked + 1
        if self._list is not None:
            return Asked(dict(self._list[self.asked - 1]), {})
        if first and not self.space.exact:
            return Asked(dict(self.space.default), {})
        if len(self.study.get_trials(deepcopy=False)) > len(self._open) + LONG:
            self._renew(dict)
        warm = self.space.warm[self.asked - 2 : self.asked - 1]
        fixed = dict(recorded) if recorded else self._encoded(warm[0] if warm else shared or {})
        if fixed:
            self.study.enqueue_trial(fixed)
        self.study.sampler = self._sampler(number, fixed.keys() >= self.distributions.keys())
        trial = self.study.ask(self.distributions)
        self._open[self.asked] = trial
        coded = dict(trial.params)
        self.seen.ask(self.asked, coded)
        return Asked(self.space.decode(coded), coded, self.asked)

    def widen(self, ends: Mapping[str, tuple[float, float]]) -> None:
        """Go on in a wider space.

        What was seen is coded anew, because "off" is coded below a range's lower end; what is not told yet stays open.

        Parameters
        ----------
        ends : mapping of str to (float, float)
            New ends of some ranges, which hold the old ones.
        """
        before, self.space = self.space, self.space.widened(ends)
        self.distributions = {key: distribution(d) for key, d in self.space.searched.items()}

        def anew(params: Params) -> Params:
            return self._encoded(before.decode(params))

        self.seen.widen(self.distributions, anew)
        self._renew(anew)

    def _renew(self, code: Callable[[Params], Params]) -> None:
        """Move to a new Optuna study that holds the open trials alone: the others are in ``seen``."""
        import optuna

        self.study = optuna.create_study(
            direction="minimize", sampler=optuna.samplers.RandomSampler(seed=self.seed)
        )
        for place, trial in self._open.items():
            self.study.enqueue_trial(dict(code(trial.params)))
            self._open[place] = self.study.ask(self.distributions)

    def _encoded(self, values: Params) -> dict[str, Scalar]:
        coded = {n: encode(d, values[n]) for n, d in self.space.searched.items() if n in values}
        return {n: v for n, v in coded.items() if v is not None}

    def _sampler(self, number: int, given: bool) -> optuna.samplers.BaseSampler:
        """What proposes a trial; nothing clever where every value is given."""
        import optuna

        from autoreg.sampler import KnownSpaceSampler

        seed = derive_seed(self.seed, self.name, number)
        if given or self.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return KnownSpaceSampler(self.seen, seed)

    def tell(self, asked: Asked, result: TrialResult) -> None:
        """Give the outcome back to the sampler; a failure is a state, never a number."""
        import optuna

        if asked.place is None:
            return
        trial = self._open.pop(asked.place)
        self.seen.tell(asked.place, result)
        states = optuna.trial.TrialState
        if result.state is State.COMPLETE and math.isfinite(result.loss):
            self.study.tell(trial, result.loss)
        elif result.state is State.PRUNED:
            trial.report(result.loss, len(result.fold_losses))
            self.study.tell(trial, state=states.PRUNED)
        else:
            self.study.tell(trial, state=states.FAIL)
