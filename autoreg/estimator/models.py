"""``AutoRegClassifier`` and ``AutoRegRegressor``: a search over regularized models behind ``fit`` and ``predict``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils._repr_html.estimator import estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from autoreg.estimator.inputs import Inputs, read_frame, read_inputs
from autoreg.estimator.progress import LineWatch, progress
from autoreg.estimator.results import Parcel, Score, StudyReport, score_of, trials_frame
from autoreg.estimator.wording import as_study, said_plainly
from autoreg.ledger import read_record
from autoreg.metrics import Metric
from autoreg.record import StudyRecord
from autoreg.registry import load_package, version_at
from autoreg.report import summary
from autoreg.retune.champion import judged_package
from autoreg.serving import Package
from autoreg.tuner import TuneResult, tune

Array = NDArray[Any]
Holdout = float | Literal["auto", "nested"] | None
BACKENDS = ("sklearn", "xgboost", "keras")


class _AutoReg(BaseEstimator):  # type: ignore[misc]
    """What both estimators share; they hold their own parameters, as scikit-learn reads them from ``__init__``."""

    _classifier: ClassVar[bool]

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Search, choose, and keep the model that generalizes best.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame, shape (n, columns)
            At least 10 rows. Numbers, text, categories and dates; missing values are welcome, infinite ones count as
            missing. A sparse matrix is written out, at most 100 million cells.
        y : array-like, shape (n,)
        sample_weight : array-like, shape (n,), optional
            Rows of weight 0 are left out.
        groups : array-like, shape (n,), optional
            Rows of one group are never parted, neither by folds nor by the holdout.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A parameter or the data cannot be used; the message names the parameter or the column.
        RuntimeError
            No trial was completed in the time.
        """
        params = self.get_params(deep=False)
        inputs = read_inputs(self, X, y, sample_weight, groups, self._classifier, params.get("class_weight"))
        seed = int(check_random_state(params["random_state"]).randint(2**31 - 1))
        watch = progress(params["verbose"])
        try:
            with said_plainly():
                result = tune(
                    as_study(params, inputs, seed),
                    inputs.frame,
                    tracking=params["tracking"],
                    watch=watch,
                    n_jobs=1 if params["n_jobs"] is None else params["n_jobs"],
                    explain=params["tracking"] == "mlflow",
                )
                self._keep(result, inputs)
        finally:
            if isinstance(watch, LineWatch):
                watch.close()
        return self

    def _keep(self, result: TuneResult, inputs: Inputs) -> None:
        """Set what a fitted estimator has."""
        record, package = result.record, result.package
        if record is None or package is None:  # the study was finished already: the ledger has it
            record, package = read_record(result.run_id), self._kept(result)
        if inputs.classes is not None:
            self.classes_ = inputs.classes
        best = record.report["best"]
        self.best_backend_: str = best["backend"]
        self.best_params_: dict[str, Any] = dict(best["params"])
        self.estimate_: Score = score_of(record.report["estimate"], record.metric, record.greater_is_better)
        self.run_id_: str | None = result.run_id or None
        self._record: StudyRecord = record
        self._explained: Callable[[], StudyRecord] | None = result.explained
        self._parcel = Parcel(package)

    def _kept(self, result: TuneResult) -> Package:
        """The model of a study that was finished already: as it predicts, or as it was judged."""
        model, final = result.report["model"], result.report.get("final") or {}
        package = load_package(str(model["uri"]))
        if self.refit_full or not final.get("refit_full"):
            return package
        version = version_at(str(model["name"]), str(model["version"]))
        return package if version is None else judged_package(version, package)

    @property
    def trials_(self) -> pd.DataFrame:
        """One row per trial, the parameters that all backends share before their own."""
        check_is_fitted(self)
        return trials_frame(self._record)

    @property
    def report_(self) -> StudyReport:
        """What the search found; ``report_.save("report.html")`` writes it, a notebook shows it.

        What columns and regularizers are worth is worked out when it is first asked for, from the training rows, which
        a fitted estimator keeps until then; a pickled one does not have them, and its report is without these two.
        """
        check_is_fitted(self)
        if self._explained is not None:
            self._record, self._explained = self._explained(), None
        return StudyReport(self._record)

    def _package(self) -> Package:
        check_is_fitted(self)
        return self._parcel.package

    def _raw(self, X: Any) -> Array:
        """Class probabilities (n, K), or values (n,)."""
        package = self._package()
        return np.asarray(package.predict_raw(read_frame(self, X, fit=False)), np.float64)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_parcel")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_explained" in state:
            state["_explained"] = None
        return state

    def _html_repr(self) -> str:
        shown: str = estimator_html_repr(self)
        return shown + summary(self._record) if hasattr(self, "_parcel") else shown


