"""Random configurations of boosted trees over a table of which a fifth is kept apart to judge them: what several benchmarks begin with."""

import time

import numpy as np
from portfolio import table
from sklearn.model_selection import train_test_split

from autoreg.evaluation import Candidate, evaluate
from autoreg.metrics import loss_rows
from autoreg.planning import plan
from autoreg.serving import Package
from autoreg.space import Proposer
from autoreg.spec import parse_study
from autoreg.trial import State, TrialRecord


def apart(name, folder, rows, draw):
    """(four fifths of a table, the fifth that judges, the beginning of a study over the first)."""
    frame, target, task = table(name, folder, rows)
    alike = None if task == "regression" else frame[target]
    train, test = train_test_split(frame, test_size=0.2, random_state=draw, stratify=alike)
    study = {"name": "configurations", "data": {"source": "memory", "target": target, "task": task}}
    return train.reset_index(drop=True), test, study


def mean_loss(task, classes, target, predictions):
    """Log loss, or squared error."""
    spelled = {str(c): i for i, c in enumerate(classes)}
    truth = np.array([spelled[str(v)] for v in target]) if classes else target.to_numpy(float)
    return float(loss_rows(task, truth, predictions).mean())


class Bench:
    """A study of boosted trees over four fifths of a table, none of which it holds out, and the fifth that judges.

    Parameters
    ----------
    name, folder
        As for ``portfolio.table``.
    rows : int
        Of the table, at most.
    folds : int
    draw : int
        Seed of the fifth that is kept apart.
    """

    def __init__(self, name, folder, rows, folds, draw=0):
        train, self.test, study = apart(name, folder, rows, draw)
        study |= {
            "search": {"backends": ["xgboost"], "sampler": "random"},
            "split": {"folds": folds, "estimate": "none"},
        }
        self.planned = plan(parse_study(study), train)
        self.backend, self.table = self.planned.backends["xgboost"], self.planned.table

    def records(self, trials, minutes):
        """Complete trials, evaluated one after the other; the first is the library's default."""
        proposer = Proposer(self.planned.resolved["xgboost"], "random", 0, "xgboost")
        began = time.perf_counter()
        for n in range(trials):
            asked = proposer.ask(n, None, {})
            result = evaluate(self.backend, [Candidate(asked.params, n)], self.planned.problem)[0]
            if result.state is State.COMPLETE:
                yield TrialRecord(n, "xgboost", asked.coded, result, 0.0, 0.0)
            if time.perf_counter() - began > 60 * minutes:
                return

    def predicted(self, chains):
        """Predictions of the rows that were kept apart."""
        package = Package(chains, self.table.task, self.table.classes, list(self.table.features.columns))
        return package.predict_raw(self.test)

    def loss(self, predictions):
        """Mean loss of the rows that were kept apart: log loss or squared error."""
        target = self.planned.study.data.target
        return mean_loss(self.table.task, self.table.classes, self.test[target], predictions)
