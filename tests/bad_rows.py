"""Bad names, rows, and columns that are no features."""

import numpy as np
import pandas as pd
from bad_tables import TWO, column

RNG = np.random.default_rng


# --- names --------------------------------------------------------------------------------------------------------


def renamed(t, name):
    return t.rename(columns={"a": name})


@column(*TWO)
def a_blank_column_name(t):
    return renamed(t, "")


@column("binary")
def a_column_name_of_spaces(t):
    return renamed(t, "   ")


@column(*TWO, draws=True)
def a_long_column_name(t):
    return renamed(t, "long " * 800)


@column(*TWO, draws=True)
def a_newline_in_a_column_name(t):
    return renamed(t, "first\nsecond")


@column("binary", "multiclass", draws=True)
def a_formula_in_a_column_name(t):
    return t.rename(columns={"a": "$\\alpha_{$ x^", "c": "cost in $ and $"})


@column(*TWO, draws=True)
def brackets_in_column_names(t):
    return t.rename(columns={"a": "[a] <b>", "b": "\"q\" 'r' & <i>", "c": "😀,漢字"})


@column(*TWO)
def names_of_encoded_columns(t):
    return t.assign(
        **{"c=red": t["a"] ** 2, "b missing": t["b"] > 0, "d": [1.0, None] * 30, "d missing": t["a"]}
    )


@column("binary", draws=True)
def names_of_predictions(t):
    return t.rename(columns={"a": "prediction", "b": "probability_yes", "c": "index"})


@column("regression")
def names_that_differ_by_case(t):
    return t.assign(A=t["a"] ** 2, B=-t["b"])


@column("binary", "regression")
def a_name_with_a_password_in_it(t):
    return renamed(t, "postgresql://me:hunter2@db/x")


# --- rows and columns together ------------------------------------------------------------------------------------


@column(*TWO, refused="at least 10 are needed", fast=True)
def one_row(t):
    return t[:1]


@column(refused="are too few, at least 10 are needed")
def nine_rows(t):
    return t[:9]


@column(*TWO)
def ten_rows(t):
    return t.sort_values("y").iloc[::6]


@column(refused="no feature is left", fast=True)
def the_target_alone(t):
    return t[["y"]]


@column("binary", "regression", refused="no feature is left")
def only_useless_columns(t):
    return t.assign(a=1, b=np.nan, c="x")


@column("binary", "regression", refused="no feature is left", drop=["a", "b", "c"])
def every_feature_dropped(t):
    return t


@column("binary", "regression")
def every_row_ten_times(t):
    return pd.concat([t] * 10)


@column("binary", "regression", note="exact copies of others")
def one_row_many_times(t):
    return pd.concat([t.drop_duplicates("y")[:2]] * 30).assign(a=1.5, b=[1.0, 2.0] * 30)


@column(*TWO)
def duplicated_columns(t):
    return t.assign(**{f"a{i}": t["a"] for i in range(5)}, c2=t["c"])


@column(*TWO)
def collinear_columns(t):
    return t.assign(d=t["a"] + t["b"], e=2 * t["a"] - 3, f=-t["b"] * 1e6)


@column(fast=True, note="alone tells the target")
def a_copy_of_the_target(t):
    return t.assign(z=t["y"])


@column("binary", "regression", note="alone tells the target")
def a_leaking_column(t):
    codes = pd.factorize(t["y"], sort=True)[0]
    return t.assign(z=codes + 0.01 * RNG(0).random(len(t)))


def wide(t, columns):
    x = pd.DataFrame(RNG(1).normal(size=(20, columns)).round(3), columns=[f"x{i}" for i in range(columns)])
    return x.assign(y=t.sort_values("y")["y"].to_numpy()[::3])


@column(*TWO)
def more_columns_than_rows(t):
    return wide(t, 2000)


@column("multiclass")
def more_columns_than_rows_and_classes(t):
    return wide(t, 200)


@column("binary", "multiclass")
def separable_classes(t):
    codes = pd.factorize(t["y"], sort=True)[0]
    return t.assign(a=10.0 * codes + 0.001 * t["a"], b=-5.0 * codes)


