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
        frame, target, task = table(name, folder, rows)
        alike = None if task == "regression" else frame[target]
        train, self.test = train_test_split(frame, test_size=0.2, random_state=draw, stratify=alike)
        study = {"name": "configurations", "data": {"source": "memory", "target": target, "task": task}}
        study |= {
            "search": {"backends": ["xgboost"], "sampler": "random"},
            "split": {"folds": folds, "estimate": "none"},
        }
        self.planned = plan(parse_study(study), train.reset_index(drop=True))
        self.backend, self.table = self.planned.backends["xgboost"], self.planned.table
        truth = self.test.pop(target)
        spelled = {str(c): i for i, c in enumerate(self.table.classes)}
        self.truth = (
            np.array([spelled[str(v)] for v in truth]) if self.table.classes else truth.to_numpy(float)
        )

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
        return float(loss_rows(self.table.task, self.truth, predictions).mean())
