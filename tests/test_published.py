"""Published figures beside a study's own: matching trials, rows, trials that are drawn."""

import pytest

from autoreg.errors import StudyError
from autoreg.planning import plan
from autoreg.published import as_report, beside, drawn_trials, matching
from autoreg.spec import parse_study
from autoreg.spec_published import FigureSpec, PublishedSpec
from autoreg.trial import State, TrialRecord, TrialResult


def trial(number, cv, params, train=0.9, state=State.COMPLETE, native=None, rounds=()):
    result = TrialResult(state, params, native or {}, cv=cv, train=train, rounds=rounds)
    return TrialRecord(number, "keras", {}, result)


GRID = [
    trial(0, 0.8, {"penalty": "none", "dropout": 0.0, "kernel_l2": 0.0}),
    trial(1, 0.85, {"penalty": "l2", "dropout": 0.0, "kernel_l2": 0.001}, native={"keras.rate": 0.5}),
    trial(2, 0.5, {"penalty": "l2", "dropout": 0.0, "kernel_l2": 0.1}),
    trial(3, 0.6, {"penalty": "l2", "dropout": 0.25, "kernel_l2": 0.1}),
    trial(4, float("nan"), {"penalty": "l2", "dropout": 0.5, "kernel_l2": 0.1}, state=State.FAILED),
]


def figures(*given):
    return PublishedSpec.model_validate({"source": "a page", "figures": list(given)})


@pytest.mark.parametrize(
    ("match", "numbers"),
    [
        ({"kernel_l2": 0.001}, [1]),
        ({"kernel_l2": 0.001 * (1 + 1e-8)}, [1]),
        ({"kernel_l2": 0.00101}, []),
        ({"kernel_l2": 0.1}, [2, 3]),
        ({"kernel_l2": 0.1, "dropout": 0.25}, [3]),
        ({"penalty": "none"}, [0]),
        ({"kernel_l2": 0}, [0]),
        ({"kernel_l2": 0.0, "zca": False, "bias_l1": 0.0}, [0]),
        ({"zca": True}, []),
        ({"rate": 0.5}, [1]),
        ({"keras.rate": 0.5}, [1]),
        ({"penalty": 0.1}, []),
    ],
)
def test_a_figure_stands_beside_the_complete_trials_with_its_values(match, numbers):
    found = matching(list(reversed(GRID)), FigureSpec(match=match, name="x"))
    assert [record.number for record in found] == numbers


def test_rows_hold_both_sides_part_by_part():
    spec = figures(
        {"name": "weak", "match": {"kernel_l2": 0.001}, "train": 1.0, "test": 0.914, "says": "good"},
        {"match": {"kernel_l2": 0.1}, "test": 0.525},
        {"name": "never run", "match": {"kernel_l2": 7.0}, "test": 0.1},
    )
    first, second, strong, absent = beside(GRID, spec)
    assert (first.part, first.published, first.ours, first.says) == ("train", 1.0, 0.9, "")
    assert (second.part, second.published, second.ours, second.says) == ("test", 0.914, 0.85, "good")
    assert strong.name == "kernel_l2=0.1"
    assert (strong.ours, strong.low, strong.high) == (pytest.approx(0.55), 0.5, 0.6)
    assert strong.trials == (2, 3)
    assert (absent.ours, absent.low, absent.high, absent.trials) == (None, None, None, ())


def test_a_figure_in_words_alone_shows_what_was_found():
    (row,) = beside(GRID, figures({"match": {"kernel_l2": 0.001}, "says": "a big leap"}))
    assert (row.part, row.published, row.ours, row.says) == ("test", None, 0.85, "a big leap")


@pytest.mark.parametrize(("best", "patience", "ran"), [(3, 2, 5), (9, 2, 10), (10, 10, 10)])
def test_epochs_are_those_it_went_through(best, patience, ran):
    stopped = trial(0, 0.9, {"epochs": 10, "patience": patience}, rounds=(best,))
    (row,) = beside([stopped], figures({"name": "stopped", "epochs": 5}))
    assert row.ours == ran


def test_epochs_of_a_model_without_are_unknown():
    assert beside([trial(0, 0.9, {})], figures({"name": "linear", "epochs": 5}))[0].ours is None


def test_a_result_says_nothing_where_nothing_was_published():
    assert as_report(GRID, PublishedSpec()) == {}
    told = as_report(GRID, figures({"name": "all", "test": 0.7}))["published"]
    assert told["source"] == "a page"
    assert told["rows"][0]["trials"] == (0, 1, 2, 3)


def test_four_trials_at_most_are_drawn_each_once():
    every = figures(*({"name": str(r.number), "match": dict(r.result.params)} for r in GRID), {"name": "any"})
    named = [(name, record.number) for name, record in drawn_trials(GRID, every, GRID[1])]
    assert named == [("0", 0), ("1", 1), ("2", 2), ("3", 3)]


def test_without_published_figures_the_first_trial_and_the_winner_are_drawn():
    assert [r.number for _, r in drawn_trials(GRID, PublishedSpec(), GRID[2])] == [0, 2]
    assert [r.number for _, r in drawn_trials(GRID, PublishedSpec(), GRID[0])] == [0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"test": 0.5}], "needs a name"),
        ([{"name": "a", "test": 0.5}, {"name": "a"}], "found 'a' twice"),
        ([{"name": "a", "tset": 0.5}], "unknown key 'published.figures.0.tset'"),
        ([{"name": "a", "epochs": 0}], "greater than 0"),
        ([{"name": "a", "match": {"C": [1, 2]}}], "published.figures.0.match.C"),
    ],
)
def test_figures_that_say_nothing_clear_are_refused(given, message):
    study = {"name": "s", "data": {"source": "x.csv", "target": "y"}, "published": {"figures": given}}
    with pytest.raises(StudyError, match=message):
        parse_study(study)


def test_what_was_published_is_no_part_of_what_identifies_a_study():
    study = {
        "name": "s", "data": {"source": "sklearn:iris", "target": "target"}, "search": {"backends": ["sklearn"]}
    }  # fmt: skip
    told = {**study, "published": {"figures": [{"name": "a", "test": 0.5}]}}
    assert plan(parse_study(study)).digest == plan(parse_study(told)).digest
