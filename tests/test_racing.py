"""Who leaves the race, and which ranges were too narrow."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.backends import get_backend
from autoreg.errors import StudyError
from autoreg.racing import Judge, Ranking, crowded_end, crowds, improvement, share_above_zero, verdict
from autoreg.trial import Extension, Range, State, TrialRecord, TrialResult


def trials(losses, backend="a", first=0, **params):
    """Trials with these losses (None: failed); keyword values are lists over trials."""
    return [
        TrialRecord(
            first + i,
            backend,
            {},
            TrialResult(
                State.FAILED if loss is None else State.COMPLETE,
                {name: values[i] for name, values in params.items()},
                loss=math.nan if loss is None else loss,
                fold_losses=() if loss is None else (loss - 0.1, loss, loss + 0.1),
            ),
        )
        for i, loss in enumerate(losses)
    ]


# -- the bootstrap ---------------------------------------------------------------------------------------------


def test_the_share_of_draws_is_that_of_a_normal_mean():
    values = np.random.default_rng(0).normal(0.1, 1.0, 400)
    z = values.mean() / (values.std() / math.sqrt(len(values)))
    expected = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    assert share_above_zero(values, None, None, 0) == pytest.approx(expected, abs=0.03)


def test_pooled_rows_give_the_share_of_single_ones(monkeypatch):
    values = np.random.default_rng(1).normal(0.03, 1.0, 3000)
    monkeypatch.setattr("autoreg.racing.POOLS", 3000)
    whole = share_above_zero(values, None, None, 0)
    monkeypatch.setattr("autoreg.racing.POOLS", 1000)
    assert share_above_zero(values, None, None, 0) == pytest.approx(whole, abs=0.03)


def test_rows_of_a_group_are_drawn_together():
    values = np.concatenate([np.full(300, 0.2), np.full(100, -0.1)])
    group = np.repeat(np.arange(4), 100)
    assert share_above_zero(values, None, None, 0) == 1.0
    assert share_above_zero(values, None, group, 0) < 0.999
    alone = share_above_zero(np.array([0.2, 0.2, 0.2, -0.1]), None, None, 0)
    assert share_above_zero(values, None, group, 0) == alone


def test_weights_decide_and_equal_predictions_are_never_worse():
    values, weight = np.array([1.0, -1.0] * 50), np.array([3.0, 1.0] * 50)
    assert share_above_zero(values, weight, None, 0) > 0.99 > share_above_zero(values, None, None, 0)
    assert share_above_zero(np.zeros(50), None, None, 0) == 0.0
    assert share_above_zero(np.zeros(0), None, None, 0) == 0.0


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.05, 0.1, 0.12, 0.15, 1.0])
def test_a_share_that_stops_early_falls_on_the_same_side(shift):
    values = np.random.default_rng(3).normal(shift, 1.0, 500)
    whole, early = (share_above_zero(values, None, None, 0, least) for least in (0.0, 0.99))
    assert (early > 0.99) == (whole > 0.99)
    assert early == whole or early <= 0.99


def test_rows_without_a_prediction_do_not_count():
    truth = np.array([0.0, 1.0, 2.0, 3.0])
    judge = Judge("regression", lambda p: (p - truth) ** 2)
    mine, theirs = np.array([1.0, 2.0, np.nan, 4.0]), np.array([0.5, 1.5, 2.0, np.nan])
    assert judge.worse(mine, theirs, 0) == 1.0
    assert judge.worse(theirs, mine, 0) == 0.0


# -- the race --------------------------------------------------------------------------------------------------


def surely(leader):
    return 1.0


def test_nobody_leaves_before_fifteen_trials_of_each():
    flat, good = [0.5] * 15, [0.3] * 15
    assert "0.5 against 0.3 of b" in verdict("a", {"a": trials(flat), "b": trials(good)}, surely)
    assert verdict("a", {"a": trials(flat[1:]), "b": trials(good)}, surely) is None
    assert verdict("a", {"a": trials(flat), "b": trials(good[1:])}, surely) is None
    three = {"a": trials(flat), "b": trials(good), "c": trials([0.9] * 14)}
    assert verdict("a", three, surely) is None


def test_the_leader_stays_and_so_does_the_last():
    told = {"a": trials([0.5] * 20), "b": trials([0.3] * 20)}
    assert verdict("b", told, surely) is None
    assert verdict("a", {"a": told["a"]}, surely) is None
    assert verdict("a", {"a": trials([0.5] * 20), "b": trials([0.5] * 20)}, surely) is None


def test_who_is_not_surely_worse_stays():
    told = {"a": trials([0.5] * 20), "b": trials([0.3] * 20)}
    asked = []

    def unsure(leader):
        asked.append(leader)
        return 0.99

    assert verdict("a", told, unsure) is None
    assert asked == ["b"]
    assert verdict("a", told, lambda leader: 0.9905)


def test_who_still_improves_by_as_much_as_it_lacks_stays():
    rising = [0.8] * 10 + [0.5] * 5
    assert improvement(rising) == pytest.approx(0.3)
    assert verdict("a", {"a": trials(rising), "b": trials([0.21] * 15)}, surely) is None
    assert verdict("a", {"a": trials(rising), "b": trials([0.19] * 15)}, surely)


def test_a_backend_whose_first_fit_came_late_is_still_improving():
    late = [None] * 12 + [0.5] * 4
    assert improvement([math.inf] * 12 + [0.5] * 4) == math.inf
    assert verdict("a", {"a": trials(late), "b": trials([0.1] * 15)}, surely) is None


def test_fifteen_failures_and_no_success_end_it_unless_all_fail():
    failed = trials([None] * 15)
    assert "none of its 15 trials completed" in verdict("a", {"a": failed, "b": trials([0.3])}, surely)
    assert verdict("a", {"a": failed[1:], "b": trials([0.3] * 15)}, surely) is None
    assert verdict("a", {"a": failed, "b": trials([None] * 15)}, surely) is None
    assert verdict("a", {"a": failed, "b": []}, surely) is None


@given(
    mine=st.lists(st.none() | st.floats(0, 1), max_size=20),
    theirs=st.lists(st.none() | st.floats(0, 1), max_size=20),
)
def test_of_two_at_most_one_leaves(mine, theirs):
    told = {"a": trials(mine), "b": trials(theirs)}
    words = [verdict(name, told, surely) for name in told]
    assert None in words
    assert all(w is None or len(told[n]) >= 15 for n, w in zip(told, words, strict=True))


# -- crowded ranges --------------------------------------------------------------------------------------------

WIDE = Range(0.01, 1.0, log=True, extend=True)


def crowding(values, losses=None, first=0):
    return trials(losses or [float(i) for i in range(len(values))], "sklearn", first, alpha=list(values))


SPREAD = [0.02 * 1.3**i for i in range(13)]


def test_three_of_the_best_four_near_an_end_crowd_it():
    assert crowded_end("alpha", WIDE, crowding([0.9, 0.95, 0.1, 1.0, *SPREAD])) == "upper"
    assert crowded_end("alpha", WIDE, crowding([0.011, 0.012, 0.015, 0.3, *SPREAD])) == "lower"
    assert crowded_end("alpha", WIDE, crowding([0.9, 0.95, 0.1, 0.1, *SPREAD])) is None


def test_near_is_a_tenth_of_the_width_on_the_log_scale():
    near, far = 10**-0.19, 10**-0.21
    assert crowded_end("alpha", WIDE, crowding([near] * 4 + SPREAD)) == "upper"
    assert crowded_end("alpha", WIDE, crowding([far] * 4 + SPREAD)) is None


def test_of_many_trials_the_best_fifteen_per_cent_count():
    values = [1.0] * 5 + [0.1] * 55
    assert crowded_end("alpha", WIDE, crowding(values)) is None
    assert crowded_end("alpha", WIDE, crowding([1.0] * 7 + [0.1] * 53)) == "upper"


def test_pruned_trials_count_by_what_they_lack_in_the_folds_they_have():
    """The first fold is easy: the mean of a pruned trial over two folds is below the best trial's over three."""

    def scored(i, alpha, state, lack=None):
        worse = float(i) if lack is None else lack
        folds = (worse, 10.0 + worse, 20.0 + worse)[: 3 if state is State.COMPLETE else 2]
        loss = sum(folds) / len(folds)
        return TrialRecord(
            i, "sklearn", {}, TrialResult(state, {"alpha": alpha}, loss=loss, fold_losses=folds)
        )

    told = [scored(i, 1.0, State.COMPLETE) for i in range(2)]
    told += [scored(2 + i, 1.0, State.PRUNED) for i in range(2)]
    told += [scored(4 + i, alpha, State.PRUNED, 4 + i / 10) for i, alpha in enumerate(SPREAD)]
    assert crowded_end("alpha", WIDE, told) == "upper"
    assert crowded_end("alpha", WIDE, told[2:] * 2) is None
    told[2:4] = [scored(n, 1.0, State.COMPLETE) for n in (2, 3)]
    assert crowded_end("alpha", WIDE, told) == "upper"


