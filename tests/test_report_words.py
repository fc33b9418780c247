import dataclasses

import pytest
from report_records import binary, hundred_classes, minimal, nested, regression, ten_classes

from autoreg.record import Finalist, Importance, TrialRow
from autoreg.report import canvas, facts, model_card
from autoreg.report.canvas import robust, thin
from autoreg.report.page import page
from autoreg.report.plots_judged import _interval
from autoreg.report.wording import clean, clipped, counted, duration, plus_minus, short, size, within


def told(record, **values):
    """The record with other words in its estimate."""
    report = {**record.report, "estimate": {**(record.report.get("estimate") or {}), **values}}
    return dataclasses.replace(record, report=report)


@pytest.fixture
def simple():
    estimate = {
        "kind": "holdout", "holdout": 0.885, "holdout_low": 0.86, "holdout_high": 0.91, "cv": 0.905, "train": 0.95,
        "optimism": 0.02, "gap": 0.065,
    }  # fmt: skip
    return dataclasses.replace(
        minimal(), metric="accuracy", greater_is_better=True, report={"estimate": estimate}, holdout_rows=600
    )


def test_headline_of_a_score(simple):
    assert (
        facts.headline(simple)
        == "Expect 0.860 to 0.910 accuracy on new rows; the search flattered itself by 0.020."
    )


def test_headline_of_a_loss(simple):
    record = dataclasses.replace(
        told(simple, holdout=0.34, holdout_low=0.31, holdout_high=0.37, cv=0.32, optimism=0.02),
        metric="log_loss",
        greater_is_better=False,
    )
    assert facts.headline(record) == (
        "Expect a log loss of 0.310 to 0.370 on new rows (lower is better); the search flattered itself by 0.020."
    )


def test_headline_when_the_search_did_not_flatter(simple):
    for optimism in (-0.02, 0.0, 1e-6):
        assert facts.headline(told(simple, optimism=optimism)).endswith(
            "; the search shows no sign of flattering itself."
        )


def test_a_gap_that_nothing_is_left_of_is_no_gap(simple):
    main = facts.main_estimate(simple)
    assert facts.seen(9e-5, main) == ""
    assert facts.seen(-0.0213, main) == "0.021"


def test_headline_without_interval_and_without_anything(simple):
    assert facts.headline(told(simple, holdout_low=None)).startswith(
        "Expect about 0.885 accuracy on new rows; "
    )
    assert facts.headline(minimal()).endswith("on new ones.")


@pytest.mark.parametrize("greater", [True, False])
def test_nested_interval_leads_where_the_study_was_nested(simple, greater):
    record = told(
        simple,
        kind="nested",
        nested=0.8,
        nested_low=0.7,
        nested_high=0.9,
        holdout=None,
        optimism=None,
        gap=None,
    )
    record = dataclasses.replace(record, greater_is_better=greater)
    sign = 1 if greater else -1
    assert facts.main_estimate(record).key == "nested"
    assert "0.70 to 0.90" in facts.headline(record)
    assert facts.optimism(record) == pytest.approx(sign * 0.105)
    assert facts.gap(record) == pytest.approx(sign * 0.15)
    assert "repeating the whole search" in page(record, {})


def test_a_holdout_leads_a_nested_estimate_that_is_only_there_as_well(simple):
    assert facts.main_estimate(told(simple, nested=0.8)).key == "holdout"


def test_estimates_side_by_side_name_their_intervals():
    found = {e.key: e for e in facts.estimates(binary())}
    assert list(found) == ["train", "cv", "cv_fresh", "cv_corrected", "holdout"]
    row = facts.winner(binary())
    assert found["cv"].high - found["cv"].low == pytest.approx(2 * 1.959964 * row.cv_se)
    assert found["cv_fresh"].low is None
    assert found["holdout"].low == binary().report["estimate"]["holdout_low"]


