"""The words of regularization."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.penalties import PENALTIES, Penalty, effective

strengths = st.floats(0.0, 1e6)
ratios = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("kind", "alpha", "ratio", "expected"),
    [
        ("none", 2.0, 0.3, Penalty("none", 0.0, 0.0)),
        ("l1", 2.0, 0.3, Penalty("l1", 2.0, 1.0)),
        ("l2", 2.0, 0.3, Penalty("l2", 2.0, 0.0)),
        ("elasticnet", 2.0, 0.3, Penalty("elasticnet", 2.0, 0.3)),
        ("elasticnet", 0.0, 0.3, Penalty("none", 0.0, 0.0)),
        ("l2", -1.0, 0.3, Penalty("none", 0.0, 0.0)),
    ],
)
def test_names_without_effect_take_the_value_they_have_in_effect(kind, alpha, ratio, expected):
    assert effective(kind, alpha, ratio) == expected


@given(st.sampled_from(PENALTIES), strengths, ratios)
def test_the_parts_add_up_and_applying_it_again_changes_nothing(kind, alpha, ratio):
    penalty = effective(kind, alpha, ratio)
    assert penalty.l1 + penalty.l2 == pytest.approx(penalty.alpha)
    assert penalty.l1 >= 0
    assert penalty.l2 >= 0
    assert effective(penalty.kind, penalty.alpha, penalty.l1_ratio) == penalty


@given(ratios)
def test_pure_kinds_have_one_part_alone(ratio):
    assert effective("l1", 3.0, ratio).l2 == 0.0
    assert effective("l2", 3.0, ratio).l1 == 0.0


def test_an_unknown_kind_is_an_error_of_ours():
    with pytest.raises(ValueError, match="not 'ridge'"):
        effective("ridge", 1.0, 0.5)
