import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.backends import get_backend
from autoreg.coding import decode, encode
from autoreg.errors import StudyError
from autoreg.space import Proposer, derive_seed, resolve
from autoreg.trial import Choice, Range, Sizes, State, TrialResult

SIZES = Sizes("binary", 400, 30, 2)


def space(given=None, sampler="tpe", backend="xgboost"):
    return resolve(get_backend(backend), SIZES, given or {}, sampler)


@given(
    low=st.floats(1e-6, 1.0),
    ratio=st.floats(1.5, 1e4),
    log=st.booleans(),
    off=st.booleans(),
    share=st.floats(0, 1),
)
def test_a_value_in_range_survives_coding(low, ratio, log, off, share):
    d = Range(low, low * ratio, log=log, off=off)
    value = min(max(low + share * (d.high - low), d.low), d.high)
    assert math.isclose(decode(d, encode(d, value)), value, rel_tol=1e-9)


@pytest.mark.parametrize("log", [False, True])
def test_off_is_reached_exactly_and_often(log):
    d = Range(0.05, 0.6, log=log, off=True)
    assert decode(d, encode(d, 0)) == 0.0
    proposer = Proposer(space({"gamma": d}), "random", 0, "xgboost")
    values = [proposer.ask(n).params["gamma"] for n in range(400)]
    assert 0.25 < sum(v == 0 for v in values) / len(values) < 0.42
    assert all(v == 0 or 0.05 <= v <= 0.6 for v in values)


def test_the_first_trial_is_the_library_default_moved_into_what_is_pinned():
    free, pinned = (
        space().default,
        space({"eta": Range(0.01, 0.1), "max_depth": 3, "alpha": [2.0, 4.0][0]}).default,
    )
    assert (free["eta"], free["max_depth"], free["rounds"]) == (0.3, 6, 100)
    assert (pinned["eta"], pinned["max_depth"], pinned["alpha"]) == (0.1, 3, 2.0)


def test_proposals_depend_on_seed_number_and_results_alone():
    def run(seed):
        proposer = Proposer(space(), "tpe", seed, "xgboost")
        out = []
        for n in range(25):
            asked = proposer.ask(n)
            proposer.tell(asked, TrialResult(State.COMPLETE, asked.params, loss=float(asked.params["eta"])))
            out.append(asked.params)
        return out

    assert run(1) == run(1) != run(2)


def test_a_recorded_trial_is_proposed_again_whatever_the_sampler_would_say():
    first = Proposer(space(), "tpe", 0, "xgboost")
    first.ask(0)
    asked = first.ask(1)
    again = Proposer(space(), "tpe", 99, "xgboost")
    again.ask(0)
    assert again.ask(1, recorded=asked.coded).params == asked.params


def test_shared_names_are_taken_over():
    proposer = Proposer(space({"max_depth": Choice((2, 4, 8))}), "tpe", 0, "xgboost")
    proposer.ask(0)
    assert {proposer.ask(n, shared={"max_depth": 4}).params["max_depth"] for n in range(1, 20)} == {4}


def test_outcomes_reach_the_sampler_as_states():
    proposer = Proposer(space(), "tpe", 0, "xgboost")
    proposer.ask(0)
    for n, result in enumerate(
        (
            TrialResult(State.COMPLETE, {}, loss=0.5),
            TrialResult(State.PRUNED, {}, loss=0.9, fold_losses=(0.8, 1.0)),
            TrialResult(State.FAILED, {}, reason="diverged"),
            TrialResult(State.COMPLETE, {}, loss=math.inf),
        ),
        start=1,
    ):
        proposer.tell(proposer.ask(n), result)
    assert [t.state.name for t in proposer.study.trials] == ["COMPLETE", "PRUNED", "FAIL", "FAIL"]
    assert proposer.seen.ranks == {2: (-math.inf, 0.5), 3: (-2, 0.9)}  # of the others nothing can be learned
    assert set(proposer.seen.params) == {2, 3}


def test_a_grid_tries_every_combination_once_and_no_default():
    given = {"max_depth": Choice((2, 4)), "eta": Choice((0.1, 0.2, 0.3))}
    proposer = Proposer(space(given, "grid"), "grid", 0, "xgboost")
    assert proposer.capacity == 6
    seen = [(p["max_depth"], p["eta"]) for p in (proposer.ask(n).params for n in range(6))]
    assert sorted(seen) == [(a, b) for a in (2, 4) for b in (0.1, 0.2, 0.3)]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_small_space_is_tried_whole_the_default_first(sampler):
    pinned = {n: d for n, d in space().default.items() if n not in ("eta", "max_depth")}
    given = {**pinned, "max_depth": Choice((2, 4, 6)), "eta": Choice((0.1, 0.3))}
    proposer = Proposer(space(given), sampler, 0, "xgboost")
    assert proposer.capacity == 6
    seen = [(p["max_depth"], p["eta"]) for p in (proposer.ask(n).params for n in range(6))]
    assert seen[0] == (6, 0.3)
    assert len(set(seen)) == 6
    again = Proposer(space(given), sampler, 0, "xgboost")
    assert [(p["max_depth"], p["eta"]) for p in (again.ask(n).params for n in range(6))] == seen


