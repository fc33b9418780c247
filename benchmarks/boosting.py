"""What our boosting loop saves over ``xgboost.train``: the same fits, one after the other, alternating.

    python benchmarks/boosting.py [--rounds 300] [--repeats 5]

Tables that scikit-learn ships and two that are generated; a fit has a train and a stop part, 300 rounds, one thread. Losses and
models are the same to the bit (`tests/test_boosted.py`). Times are the smallest of the repeats; see the ratio, not the seconds.
"""

import argparse
import time

import numpy as np
import xgboost as xgb
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_classification

from autoreg.backends import always
from autoreg.backends.boosting import Rows, boost
from autoreg.serving import booster_matrix

SETTINGS = {"eta": 0.05, "max_depth": 5, "nthread": 1, "tree_method": "hist"}
PATIENCE = 10_000


def tables():
    yield "wine", load_wine(return_X_y=True)
    yield "diabetes", load_diabetes(return_X_y=True)
    yield "breast cancer", load_breast_cancer(return_X_y=True)
    yield "digits", load_digits(return_X_y=True)
    yield "800 columns", make_classification(1000, 800, n_informative=20, random_state=0)
    yield "20,000 rows", make_classification(20_000, 20, random_state=0)


def objective(y):
    kinds = len(np.unique(y))
    if kinds > 20:
        return {"objective": "reg:squarederror", "eval_metric": "rmse"}
    if kinds == 2:
        return {"objective": "binary:logistic", "eval_metric": "logloss"}
    return {"objective": "multi:softprob", "num_class": kinds, "eval_metric": "mlogloss"}


def ours(settings, parts, rounds):
    matrices = {name: booster_matrix(X, [0] * X.shape[1], Rows, label=y) for name, (X, y) in parts.items()}
    boost(settings, matrices, rounds, PATIENCE, always)


def theirs(settings, parts, rounds):
    matrices = {name: xgb.DMatrix(X, label=y) for name, (X, y) in parts.items()}
    for name, matrix in matrices.items():  # named as ours are; numbers only
        matrix.feature_names = [f"f{i}" for i in range(matrix.num_col())]
        matrix.feature_types = ["q"] * parts[name][0].shape[1]
    stopping = xgb.callback.EarlyStopping(
        rounds=PATIENCE, metric_name=settings["eval_metric"], data_name="stop"
    )
    evals = [(matrix, name) for name, matrix in matrices.items()]
    xgb.train(
        settings,
        matrices["train"],
        rounds,
        evals=evals,
        evals_result={},
        callbacks=[stopping],
        verbose_eval=False,
    )


def seconds(call, *given):
    began = time.perf_counter()
    call(*given)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print("| table | rows x columns | xgboost.train, s | ours, s | ratio |\n|---|---|---|---|---|")
    for name, (X, y) in tables():
        y = (y - y.mean()) / y.std() if len(np.unique(y)) > 20 else y
        held = np.arange(len(y)) % 7 == 0
        parts = {"train": (X[~held], y[~held]), "stop": (X[held], y[held])}
        settings = SETTINGS | objective(y)
        took = {theirs: [], ours: []}
        for _ in range(args.repeats):
            for call, times in took.items():
                times.append(seconds(call, settings, parts, args.rounds))
        a, b = min(took[theirs]), min(took[ours])
        print(f"| {name} | {len(y):,} x {X.shape[1]} | {a:.3f} | {b:.3f} | {a / b:.2f} |", flush=True)


if __name__ == "__main__":
    main()
