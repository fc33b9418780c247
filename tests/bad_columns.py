"""Bad values of features."""

import decimal

import numpy as np
import pandas as pd
from bad_tables import TWO, column

# --- values of one column -----------------------------------------------------------------------------------------


@column(note="the value is the same in all rows")
def constant_column(t):
    t["z"] = 5


@column(note="no value is present", fast=True)
def column_of_nan(t):
    t["z"] = np.nan


@column("binary", note="no value is present")
def column_of_blanks(t):
    t["z"] = "  "


@column(*TWO, note="infinite values count as missing", fast=True)
def column_of_inf(t):
    t["z"] = np.where(t["a"] > 0, np.inf, -np.inf)


@column(note="infinite values count as missing")
def some_inf_and_nan(t):
    t.loc[:3, "a"] = np.inf
    t.loc[4:9, "a"] = -np.inf
    t.loc[10:20, "b"] = np.nan


@column()
def huge_numbers(t):
    t["z"] = t["a"] * 1e300


@column("binary", "regression")
def the_largest_double(t):
    t["z"] = np.where(t["a"] > 0, 1.7976931348623157e308, -1.7976931348623157e308)


@column()
def tiny_numbers(t):
    t["z"] = t["a"] * 1e-300


@column("regression")
def denormal_numbers(t):
    t["z"] = np.where(t["a"] > 0, 5e-324, 0.0)


@column(*TWO)
def huge_offset(t):
    t["a"] = 1e15 + t["a"]


@column(*TWO)
def huge_and_tiny_together(t):
    t["z"] = 10.0 ** np.linspace(-300, 300, len(t))


@column(note="whole numbers beyond 2**53 lose digits", form="parquet")
def whole_numbers_beyond_double(t):
    t["z"] = 2**60 + np.arange(len(t), dtype=np.int64) % 7


@column("binary", form="parquet")
def unsigned_beyond_int64(t):
    t["z"] = np.uint64(2**63) + np.arange(len(t), dtype=np.uint64) * np.uint64(2**50)


@column("binary")
def whole_numbers_beyond_int64_in_text(t):
    t["z"] = [str(2**70 + 2**60 * (i % 9)) for i in range(len(t))]


@column(*TWO)
def a_number_of_5000_digits(t):
    t["z"] = [str(i % 7) for i in range(len(t) - 1)] + ["1" * 5000]


@column("binary", note="looks like numbers with commas", fast=True)
def thousands_separators(t):
    t["z"] = [f"{1000 + 37 * i:,}.5" for i in range(len(t))]


@column(*TWO)
def units_behind_numbers(t):
    t["z"] = [f"{i % 9} mg" for i in range(len(t))]


@column(*TWO)
def currency_before_numbers(t):
    t["z"] = [f"€ {i % 9}.50" for i in range(len(t))]


@column("binary")
def decimal_commas_in_a_comma_file(t):
    t["z"] = [f"{i % 9},5" for i in range(len(t))]


