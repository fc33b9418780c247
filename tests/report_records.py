"""Made-up study records for the report's tests: rendering is pure, so no study need be run for them."""

import dataclasses
import math

import numpy as np

from autoreg.record import (
    Finalist,
    Importance,
    Judged,
    Overtuning,
    Shipped,
    Shipping,
    StudyRecord,
    TrialRow,
    Worth,
)

SEARCHED = {
    "sklearn": {
        "penalty": {"values": ["l2", "l1", "elasticnet", "none"]},
        "alpha": {"low": 1e-5, "high": 3.0, "log": True, "off": False, "pinned": False},
        "l1_ratio": {"low": 0.05, "high": 0.95, "log": False, "off": False, "pinned": False},
    },
    "xgboost": {
        "penalty": {"values": ["l2", "l1", "elasticnet", "none"]},
        "alpha": {"low": 0.01, "high": 20.0, "log": True, "off": False, "pinned": False},
        "eta": {"low": 0.02, "high": 0.3, "log": True, "off": False, "pinned": False},
        "max_depth": {"low": 2, "high": 10, "log": False, "off": False, "pinned": True},
    },
    "keras": {
        "penalty": {"values": ["l1", "l2", "elasticnet"]},
        "alpha": {"low": 1e-6, "high": 0.03, "log": True, "off": True, "pinned": False},
        "dropout": {"low": 0.05, "high": 0.6, "log": False, "off": True, "pinned": False},
    },
}
BEST = {"sklearn": -2.3, "xgboost": 0.5, "keras": -3.0}
RATIO = {"none": 0.0, "l1": 1.0, "l2": 0.0, "elasticnet": 0.5}


def _params(rng, backend):
    penalty = str(rng.choice(["l1", "l2", "elasticnet", "none"], p=[0.3, 0.35, 0.25, 0.1]))
    searched = SEARCHED[backend]
    low, high = (math.log10(searched["alpha"][end]) for end in ("low", "high"))
    params = {
        "penalty": penalty,
        "alpha": 0.0 if penalty == "none" else float(10 ** rng.uniform(low, high)),
        "l1_ratio": RATIO[penalty],
        "patience": 5,
    }
    for name in searched:
        if name in ("eta", "dropout"):
            params[name] = float(rng.uniform(searched[name]["low"], searched[name]["high"]))
        if name == "max_depth":
            params[name] = int(rng.integers(2, 11))
    return params


