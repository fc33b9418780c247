"""Small images with a learnable target, encoded by hand, and full configurations for them."""

import numpy as np

from autoreg.backends import FitJob, get_backend
from autoreg.trial import Encoded, Part, Sizes


def images(image=(6, 6, 1), task="multiclass", n=120, k=3, seed=0, stop=True, weight=None):
    """A fold of images whose bright spot lies in one of ``k`` parts along the first side."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, 0.3, (n, *image)).astype(np.float32)
    place = rng.integers(0, image[0], n)
    X[np.arange(n), place] += 0.6
    X = X.reshape(n, -1)
    code = place * k // image[0]
    y = {"multiclass": code, "binary": (code > 0).astype(int), "regression": 5.0 * place + 100.0}[task]
    classes = {"multiclass": k, "binary": 2, "regression": 0}[task]
    kind = np.arange(n) % 5

    def part(rows):
        return Part(X[rows], y[rows], None if weight is None else weight[rows])

    columns = tuple(f"p{i}" for i in range(X.shape[1]))
    held = part(kind == 3) if stop else None
    return Encoded(part(kind < 3), held, part(kind == 4), columns, (0,) * len(columns), task, classes, image)


def image_sizes(data):
    return Sizes(data.task, len(data.train), len(data.columns), data.n_classes, data.image)


def configured(data, **given):
    """A small network over these images, with some names set."""
    small = {"conv": "4", "hidden": "8", "epochs": 3, "batch_size": 16, "learning_rate": 0.01}
    return {**get_backend("keras").default(image_sizes(data)), **small, **given}


def fit_one(data, seed=0, rounds=0, in_time=lambda: True, **given):
    """The outcome of one job."""
    job = FitJob(configured(data, **given), data, seed, rounds)
    return get_backend("keras").fit([job], in_time)[0]
