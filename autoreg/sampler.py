"""What keeps a long study's proposals cheap: a sampler that knows its space, and which trials it still needs to see.

Imported with the first proposal alone, because it needs Optuna.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

KEPT = 300
"""Finished trials that a thinned study keeps."""
SLACK = 100
"""Finished trials beyond those after which a study is thinned again."""
BEST = 25
"""TPE's good group: a tenth of the trials, and never more than so many."""


class KnownSpaceSampler(TPESampler):
    """Multivariate TPE over a space that is the same in every trial.

    Its base looks through all trials for the names they share, each time a third of the work. Proposals are the same.

    Parameters
    ----------
    space : mapping of str to BaseDistribution
    seed : int
    """

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int) -> None:
        with warnings.catch_warnings():
            # Multivariate TPE is announced as experimental by some releases; we chose it knowingly.
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(seed=seed, multivariate=True, constant_liar=True)
        self._known = {name: space[name] for name in sorted(space) if not space[name].single()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space, as the base finds it once a trial is finished."""
        return dict(self._known)


def thinned(trials: Sequence[FrozenTrial]) -> list[FrozenTrial] | None:
    """Trials that the sampler is to see from now on, in their order; None while they are few enough.

    TPE draws from its best trials and weighs the others, the older the less. So the best stay, and of the others the
    most recent; failed ones, which it ignores, go. What is open stays.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        In order.
    """
    scored = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(scored) <= KEPT + SLACK:
        return None
    best = {t.number for t in sorted(scored, key=_rank)[:BEST]}
    others = [t.number for t in scored if t.number not in best]
    kept = best.union(others[len(best) - KEPT :])
    return [t for t in trials if t.number in kept or not t.state.is_finished()]


def still_open(trials: Sequence[FrozenTrial]) -> list[FrozenTrial] | None:
    """Trials that are not told yet, all that a random sampler needs; None while the others are few enough."""
    kept = [t for t in trials if not t.state.is_finished()]
    return kept if len(trials) - len(kept) > SLACK else None


def _rank(trial: FrozenTrial) -> tuple[bool, int, float]:
    """As TPE ranks: complete trials by their loss, then pruned ones, those that came far first."""
    if trial.state == TrialState.COMPLETE:
        return False, 0, float(trial.value or 0.0)
    step, loss = max(trial.intermediate_values.items())
    return True, -step, loss
