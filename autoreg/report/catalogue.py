"""All figures by name, each with what it shows in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from autoreg.record import StudyRecord
from autoreg.report import plots_beside, plots_judged, plots_paths, plots_scores, plots_search
from autoreg.report.canvas import Drawing, drawn, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: dict[str, tuple[Callable[[StudyRecord], Figure | None], str]] = {
    "estimates": (plots_scores.estimates_figure, "All estimates of the score with their intervals"),
    "finalists": (plots_scores.finalists_figure, "Finalists on fresh folds and their paired differences"),
    "trials": (plots_search.trials_figure, "All trials: score on new folds against score on training rows"),
    "paths": (plots_paths.paths_figure, "Score against the strength of the penalty"),
    "curves": (plots_search.curves_figure, "Learning curves of the winner"),
    "overtuning": (
        plots_search.overtuning_figure,
        "Search score of the best trial so far and its fresh score",
    ),
    "confusion": (plots_judged.confusion_figure, "True against predicted classes"),
    "reliability": (plots_judged.reliability_figure, "Predicted probabilities against observed shares"),
    "residuals": (plots_judged.residuals_figure, "Residuals along the predicted value"),
    "importance": (plots_scores.importance_figure, "Permutation importance of the columns"),
    "before-after": (plots_beside.before_after_figure, "Learning curves of several trials side by side"),
    "surfaces": (
        plots_beside.surfaces_figure,
        "The data, and what several trials predict between the points",
    ),
    "worth": (plots_scores.worth_figure, "What each regularizer of the winner is worth"),
}


def drawings(record: StudyRecord) -> dict[str, Drawing]:
    """Draw all figures that the record has something for."""
    found = {}
    with styled():
        for name, (build, alt) in FIGURES.items():
            figure = build(record)
            if figure is not None:
                found[name] = drawn(name, figure, alt)
    return found
