"""Which model generalizes best, and how well. Pure: records and predictions in, choice and numbers out."""

from autoreg.selection.blend import best_single, evidence, greedy, losses, others
from autoreg.selection.compare import Comparison, compare, corrected_se
from autoreg.selection.corrected import Corrected, corrected_cv
from autoreg.selection.cut import Cut, fit_cut, fit_threshold
from autoreg.selection.decide import Decision, Evidence, decide
from autoreg.selection.estimate import (
    Estimate,
    bootstrap_interval,
    estimate,
    nested_estimated,
    reproduced_estimated,
    time_blocks,
    unjudged,
    wilson,
)
from autoreg.selection.shortlist import (
    TOP,
    choose,
    complete,
    copies,
    incumbents,
    shortlist,
    simplicity,
    stopping_point,
)

__all__ = [
    "TOP",
    "Comparison", "Corrected", "Cut", "Decision", "Estimate", "Evidence", "best_single", "bootstrap_interval", "choose", "compare", "complete", "copies",
    "corrected_cv", "corrected_se", "decide", "estimate", "evidence", "fit_cut", "fit_threshold", "greedy", "incumbents",
    "losses", "nested_estimated", "others", "reproduced_estimated", "shortlist", "simplicity", "stopping_point", "time_blocks",
    "unjudged", "wilson",
]  # fmt: skip
