"""Bad frames that no file can hold."""

import decimal

import numpy as np
import pandas as pd
from bad_tables import frame


@frame("binary", refused="column '' occurs twice")
def two_blank_names(t):
    return t.set_axis(["", "", "c", "y"], axis=1)


@frame("binary", refused="several levels")
def names_of_several_levels(t):
    return t.set_axis(pd.MultiIndex.from_tuples([("x", n) for n in t.columns]), axis=1)


@frame("binary", refused="column 'a' occurs twice", fast=True)
def two_columns_of_one_name_in_a_frame(t):
    return t.set_axis(["a", "a", "c", "y"], axis=1)


@frame("binary", refused="column '1' occurs twice")
def a_number_and_its_text_as_names(t):
    return t.set_axis([1, "1", "c", "y"], axis=1)


@frame("binary", refused="complex numbers")
def complex_numbers(t):
    t["z"] = t["a"] * 1j


@frame("regression", "binary")
def objects_of_every_type(t):
    t["z"] = [1, "a", 2.5, None, True, b"x", (1, 2), frozenset({3}), pd.Timestamp("2024-01-01"), 10**30] * 6


@frame("binary", refused="holds values of type set")
def sets_in_cells(t):
    t["z"] = [{i} for i in range(len(t))]


@frame("binary", refused="holds values of type ndarray")
def arrays_in_cells(t):
    t["z"] = [np.arange(3)] * len(t)


@frame("regression")
def every_extension_type(t):
    n = len(t)
    t["i"] = pd.array([1, None, 3] * (n // 3), dtype="Int64")
    t["f"] = pd.array([1.5, None, 3] * (n // 3), dtype="Float32")
    t["b2"] = pd.array([True, None, False] * (n // 3), dtype="boolean")
    t["s"] = pd.array(["u", None, "v"] * (n // 3), dtype="string")
    t["p"] = pd.period_range("2020-01", periods=n, freq="M")
    t["iv"] = pd.cut(t["a"], 4)
    t["sp"] = pd.arrays.SparseArray([0.0, 0.0, 1.0] * (n // 3))
    t["u"] = pd.Categorical(t["c"], categories=["red", "green", "blue", "never"])


@frame("binary")
def columns_of_arrow(t):
    import pyarrow as pa

    kinds = {"a": pa.float32(), "c": pa.dictionary(pa.int8(), pa.string())}
    t = t.astype({name: pd.ArrowDtype(kind) for name, kind in kinds.items()})
    days = pd.Series(pd.date_range("2024-01-01", periods=len(t)))
    t["when"] = days.astype(pd.ArrowDtype(pa.timestamp("us", tz="UTC")))
    t["day"] = days.astype(pd.ArrowDtype(pa.date32()))
    t["flag"] = pd.array([True, None] * (len(t) // 2), dtype=pd.ArrowDtype(pa.bool_()))
    t["cost"] = pd.array(
        [decimal.Decimal("1.50"), None] * (len(t) // 2), dtype=pd.ArrowDtype(pa.decimal128(9, 2))
    )
    return t


@frame("binary", refused="column 'z' holds values of type")
def lists_of_arrow(t):
    import pyarrow as pa

    t["z"] = pd.array([[1, 2], [3]] * (len(t) // 2), dtype=pd.ArrowDtype(pa.list_(pa.int64())))


@frame("binary", "regression")
def half_precision(t):
    t["a"], t["b"] = t["a"].astype(np.float16), (t["b"] * 1e4).astype(np.float16)


@frame("binary", "regression")
def numbers_in_the_other_byte_order(t):
    return t.assign(a=t["a"].to_numpy().astype(">f8"), z=np.arange(len(t)).astype(">i4") % 7)


@frame("binary", refused="holds text that is no Unicode, '\\ud800'")
def lone_surrogates(t):
    t["z"] = pd.Series(["\ud800", "b"] * (len(t) // 2), dtype=object)


@frame("binary", "regression")
def an_index_that_repeats(t):
    return t.set_axis([0] * len(t), axis=0)


@frame("regression", refused="column names and no rows")
def a_frame_without_rows(t):
    return t[:0]


@frame("binary", refused="has no column 'y'")
def a_frame_without_columns(t):
    return t[[]]