def test_twelve_trials_of_the_range_as_it_is():
    values = [1.0] * 4 + SPREAD[:8]
    assert crowded_end("alpha", WIDE, crowding(values)) == "upper"
    assert crowded_end("alpha", WIDE, crowding(values), since=1) is None
    assert crowded_end("alpha", WIDE, crowding(values[:11])) is None
    failed = crowding(values, [None, *map(float, range(11))])
    assert crowded_end("alpha", WIDE, failed) is None


def test_values_without_effect_do_not_count_and_the_best_must_have_one():
    values = [0.9, 0.0, 0.95, 0.0, 0.92, 0.99, *SPREAD]
    assert crowded_end("alpha", WIDE, crowding(values)) == "upper"
    assert crowded_end("alpha", WIDE, crowding([0.0, *values])) is None
    assert crowded_end("beta", WIDE, crowding(values)) is None


def found(now, told, before=(), name="alpha", backend="sklearn", first=None):
    def possible(key, dimension):
        try:
            get_backend(backend).check({key: dimension}, "binary")
        except StudyError:
            return False
        return True

    return crowds({name: first or now}, {name: now}, Ranking().take(told), list(before), possible)


def test_an_end_moves_tenfold_at_most_twice():
    told = crowding([1.0] * 4 + SPREAD)
    (crowd,) = found(WIDE, told)
    assert (crowd.end, crowd.value, crowd.wider.low, crowd.wider.high) == ("upper", 1.0, 0.01, 10.0)
    before = [Extension(0, "sklearn", "alpha", 0.01, 10.0)]
    again = crowding([10.0] * 4 + SPREAD, first=1)
    wide = Range(0.01, 10.0, log=True, extend=True)
    assert found(wide, again, before, first=WIDE)[0].wider.high == 100.0
    before.append(Extension(0, "sklearn", "alpha", 0.01, 100.0))
    widest = Range(0.01, 100.0, log=True, extend=True)
    assert found(widest, crowding([100.0] * 4 + SPREAD), before, first=WIDE) == []
    low = found(widest, crowding([0.01] * 4 + SPREAD), before, first=WIDE)
    assert low[0].wider.low == pytest.approx(0.001)


