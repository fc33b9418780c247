"""Search how strongly to regularize linear, boosted and neural models, and keep the one that generalizes.

The way of one trial is a straight line::

    studies/x.toml -> spec -> data -> split -> preprocess per fold -> search: ask (space) -> executor -> evaluation
      -> backend.fit per fold -> TrialResult -> ledger (MLflow child run) -> tell
    when the search ends: selection -> refit -> one look at the holdout -> package -> registry -> alias
"""

from __future__ import annotations

from importlib import import_module
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


_HOMES = {
    "AutoRegClassifier": "estimator",
    "AutoRegRegressor": "estimator",
    "TuneResult": "tuner",
    "make_metric": "custom_metrics",
    "register_metric": "metrics",
    "tune": "tuner",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"autoreg.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'autoreg' has no attribute {name!r}")
