"""Configurations to begin a search with: those that did well on other tables.

A search that learns from its trials proposes its first ones at random. `benchmarks/portfolio.py` gave the same 48 random
configurations to many tables that `benchmarks/peers.py` does not compare on, and picked the few that together lower the loss the
most for the time they take; there, and beside random ones on tables they were not picked on, are the figures. For networks no such
list did better than chance. The method is that of Feurer and others (2022), Auto-Sklearn 2.0, section 3. Those tables had at most
3,000 rows; where there are more, boosting begins with what did well on many tables of up to 500,000.
"""

from __future__ import annotations

from collections.abc import Mapping

Start = Mapping[str, str | int | float]
STARTS: Mapping[str, tuple[Start, ...]] = {
    "sklearn": (
        {"penalty": "l2", "alpha": 0.0454},
        {"penalty": "l2", "alpha": 0.00699},
        {"penalty": "none"},
        {"penalty": "elasticnet", "alpha": 0.00542, "l1_ratio": 0.934},
    ),
    "xgboost": (
        {
            "penalty": "l1", "alpha": 0.0444, "patience": 11, "eta": 0.192, "max_depth": 2, "max_leaves": 0, "min_child_weight": 0.351,
            "gamma": 0.0, "subsample": 0.656, "colsample": 0.748,
        },
        {
            "penalty": "elasticnet", "alpha": 0.0355, "l1_ratio": 0.51, "patience": 11, "eta": 0.0604, "max_depth": 7, "max_leaves": 0,
            "min_child_weight": 0.105, "gamma": 0.0129, "subsample": 0.703, "colsample": 0.854,
        },
        {
            "penalty": "none", "patience": 13, "eta": 0.167, "max_depth": 2, "max_leaves": 0, "min_child_weight": 0.118, "gamma": 0.0378,
            "subsample": 0.773, "colsample": 0.632,
        },
        {
            "penalty": "l1", "alpha": 0.399, "patience": 26, "eta": 0.0332, "max_depth": 7, "max_leaves": 0, "min_child_weight": 0.00438,
            "gamma": 0.264, "subsample": 0.55, "colsample": 0.892,
        },
    ),
}  # fmt: skip
"""By backend, in the order of trial; values by canonical name, what is missing is proposed as ever."""
LONGER = 2000
"""Rows of a fold's train part from which boosting begins with ``TUNED``."""
TUNED: Mapping[bool, Start] = {
    True: {
        "penalty": "none", "patience": 40, "eta": 0.05, "max_depth": 9, "max_leaves": 0, "min_child_weight": 2.0, "gamma": 0.0, "subsample": 0.7,
        "colsample": 1.0,
    },
    False: {
        "penalty": "none", "patience": 40, "eta": 0.08, "max_depth": 6, "max_leaves": 0, "min_child_weight": 5e-6, "gamma": 0.0, "subsample": 0.65,
        "colsample": 0.9,
    },
}  # fmt: skip
"""Defaults of XGBoost for regression (true) and for classes, tuned on 71 and 47 tables of 1,000 to 500,000 rows: Holzmüller, Grinsztajn and
Steinwart (2024), Better by Default, arXiv:2407.04491, XGB-TD."""


def starts(backend: str, rows: int, regression: bool) -> tuple[Start, ...]:
    """Configurations to begin with on so many train rows, in the order of trial."""
    longer = backend == "xgboost" and rows >= LONGER
    return ((TUNED[regression],) if longer else ()) + STARTS.get(backend, ())
