"""Bad targets."""

import numpy as np
import pandas as pd
from bad_tables import TWO, column, frame, good

CLASSES = ("binary", "multiclass")


@column(refused="column 'y' is missing in every row", fast=True)
def target_all_missing(t):
    t["y"] = np.nan


@column(refused="in every row", fast=True)
def target_constant(t):
    t["y"] = t["y"][0]


@column("regression", task="regression", refused="there is nothing to predict")
def target_constant_as_regression(t):
    t["y"] = 1.5


@column(note="20 rows without a target left out")
def target_with_holes(t):
    t.loc[::3, "y"] = None


@column("binary", "regression", refused="8 rows with a target are too few")
def target_mostly_missing(t):
    t.loc[8:, "y"] = None


@column("regression", refused="data.target: column 'y' is infinite in 20 rows", fast=True)
def target_with_inf(t):
    t.loc[::3, "y"] = np.inf


@column("multiclass", refused="class 'rare' of column 'y' has 1 row", fast=True)
def a_class_of_one_row(t):
    t.loc[0, "y"] = "rare"


@column("multiclass", task="multiclass")
def a_class_of_one_row_that_is_meant(t):
    t.loc[0, "y"] = "rare"


@column("binary", refused="has 1 row")
def one_row_against_all_others(t):
    t["y"] = ["yes"] + ["no"] * (len(t) - 1)


@column(*CLASSES, note="classes with few rows")
def a_class_of_two_rows(t):
    t["y"] = ["z", "z", *np.where(t["y"][2:] == "yes", "no", t["y"][2:])]


@column("binary", task="regression", refused="expected a number, found", fast=True)
def words_where_numbers_are_asked_for(t):
    return t


@column("multiclass", task="binary", refused="data.task = \"binary\" expects 2 classes, column 'y' has 3")
def three_classes_where_two_are_asked_for(t):
    return t


@column("regression", task="multiclass", refused="too many for classes")
def numbers_where_classes_are_asked_for(t):
    return t


@column("binary", "regression", refused="too many for classes")
def a_word_of_its_own_for_every_row(t):
    t["y"] = [f"w{i}" for i in range(len(t))]


@column("regression", refused="looks like numbers with commas")
def a_target_with_thousands_separators(t):
    t["y"] = [f"{1000 + 37 * i:,}" for i in range(len(t))]


@column("regression", refused="too many for classes")
def a_target_with_units(t):
    t["y"] = [f"{v} kg" for v in t["y"]]


@column("regression", refused="too many for classes")
def a_target_with_currency(t):
    t["y"] = [f"${v}" for v in t["y"]]


@column("regression", task="regression", refused="expected a number, found 'unknown'")
def a_target_of_numbers_and_a_word(t):
    t["y"] = ["unknown", *map(str, t["y"][1:])]


@column("binary", note="classes")
def a_target_of_mixed_types(t):
    t["y"] = np.where(t["y"] == "yes", "1", "one")


@column("binary")
def a_target_of_booleans_in_every_case(t):
    t["y"] = np.where(t["y"] == "yes", ["TRUE", "true"] * 30, ["False", "FALSE"] * 30)


@column("multiclass")
def a_target_of_numbers_spelled_differently(t):
    t["y"] = (
        t["y"]
        .map({"low": "1", "mid": "2.0", "high": "3"})
        .where(t.index % 2 == 0, t["y"].map({"low": " 1", "mid": "2", "high": "3.00"}))
    )


@column("multiclass", draws=True)
def labels_with_markup_and_emoji(t):
    t["y"] = t["y"].map({"low": "$x_{1$", "mid": "<b>😀</b>", "high": "a\nb"})


@column("binary", draws=True)
def labels_of_a_thousand_letters(t):
    t["y"] = t["y"] * 500


@column("binary")
def labels_that_differ_by_case(t):
    t["y"] = t["y"].map({"yes": "A", "no": "a"})


@column("multiclass", note="rows without a target left out")
def a_label_spelled_as_missing(t):
    t["y"] = t["y"].map({"low": "NA", "mid": "DE", "high": "CH"})


