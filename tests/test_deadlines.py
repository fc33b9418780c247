"""When the parts of a study must be over: all of its time is used, and what comes later has what it needs."""

import dataclasses
import math

import pytest
from evidence_data import frame_of, searched, study
from hypothesis import given
from hypothesis import strategies as st

from autoreg.deadlines import Deadlines
from autoreg.ending import SearchClock, ending
from autoreg.finals import full_cost
from autoreg.ledger import MemoryLedger
from autoreg.outcome import default_numbers
from autoreg.planning import plan
from autoreg.selection import shortlist
from autoreg.trial import SILENT

COSTS = st.one_of(st.floats(0, 1e5), st.just(math.inf))


@given(limit=st.floats(0.01, 1e5), finals=COSTS, shipping=COSTS, ships=st.integers(1, 3))
def test_the_parts_end_in_their_order_and_each_leaves_what_the_next_needs(limit, finals, shipping, ships):
    d = Deadlines(limit, ships)
    ends = [0.0, d.search(finals, shipping), d.fresh(shipping), d.shipped, d.explained, limit]
    assert ends == sorted(ends)
    assert d.search(finals, shipping) >= (0.7 - 0.1 * ships) * limit - 1e-9 * limit
    assert d.fresh(shipping) - d.search(finals, shipping) >= min(finals, 0.2 * limit) - 1e-9 * limit
    assert d.shipped - d.fresh(shipping) >= min(shipping, 0.1 * ships * limit) - 1e-9 * limit


def test_what_follows_the_fits_is_a_tenth_of_a_short_limit_and_a_twentieth_of_a_long_one():
    assert Deadlines(60).shipped == pytest.approx(54)
    assert Deadlines(36_000).shipped == pytest.approx(36_000 - 1806)


@pytest.mark.parametrize(("limit", "left"), [(10, 0.9), (60, 5.4), (120, 7.2), (600, 21.6)])
def test_explanations_leave_time_to_register(limit, left):
    assert limit - Deadlines(limit).explained == pytest.approx(left)


@pytest.fixture(scope="module")
def wine():
    return searched(study(), frame_of("multiclass"))[:2]


def after(planned, records, limit, elapsed=lambda: 0.0):
    return ending(planned, MemoryLedger(), SILENT, limit, elapsed, lambda inner: 0.0)


def costing(records, seconds):
    return [dataclasses.replace(r, result=dataclasses.replace(r.result, seconds=seconds)) for r in records]


def test_a_search_goes_on_until_its_finalists_need_the_rest(wine):
    planned, records = wine
    found = after(planned, records, 600.0)
    assert found.search_until([])[0] == pytest.approx(0.5 * 600 + 60 - 36)  # as if finalists cost no end
    ends = [found.search_until(costing(records, seconds))[0] for seconds in (0.0, 0.1, 1.0, 1e6)]
    assert ends == sorted(ends, reverse=True)
    assert len(set(ends)) == len(ends)
    assert ends[0] == found.search_limit == Deadlines(600).shipped
    quick = costing(records, 0.1)
    listed = shortlist(quick, default_numbers(planned, quick))
    assert found.search_limit - ends[1] > full_cost(
        listed, planned.backends, planned.split, planned.study.split
    )


@pytest.mark.parametrize(
    ("more", "share"), [({}, 0.5), ({"select": {"refit_full": False}}, 0.6), ({"rows": 100}, 0.4)]
)
def test_what_is_fitted_more_than_once_or_on_many_rows_is_left_more_time(more, share):
    planned = plan(study(backends=["sklearn"], **more), frame_of("binary"))
    assert after(planned, [], 600.0).search_until([])[0] == pytest.approx(share * 600 + 60 - 36)


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.0, 1e6])
def test_what_was_begun_may_take_half_of_the_finalists_time(wine, seconds):
    planned, records = wine
    told = costing(records, seconds)
    found = after(planned, told, 600.0)
    end, late = found.search_until(told)
    finals = found.deadlines.fresh(found._shipping(shortlist(told, default_numbers(planned, told)))) - end
    assert late - end == pytest.approx(finals / 2)
    assert late <= found.search_limit


def test_the_clock_of_a_search_follows_its_trials_and_lists_finalists_seldom():
    asked, now = [], 10.0

    def until(told):
        asked.append(len(told))
        return 100.0 - len(told), 103.0 - len(told)

    clock = SearchClock(until, lambda: now)
    assert (clock.left(), clock.grace()) == (90.0, 93.0)
    told, finished = {}, {}
    clock.known = told, finished
    for n in range(1000):
        (finished if n % 2 else told)[n] = None
        left = clock.left()
    assert 90.0 - 1000 <= left <= 90.0 - 900
    assert asked[:12] == [*range(11), 12]
    assert len(asked) < 70