class AutoRegClassifier(ClassifierMixin, _AutoReg):  # type: ignore[misc]
    """A classifier that searches how strongly to regularize linear, boosted and neural models.

    Parameters
    ----------
    trials : int, default 60
        Configurations to try, over all backends.
    timeout : float or str, default "10m"
        Limit for a whole fit: seconds, or text such as ``"90s"``.
    backends : sequence of {"sklearn", "xgboost", "keras"}
        Linear models, boosted trees, networks. The first fit with ``"keras"`` loads TensorFlow, which takes seconds.
    metric : str or Metric, optional
        What decides among the finalists, and what ``estimate_`` is in; ``log_loss`` when left out.
    holdout : "auto", float, "nested" or None, default "auto"
        Where ``estimate_`` comes from. A share of the rows is kept apart and looked at once, at the end, by models that have
        not been trained on them. ``"auto"`` keeps a fifth where there are 100 rows or more (and 20 groups, where there are
        groups), else none. ``None`` keeps none, and the estimate is cross-validation corrected for the choice among
        trials. ``"nested"`` keeps none either, and repeats the whole search in outer folds for the estimate.
    refit_full : bool, default True
        After that look, fit what was judged once more on every row: this is what predicts, and ``estimate_``, which is of
        the fit before, is a little pessimistic of it. False predicts with the very models that were judged, as is done with
        tables of some million cells, of which trials see a sample.
    class_weight : dict, "balanced" or None
        ``"balanced"`` weighs every class alike in training and in the search's loss. A dict multiplies the sample weights, those
        of ``estimate_`` too.
    space : dict, optional
        Search spaces by backend, as ``[search.<backend>]`` of a study file: a value fixes, a list chooses, a dict is a
        range: ``{"sklearn": {"alpha": {"low": 1e-4, "high": 1.0, "log": True}}}``.
    tracking : {"off", "mlflow"}, default "off"
        ``"off"`` keeps everything in memory. ``"mlflow"`` records every trial and registers the winner.
    name : str, optional
        Of the experiment and the registered model; needed with ``tracking="mlflow"``.
    random_state : int, RandomState instance or None
        Fixes the search; None draws a new seed at every fit.
    n_jobs : int, optional
        Trials that run at a time, each in a process of its own; -1 for one on every core. Changes no result.
    verbose : int, default 0
        1 shows one line that rewrites itself, 2 a log.

    Attributes
    ----------
    classes_ : ndarray, shape (K,)
        Labels, sorted.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had names.
    best_backend_ : str
    best_params_ : dict
        Of the winning configuration, under the names that all backends share.
    estimate_ : Score
        What to expect on new rows: ``value``, ``interval``, ``kind``, ``metric``.
    trials_ : pandas.DataFrame
        One row per trial.
    report_ : StudyReport
        Everything that was found; ``report_.save("report.html")``.
    run_id_ : str or None
        The parent run in MLflow.

    Notes
    -----
    After the search the best trials are fitted again on fresh folds, and the model may be a mean of several. See the README
    for how it decides. With a metric of labels, such as ``accuracy`` or ``f1``, two classes may get
    a threshold of their own: ``predict`` uses it, ``predict_proba`` does not.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from autoreg import AutoRegClassifier
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> model = AutoRegClassifier(trials=3, backends=["sklearn"], random_state=0).fit(X, y)
    >>> model.predict(X.iloc[[0, 70, 170]]).tolist()
    [0, 1, 2]
    >>> model.best_backend_, model.estimate_.kind, model.estimate_.metric
    ('sklearn', 'holdout', 'log_loss')
    """

    _classifier = True

    def __init__(
        self,
        *,
        trials: int = 60,
        timeout: float | str = "10m",
        backends: Sequence[str] = BACKENDS,
        metric: str | Metric | None = None,
        holdout: Holdout = "auto",
        refit_full: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        space: Mapping[str, Mapping[str, Any]] | None = None,
        tracking: Literal["off", "mlflow"] = "off",
        name: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.trials = trials
        self.timeout = timeout
        self.backends = backends
        self.metric = metric
        self.holdout = holdout
        self.refit_full = refit_full
        self.class_weight = class_weight
        self.space = space
        self.tracking = tracking
        self.name = name
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def predict(self, X: Any) -> Array:
        """Labels, shape (n,)."""
        raw = self._raw(X)
        return np.asarray(self.classes_[self._package().decisive(raw).argmax(axis=1)])

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes, shape (n, K), in the order of ``classes_``."""
        raw = self._raw(X)
        return np.asarray(raw / raw.sum(axis=1, keepdims=True))


class AutoRegRegressor(RegressorMixin, _AutoReg):  # type: ignore[misc]
    """A regressor that searches how strongly to regularize linear, boosted and neural models.

    Parameters
    ----------
    trials : int, default 60
        Configurations to try, over all backends.
    timeout : float or str, default "10m"
        Limit for a whole fit: seconds, or text such as ``"90s"``.
    backends : sequence of {"sklearn", "xgboost", "keras"}
        Linear models, boosted trees, networks. The first fit with ``"keras"`` loads TensorFlow, which takes seconds.
    metric : str or Metric, optional
        What decides among the finalists, and what ``estimate_`` is in; ``rmse`` when left out.
    holdout : "auto", float, "nested" or None, default "auto"
        Where ``estimate_`` comes from. A share of the rows is kept apart and looked at once, at the end, by models that have
        not been trained on them. ``"auto"`` keeps a fifth where there are 100 rows or more (and 20 groups, where there are
        groups), else none. ``None`` keeps none, and the estimate is cross-validation corrected for the choice among
        trials. ``"nested"`` keeps none either, and repeats the whole search in outer folds for the estimate.
    refit_full : bool, default True
        After that look, fit what was judged once more on every row: this is what predicts, and ``estimate_``, which is of
        the fit before, is a little pessimistic of it. False predicts with the very models that were judged, as is done with
        tables of some million cells, of which trials see a sample.
    space : dict, optional
        Search spaces by backend, as ``[search.<backend>]`` of a study file: a value fixes, a list chooses, a dict is a
        range: ``{"sklearn": {"alpha": {"low": 1e-4, "high": 1.0, "log": True}}}``.
    tracking : {"off", "mlflow"}, default "off"
        ``"off"`` keeps everything in memory. ``"mlflow"`` records every trial and registers the winner.
    name : str, optional
        Of the experiment and the registered model; needed with ``tracking="mlflow"``.
    random_state : int, RandomState instance or None
        Fixes the search; None draws a new seed at every fit.
    n_jobs : int, optional
        Trials that run at a time, each in a process of its own; -1 for one on every core. Changes no result.
    verbose : int, default 0
        1 shows one line that rewrites itself, 2 a log.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had names.
    best_backend_ : str
    best_params_ : dict
        Of the winning configuration, under the names that all backends share.
    estimate_ : Score
        What to expect on new rows: ``value``, ``interval``, ``kind``, ``metric``.
    trials_ : pandas.DataFrame
        One row per trial.
    report_ : StudyReport
        Everything that was found; ``report_.save("report.html")``.
    run_id_ : str or None
        The parent run in MLflow.

    Notes
    -----
    After the search the best trials are fitted again on fresh folds, and the model may be a mean of several. See the README
    for how it decides.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from autoreg import AutoRegRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = AutoRegRegressor(trials=3, backends=["sklearn"], random_state=0).fit(X, y)
    >>> model.predict(X[:2]).shape
    (2,)
    """

    _classifier = False

    def __init__(
        self,
        *,
        trials: int = 60,
        timeout: float | str = "10m",
        backends: Sequence[str] = BACKENDS,
        metric: str | Metric | None = None,
        holdout: Holdout = "auto",
        refit_full: bool = True,
        space: Mapping[str, Mapping[str, Any]] | None = None,
        tracking: Literal["off", "mlflow"] = "off",
        name: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.trials = trials
        self.timeout = timeout
        self.backends = backends
        self.metric = metric
        self.holdout = holdout
        self.refit_full = refit_full
        self.space = space
        self.tracking = tracking
        self.name = name
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def predict(self, X: Any) -> Array:
        """Values, shape (n,)."""
        return self._raw(X)