@column("binary")
def digits_of_other_scripts(t):
    t["z"] = ["١٢", "٣", "४", "²"] * (len(t) // 4)


@column("multiclass")
def booleans_in_every_spelling(t):
    spelled = ["true", "False", "TRUE", "yes", "No", "t", "F", "1", "0", "on", "off", "y"]
    t["z"] = [spelled[i % 12] for i in range(len(t))]


@column("binary")
def booleans_with_holes(t):
    t["z"] = ["true", "FALSE", ""] * (len(t) // 3)


@column(*TWO)
def numbers_with_a_few_words(t):
    t["z"] = [str(i % 11) for i in range(len(t) - 2)] + ["unknown", "n.d."]


@column("binary")
def numbers_with_many_words(t):
    t["z"] = [str(i) if i % 2 else f"w{i % 5}" for i in range(len(t))]


@column(*TWO)
def every_word_for_missing(t):
    words = ["", "NA", "N/A", "?", "null", "NULL", "None", "nan", "NaN", "<NA>", "#N/A", "-nan"]
    t["z"] = [words[i % 12] if i % 3 else str(i) for i in range(len(t))]


@column(fast=True)
def dates_out_of_range(t):
    t["when"] = ["0001-01-01", "9999-12-31", "1066-10-14"] * (len(t) // 3)


@column("binary")
def impossible_dates(t):
    t["when"] = ["2024-02-30", "2024-13-01", "2024-01-32"] * (len(t) // 3)


@column("binary")
def dates_in_several_orders(t):
    t["when"] = ["2024-01-02", "02.01.2024", "1/2/24"] * (len(t) // 3)


@column(*TWO)
def time_zones_mixed(t):
    t["when"] = ["2024-03-31T02:30:00Z", "2024-03-31T02:30:00+14:00", "2024-03-31 02:30"] * (len(t) // 3)


@column("regression", form="parquet")
def dates_before_1677_in_parquet(t):
    t["when"] = np.array(["1200-01-01", "2999-12-31"] * (len(t) // 2), "datetime64[us]")


@column("binary", form="parquet")
def dates_that_are_all_missing(t):
    t["when"] = pd.Series([pd.NaT] * len(t), dtype="datetime64[ns]")


@column("binary", form="parquet", note="durations are taken in seconds")
def durations(t):
    t["z"] = pd.to_timedelta(t["a"] * 3600, unit="s")


@column("binary", form="parquet", fast=True, refused="column 'z' holds values of type")
def lists_in_cells(t):
    t["z"] = [[i, i + 1] for i in range(len(t))]


@column("regression", form="parquet", refused="column 'z' holds values of type dict")
def dicts_in_cells(t):
    t["z"] = [{"k": i} for i in range(len(t))]


@column("binary", form="parquet", drop=["z"])
def lists_in_a_dropped_column(t):
    t["z"] = [[i, i + 1] for i in range(len(t))]


@column("binary", form="parquet")
def bytes_in_cells(t):
    t["z"] = [b"\xff\x00a", b"b", None] * (len(t) // 3)


@column("regression", form="parquet")
def decimals(t):
    t["z"] = [decimal.Decimal(i) / 8 if i % 5 else None for i in range(len(t))]


@column("binary")
def ten_thousand_levels(t):
    t = pd.concat([t] * 200, ignore_index=True)
    return t.assign(z=[f"level {i * 7919 % 10_000}" for i in range(len(t))], b=t["b"] + 0.001 * t.index)


@column(*TWO, note="every row has its own word")
def identifiers(t):
    t["key"] = [f"k{i:05d}" for i in range(len(t))]


@column("binary", note="it counts the rows")
def a_row_number(t):
    t.insert(0, "id", np.arange(len(t)))


@column("binary")
def leading_zeros(t):
    t["zip"] = [f"{i % 5:05d}" for i in range(len(t))]


@column(*TWO)
def free_text(t):
    t["letter"] = [f"Dear sir {i}, the {w} one is broken.\nYours" for i, w in enumerate(t["c"])]


@column("multiclass", draws=True)
def emoji_and_scripts(t):
    t["z"] = ["😀", "👩‍👩‍👧", "مرحبا", "漢字", "e\u0301", "\u00e9"] * (len(t) // 6)


@column("binary")
def control_characters(t):
    t["z"] = ["a\tb", "a\x07b", "a\x1fb", "\u200b", "a\u2028b"] * (len(t) // 5)


@column("binary")
def a_cell_of_200_000_letters(t):
    t["z"] = ["x" * 200_000, *["y", "z", "w"] * 19, "y", "z"]


@column("binary")
def formulas_and_markup(t):
    t["z"] = ["=1+1", "<script>alert(1)</script>", "'; DROP TABLE t; --", "${HOME}", "%s", "{0}"] * 10


@column("binary", "regression", draws=True)
def a_level_named_like_missing_and_rare(t):
    t["z"] = ["missing", "rare", None, "other"] * (len(t) // 4)
