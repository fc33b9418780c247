"""What people write by hand where autoreg is one command: a search with Optuna, MLflow and `cross_val_score`; and two defaults.

One study over three families: logistic regression or ridge and lasso, XGBoost, a Keras network. Each trial is five folds in a
nested MLflow run; the best configuration is fitted again on all training rows. No model is logged, which would cost it seconds.
"""

import os
import warnings

EPOCHS = 100
FOLDS = 5


def preprocessing(frame, whole=True):
    """Numbers imputed and scaled (``whole``), the rest as indicators of its more frequent values."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = frame.select_dtypes(["number", "bool"]).columns.tolist()
    others = [c for c in frame if c not in numbers]
    scaled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    indicators = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=30, sparse_output=False),
    )
    return ColumnTransformer(
        [("numbers", scaled if whole else "passthrough", numbers), ("others", indicators, others)]
    )


def plain(frame):
    """Missing text as scikit-learn's imputers know it; true and false as numbers."""
    import numpy as np

    frame = frame.copy()
    for name in frame.select_dtypes(exclude="number"):
        column = frame[name]
        if column.dtype == bool:
            frame[name] = column.astype(float)
        else:
            column = column.astype(object)
            frame[name] = column.where(column.notna(), np.nan)
    return frame


class Plain:
    """A model that takes tables as they come."""

    def __init__(self, model):
        self.model = model

    def predict(self, frame):
        return self.model.predict(plain(frame))

    def predict_proba(self, frame):
        return self.model.predict_proba(plain(frame))

    @property
    def classes_(self):
        return self.model.classes_


def coded(job):
    """Training rows, and the target as codes 0, 1, ... or values; the classes' names."""
    import numpy as np

    if not job.classes:
        return plain(job.frame), np.asarray(job.target, float), None
    names, codes = np.unique(np.asarray(job.target, str), return_inverse=True)
    return plain(job.frame), codes, names.tolist()


def linear_cv(job, fitted, like):
    """The strength of an L2 penalty by cross-validation, and no more."""
    import numpy as np
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.pipeline import make_pipeline

    def fit():
        X, y, names = coded(job)
        if job.classes:
            model = LogisticRegressionCV(
                Cs=10,
                cv=FOLDS,
                scoring="neg_log_loss",
                max_iter=1000,
                l1_ratios=(0.0,),
                use_legacy_attributes=False,
            )
        else:
            model = RidgeCV(alphas=np.logspace(-3, 3, 13))
        model = make_pipeline(preprocessing(X), model).fit(X, y)
        return fitted(like(job, Plain(model), names))

    return fit


def default_boosting(job, fitted, like):
    """XGBoost as it comes; missing numbers are left to it."""
    from sklearn.pipeline import make_pipeline
    from xgboost import XGBClassifier, XGBRegressor

    def fit():
        X, y, names = coded(job)
        model = job.choose(XGBClassifier, XGBRegressor)(
            n_jobs=job.spec["cores"], random_state=job.spec["seed"]
        )
        model = make_pipeline(preprocessing(X, whole=False), model).fit(X, y)
        return fitted(like(job, Plain(model), names))

    return fit


# -- the search ---------------------------------------------------------------------------------------------------


def linear(trial, job):
    from sklearn.linear_model import Lasso, LogisticRegression, Ridge

    penalty = trial.suggest_categorical("penalty", ["l2", "l1"])
    if job.classes:
        strength = trial.suggest_float("C", 1e-4, 1e2, log=True)
        if penalty == "l2":
            return LogisticRegression(C=strength, max_iter=1000)
        return LogisticRegression(C=strength, l1_ratio=1, solver="saga", max_iter=300)
    if penalty == "l2":
        return Ridge(alpha=trial.suggest_float("ridge_alpha", 1e-2, 1e4, log=True))
    return Lasso(alpha=trial.suggest_float("lasso_alpha", 1e-5, 1.0, log=True))


def boosted(trial, job):
    from xgboost import XGBClassifier, XGBRegressor

    return job.choose(XGBClassifier, XGBRegressor)(
        n_estimators=trial.suggest_int("n_estimators", 50, 1000, log=True),
        learning_rate=trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        max_depth=trial.suggest_int("max_depth", 2, 10),
        min_child_weight=trial.suggest_float("min_child_weight", 0.1, 20, log=True),
        subsample=trial.suggest_float("subsample", 0.5, 1),
        colsample_bytree=trial.suggest_float("colsample_bytree", 0.5, 1),
        reg_alpha=trial.suggest_float("reg_alpha", 1e-4, 10, log=True),
        reg_lambda=trial.suggest_float("reg_lambda", 1e-2, 30, log=True),
        n_jobs=job.spec["cores"],
        random_state=job.spec["seed"],
    )


