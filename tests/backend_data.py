"""Small encoded folds, made by hand, and full configurations for tests of the backends."""

import numpy as np

from autoreg.backends import FitJob
from autoreg.space import resolve
from autoreg.trial import Encoded, Part, Sizes

COLUMNS = 5


def encoded(encoding, task="binary", n_classes=2, n=150, seed=0, weight=None, stop=True, classes=None):
    """A fold with a learnable target; the tree encoding has a gap here and there and a category of 4 levels.

    ``classes`` limits the train part to some classes, ``weight`` is an array over all rows.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, COLUMNS)).astype(np.float32)
    levels = [0] * COLUMNS
    signal = X[:, 0] - X[:, 1] + 0.5 * X[:, 2]
    if encoding == "tree":
        X[:, 3] = rng.integers(0, 4, n)
        X[rng.random(n) < 0.1, 4] = np.nan
        levels[3] = 4
    if task == "regression":
        y = 1000.0 + 50.0 * signal + rng.normal(size=n)
    else:
        edges = np.quantile(signal, np.arange(1, n_classes) / n_classes)
        y = np.digitize(signal + 0.3 * rng.normal(size=n), edges).astype(np.int64)
    kind = np.arange(n) % 10

    def part(rows):
        return Part(X[rows], y[rows], None if weight is None else weight[rows])

    train = kind < 7
    if classes is not None:
        train &= np.isin(y, classes)
    columns = tuple(f"c{i}" for i in range(COLUMNS))
    k = 0 if task == "regression" else n_classes
    held = part((kind == 7) | (kind == 8)) if stop else None
    return Encoded(part(train), held, part(kind == 9), columns, tuple(levels), task, k)


def sizes(data):
    return Sizes(data.task, len(data.train), data.train.X.shape[1], data.n_classes)


def params(backend, data, **given):
    """The backend's default configuration with some names pinned, laid out as a study would."""
    return dict(resolve(backend, sizes(data), given, "tpe").default)


def fit(backend, data, seed=0, exactly=0, **given):
    """The outcome of one job; ``exactly`` so many rounds, as a refit asks."""
    return backend.fit([FitJob(params(backend, data, **given), data, seed, exactly)])[0]


def without(data, rows):
    """The fold with some rows of its train part left out."""
    keep = np.ones(len(data.train), bool)
    keep[rows] = False
    weight = None if data.train.weight is None else data.train.weight[keep]
    part = Part(data.train.X[keep], data.train.y[keep], weight)
    return Encoded(part, data.stop, data.score, data.columns, data.levels, data.task, data.n_classes)
