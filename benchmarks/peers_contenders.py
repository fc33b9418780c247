"""One contender on one table, in a process and an environment of its own; `peers.py` calls it.

    python peers_contenders.py NAME train.parquet test.parquet spec.json out.json

The spec holds target, task, classes, seed, budget (seconds), cores, metric and folder; test.parquet has no target, and is read
when the model is fitted. Only what the contender's environment has is imported. Everybody asks for the same: the smallest log
loss, or RMSE, in the budget. What each is called with stands below, and is otherwise its default.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass
class Job:
    spec: dict
    frame: object
    target: object

    @property
    def classes(self):
        return self.spec["task"] != "regression"

    def choose(self, classified, regressed):
        return classified if self.classes else regressed


@dataclass
class Fitted:
    """``predict`` gives (labels, probabilities, names of their columns), or (values, None, None)."""

    predict: Callable
    trials: int | None = None
    note: str = ""


def database(folder):
    """Make the tracking database before the clock starts, for its first use takes seconds and a user has one."""
    import mlflow

    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    mlflow.MlflowClient().search_experiments()


def _autoreg(job, **options):
    from autoreg import AutoRegClassifier, AutoRegRegressor

    spec = job.spec
    database(spec["folder"])
    os.environ["AUTOREG_STATE_DIR"] = f"{spec['folder']}/state"
    if spec["metric"]:
        options |= {"metric": spec["metric"], "class_weight": "balanced"}

    def fit():
        kind = job.choose(AutoRegClassifier, AutoRegRegressor)
        model = kind(
            trials=100_000, timeout=spec["budget"], tracking="mlflow", name="peers", random_state=spec["seed"],
            **options,
        )  # fmt: skip
        model.fit(job.frame, job.target)
        states = model.trials_["state"].value_counts()
        note = ", ".join(f"{count} {state}" for state, count in states.items())
        final = model.report_.record.report["final"]
        parts = ", ".join(f"{c['weight']:.2f} {c['backend']} #{c['trial']}" for c in final["configurations"])
        note += f"; first complete trial after {_first(model.run_id_):.1f} s; {final['kind']} of {parts}; fitted on {final['rows']} rows"
        return Fitted(_like_sklearn(job, model), len(model.trials_), note)

    return fit


def _first(run_id):
    """Seconds from a study's beginning to the end of its first complete trial."""
    import mlflow

    client = mlflow.MlflowClient()
    parent = client.get_run(run_id)
    asked = f"tags.`mlflow.parentRunId` = '{run_id}' and tags.`autoreg.state` = 'complete'"
    found = client.search_runs(
        [parent.info.experiment_id], asked, order_by=["attributes.end_time"], max_results=1
    )
    return (found[0].info.end_time - parent.info.start_time) / 1000


def autoreg(job):
    """As it comes: a fifth of the rows is held out for its estimate, and fitted only after that."""
    return _autoreg(job)


def autoreg_whole(job):
    """No rows held out, as its peers hold none out."""
    return _autoreg(job, holdout=None)


def flaml(job):
    from flaml import AutoML

    def fit():
        model = AutoML()
        log = f"{job.spec['folder']}/trials.log"
        model.fit(
            job.frame, job.target, task=job.choose("classification", "regression"),
            metric=job.choose("log_loss", "rmse"), time_budget=job.spec["budget"], n_jobs=job.spec["cores"],
            seed=job.spec["seed"], verbose=0, log_file_name=log, log_type="all",
        )  # fmt: skip
        lines = [json.loads(line) for line in Path(log).read_text().splitlines()]
        trials = sum("record_id" in line for line in lines)
        return Fitted(_like_sklearn(job, model), trials, f"best {model.best_estimator}")

    return fit


def _autogluon(job, preset):
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from autogluon.tabular import TabularPredictor

    def fit():
        label, spec = "__target__", job.spec
        predictor = TabularPredictor(
            label=label, problem_type=spec["task"], eval_metric=job.choose("log_loss", "root_mean_squared_error"),
            path=f"{spec['folder']}/models", verbosity=1,
        )  # fmt: skip
        predictor.fit(
            job.frame.assign(**{label: job.target}), presets=preset, time_limit=spec["budget"],
            num_cpus=spec["cores"], num_gpus=0,
        )  # fmt: skip
        names = predictor.model_names()
        note = f"best {predictor.model_best}; trained {' '.join(names)}"

        def predict(frame):
            if not job.classes:
                return predictor.predict(frame).to_numpy(), None, None
            found = predictor.predict_proba(frame)
            return predictor.predict(frame).to_numpy(), found.to_numpy(), list(found.columns)

        return Fitted(predict, len(names), note)

    return fit


