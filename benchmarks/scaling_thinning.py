"""Whether a search whose sampler sees its best and its latest trials finds as good ones as one that sees all."""

import numpy as np

from autoreg import sampler
from autoreg.space import Proposer, Space
from autoreg.trial import Range, State, TrialResult

DIMENSIONS = 9


def bowl(x):
    return np.square(x - 1.0).sum()


def rosenbrock(x):
    x = x / 2.5
    return (100 * np.square(x[1:] - np.square(x[:-1])) + np.square(1 - x[:-1])).sum()


def ackley(x):
    x = x - 1.0
    return 20 + np.e - 20 * np.exp(-0.2 * np.sqrt(np.square(x).mean())) - np.exp(np.cos(2 * np.pi * x).mean())


def rastrigin(x):
    x = x - 1.0
    return (np.square(x) + 10 - 10 * np.cos(2 * np.pi * x)).sum()


FUNCTIONS = (bowl, rosenbrock, ackley, rastrigin)


def best(function, seed, trials, kept):
    """Smallest loss by trial of a search whose sampler sees so many finished trials."""
    before, sampler.KEPT = sampler.KEPT, kept
    try:
        names = [f"x{i}" for i in range(DIMENSIONS)]
        space = Space(dict.fromkeys(names, Range(-5.0, 5.0)), dict.fromkeys(names, 0.0))
        proposer, losses, waiting = Proposer(space, "tpe", seed, function.__name__), [], []
        noise = np.random.default_rng(seed).normal(0, 0.01, trials)
        for n in range(trials):
            waiting.append(proposer.ask(n))
            x = np.array([waiting[-1].params[name] for name in names])
            losses.append(function(x))
            if len(waiting) == 16:  # the lookahead
                loss = float(losses[n - 15] * (1 + noise[n - 15]))
                proposer.tell(waiting.pop(0), TrialResult(State.COMPLETE, {}, loss=loss))
        return np.minimum.accumulate(losses)
    finally:
        sampler.KEPT = before


def thinning(seeds, trials=1000):
    """Print the smallest loss found by both, as the mean over seeds of its logarithm's difference."""
    print(
        f"thinning: {trials} trials in {DIMENSIONS} dimensions, {seeds} seeds; smallest loss when the sampler sees at most"
    )
    print(
        f"{sampler.KEPT + sampler.SLACK} finished trials against all: geometric means, ratio with its standard error, wins"
    )
    differences = []
    for function in FUNCTIONS:
        ends = np.log(
            [
                [best(function, seed, trials, kept)[-1] for kept in (sampler.KEPT, trials)]
                for seed in range(seeds)
            ]
        )
        difference = ends[:, 0] - ends[:, 1]
        differences.extend(difference)
        report(function.__name__, *np.exp(ends.mean(axis=0)), difference)
    report("all", np.nan, np.nan, np.array(differences))


def report(name, few, every, difference):
    ratio, error = np.exp(difference.mean()), difference.std(ddof=1) / np.sqrt(len(difference))
    wins, losses = (difference < 0).sum(), (difference > 0).sum()
    print(
        f"{name:10} {few:9.4g} {every:9.4g}   x {ratio:.2f} ({100 * error:.0f} %)  {wins} : {losses}",
        flush=True,
    )
