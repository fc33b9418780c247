"""What a study may ask of a backend."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.backends.checks import Limit, check_space
from autoreg.errors import StudyError
from autoreg.trial import Choice, Range

LIMITS = {
    "eta": Limit(0.0, 1.0, open_low=True),
    "drop": Limit(0.0, 1.0, open_high=True),
    "depth": Limit(1, 30, integer=True),
    "kind": Limit(choices=("a", "b")),
    "flag": Limit(choices=(True, False)),
    "any": Limit(),
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("eta", "fast", "search.xgboost.eta: expected a number in (0, 1], found 'fast'"),
        ("eta", 0, "search.xgboost.eta: expected a number in (0, 1], found 0"),
        ("eta", math.inf, "search.xgboost.eta: expected a number in (0, 1], found inf"),
        ("eta", False, "search.xgboost.eta: expected a number in (0, 1], found False"),
        ("drop", 1.0, "search.xgboost.drop: expected a number in [0, 1), found 1.0"),
        ("depth", 2.5, "search.xgboost.depth: expected a whole number in [1, 30], found 2.5"),
        ("kind", "c", "search.xgboost.kind: expected one of a, b, found 'c'"),
        ("flag", 1, "search.xgboost.flag: expected one of True, False, found 1"),
        ("any", 10**400, f"search.xgboost.any: expected a number, found {10**400}"),
        ("depth", Choice((3, 99)), "search.xgboost.depth: expected a whole number in [1, 30], found 99"),
        ("eta", Range(0.1, 2.0), "search.xgboost.eta: expected a number in (0, 1], found high = 2"),
        (
            "eta",
            Range(0.1, 0.5, off=True),
            "search.xgboost.eta: expected a number in (0, 1], found off, that is = 0",
        ),
        (
            "depth",
            Range(2.5, 9.0),
            "search.xgboost.depth: expected a whole number in [1, 30], found low = 2.5",
        ),
        ("kind", Range(0.0, 1.0), "search.xgboost.kind: expected one of a, b, found a range from 0 to 1"),
        ("etta", 0.1, "search.xgboost.etta: unknown name (did you mean 'eta'?)"),
        (
            "zzz",
            0.1,
            "search.xgboost.zzz: unknown name (known: any, depth, drop, eta, flag, kind)",
        ),
    ],
)
def test_what_is_refused_and_how(name, value, message):
    with pytest.raises(StudyError) as raised:
        check_space("xgboost", {name: value}, LIMITS)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eta", 1),
        ("eta", Range(0.01, 1.0, log=True)),
        ("drop", Range(0.1, 0.9, off=True)),
        ("depth", 3.0),
        ("depth", Range(2.0, 9.0)),
        ("depth", Choice((1, 30))),
        ("kind", Choice(("a", "b"))),
        ("flag", True),
        ("any", -1e9),
    ],
)
def test_what_passes(name, value):
    check_space("xgboost", {name: value}, LIMITS)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit(), "a number"),
        (Limit(integer=True), "a whole number"),
        (Limit(low=0), "a number of at least 0"),
        (Limit(low=0, open_low=True), "a number above 0"),
        (Limit(high=1), "a number of at most 1"),
        (Limit(high=1, open_high=True), "a number below 1"),
    ],
)
def test_a_limit_says_itself_in_words(limit, words):
    assert str(limit) == words


@given(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=9)), st.sampled_from(list(LIMITS))
)
def test_any_value_passes_or_is_refused_in_one_line(value, name):
    try:
        check_space("keras", {name: value}, LIMITS)
    except StudyError as error:
        assert str(error).startswith(f"search.keras.{name}: expected ")
        assert "\n" not in str(error)
    else:
        assert LIMITS[name].holds(value)