def autogluon(job):
    return _autogluon(job, "medium_quality")


def autogluon_best(job):
    return _autogluon(job, "best_quality")


def mljar(job):
    from supervised.automl import AutoML

    def fit():
        spec = job.spec
        model = AutoML(
            results_path=f"{spec['folder']}/models", mode="Compete", total_time_limit=round(spec["budget"]),
            ml_task={"binary": "binary_classification", "multiclass": "multiclass_classification"}.get(
                spec["task"], "regression"
            ),
            eval_metric=job.choose("logloss", "rmse"), n_jobs=spec["cores"], random_state=spec["seed"],
            explain_level=0, verbose=0,
        )  # fmt: skip
        model.fit(job.frame, job.target)
        board = model.get_leaderboard()

        def predict(frame):
            if not job.classes:
                return model.predict(frame), None, None
            found = model.predict_all(frame)
            columns = [c for c in found if c.startswith("prediction_")]
            names = [c.removeprefix("prediction_") for c in columns]
            return found["label"].to_numpy(), found[columns].to_numpy(), names

        best = board.loc[board["metric_value"].idxmin(), "name"]
        return Fitted(predict, len(board), f"best {best}")

    return fit


def optuna(job):
    from peers_byhand import by_hand

    database(job.spec["folder"])
    return by_hand(job, Fitted, _like_sklearn)


def logistic(job):
    from peers_byhand import linear_cv

    return linear_cv(job, Fitted, _like_sklearn)


def xgboost(job):
    from peers_byhand import default_boosting

    return default_boosting(job, Fitted, _like_sklearn)


CONTENDERS = {
    "autoreg": autoreg,
    "autoreg-whole": autoreg_whole,
    "optuna": optuna,
    "flaml": flaml,
    "autogluon": autogluon,
    "autogluon-best": autogluon_best,
    "mljar": mljar,
    "logistic": logistic,
    "xgboost": xgboost,
}


def _like_sklearn(job, model, names=None):
    """Predict with what has scikit-learn's methods; ``names`` where the model knows its classes as 0, 1, ..."""

    def predict(frame):
        labels = model.predict(frame)
        if not job.classes:
            return labels, None, None
        known = list(model.classes_) if names is None else [names[int(c)] for c in model.classes_]
        labels = labels if names is None else [names[int(c)] for c in labels]
        return labels, model.predict_proba(frame), known

    return predict


def _read(train, spec):
    import pandas as pd

    frame = pd.read_parquet(train)
    target = frame.pop(spec["target"])
    return Job(spec, frame, target.astype(str) if spec["task"] != "regression" else target)


def _answer(fitted, test):
    import numpy as np
    import pandas as pd

    frame = pd.read_parquet(test)
    began = time.perf_counter()
    labels, probabilities, names = fitted.predict(frame)
    took = time.perf_counter() - began
    if probabilities is None:
        return {"predict_seconds": took, "values": np.asarray(labels, float).ravel().tolist()}
    return {
        "predict_seconds": took,
        "labels": [str(label) for label in np.ravel(labels)],
        "probabilities": np.asarray(probabilities, float).tolist(),
        "names": [str(name) for name in names],
    }


def run(name, train, test, spec):
    """Load, fit, predict; all that is known of it, an error in one line too."""
    told = {}
    try:
        job = _read(train, spec)
        began = time.perf_counter()
        fit = CONTENDERS[name](job)
        loaded = time.perf_counter()
        told["load_seconds"] = loaded - began
        fitted = fit()
        told["fit_seconds"] = time.perf_counter() - loaded
        told |= {"trials": fitted.trials, "note": fitted.note}
        told |= _answer(fitted, test)
    except Exception as error:
        import traceback

        traceback.print_exc()
        told["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return told


def main():
    name, train, test, spec, out = sys.argv[1:]
    spec = json.loads(Path(spec).read_text())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, spec["processors"])
    import peers_byhand  # noqa: F401  (imported while its folder is looked through, which the next line ends)

    sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]
    told = run(name, train, test, spec)
    draft = Path(out).with_suffix(".new")
    draft.write_text(json.dumps(told))
    draft.replace(out)
    sys.stdout.flush()
    sys.exit(int("error" in told))


if __name__ == "__main__":
    main()
