"""The tuner as scikit-learn estimators: ``AutoRegClassifier`` and ``AutoRegRegressor``."""

from autoreg.estimator.models import AutoRegClassifier, AutoRegRegressor
from autoreg.estimator.results import Score, StudyReport

__all__ = ["AutoRegClassifier", "AutoRegRegressor", "Score", "StudyReport"]