def _trials(count, greater, level, unit, seed=0):
    """Trials whose score falls off on both sides of a best strength; ``unit`` is one typical difference."""
    rng = np.random.default_rng(seed)
    names, rows = list(SEARCHED), []
    for number in range(count):
        backend = names[(number // 8) % 3]
        params = _params(rng, backend)
        weak = BEST[backend] - (math.log10(params["alpha"]) if params["alpha"] else BEST[backend] - 3.0)
        bad = unit * (0.4 * names.index(backend) * 0.5 + 0.25 * weak**2 + abs(rng.normal(0, 0.4)))
        flatter = unit * (0.4 + 0.9 * max(0.0, weak) + abs(rng.normal(0, 0.2)))
        sign = -1 if greater else 1
        state = "failed" if number % 23 == 22 else "pruned" if number % 7 == 6 else "complete"
        cv = level + sign * bad if state != "failed" else None
        rows.append(
            TrialRow(
                number, backend, state, None if cv is None else level / 2 + bad, None if cv is None else unit * 0.2,
                cv, None if cv is None else unit * 0.35, None if cv is None else cv - sign * flatter,
                None if cv is None else float(10 ** (1.2 + 0.5 * names.index(backend) + 0.2 * weak)),
                float(0.5 + rng.exponential(2.0)), params, "the loss became infinite" if state == "failed" else "",
            )
        )  # fmt: skip
    return rows


def _finalists(trials, greater, unit, seed=1):
    rng = np.random.default_rng(seed)
    sign = -1 if greater else 1
    top = sorted((t for t in trials if t.state == "complete"), key=lambda t: t.loss)[:7]
    top += [t for t in trials[:24:8] if t not in top]
    found = []
    for place, t in enumerate(top):
        worse = 0.0 if place == 0 else unit * (0.2 * place + float(rng.uniform(0, 0.2)))
        fresh = top[0].cv + sign * (worse + 0.3 * unit)
        found.append(
            Finalist(
                t.number, t.backend, t.number % 8 == 0 and t.number < 24, t.params, t.cv, fresh, worse,
                0.0 if place == 0 else unit * 0.5, t.complexity, place == 0, place == 2,
                [fresh + float(rng.normal(0, unit * 0.6)) for _ in range(15)],
            )
        )  # fmt: skip
    return found


def _overtuning(trials, finalists, greater):
    fresh = {f.number: f.fresh for f in finalists}
    best, found = math.inf, []
    for t in trials:
        bad = math.inf if t.cv is None or t.state != "complete" else (-t.cv if greater else t.cv)
        if bad < best:
            best = bad
            found.append(Overtuning(t.number, t.number, t.cv, fresh.get(t.number)))
    return found


def _estimate(metric, winner, finalists, greater, unit):
    sign = -1 if greater else 1
    holdout = winner.cv + sign * unit * 0.6
    return {
        "kind": "holdout", "metric": metric, "holdout": holdout, "holdout_low": holdout - 0.9 * unit,
        "holdout_high": holdout + 0.9 * unit, "cv": winner.cv, "cv_fresh": finalists[0].fresh,
        "cv_corrected": winner.cv + sign * unit * 0.45, "cv_corrected_low": winner.cv + sign * unit * 0.45 - unit,
        "cv_corrected_high": winner.cv + sign * unit * 0.45 + unit, "train": winner.train,
        "optimism": unit * 0.6, "gap": sign * (holdout - winner.train),
        "nested": None, "nested_low": None, "nested_high": None, "looks": 1,
    }  # fmt: skip


def _study(task, metric, greater, level, unit, classes, count, columns, judged):
    trials = _trials(count, greater, level, unit)
    finalists = _finalists(trials, greater, unit)
    winner = next(t for t in trials if t.number == finalists[0].number)
    states = [t.state for t in trials]
    report = {
        "status": "tuned", "study": "churn", "experiment_id": "3", "run_id": "8c1d5e0fbb7d4c55a7f0a6d3c1b2e4f6",
        "trials": {"total": count, **{s: states.count(s) for s in ("complete", "pruned", "failed")}},
        "best": {"backend": winner.backend, "trial": winner.number, "params": winner.params, "cv_mean": winner.cv,
                 "cv_se": winner.cv_se},
        "estimate": _estimate(metric, winner, finalists, greater, unit),
        "model": {"name": "churn", "version": "4", "uri": "models:/churn/4", "alias": "champion"},
        "seconds": {"total": 312.4, "search": 181.0, "refit": 22.7, "tracking_wait": 1.9},
    }  # fmt: skip
    names = [f"column_{i}" for i in range(columns)]
    return StudyRecord(
        report=report, metric=metric, greater_is_better=greater, task=task, target="churned", classes=classes,
        source="customers.csv", fingerprint="3f9a77c1d2e4b605", rows=7043, columns=columns, search_rows=5634,
        holdout_rows=1409, folds=5, repeats=3, rule="best", trials=trials, searched=SEARCHED,
        events=["xgboost was dropped after trial 40: its best is clearly worse", "alpha of keras was extended to 0.03"],
        finalists=finalists,
        shipped=_shipped(finalists, level, unit, greater),
        overtuning=_overtuning(trials, finalists, greater),
        curves=_curves(), best_round=41.3, judged=judged,
        removed=names[columns - columns // 3 :], kept=names[: columns - columns // 3],
        worth=[Worth("alpha", winner.params["alpha"], unit * 0.8, unit * 0.3), Worth("dropout", 0.31, unit * 0.1, unit * 0.25),
               Worth("patience", 5, -unit * 0.4, unit * 0.2)],
        importance=[Importance(name, unit * 3 * 0.75**i, unit * 0.1) for i, name in enumerate(names[:40])],
        cautions=["the rarest class has only 9 rows in the holdout"] if classes else [],
    )  # fmt: skip


def _shipped(finalists, level, unit, greater):
    sign = -1 if greater else 1
    options = [
        Shipping("refit", None, 1),
        Shipping("bag", level + sign * unit * 0.2, 15),
        Shipping("blend", level - sign * unit * 0.1, 45, True),
    ]
    shares = zip(finalists[:3], (0.5, 0.3, 0.2), strict=True)
    weights = [{"number": f.number, "backend": f.backend, "weight": w} for f, w in shares]
    return Shipped(
        "blend", options, weights, unit * 0.3, unit * 0.1, 1.13, 0.42, 1_834_221.0, 38.4,
        "the blend scored better than the best single configuration by more than one standard error",
    )  # fmt: skip


def _curves():
    at = np.arange(400)
    train = 0.25 + 0.5 * np.exp(-at / 25)
    stop = 0.33 + 0.42 * np.exp(-at / 20) + 0.0003 * np.maximum(0, at - 42)
    return {"train_loss": train.tolist(), "stop_loss": stop.tolist()}


def _confusion(k, seed=2):
    rng = np.random.default_rng(seed)
    table = rng.poisson(0.9, (k, k)) + np.diag(rng.integers(10, 90, k))
    return table.astype(float).tolist()


def _reliability():
    middles = np.linspace(0.05, 0.95, 10)
    return [
        {"predicted": float(p), "observed": float(np.clip(p + 0.06 * np.sin(6 * p), 0, 1)), "rows": float(n)}
        for p, n in zip(middles, [420, 210, 130, 90, 80, 70, 75, 90, 110, 134], strict=True)
    ]


def binary(count=96):
    """Two classes, accuracy, every part filled."""
    judged = Judged(1409, [[958.0, 77.0], [151.0, 223.0]], _reliability())
    return _study("binary", "accuracy", True, 0.9, 0.02, ["no", "yes"], count, 19, judged)


def regression():
    """A loss-like metric with large numbers."""
    bins = [
        {"predicted": 90_000.0 + 40_000 * i, "low": -30_000.0 - 4000 * i, "quarter": -9000.0 - 1500 * i,
         "median": 500.0 * (i - 3), "three_quarters": 9500.0 + 1500 * i, "high": 31_000.0 + 5000 * i, "rows": 60.0}
        for i in range(10)
    ]  # fmt: skip
    judged = Judged(600, residuals=bins)
    found = _study("regression", "rmse", False, 24_500.0, 1800.0, [], 60, 80, judged)
    shipped = dataclasses.replace(found.shipped, temperature=None, threshold=None)
    return dataclasses.replace(found, target="price", shipped=shipped)


def ten_classes():
    """Ten classes, log loss, 784 columns."""
    judged = Judged(2000, _confusion(10), _reliability())
    classes = [str(k) for k in range(10)]
    return _study("multiclass", "log_loss", False, 0.31, 0.03, classes, 48, 784, judged)


def hundred_classes():
    """A hundred classes and five hundred trials."""
    judged = Judged(5000, _confusion(100), _reliability())
    classes = [f"class {k}" for k in range(100)]
    return _study("multiclass", "balanced_accuracy", True, 0.8, 0.03, classes, 500, 784, judged)


def minimal():
    """One trial of one backend and nothing else: every list empty, every number None."""
    row = TrialRow(0, "sklearn", "complete", None, None, None, None, None, None, 0.1, {})
    shipped = Shipped("refit", [], [], None, None, None, None, 0.0, 0.0, "")
    return StudyRecord(
        report={}, metric="r2", greater_is_better=True, task="regression", target="y", classes=[], source="", fingerprint="",
        rows=12, columns=1, search_rows=12, holdout_rows=0, folds=2, repeats=0, rule="best", trials=[row], searched={},
        events=[], finalists=[], shipped=shipped, overtuning=[], curves={}, best_round=None, judged=None,
    )  # fmt: skip


def nested(record):
    """The same study judged by nested cross-validation, without a holdout."""
    told = record.report["estimate"]
    ends = {"nested": told["holdout"], "nested_low": told["holdout_low"], "nested_high": told["holdout_high"]}
    nothing = dict.fromkeys(("holdout", "holdout_low", "holdout_high", "optimism", "gap"))
    report = {**record.report, "estimate": {**told, **ends, **nothing, "kind": "nested"}}
    return dataclasses.replace(record, report=report, holdout_rows=0)


HOSTILE = '<script>alert("$x_1$ & `y`")</script> id="foo" | \x00\ud800 \u202e名前 --> ]]>'


def hostile(record):
    """The same study with names, classes and words that try to break out of whatever they are put in."""
    evil = [f"{HOSTILE}{i}" for i in range(3)]
    return dataclasses.replace(
        record,
        report={
            **record.report,
            "study": HOSTILE,
            "run_id": HOSTILE,
            "model": {"name": HOSTILE, "version": HOSTILE, "uri": HOSTILE, "alias": HOSTILE},
        },
        target=HOSTILE, source=f"postgresql://me:hunter2@db/x?{HOSTILE}", fingerprint=HOSTILE, rule=HOSTILE,
        classes=evil[: max(2, len(record.classes))], events=evil, cautions=evil, removed=evil, kept=evil,
        importance=[Importance(name, 0.1, 0.01) for name in evil], worth=[Worth(HOSTILE, HOSTILE, 0.1, 0.01)],
        shipped=dataclasses.replace(record.shipped, kind=HOSTILE, why=HOSTILE, options=[Shipping(HOSTILE, 1.0, 2, True)]),
        trials=[
            dataclasses.replace(t, backend=HOSTILE if t.backend == "keras" else t.backend, reason=HOSTILE,
                                params={**t.params, HOSTILE: HOSTILE, "penalty": HOSTILE})
            for t in record.trials
        ],
        searched={HOSTILE: {HOSTILE: {"values": [HOSTILE]}}, **record.searched},
    )  # fmt: skip
