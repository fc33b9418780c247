"""Search how strongly to regularize linear, boosted and neural models, and keep the one that generalizes.

The way of one trial is a straight line::

    studies/x.toml -> spec -> data -> split -> preprocess per fold -> search: ask (space) -> executor -> evaluation
      -> backend.fit per fold -> TrialResult -> ledger (MLflow child run) -> tell
    when the search ends: selection -> refit -> one look at the holdout -> package -> registry -> alias
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoreg.custom_metrics import make_metric
    from autoreg.estimator import AutoRegClassifier, AutoRegRegressor
    from autoreg.metrics import register_metric
    from autoreg.tuner import TuneResult, tune

__version__ = "0.1.0"
__all__ = [
    "AutoRegClassifier",
    "AutoRegRegressor",
    "TuneResult",
    "__version__",
    "make_metric",
    "register_metric",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in ("tune", "TuneResult"):
        from autoreg import tuner

        return getattr(tuner, name)
    if name in ("AutoRegClassifier", "AutoRegRegressor"):
        from autoreg import estimator

        return getattr(estimator, name)
    if name == "make_metric":
        from autoreg import custom_metrics

        return custom_metrics.make_metric
    if name == "register_metric":
        from autoreg import metrics

        return metrics.register_metric
    raise AttributeError(f"module 'autoreg' has no attribute {name!r}")
