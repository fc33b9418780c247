"""Is a network of the population as good as one of `model.fit`? Held-out loss over many seeds and data sets, paired.

    python benchmarks/equality.py [--seeds 40] [--data FOLDER] [--sets NAME ...] [--out equality.csv]

Both train the same 64-32 network on the same rows: L1 + L2, dropout, decoupled weight decay, the same batch size, rate,
epochs, and early stopping by the loss (without penalty) of the same stop part with the best epoch restored. Each draws
its own first weights, orders and masks. A seed is one fold of one division of the table; its score part judges both. The
population's loss of a seed is the mean over `MEMBERS` networks, which takes noise from the difference and adds no bias.

Said before any figure was seen: they count as equal if the 95 % interval of the mean difference over all sets, as a share
of each set's loss, lies within -2 % and +2 %, and if no single set differs at 5 % after Holm's correction.

One line of the CSV per seed: run the same command again and it goes on where it was stopped. With --data, sets are
those of FOLDER/INDEX.csv (columns name, file, rows, cols, target), the six smallest of 400 rows and more unless named.
"""

import argparse
import csv
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from scipy import stats

from autoreg.backends import FitJob, get_backend
from autoreg.backends.network import PLAIN
from autoreg.metrics import loss_rows
from autoreg.planning import plan
from autoreg.serving import two_columns
from autoreg.spec import parse_study

MEMBERS, FOLDS, MARGIN = 5, 5, 0.02
RECIPE = {
    **PLAIN, "hidden": "64-32", "kernel_l1": 1e-4, "kernel_l2": 5e-4, "dropout": 0.25, "weight_decay": 0.02,
    "learning_rate": 5e-3, "batch_size": 32, "epochs": 25, "patience": 5,
}  # fmt: skip
SETS = {
    "breast_cancer": ("sklearn:breast_cancer", "target"),
    "moons": ("sklearn:make_moons?n_samples=400&noise=0.3", "target"),
    "three_classes": (
        "sklearn:make_classification?n_samples=400&n_classes=3&n_informative=5&flip_y=0.1",
        "target",
    ),
    "digits_0_to_4": ("sklearn:digits?n_class=5", "target"),
    "diabetes": ("sklearn:diabetes", "target"),
    "friedman": ("sklearn:make_friedman1?n_samples=400&noise=1.0", "target"),
}
LOSSES = {
    "binary": ("binary_crossentropy", "sigmoid"),
    "multiclass": ("sparse_categorical_crossentropy", "softmax"),
    "regression": ("mean_squared_error", None),
}
COLUMNS = ("set", "seed", "fit", "population", "fit_epochs", "population_epochs", "fit_seconds")


def sets_of(folder, names):
    if folder is None:
        return {name: SETS[name] for name in names or SETS}
    index = pd.read_csv(Path(folder) / "INDEX.csv").sort_values(["rows", "name"])
    small = index[(index.rows >= 400) & (index.cols <= 60)].name[:6]
    chosen = index[index.name.isin(names or list(small))]
    return {r["name"]: (str(Path(folder, r.file).resolve()), r.target) for _, r in chosen.iterrows()}


