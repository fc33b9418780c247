"""The sections of the page in order; one whose body is empty is left out, with its line in the contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autoreg.record import StudyRecord
from autoreg.report import sections_beside, sections_model, sections_search
from autoreg.report.markup import Html

Body = Callable[[StudyRecord, Mapping[str, str]], Html]


@dataclass(frozen=True)
class Section:
    """A section: its anchor, its line in the contents, its title, how to read it, and what fills it."""

    key: str
    short: str
    title: str
    how: str
    body: Body


SECTIONS = (
    Section(
        "published", "Published figures", "Published figures beside ours",
        "How to read this: what the source of this experiment reports, and what the same settings gave here. A score on few rows "
        "moves by one row at a time, and a network's also with its random start.",
        sections_beside.published,
    ),
    Section(
        "before-after", "Before and after", "Before and after",
        "How to read this: one column a trial, on common axes. Lines that part mean overfitting: the training rows are learned by heart, "
        "the others are not. Lines that stay together, but poor, mean underfitting.",
        sections_beside.before_after,
    ),
    Section(
        "surfaces", "The data", "What the trials make of the data",
        "How to read this: full dots are training rows, hollow ones the others; the colour between them is what the trial predicts there. A border "
        "that winds around single dots has learned noise.",
        sections_beside.surfaces,
    ),
    Section(
        "shipped", "Winner", "What won, and what is shipped",
        "The winner is the configuration that did best; what is shipped may be one model of it, an average of several (a bag), "
        "or a weighted mix of configurations (a blend).",
        sections_model.shipped,
    ),
    Section(
        "estimates", "Estimates", "All estimates side by side",
        "How to read this: every line answers “how good is it?” in its own way, the most flattering first; believe the one "
        "that is marked.",
        sections_model.estimates_body,
    ),
    Section(
        "finalists", "Finalists", "Finalists, scored again on fresh folds",
        "How to read this: the best of the search were run again on new random folds, so that luck in the search does not decide. "
        "A difference smaller than its standard error is no difference.",
        sections_search.finalists,
    ),
    Section(
        "trials-figure", "Fit of all trials", "Over- and underfitting of all trials",
        "How to read this: on the line a configuration is as good on new rows as on those it was trained on. The further from the "
        "line, the more it memorized; on the line but poor means it was held back too much.",
        sections_search.trials_figure,
    ),
    Section(
        "paths", "Regularization", "How strongly to regularize",
        "How to read this: each dot is a trial with a bar of one standard error, the line joins the best of each stretch. Too weak "
        "a penalty (left) overfits, too strong a one (right) underfits; shaded strips are the ends of what was searched.",
        sections_search.paths,
    ),
    Section(
        "curves", "Learning curves", "How the winner learned",
        "How to read this: training stops where the loss on rows it is not fitted on is lowest; a growing distance between the lines "
        "is overfitting. Means over the folds that still trained.",
        sections_search.curves,
    ),
    Section(
        "overtuning", "Overtuning", "Did searching longer still help?",
        "How to read this: the line is what the search believed, the diamonds what the same trials scored on fresh folds. Where the line "
        "goes on improving and the diamonds do not, the search was fitting noise.",
        sections_search.overtuning,
    ),
    Section(
        "judged", "Errors", "What it gets right and wrong",
        "How to read this: drawn from rows that the judged model was not fitted on.",
        sections_model.judged,
    ),
    Section(
        "features", "Features", "Which columns matter",
        "How to read this: a column is important when shuffling it makes the score worse; columns that say the same thing can stand in "
        "for each other and then look unimportant both.",
        sections_model.features,
    ),
    Section(
        "worth", "Worth of regularizers", "What each regularizer is worth",
        "How to read this: each is switched off in turn and the winner fitted anew; to the right of zero means that it helps, "
        "whiskers that cross zero mean that it may do nothing.",
        sections_model.worth,
    ),
    Section(
        "trials", "Trials", "Trials",
        "How to read this: sorted by the loss that the search minimizes; gap is how much better a trial is on its training rows than "
        "on new ones.",
        sections_search.trials_table,
    ),
    Section(
        "cautions", "Cautions and events", "Cautions and events",
        "Why a figure may mislead, and what happened on the way.",
        sections_model.cautions,
    ),
    Section(
        "provenance", "Provenance", "Where this comes from",
        "Data, division and run: enough to find it all again.",
        sections_model.provenance,
    ),
)  # fmt: skip
