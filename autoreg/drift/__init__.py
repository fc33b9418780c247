"""Old rows against new: which are new, how far they moved, and whether the champion keeps its promise. Pure."""

from autoreg.drift.adversarial import Adversarial, adversarial, cross_validated_auc
from autoreg.drift.compare import Drift, Moved, compare
from autoreg.drift.keys import new_rows, row_keys
from autoreg.drift.lines import lines
from autoreg.drift.profile import profile
from autoreg.drift.promise import Kept, degraded

__all__ = [
    "Adversarial", "Drift", "Kept", "Moved", "adversarial", "compare", "cross_validated_auc", "degraded", "lines",
    "new_rows", "profile", "row_keys",
]  # fmt: skip