def fold_of(source, target, seed):
    """The encoded fold that a seed stands for: every fifth seed is a new division of the table."""
    study = {
        "name": "equality", "data": {"source": source, "target": target},
        "split": {"folds": FOLDS}, "search": {"backends": ["keras"], "seed": seed // FOLDS},
    }  # fmt: skip
    return plan(parse_study(study)).problem.folds("dense")[seed % FOLDS]


class ByFit:
    """The network as its user would write it in Keras; compiled once a shape, begun anew for every seed."""

    def __init__(self):
        self.models = {}

    def build(self, data):
        layers, outputs = keras.layers, data.n_classes if data.task == "multiclass" else 1
        penalty = keras.regularizers.L1L2(RECIPE["kernel_l1"], RECIPE["kernel_l2"])
        model = keras.Sequential([keras.Input((len(data.columns),))])
        for units in map(int, RECIPE["hidden"].split("-")):
            model.add(layers.Dense(units, RECIPE["activation"], kernel_regularizer=penalty))
            model.add(layers.Dropout(RECIPE["dropout"]))
        loss, last = LOSSES[data.task]
        model.add(layers.Dense(outputs, last, kernel_regularizer=penalty))
        optimizer = keras.optimizers.AdamW(RECIPE["learning_rate"], weight_decay=RECIPE["weight_decay"])
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        model.compile(optimizer, loss, metrics=[loss])
        optimizer.build(model.trainable_variables)
        return model, [v.numpy() for v in optimizer.variables]

    def __call__(self, data, seed):
        """Held-out loss, epochs and seconds."""
        key = data.task, len(data.columns), data.n_classes
        keras.utils.set_random_seed(seed)
        if key not in self.models:
            self.models[key] = self.build(data)
        model, fresh = self.models[key]
        for variable, value in zip(model.optimizer.variables, fresh, strict=True):
            variable.assign(value)
        model.set_weights(keras.models.clone_model(model).get_weights())
        shift, scale = (data.train.y.mean(), data.train.y.std()) if data.task == "regression" else (0, 1)
        metric = "val_" + LOSSES[data.task][0]
        stopping = keras.callbacks.EarlyStopping(
            metric, patience=RECIPE["patience"], mode="min", restore_best_weights=True
        )
        started = time.perf_counter()
        history = model.fit(
            data.train.X, (data.train.y[:, None] - shift) / scale, batch_size=RECIPE["batch_size"],
            validation_data=(data.stop.X, (data.stop.y[:, None] - shift) / scale), epochs=RECIPE["epochs"],
            callbacks=[stopping], verbose=0,
        ).history  # fmt: skip
        seconds = time.perf_counter() - started
        out = np.asarray(model(data.score.X), np.float64)
        if data.task != "multiclass":
            out = out[:, 0] * scale + shift if data.task == "regression" else two_columns(out[:, 0])
        return loss(data, out), int(np.argmin(history[metric])) + 1, seconds


def loss(data, predictions):
    scale = data.train.y.std() if data.task == "regression" else 1.0
    return float(np.mean(loss_rows(data.task, data.score.y, predictions))) / scale**2


def by_population(data, seeds):
    """Held-out loss and epochs of every seed, means over members."""
    jobs = [FitJob(RECIPE, data[s], seed=1000 * s + m) for s in seeds for m in range(MEMBERS)]
    fits = get_backend("keras").fit(jobs)
    losses = [loss(j.data, f.member.predict(j.data.score.X)) for j, f in zip(jobs, fits, strict=True)]
    rounds = [f.rounds for f in fits]
    return {s: np.reshape([losses, rounds], (2, -1, MEMBERS))[:, i].mean(1) for i, s in enumerate(seeds)}


def measure(sets, seeds, path):
    """Append what the file does not hold yet."""
    known = set() if not path.exists() else {(r["set"], int(r.seed)) for _, r in pd.read_csv(path).iterrows()}
    by_fit = ByFit()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(COLUMNS)
        for name, (source, target) in sets.items():
            left = [s for s in range(seeds) if (name, s) not in known]
            data = {s: fold_of(source, target, s) for s in left}
            population = by_population(data, left) if left else {}
            for s in left:
                held_out, epochs, seconds = by_fit(data[s], s)
                ours, our_epochs = population[s]
                writer.writerow((name, s, held_out, ours, epochs, our_epochs, round(seconds, 3)))
                file.flush()


def interval(mean, error, freedom):
    half = stats.t.ppf(0.975, freedom) * error
    return f"{mean:+8.2%}  [{mean - half:+.2%}, {mean + half:+.2%}]", half


def report(path, sets, seeds):
    table = pd.read_csv(path)
    table = table[table["set"].isin(sets) & (table.seed < seeds)]
    print(
        f"{'set':18s} seeds  model.fit  population  difference, 95 % interval        p  epochs (fit, population)"
    )
    means, errors, p_values = [], [], []
    for name in sets:
        own = table[table["set"] == name]
        d = (own.population - own.fit) / own.fit.mean()
        mean, error, n = d.mean(), d.std(ddof=1) / np.sqrt(len(d)), len(d)
        p_values.append(2 * stats.t.sf(abs(mean / error), n - 1))
        text, _ = interval(mean, error, n - 1)
        print(
            f"{name:18s} {n:5d} {own.fit.mean():10.4f} {own.population.mean():11.4f}  {text:30s} {p_values[-1]:.3f}"
            f"  {own.fit_epochs.mean():.1f}, {own.population_epochs.mean():.1f}"
        )
        means.append(mean)
        errors.append(error)
    error = np.sqrt(np.sum(np.square(errors))) / len(means)
    mean, freedom = float(np.mean(means)), len(table) - len(means)
    text, half = interval(mean, error, freedom)
    holm = min(p_values) * len(p_values)
    equal = abs(mean) + half < MARGIN and holm > 0.05
    print(f"{'all':18s} {len(table):5d} {'':23s} {text:30s} {2 * stats.t.sf(abs(mean / error), freedom):.3f}")
    print(f"smallest p of a set by Holm: {min(1.0, holm):.2f}; margin {MARGIN:.0%}; "
          f"{'equal' if equal else 'NOT shown equal'}; {table.fit_seconds.sum():.0f} s in model.fit")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--data", help="a folder with an INDEX.csv; sets of scikit-learn when left out")
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("equality.csv"))
    given = parser.parse_args()
    sets = sets_of(given.data, given.sets)
    measure(sets, given.seeds, given.out)
    report(given.out, sets, given.seeds)


if __name__ == "__main__":
    main()