@column("multiclass", note="classes with few rows")
def a_hundred_classes(t):
    t = good("regression", 900)
    return t.assign(y=[f"k{i % 100:02d}" for i in range(900)])


@column("multiclass", refused="with two of every class left for the search")
def a_hundred_classes_of_three_rows(t):
    t = good("regression", 300)
    return t.assign(y=[f"k{i % 100:02d}" for i in range(300)])


@column("binary")
def one_in_a_thousand(t):
    t = good("binary", 3003)
    return t.assign(y=np.where(np.arange(3003) % 1001 == 0, "yes", "no"))


@column("binary", metric="roc_auc")
def four_of_a_class_judged_by_auc(t):
    t["y"] = np.where(t.index % 15 == 0, "yes", "no")


@column("binary", time="when")
def the_last_rows_are_of_one_class(t):
    return t.assign(when=np.arange(len(t)), y=np.where((np.arange(len(t)) < 45) & (t["a"] > 0), "yes", "no"))


@column("regression", refused="expected at most 1e+18 in size")
def a_huge_target(t):
    t["y"] = t["y"] * 1e300


@column("regression", refused="expected at most 1e+18 in size")
def a_target_whose_squares_overflow(t):
    t["y"] = t["y"] * 1e160


@column("regression", refused="multiply it")
def a_tiny_target(t):
    t["y"] = t["y"] * 1e-300


@column("regression", refused="too close together")
def a_target_of_small_differences(t):
    t["y"] = 1e12 + t["y"]


@column("regression", refused="expected at most 1e+18")
def a_target_with_a_huge_outlier(t):
    t.loc[5, "y"] = 1e30


@column("regression")
def a_target_with_an_outlier(t):
    t.loc[5, "y"] = 1e9


@column("regression", refused="to inf, expected at most 1e+18", task="regression")
def a_target_with_5000_digits(t):
    t["y"] = ["1" * 5000, *map(str, t["y"][1:])]


@column("regression", form="parquet", task="regression", refused="too close together")
def a_target_beyond_2_to_53(t):
    t["y"] = 2**55 + np.arange(len(t), dtype=np.int64) * 1024


@column("regression", task="regression")
def a_target_of_two_values(t):
    t["y"] = (t["y"] > 0).astype(int)


@column("regression")
def a_target_that_is_nearly_always_zero(t):
    t["y"] = np.where(t.index % 20 == 0, t["y"], 0.0)


@column("binary", form="parquet", refused="holds dates")
def a_target_of_dates(t):
    t["y"] = pd.date_range("2024-01-01", periods=len(t))


@column("binary", form="parquet", refused="data.target: column 'y' holds values of type", fast=True)
def a_target_of_lists(t):
    t["y"] = [[i % 2] for i in range(len(t))]


@column("binary", form="parquet", group="g", refused="data.group: column 'g' holds values of type")
def groups_of_lists(t):
    t["g"] = [[i % 9] for i in range(len(t))]


@column("binary", form="parquet", weight="w", refused="data.weight: column 'w' holds values of type")
def weights_of_lists(t):
    t["w"] = [[1.0]] * len(t)


@column("binary", form="parquet", time="when", refused="data.time: column 'when' holds values of type")
def times_of_dicts(t):
    t["when"] = [{"year": 2000 + i} for i in range(len(t))]


@frame("regression", refused="data.target: column 'y' holds complex numbers")
def a_complex_target(t):
    t["y"] = t["y"] * 1j


@frame("binary")
def a_target_of_nullable_booleans(t):
    t["y"] = pd.array(np.where(t.index % 10 == 9, None, t["y"] == "yes"), dtype="boolean")


@frame("multiclass")
def a_target_with_unused_categories(t):
    t["y"] = pd.Categorical(t["y"], categories=["never", "low", "mid", "high"], ordered=True)


@frame(*TWO)
def a_target_of_objects(t):
    t["y"] = t["y"].astype(object)


@frame("regression", refused="data.target: column 'y'", task="regression")
def a_target_of_durations(t):
    t["y"] = pd.to_timedelta(t["y"], unit="s")