def test_whole_numbers_and_linear_ranges_never_move():
    told = crowding([1.0] * 4 + SPREAD)
    assert found(Range(0.01, 1.0), told) == []
    assert found(Range(1, 2, log=True, integer=True), told) == []
    assert found(0.5, told) == []


def test_hard_limits_of_the_backend_hold():
    told = trials([float(i) for i in range(16)], subsample=[1.0] * 4 + [0.3] * 12)
    assert found(Range(0.1, 1.0, log=True), told, name="subsample", backend="xgboost") == []


@pytest.mark.parametrize(("high", "wider"), [(0.3, 1.0), (0.05, 0.5), (0.9, None), (1.0, None)])
def test_a_step_size_stops_at_one(high, wider):
    told = trials([float(i) for i in range(16)], eta=[high] * 4 + [high / 8] * 12)
    crowd = found(Range(high / 50, high, log=True), told, name="eta", backend="xgboost")
    assert [c.wider.high for c in crowd] == ([] if wider is None else [wider])


def test_a_ranking_that_grows_is_the_one_made_at_once():
    rng = np.random.default_rng(0)
    states = [State.PRUNED, State.FAILED, *[State.COMPLETE] * 4]
    told = []
    for n, folds in enumerate(rng.random((80, 3)).round(1)):  # rounded, so that some are equal
        state = states[n % 6]
        kept = tuple(folds[: 1 if state is State.PRUNED else 3])
        result = TrialResult(state, {"alpha": float(n % 3)}, loss=float(np.mean(kept)), fold_losses=kept)
        told.append(TrialRecord(n, "a", {}, result))
    growing = Ranking()
    for end in range(1, 81):
        growing.take(told[:end])
        whole = Ranking().take(told[:end])
        assert growing.order().tolist() == whole.order().tolist()
        assert growing.values("alpha").tolist() == whole.values("alpha").tolist()
    best = growing.numbers()[growing.order()][0]
    scored = [r for r in told if r.result.state is State.COMPLETE]
    assert (
        best == min(scored, key=lambda r: (r.result.loss, r.number)).number
        or told[best].result.state is State.PRUNED
    )
    assert Ranking().take(told[:2]).order().tolist() == []  # none is complete yet
