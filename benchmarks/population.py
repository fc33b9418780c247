"""A population against `model.fit`, at equal epochs, in one run.

    python benchmarks/population.py [--rows 455 4000 20000] [--members 1 5 20 80 200] [--fits 2] [--block]

Both sides train the same 128-64 network with L1 + L2 and dropout .2, judge the stop part after every epoch, keep curves,
watch for early stopping and restore the best weights. Seconds a network hold everything from data in memory to the fitted
model, tracing of the graph included; the ratio by processor seconds is the one to trust on a busy machine. The share is that of this machine's own single-precision matrix product, measured
in the same run. `--block` times a block of 8 trials x 5 folds on 40,000 rows x 100 columns as a study would run it.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from autoreg.backends import Fit, FitJob, get_backend
from autoreg.backends.layers import read_recipe, read_shape
from autoreg.backends.network import batch_size, effective_params
from autoreg.backends.population_program import program
from autoreg.trial import Choice, Encoded, Part, Range, Sizes

EPOCHS = {455: 30, 4000: 10, 20000: 5}
COLUMNS = 30


def folds(rows, columns, number=5, seed=0):
    """Folds of a binary problem: `rows` training rows and a fifth as many stop rows in each."""
    rng = np.random.default_rng(seed)
    n = int(rows * 1.5)
    X = rng.normal(size=(n, columns)).astype(np.float32)
    y = (X[:, :10] @ rng.normal(size=10) + X[:, 0] * X[:, 1] + rng.normal(size=n) > 0).astype(np.int64)
    names = tuple(f"c{i}" for i in range(columns))
    out = []
    for _ in range(number):
        order = rng.permutation(n)
        train, stop = order[:rows], order[rows : rows + rows // 5]
        out.append(
            Encoded(
                Part(X[train], y[train]), Part(X[stop], y[stop]), None, names, (0,) * columns, "binary", 2
            )
        )
    return out


def sgemm():
    """GFLOP/s of a large matrix product."""
    a = tf.random.normal((2048, 2048))
    (a @ a).numpy()
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        (a @ a).numpy()
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start) / 1e9)
    return best


def recipe(rows, epochs, batch):
    plain = get_backend("keras").default(Sizes("binary", rows, COLUMNS, 2))
    own = {"penalty": "elasticnet", "alpha": 2.1e-4, "l1_ratio": 0.05, "dropout": 0.2}
    return {**plain, **own, "epochs": epochs, "patience": epochs, "batch_size": batch}


def now():
    """Wall clock and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def by_fit(data, params):
    """Seconds for one network by `model.fit`, as a tutorial would write it."""
    start = now()
    layers, regularizer = keras.layers, keras.regularizers.L1L2(1e-5, 1e-4)
    model = keras.Sequential([keras.Input((COLUMNS,))])
    for units in (128, 64):
        model.add(layers.Dense(units, "relu", kernel_regularizer=regularizer))
        model.add(layers.Dropout(0.2))
    model.add(layers.Dense(1, "sigmoid", kernel_regularizer=regularizer))
    model.compile("adam", "binary_crossentropy")
    stopping = keras.callbacks.EarlyStopping(patience=params["patience"], restore_best_weights=True)
    model.fit(
        data.train.X, data.train.y, validation_data=(data.stop.X, data.stop.y), epochs=params["epochs"],
        batch_size=params["batch_size"], callbacks=[stopping], verbose=0,
    )  # fmt: skip
    return now() - start


def by_population(data, params, members, traced):
    """Seconds for a population, from jobs to fits; the graph traced anew unless `traced`."""
    if not traced:
        program.cache_clear()
    jobs = [FitJob(params, data[i % len(data)], seed=i) for i in range(members)]
    start = now()
    fits = get_backend("keras").fit(jobs)
    seconds = now() - start
    assert all(isinstance(fit, Fit) and len(fit.curves["stop_loss"]) == params["epochs"] for fit in fits)
    return seconds


def flop(params, rows):
    """Multiplications and additions of training one network, forward and backward."""
    shape = read_shape(params, COLUMNS, 1)
    weights = sum(i * o for i, o in shape.sizes)
    return 6 * weights * rows * read_recipe(params).epochs


def table(rows, members, batch, fits, epochs=None):
    params = effective_params(recipe(rows, epochs or EPOCHS.get(rows, 5), batch))
    data = folds(rows, COLUMNS)
    one = np.min([by_fit(data[0], params) for _ in range(fits)], axis=0)
    print(
        f"\n{rows:,} rows x {COLUMNS} columns, batch {batch}, {params['epochs']} epochs, stop part of {rows // 5:,} rows"
    )
    print(f"  model.fit: {one[0]:.2f} s a network, {one[1]:.2f} s of processor (best of {fits})")
    for m in members:
        first, again = (by_population(data, params, m, traced) / m for traced in (False, True))
        rate = sgemm()
        speed = flop(params, rows) / min(first[0], again[0]) / 1e9
        print(
            f"  M = {m:3d}: {first[0]:.4f} s a network, {one[0] / first[0]:6.1f} x fit, by processor {one[1] / first[1]:6.1f} x; "
            f"traced before {one[0] / again[0]:6.1f} x, {one[1] / again[1]:6.1f} x; "
            f"{speed:4.0f} GFLOP/s = {speed / rate:.0%} of sgemm ({rate:.0f})",
            flush=True,
        )


def block(rows=40_000, columns=100, trials=8):
    """A block of a study on a large table: random trials of the built-in space, 5 folds."""
    backend, rng = get_backend("keras"), np.random.default_rng(0)
    train = int(rows * 0.8 * 0.8 * 0.85)  # less holdout, score part and stop part
    sizes = Sizes("binary", train, columns, 2)
    space, data = backend.space(sizes), folds(train, columns)
    trial = [{name: draw(dimension, rng) for name, dimension in space.items()} for _ in range(trials)]
    start = time.perf_counter()
    fits = backend.fit([FitJob(params, fold, seed=0) for params in trial for fold in data])
    seconds = time.perf_counter() - start
    epochs = np.mean([len(fit.curves["train_loss"]) for fit in fits if isinstance(fit, Fit)])
    print(
        f"\nblock of {trials} trials x {len(data)} folds, {rows:,} rows x {columns} columns: {seconds:.1f} s"
    )
    print(f"  batch {batch_size(train)}, at most {space['epochs']} epochs, {epochs:.1f} on average")


def draw(dimension, rng):
    if isinstance(dimension, Choice):
        return dimension.values[rng.integers(len(dimension.values))]
    if not isinstance(dimension, Range):
        return dimension
    if dimension.off and rng.random() < 0.3:
        return 0.0
    low, high = dimension.low, dimension.high
    return float(np.exp(rng.uniform(np.log(low), np.log(high))) if dimension.log else rng.uniform(low, high))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[455, 4000, 20000])
    parser.add_argument("--members", type=int, nargs="*", default=[1, 5, 20, 80, 200])
    parser.add_argument("--fits", type=int, default=2)
    parser.add_argument(
        "--batch", type=int, help="rows a batch; 32, and 256 above 10,000 rows, when left out"
    )
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--block", action="store_true")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, sgemm {sgemm():.0f} GFLOP/s, load {os.getloadavg()[0]:.1f}")
    for rows in given.rows:
        table(rows, given.members, given.batch or (256 if rows > 10_000 else 32), given.fits, given.epochs)
    if given.block:
        block()


if __name__ == "__main__":
    main()