@column("regression")
def an_exact_line(t):
    return t.assign(y=3 * t["a"] - 2 * t["b"])


@column(*TWO)
def mostly_holes(t):
    return t.mask(RNG(2).random(t.shape) < 0.9, other=np.nan).assign(y=t["y"])


@column("binary", "regression")
def a_hole_in_every_row(t):
    t.loc[::3, "a"], t.loc[1::3, "b"], t.loc[2::3, "c"] = np.nan, np.nan, None


# --- roles --------------------------------------------------------------------------------------------------------


@column(refused="data.target: the table has no column 'y' (did you mean 'Y'?)", fast=True)
def target_missing(t):
    return t.rename(columns={"y": "Y"})


@column(*TWO, weight="w", refused="data.weight: column 'w' has negative values", fast=True)
def weights_negative(t):
    t["w"] = t["a"]


@column(*TWO, weight="w", refused="2 missing or infinite values")
def weights_with_nan_and_inf(t):
    t["w"] = [np.nan, np.inf, *[1.0] * (len(t) - 2)]


@column(*TWO, weight="w", refused="is 0 in every row")
def weights_all_zero(t):
    t["w"] = 0


@column(*TWO, weight="w", refused="have weight 0")
def one_row_has_all_the_weight(t):
    t["w"] = [1.0] + [0.0] * (len(t) - 1)


@column(*TWO, weight="w")
def weights_huge_and_tiny(t):
    t["w"] = np.where(t.index % 2, 1e-12, 1e12)


@column(*TWO, weight="w", refused="data.weight: column 'w' reaches 3e-300")
def weights_of_1e_300(t):
    t["w"] = 1e-300 * (1 + t.index % 3)


@column(*TWO, weight="w", refused="data.weight: column 'w' reaches 3e+300")
def weights_of_1e300(t):
    t["w"] = 1e300 * (1 + t.index % 3)


@column(*TWO, weight="w", refused="data.weight: column 'w': expected a number")
def weights_of_words(t):
    t["w"] = "heavy"


@column(*TWO, group="g", refused="groups", fast=True)
def one_group(t):
    t["g"] = "all"


@column(*TWO, group="g")
def every_row_a_group(t):
    t["g"] = np.arange(len(t))


@column(*TWO, group="g", refused="data.group: column 'g' is missing in 30 rows")
def groups_with_nan(t):
    t["g"] = [1.0, np.nan] * (len(t) // 2)


@column("binary", group="g", refused="share one")
def groups_are_the_classes(t):
    t["g"] = t["y"]


@column(*TWO, id="k", refused="data.id: column 'k' is missing in")
def ids_with_holes(t):
    t["k"] = [None if i % 4 else f"k{i}" for i in range(len(t))]


@column(*TWO, id="k", refused="1 ids cannot fill a holdout")
def one_id_for_all(t):
    t["k"] = "same"


@column(*TWO, time="when", refused="data.time: column 'when': expected an ISO date", fast=True)
def times_unparsable(t):
    t["when"] = "last week"


@column(*TWO, time="when", refused="1 different times")
def times_constant(t):
    t["when"] = "2024-01-01"


@column(*TWO, time="when", refused="data.time: column 'when' is missing in 30 rows")
def times_with_holes(t):
    t["when"] = ["2024-01-01", None] * (len(t) // 2)


@column("binary", time="when", refused="would train on class")
def times_that_are_the_classes(t):
    return t.sort_values("y").assign(when=np.arange(len(t)))


@column(*TWO, time="when")
def a_level_only_in_the_holdout(t):
    t["when"] = np.arange(len(t))
    t.loc[t["when"] > 50, "c"] = "never seen before"


@column("binary", id="k", group="k")
def one_column_in_two_roles(t):
    t["k"] = np.arange(len(t)) % 20


@column("binary", folds=20, refused="split.folds = 20 needs at least 40 rows")
def more_folds_than_rows(t):
    return t[:30]
