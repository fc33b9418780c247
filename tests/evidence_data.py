"""Finalists' fresh predictions made by hand, and studies small enough to be run in a test."""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from autoreg.executor import SerialExecutor
from autoreg.ledger import History, MemoryLedger
from autoreg.metrics import METRICS
from autoreg.planning import plan
from autoreg.racing import Judge
from autoreg.search import Arm, Search
from autoreg.selection import Evidence
from autoreg.space import Proposer
from autoreg.spec import parse_study


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def two(p):
    """Probability of the second class as probabilities of both."""
    return np.stack([1 - p, p], axis=-1)


def cells(n, folds=5, repeats=2, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        tuple(np.sort(part) for part in np.array_split(rng.permutation(n), folds)) for _ in range(repeats)
    )


def evidence_of(task, metric, truth, predictions, rank=None, repeats=2, folds=5, weight=None, simple=None):
    """Evidence of finalists (F, n, ...) that predict the same in every repeat."""
    p = np.stack([np.asarray(predictions)] * repeats)
    rank = tuple(rank or (0,) * p.shape[1])
    simple = simple or tuple((r, 1.0, 0.0, i) for i, r in enumerate(rank))
    return Evidence(
        task, METRICS[metric], np.asarray(truth), p, cells(len(truth), folds, repeats), 1 / (folds - 1), simple,
        tuple(1 if family == 0 else 3 for family in rank), weight,
    )  # fmt: skip


def frame_of(task):
    """250 rows (wine: all 178) and five columns of a set that scikit-learn ships; column ``target``."""
    load = {"binary": load_breast_cancer, "multiclass": load_wine, "regression": load_diabetes}[task]
    frame = load(as_frame=True).frame
    return frame[[*frame.columns[:5], "target"]].head(250)


class Silent:
    def __getattr__(self, name):
        return lambda *_: None


def study(target="target", split=None, select=None, data=None, **search):
    search = {
        "backends": ["sklearn", "xgboost"],
        "trials": 6,
        "block": 2,
        "lookahead": 2,
        "timeout": 1e6,
        **search,
    }
    if "xgboost" in search["backends"]:
        search.setdefault("xgboost", {"rounds": 5})
    return parse_study({
        "name": "small", "data": {"source": "memory", "target": target, **(data or {})}, "split": {"folds": 3, **(split or {})},
        "search": search, "select": select or {},
    })  # fmt: skip


def searched(parsed, frame=None):
    """A plan with the records of its search, and the ledger that holds their predictions."""
    planned = plan(parsed, frame)
    spec, ledger = planned.study.search, MemoryLedger()
    arms = {
        name: Arm(backend, Proposer(planned.resolved[name], spec.sampler, spec.seed, name))
        for name, backend in planned.backends.items()
    }
    executor = SerialExecutor(planned.problem, planned.backends, lambda: True)
    problem = planned.problem
    judge = Judge(problem.table.task, problem.row_losses, problem.weight, problem.table.group)
    search = Search(spec, planned.block, arms, executor, ledger, History(), lambda: np.inf, Silent(), judge)
    return planned, search.run(), ledger