def test_a_grid_over_a_range_is_refused():
    with pytest.raises(StudyError, match="eta.*grid needs a list"):
        space({"eta": Range(0.1, 0.3)}, "grid")


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(StudyError, match="max_depth"):
        space({"max_deph": 3})


def test_seeds_differ_by_every_part():
    assert len({derive_seed(s, b, n) for s in range(3) for b in "ab" for n in range(50)}) == 300


def proposed(proposer, numbers):
    """Ask and tell; the loss falls with the learning step, every fifth trial is pruned, every seventh fails."""
    asked = []
    for n in numbers:
        asked.append(proposer.ask(n))
        loss = 1.0 - math.log10(float(asked[-1].params["eta"]))
        state = State.FAILED if n % 7 == 6 else State.PRUNED if n % 5 == 4 else State.COMPLETE
        proposer.tell(asked[-1], TrialResult(state, {}, loss=loss, fold_losses=(loss, loss)))
    return asked


GAMMA = Range(0.05, 0.5, log=True, off=True, extend=True)


def test_a_wider_space_holds_the_former_trials_with_the_same_meaning():
    proposer = Proposer(space({"gamma": GAMMA}), "tpe", 0, "xgboost")
    asked = proposed(proposer, range(20))
    before = dict(proposer.seen.ranks)
    proposer.widen({"gamma": (0.005, 0.5)})
    assert proposer.seen.ranks == before
    assert {place: proposer.space.decode(coded) for place, coded in proposer.seen.params.items()} == {
        a.place: a.params for a in asked[1:] if a.place in before
    }
    assert sum(a.params["gamma"] == 0 for a in asked) > 2
    values = [a.params["gamma"] for a in proposed(proposer, range(20, 70))]
    assert all(v == 0 or 0.005 <= v <= 0.5 for v in values)
    assert any(0 < v < 0.05 for v in values)
    assert 0 in values


def test_trials_that_are_under_way_are_told_in_the_wider_space():
    proposer = Proposer(space({"gamma": GAMMA}), "tpe", 0, "xgboost")
    proposed(proposer, range(5))
    late = [proposer.ask(n) for n in (5, 6, 7)]
    proposer.widen({"gamma": (0.05, 5.0)})
    assert [t.state.name for t in proposer.study.trials] == ["RUNNING"] * 3
    for n, (asked, state) in enumerate(zip(late, (State.COMPLETE, State.PRUNED, State.FAILED), strict=True)):
        proposer.tell(asked, TrialResult(state, {}, loss=float(n), fold_losses=(1.0, 2.0)))
    assert [t.state.name for t in proposer.study.trials] == ["COMPLETE", "PRUNED", "FAIL"]
    assert [t.value for t in proposer.study.trials[:2]] == [0.0, 1.0]
    assert list(proposer.seen.ranks.items())[-2:] == [(6, (-math.inf, 0.0)), (7, (-2, 1.0))]


def test_proposals_after_a_widening_depend_on_nothing_else_either():
    def run(recorded):
        proposer, out = Proposer(space({"gamma": GAMMA}), "tpe", 3, "xgboost"), []
        for n in range(40):
            if n == 15:
                proposer.widen({"gamma": (0.005, 0.5), "eta": (space().dimensions["eta"].low, 1.0)})
            asked = proposer.ask(n, recorded.get(n))
            proposer.tell(
                asked, TrialResult(State.COMPLETE, {}, loss=abs(float(asked.params["gamma"]) - 0.02))
            )
            out.append(asked)
        return out

    whole = run({})
    for kept in (10, 16, 30):
        again = run({n: a.coded for n, a in enumerate(whole[:kept])})
        assert [a.params for a in again] == [a.params for a in whole]


def test_built_in_ranges_may_be_extended_and_those_of_the_study_when_it_says_so():
    built_in = space().dimensions
    assert {n for n, d in built_in.items() if isinstance(d, Range) and d.extend} == {
        "alpha",
        "eta",
        "gamma",
        "min_child_weight",
    }
    given = space(
        {"alpha": Range(0.1, 1.0, log=True), "eta": Range(0.1, 0.3, log=True, extend=True)}
    ).dimensions
    assert (given["alpha"].extend, given["eta"].extend) == (False, True)
    with pytest.raises(StudyError, match=r"search\.xgboost\.patience: extend.*whole numbers"):
        space({"patience": Range(5, 10, log=True, extend=True)})


def bowl(asked):
    return sum(float(v) ** 2 for v in asked.params.values() if not isinstance(v, str | bool))