def with_alpha(alpha, searched, penalty="l2"):
    row = TrialRow(
        0, "sklearn", "complete", 0.1, 0.1, 0.9, 0.1, 0.9, 3.0, 0.1, {"penalty": penalty, "alpha": alpha}
    )
    return dataclasses.replace(minimal(), trials=[row], searched={"sklearn": {"alpha": searched}})


RANGE = {"low": 1e-4, "high": 1.0, "log": True, "off": True, "pinned": False}


@pytest.mark.parametrize(
    ("alpha", "words"),
    [
        (1.0, "upper end"),
        (0.41, "upper end"),
        (0.39, ""),
        (0.01, ""),
        (2.4e-4, "lower end"),
        (2.6e-4, ""),
        (0.0, ""),
        (2.0, "upper end"),
    ],
)
def test_warns_within_a_tenth_of_the_end_of_a_range(alpha, words):
    found = facts.at_edges(with_alpha(alpha, RANGE))
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_edges_of_linear_ranges_choices_and_pinned_ones():
    linear = {"low": 0.0, "high": 1.0, "log": False, "off": False, "pinned": True}
    assert "pinned" in facts.at_edges(with_alpha(0.95, linear))[0]
    assert facts.at_edges(with_alpha(0.5, linear)) == []
    assert facts.at_edges(with_alpha(0.5, {"values": [0.5]})) == []


def test_the_best_finalist_is_warned_of_beside_the_chosen():
    record = with_alpha(0.01, RANGE)
    best = Finalist(7, "sklearn", False, {"alpha": 0.9}, 0.9, 0.9, 0.0, 0.0, 3.0, best=True)
    record = dataclasses.replace(record, finalists=[best], report={"best": {"trial": 0}})
    assert [line.split("'")[0] for line in facts.at_edges(record)] == ["The best trial"]
    assert "The best trial&#x27;s alpha = 0.9" in page(record, {})


def test_winner_is_the_reports_else_the_rules_else_the_smallest_loss():
    record = binary()
    assert facts.winner_number(record) == record.report["best"]["trial"]
    unsaid = dataclasses.replace(record, report={}, rule="one_se")
    assert facts.winner_number(unsaid) == next(f.number for f in record.finalists if f.one_se)
    bare = dataclasses.replace(unsaid, finalists=[])
    complete = [t for t in record.trials if t.state == "complete"]
    assert facts.winner_number(bare) == min(complete, key=lambda t: t.loss).number


def test_card_says_what_is_needed_to_judge_and_to_call_the_model():
    card = model_card(binary())
    for words in (
        'mlflow.pyfunc.load_model("models:/churn@champion")',
        "Predicts `churned`, one of 2 classes (`no`, `yes`), from 19 columns",
        "**Expect 0.868 to 0.904 accuracy on new rows; the search flattered itself by 0.012.**",
        "Shipped as blend (45 models)",
        "weight 0.5: sklearn #4",
        "temperature 1.13",
        "`yes` is predicted from probability 0.42 on",
        "expected calibration error",
        "7,043 rows and 19 columns, fingerprint `3f9a77c1d2e4b605`",
        "`column_0`: 0.0600 ± 0.0020",
        "the rarest class has only 9 rows in the holdout",
        "10 finalists scored again on 3 fresh repeats of the folds; rule `best`",
    ):
        assert words in card, words
    assert "probability" not in model_card(regression())


def test_calibration_error_of_the_card():
    judged = dataclasses.replace(
        binary().judged,
        reliability=[
            {"predicted": 0.2, "observed": 0.3, "rows": 30.0},
            {"predicted": 0.8, "observed": 0.8, "rows": 70.0},
            {"predicted": None, "observed": None, "rows": 0.0},
        ],
    )
    card = model_card(dataclasses.replace(binary(), judged=judged))
    assert "off by 0.030 on average over 2 bins of 100 judged rows" in card
    assert "says 0.20 where 0.30 came true" in card