def network(trial, job):
    settings = {
        "layers": trial.suggest_int("layers", 1, 3),
        "width": trial.suggest_categorical("width", [32, 64, 128, 256]),
        "dropout": trial.suggest_float("dropout", 0, 0.5),
        "l2": trial.suggest_float("l2", 1e-6, 1e-2, log=True),
        "rate": trial.suggest_float("rate", 1e-4, 1e-2, log=True),
        "patience": trial.suggest_int("patience", 5, 15),
    }
    return networks()[job.choose(0, 1)](**settings, seed=job.spec["seed"])


FAMILIES = {"linear": linear, "xgboost": boosted, "keras": network}


def networks():
    """The two estimators; made here, because scikit-learn is imported here."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Network(BaseEstimator):
        def __init__(self, layers=2, width=64, dropout=0.0, l2=0.0, rate=1e-3, patience=10, seed=0):
            self.layers, self.width, self.dropout = layers, width, dropout
            self.l2, self.rate, self.patience, self.seed = l2, rate, patience, seed

        def _fit(self, X, y, units, activation, loss):
            import keras
            import numpy as np

            keras.backend.clear_session()
            keras.utils.set_random_seed(self.seed)
            model = keras.Sequential([keras.Input((X.shape[1],))])
            for _ in range(self.layers):
                penalty = keras.regularizers.L2(self.l2)
                model.add(keras.layers.Dense(self.width, "relu", kernel_regularizer=penalty))
                model.add(keras.layers.Dropout(self.dropout))
            model.add(keras.layers.Dense(units, activation))
            model.compile(keras.optimizers.Adam(self.rate), loss)
            order = np.random.default_rng(self.seed).permutation(
                len(y)
            )  # validation_split takes the last rows
            stop = keras.callbacks.EarlyStopping(patience=self.patience, restore_best_weights=True)
            batch = 32 if len(y) < 5000 else 256
            model.fit(
                X[order], y[order], batch_size=batch, epochs=EPOCHS, validation_split=0.1, callbacks=[stop], verbose=0
            )  # fmt: skip
            self.model_ = model
            return self

    class Classifier(ClassifierMixin, Network):
        def fit(self, X, y):
            import numpy as np

            self.classes_, codes = np.unique(y, return_inverse=True)
            return self._fit(X, codes, len(self.classes_), "softmax", "sparse_categorical_crossentropy")

        def predict_proba(self, X):
            found = self.model_.predict(X, verbose=0, batch_size=1024).astype(float)
            return found / found.sum(axis=1, keepdims=True)

        def predict(self, X):
            return self.classes_[self.predict_proba(X).argmax(axis=1)]

    class Regressor(RegressorMixin, Network):
        def fit(self, X, y):
            return self._fit(X, y, 1, None, "mse")

        def predict(self, X):
            return self.model_.predict(X, verbose=0, batch_size=1024).ravel()

    return Classifier, Regressor


def pipeline(trial, job, frame):
    """What a trial proposes, from the raw table on; targets that are numbers are scaled."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = FAMILIES[trial.suggest_categorical("family", list(FAMILIES))](trial, job)
    if not job.classes:
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    return make_pipeline(preprocessing(frame), model)


def folds_of(job):
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = job.choose(StratifiedKFold, KFold)
    return kind(FOLDS, shuffle=True, random_state=job.spec["seed"])


def search(job, X, y):
    """The finished study."""
    import mlflow
    import optuna
    from sklearn.model_selection import cross_val_score

    scoring = job.choose("neg_log_loss", "neg_root_mean_squared_error")

    def objective(trial):
        with mlflow.start_run(nested=True, run_name=f"trial {trial.number}"):
            model = pipeline(trial, job, X)
            mlflow.log_params(trial.params)
            scores = -cross_val_score(model, X, y, cv=folds_of(job), scoring=scoring, error_score="raise")
            mlflow.log_metrics({"score": scores.mean(), "score_sd": scores.std()})
        return scores.mean()

    sampler = optuna.samplers.TPESampler(seed=job.spec["seed"])
    study = optuna.create_study(direction="minimize", sampler=sampler)
    study.optimize(objective, timeout=job.spec["budget"], catch=(ValueError,))
    return study


def by_hand(job, fitted, like):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras  # noqa: F401  (as it would stand at the top of the script)
    import mlflow
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore")

    def fit():
        mlflow.set_experiment("by hand")
        X, y, names = coded(job)
        with mlflow.start_run(run_name="search"):
            study = search(job, X, y)
            mlflow.log_params(study.best_params)
            mlflow.log_metric("score", study.best_value)
            model = pipeline(optuna.trial.FixedTrial(study.best_params), job, X).fit(X, y)
        done = [t for t in study.trials if t.state.name == "COMPLETE"]
        note = f"best {study.best_params['family']}"
        return fitted(like(job, Plain(model), names), len(done), note)

    return fit