def proposals(trials, kept=None, seed=0, sampler="tpe", searched=None):
    """Coded proposals of a small study with a lookahead of 3, and the proposer."""
    proposer = Proposer(searched or space(), sampler, seed, "xgboost")
    asked = []
    for n in range(trials):
        asked.append(proposer.ask(n, kept[n] if kept and n < len(kept) else None))
        if n >= 3:
            state = State.PRUNED if n % 5 == 0 else State.FAILED if n % 7 == 0 else State.COMPLETE
            told = TrialResult(state, {}, loss=bowl(asked[n - 3]), fold_losses=(1.0,))
            proposer.tell(asked[n - 3], told)
    return [a.coded for a in asked], proposer


WHOLE = {"max_depth": Range(1, 12, integer=True), "patience": Range(5, 500, log=True, integer=True)}


@pytest.mark.parametrize(
    ("seed", "searched"),
    [
        (0, space()),
        (1, space(WHOLE)),
        (2, space({**WHOLE, "gamma": GAMMA})),
        (3, space(backend="keras")),
        (4, space(backend="sklearn")),
    ],
)
def test_proposals_are_those_of_optunas_own_tpe(monkeypatch, seed, searched):
    import optuna

    def plain(seen, seed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # multivariate TPE is announced as experimental
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)

    ours, _ = proposals(90, seed=seed, searched=searched)
    monkeypatch.setattr("autoreg.sampler.KnownSpaceSampler", plain)
    theirs, _ = proposals(90, seed=seed, searched=searched)
    assert len({str(sorted(coded.items())) for coded in ours}) > 50
    for mine, other in zip(ours, theirs, strict=True):
        numbers = {name: value for name, value in other.items() if not isinstance(value, str | bool)}
        assert {name: mine[name] for name in numbers} == pytest.approx(numbers, rel=1e-6)
        assert {k: v for k, v in mine.items() if k not in numbers} == {
            k: v for k, v in other.items() if k not in numbers
        }


def test_a_long_study_keeps_its_best_and_its_latest_trials(monkeypatch):
    from autoreg import sampler

    searched = space({"max_leaves": 0})  # whose best trials are early ones
    whole, everything = proposals(60, searched=searched)
    monkeypatch.setattr(sampler, "KEPT", 20)
    monkeypatch.setattr(sampler, "SLACK", 10)
    monkeypatch.setattr(sampler, "BEST", 5)
    few, proposer = proposals(60, searched=searched)
    seen, every = proposer.seen, everything.seen
    assert len(seen.ranks) <= 30 < len(every.ranks)
    assert len(seen.params) - len(seen.ranks) == 3  # open ones
    assert few[:30] == whole[:30]
    assert few != whole
    assert {*sorted(every.ranks[place] for place in every.ranks if place < 29)[:2]} <= set(
        seen.ranks.values()
    )
    assert list(seen.params.values())[-4:] == few[-4:]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_optunas_study_stays_short_and_proposals_are_the_same(monkeypatch, sampler):
    whole, everything = proposals(60, sampler=sampler)
    monkeypatch.setattr("autoreg.space.LONG", 10)
    lean, proposer = proposals(60, sampler=sampler)
    assert lean == whole
    assert len(everything.study.get_trials()) == 59
    assert len(proposer.study.get_trials()) <= 15


def test_a_thinned_study_is_the_same_when_it_is_replayed(monkeypatch):
    from autoreg import sampler

    for name, number in (("KEPT", 20), ("SLACK", 10), ("BEST", 5)):
        monkeypatch.setattr(sampler, name, number)
    whole, _ = proposals(60)
    assert proposals(45)[0] == whole[:45]
    assert proposals(60, kept=whole[:40])[0] == whole


def test_a_range_that_became_wider_is_thinned_with_its_open_trials(monkeypatch):
    from autoreg import sampler

    for name, number in (("KEPT", 20), ("SLACK", 10), ("BEST", 5)):
        monkeypatch.setattr(sampler, name, number)
    proposer = Proposer(space({"eta": Range(0.01, 0.1, log=True)}), "tpe", 0, "xgboost")
    asked = [proposer.ask(n) for n in range(3)]
    for n in range(3, 50):
        if n in (20, 36):
            proposer.widen({"eta": (0.01 / n, 0.1)})
        asked.append(proposer.ask(n))
        proposer.tell(asked[n - 3], TrialResult(State.COMPLETE, {}, loss=float(n)))
    ranks = [loss for _, loss in proposer.seen.ranks.values()]
    assert ranks[-2:] == [48.0, 49.0]
    assert min(ranks) == 4.0
    assert len(proposer.seen.params) - len(ranks) == 3
    assert proposer.seen.space["eta"].low == 0.01 / 36
    assert {t.distributions["eta"].low for t in proposer.study.get_trials()} == {0.01 / 36}