def test_card_without_alias_calls_the_version():
    record = binary()
    model = {**record.report["model"], "alias": None}
    assert '"models:/churn/4"' in model_card(
        dataclasses.replace(record, report={**record.report, "model": model})
    )


def test_card_shortens_its_lists_and_stays_whole():
    long = "x" * 500
    record = dataclasses.replace(
        hundred_classes(),
        classes=[f"{k} {long}" for k in range(100)],
        cautions=[f"{k} {long}" for k in range(100)],
        events=[f"{k} {long}" for k in range(100)],
        importance=[Importance(f"{k} {long}", 1.0, 0.1) for k in range(100)],
        source=long,
        target=long,
    )
    card = model_card(record)
    assert len(card) <= 8000
    assert "and 98 more" in card or "and 96 more" in card or "and 95 more" in card or "and 90 more" in card
    assert card.count("```") == 2
    assert card.rstrip().endswith("more")


def test_a_nested_study_has_a_card_too():
    assert "**nested: " in model_card(nested(ten_classes()))


def test_numbers_in_words():
    assert [short(v) for v in (0.5, 12, 1234567.0, 0.000012, float("inf"), "l1")] == [
        "0.5", "12", "1,234,567", "1.2e-05", "–", "l1",
    ]  # fmt: skip
    assert within(0.5, float("nan")) == "0.5"
    assert within(-1.23456, 0.1) == "-1.23"
    assert plus_minus(0.0123, 0.0045) == "0.0123 ± 0.0045"
    assert plus_minus(None, 0.1) == "–"
    assert [duration(s) for s in (0.25, 12, 75, 3700)] == ["0.2 s", "12 s", "1 min 15 s", "1 h 1 min"]
    assert [size(n) for n in (12, 1500, 2.5e6, 3e9)] == ["12 bytes", "1.5 kB", "2.5 MB", "3 GB"]
    assert (counted(1, "row"), counted(2000, "row")) == ("1 row", "2,000 rows")


def test_users_text_is_one_clean_line():
    assert clean(" a\n\tb\x00\ud800c ") == "a b c"
    assert clean("mysql://me:secret@host/db") != "mysql://me:secret@host/db"
    assert clipped("abcdef", 4) == "abc…"


@pytest.mark.parametrize("greater", [True, False])
def test_axes_are_not_blown_up_by_failures(greater):
    sign = -1 if greater else 1
    values = [sign * (1 + 0.01 * i) for i in range(20)] + [sign * 1e6]
    low, high = robust(values, greater)
    assert high - low < 5
    assert low < min(sign * 1.0, sign * 1.19)
    assert high > max(sign * 1.0, sign * 1.19)
    low, high = robust([0.5], greater)
    assert low < 0.5 < high


def test_thinning_keeps_both_ends_and_leaves_gaps_out():
    at, values = thin([float(i) for i in range(1001)])
    assert (at[0], at[-1], values[-1], len(at)) == (1, 1001, 1000.0, 200)
    assert thin([1.0, float("nan"), 3.0]) == ([1, 3], [1.0, 3.0])


def test_the_interval_of_a_bin_is_wilsons():
    assert _interval({"observed": 0.8, "rows": 10.0}) == pytest.approx((0.490, 0.943), abs=5e-4)
    assert _interval({"observed": 1.2, "rows": 1.0})[1] == 1.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([24_000.0, 25_000.0], ["24,000", "25,000"]),
        ([1.5e6, 2e6, 2.5e6], ["1.5M", "2.0M", "2.5M"]),
        ([-0.01, 0.0, 0.01], ["-0.01", "0.00", "0.01"]),
        ([1e-9, 2e-9], ["1e-09", "2e-09"]),
        ([1e300], ["1e+300"]),
        ([0.0], ["0"]),
        ([], []),
    ],
)
def test_ticks_have_the_places_they_need(values, words):
    assert canvas.tick_words(values) == words
