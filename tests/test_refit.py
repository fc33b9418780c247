"""A configuration that is fitted again on all rows: for how long, and what that costs."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_data import frame_of, searched, study

from autoreg.refit import cost_of_many, refit, refit_cost
from autoreg.selection import copies, stopping_point


def one(rows="all", **boosted):
    """A plan and its one trial beside the library's default."""
    own = {"rounds": 300, "eta": 0.1, "patience": 10, **boosted}
    parsed = study(rows=rows, split={"estimate": "none"}, backends=["xgboost"], trials=2, xgboost=own)
    given, records, _ = searched(parsed, frame_of("regression"))
    return given, max(records, key=lambda r: r.number)


def more_rows(given):
    return len(given.split.search) / np.mean([len(fold.train) for fold in given.split.folds])


def fitted_rounds(given, record):
    ((_, member, _),) = refit(given, record, None, 1)
    return member.booster.num_boosted_rounds()


def test_boosting_takes_more_rounds_on_more_rows():
    given, record = one()
    found = stopping_point(record.result.rounds)
    assert fitted_rounds(given, record) == round(found * more_rows(given)) > found


@pytest.mark.parametrize(
    ("own", "why"), [({"patience": 0}, "nothing told"), ({"dropout": 0.2}, "all were run")]
)
def test_rounds_that_no_stop_part_chose_stay_as_they_are(own, why):
    given, record = one(rounds=20, **own)
    assert fitted_rounds(given, record) == 20, why


def test_a_study_s_own_number_of_rounds_is_never_passed():
    given, record = one()
    found = stopping_point(record.result.rounds)
    short = replace(
        record, result=replace(record.result, params={**record.result.params, "rounds": found + 1})
    )
    assert fitted_rounds(given, short) == found + 1


def test_the_cost_of_a_fit_counts_its_rows_and_its_rounds():
    given, record = one()
    folds, more = len(given.split.folds), more_rows(given)
    timed = replace(record, result=replace(record.result, seconds=6.0, rounds=(100,) * folds))
    copied = copies(timed, given.backends["xgboost"].rank)
    assert refit_cost(given, timed) == pytest.approx(6 / folds * copied * more**2, rel=0.01)
    constant = replace(timed, result=replace(timed.result, rounds=(0,) * folds))
    assert refit_cost(given, constant) == pytest.approx(6 / folds * copied * more)


def test_where_trials_see_a_sample_the_rounds_of_its_folds_say_little():
    given, record = one(rows=120)
    timed = replace(record, result=replace(record.result, seconds=6.0, rounds=(100,)))
    assert cost_of_many(given, timed) == pytest.approx(2 * 6 / len(given.split.folds) * more_rows(given))
