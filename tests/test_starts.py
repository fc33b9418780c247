"""What a search tries right after the default: what did well on other tables, inside the ranges of this study."""

import pytest
from evidence_data import frame_of

from autoreg.backends import get_backend
from autoreg.planning import Prior, plan
from autoreg.space import Proposer, resolve
from autoreg.spec import parse_study
from autoreg.starts import LONGER, STARTS, TUNED, starts
from autoreg.trial import Choice, Range, Sizes

SIZES = Sizes("binary", 400, 30, 2)
BACKENDS = sorted(STARTS)


def proposed(space, many, backend="xgboost", sampler="tpe"):
    proposer = Proposer(space, sampler, 0, backend)
    return [proposer.ask(n).params for n in range(many)]


def spaces(prior=None, **search):
    raw = {
        "name": "starts",
        "data": {"source": "table", "target": "target"},
        "search": {"backends": BACKENDS, **search},
    }
    return plan(parse_study(raw), frame_of("binary"), prior or Prior()).resolved


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_start_is_one_that_its_backend_can_fit_and_is_inside_its_own_ranges(backend):
    found = get_backend(backend)
    space = resolve(found, SIZES, {}, "tpe", starts=STARTS[backend])
    assert len(space.warm) == len(STARTS[backend]) >= 3
    for start, moved in zip(STARTS[backend], space.warm, strict=True):
        assert set(start) <= set(space.searched)
        found.check(start, "binary")
        assert moved == start


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_of_more_rows_boosting_begins_with_what_did_well_on_many_large_tables(task):
    more = Sizes(task, LONGER, 20, 2)
    assert starts("xgboost", LONGER - 1, task == "regression") == STARTS["xgboost"]
    first, *rest = starts("xgboost", LONGER, task == "regression")
    assert (first, tuple(rest)) == (TUNED[task == "regression"], STARTS["xgboost"])
    found = get_backend("xgboost")
    found.check(first, task)
    moved = resolve(found, more, {}, "tpe", starts=[first]).warm[0]
    assert {name for name in first if moved[name] != first[name]} <= {"min_child_weight"}
    assert starts("sklearn", LONGER, task == "regression") == STARTS["sklearn"]
    assert starts("keras", LONGER, task == "regression") == ()


@pytest.mark.parametrize("backend", BACKENDS)
def test_starts_are_tried_in_their_order_right_after_the_default(backend):
    space = resolve(get_backend(backend), SIZES, {}, "tpe", starts=STARTS[backend])
    default, *rest = proposed(space, len(STARTS[backend]) + 2, backend)
    assert default == space.default
    for start, params in zip(STARTS[backend], rest, strict=False):
        assert {name: params[name] for name in start} == pytest.approx(start)


def test_values_are_moved_into_the_ranges_of_the_study():
    given = {"eta": Range(0.2, 0.3), "max_depth": Choice((2, 3)), "subsample": 1.0}
    starts = ({"eta": 0.05, "max_depth": 8, "subsample": 0.7, "alpha": 0.1}, {"eta": 0.25, "max_depth": 3})
    space = resolve(get_backend("xgboost"), SIZES, given, "tpe", starts=starts)
    assert space.warm == ({"eta": 0.2, "max_depth": 2, "alpha": 0.1}, {"eta": 0.25, "max_depth": 3})
    first = proposed(space, 2)[1]
    assert (first["eta"], first["max_depth"], first["subsample"]) == (pytest.approx(0.2), 2, 1.0)


def test_what_a_range_makes_equal_is_tried_once():
    given = {"eta": Range(0.2, 0.3)}
    starts = ({"eta": 0.01}, {"eta": 0.02}, {"eta": 0.3})
    space = resolve(get_backend("xgboost"), SIZES, given, "tpe", starts=starts)
    assert space.warm == ({"eta": 0.2}, {"eta": 0.3})


@pytest.mark.parametrize("sampler", ["random", "grid", "turns"])
def test_only_a_search_that_learns_begins_so(sampler):
    given = {name: {"penalty": ["l2"], "alpha": [0.1, 1.0]} for name in BACKENDS}
    given["sklearn"] |= {"l1_ratio": [0.5]}
    found = spaces(sampler=sampler, **given)
    assert all(space.warm == () for space in found.values())
    assert all(space.warm for space in spaces(sampler="tpe").values())


def test_what_an_earlier_study_found_comes_first():
    known = {"alpha": 0.5, "penalty": "l1"}
    found = spaces(Prior(warm={"xgboost": (known,)}))["xgboost"]
    assert found.warm[0] == known
    assert found.warm[1:] == spaces()["xgboost"].warm


def test_a_study_that_a_release_with_other_starts_began_is_the_same_study(monkeypatch):
    raw = {"name": "starts", "data": {"source": "table", "target": "target"}}
    now = plan(parse_study(raw), frame_of("binary"))
    monkeypatch.setattr("autoreg.planning.starts", lambda *given: ())
    before = plan(parse_study(raw), frame_of("binary"))
    assert before.digest == now.digest
    assert before.resolved["xgboost"].warm == () != now.resolved["xgboost"].warm
