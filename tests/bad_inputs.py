"""Bad arguments of ``AutoRegClassifier.fit`` and ``AutoRegRegressor.fit``."""

import numpy as np
import pandas as pd
from bad_tables import TWO, passed
from scipy import sparse


def numbers(t):
    return t[["a", "b"]].to_numpy()


@passed(*TWO, refused="Expected 2D array", fast=True)
def one_dimension(t):
    return t["a"].to_numpy(), t["y"]


@passed("binary", refused="dim 3")
def three_dimensions(t):
    return numbers(t)[:, :, None], t["y"]


@passed(*TWO, refused="while a minimum of", fast=True)
def no_rows(t):
    return numbers(t)[:0], t["y"][:0]


@passed("binary", refused="0 feature(s)")
def no_columns(t):
    return numbers(t)[:, :0], t["y"]


@passed(*TWO, refused="inconsistent numbers of samples")
def lengths_that_differ(t):
    return numbers(t), t["y"][:-1]


@passed("binary", refused="Input y contains NaN")
def y_with_nan(t):
    return numbers(t), np.where(t["a"] > 1, np.nan, t["a"] > 0)


@passed("regression", refused="Input y contains")
def y_with_inf(t):
    return numbers(t), np.where(t["a"] > 1, np.inf, t["a"])


@passed("binary", refused="Unknown label type")
def y_of_decimals(t):
    return numbers(t), t["a"]


@passed("binary", refused="y holds one class")
def y_of_one_class(t):
    return numbers(t), np.ones(len(t))


@passed("binary", refused="y should be a 1d array")
def y_of_two_columns(t):
    return numbers(t), t[["y", "y"]].to_numpy()


@passed("binary", refused="requires y")
def y_is_none(t):
    return numbers(t), None


@passed("regression", refused="could not convert string to float", fast=True)
def y_of_words(t):
    return numbers(t), np.array(["a", "b"] * 30, dtype=object)


@passed(*TWO, fast=True)
def a_sparse_matrix(t):
    return sparse.csr_array(numbers(t) * (numbers(t) > 0)), t["y"]


@passed("binary")
def a_sparse_matrix_by_coordinates(t):
    return sparse.coo_matrix(numbers(t)), t["y"]


@passed("binary", refused="is too large")
def a_sparse_matrix_without_end(t):
    return sparse.csr_array((len(t), 10_000_000)), t["y"]


@passed("binary")
def an_array_of_objects(t):
    return t[["a", "c"]].to_numpy(), t["y"]


@passed("binary", refused="holds values of type list")
def an_array_of_lists(t):
    X = np.empty((len(t), 2), dtype=object)
    X[:, 0] = 1.0
    for i in range(len(t)):
        X[i, 1] = [i]
    return X, t["y"]


@passed("binary")
def an_array_of_text(t):
    return t[["a", "c"]].to_numpy().astype(str), t["y"].to_numpy().astype("S3").astype(str)


@passed("regression")
def an_array_in_fortran_order_read_only(t):
    X = np.asfortranarray(numbers(t))
    X.setflags(write=False)
    return X[::-1], t["y"].to_numpy()[::-1]


@passed("binary")
def a_masked_array(t):
    return np.ma.masked_greater(numbers(t), 2.0), t["y"]


@passed("binary")
def an_array_in_the_other_byte_order(t):
    return numbers(t).astype(">f4"), (t["y"] == "yes").to_numpy().astype(">i2")


@passed("binary", refused="omplex")
def an_array_of_complex(t):
    return numbers(t) * 1j, t["y"]


@passed("binary", refused="occurs more than once")
def a_frame_with_one_name_twice(t):
    return t[["a", "a"]], t["y"]


@passed("binary")
def an_arrow_table(t):
    import pyarrow as pa

    return pa.Table.from_pandas(t[["a", "c"]]), t["y"]


@passed("binary")
def a_table_of_the_interchange_protocol(t):
    class Foreign:
        def __dataframe__(self, nan_as_null=False, allow_copy=True):
            return t[["a", "b"]].__dataframe__(nan_as_null, allow_copy)

    return Foreign(), t["y"]


@passed("binary")
def lists_of_lists(t):
    return numbers(t).tolist(), t["y"].tolist()


@passed("binary", refused="inhomogeneous")
def rows_that_differ_in_length(t):
    return [[1.0, 2.0], [3.0]] * 30, t["y"].tolist()


@passed("binary", refused="labels represented as bytes")
def y_of_bytes(t):
    return numbers(t), t["y"].to_numpy().astype("S3")


@passed("binary")
def y_of_labels_spelled_alike(t):
    return numbers(t), np.where(t["y"] == "yes", "1", " 1")


@passed("multiclass")
def y_of_tuples_and_none_like_words(t):
    return numbers(t), t["y"].map({"low": "NA", "mid": "None", "high": "nan"})


@passed("binary", refused="egative")
def sample_weights_negative(t):
    return numbers(t), t["y"], {"sample_weight": t["a"].to_numpy()}


@passed("binary", refused="at least one non-zero")
def sample_weights_zero(t):
    return numbers(t), t["y"], {"sample_weight": np.zeros(len(t))}


@passed("binary", refused="contains NaN")
def sample_weights_nan(t):
    return numbers(t), t["y"], {"sample_weight": np.full(len(t), np.nan)}


@passed("binary", refused="y holds one class")
def sample_weight_on_one_row(t):
    return numbers(t), t["y"], {"sample_weight": np.eye(len(t))[0]}


@passed("regression", refused="values are missing; every row needs a group")
def groups_missing(t):
    return numbers(t), t["y"], {"groups": [None, *range(len(t) - 1)]}


@passed("regression", refused="group")
def groups_of_one(t):
    return numbers(t), t["y"], {"groups": [1] * len(t)}


@passed("binary", refused="groups: values of type set")
def groups_of_sets(t):
    groups = pd.Series([frozenset({i % 9}) for i in range(len(t))])
    return numbers(t), t["y"], {"groups": groups.map(set)}
