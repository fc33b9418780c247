"""Bad files: damaged, misnamed or in another form."""

import bz2
import gzip
import io
import zipfile

import numpy as np
import pandas as pd
from bad_tables import file

EITHER = "neither CSV nor Parquet"


def csv(t, **options):
    return t.to_csv(index=False, **options).encode()


def parquet(t):
    out = io.BytesIO()
    t.to_parquet(out, index=False)
    return out.getvalue()


# --- text ---------------------------------------------------------------------------------------------------------


@file("binary", "regression", refused="is empty", fast=True)
def empty_file(t):
    return b""


@file("binary", refused="is empty")
def blank_lines(t):
    return b"\n \n\r\n\n"


@file("binary", "regression", refused="column names and no rows", fast=True)
def header_only(t):
    return b"a,b,c,y\n"


@file("binary", refused="data.target: the table has no column 'y'")
def only_comments(t):
    return b"# made by hand\n# on a Friday\n"


@file("binary", refused="more fields than its 1 column names")
def comments_before_the_header(t):
    return b"# made by hand\n" + csv(t)


@file("binary", refused="has no column 'y'")
def no_header(t):
    return csv(t, header=False)


@file("binary", "regression", refused="no feature is left")
def one_column(t):
    return csv(t[["y"]])


@file("binary", refused="column 'a' occurs twice", fast=True)
def two_columns_of_one_name(t):
    return csv(t).replace(b"a,b,", b"a,a,", 1)


@file("binary", refused="column 'y' occurs twice")
def two_targets(t):
    return csv(t).replace(b"a,b,", b"a,y,", 1)


@file("binary", "regression")
def names_without_text(t):
    return csv(t).replace(b"a,b,", b",,", 1)


@file("binary", refused="more fields than its")
def rows_longer_than_the_header(t):
    return csv(t).replace(b"a,b,c,y", b"a,b,y", 1)


@file("binary", refused="damaged CSV", fast=True)
def one_row_too_long(t):
    return csv(t) + b"1,2,red,yes,7\n"


@file("binary", refused="of 4 fields")
def one_row_too_short(t):
    return csv(t) + b"1,2\n"


@file("binary", "regression", refused="cut off or damaged", fast=True)
def half_a_file(t):
    whole = csv(t)
    return whole[: whole.rindex(b",", 0, whole.rindex(b","))]


@file("binary", refused="CSV")
def a_quote_that_never_ends(t):
    return csv(t).replace(b"red", b'"red', 1)


@file("binary", refused="CSV")
def a_quote_in_the_header_that_never_ends(t):
    return b'"' + csv(t) * 400


@file("binary", "regression")
def quotes_within_words(t):
    return csv(t).replace(b"red", b're"d')


@file("binary")
def quotes_round_everything(t):
    return csv(t, quoting=1)


@file("binary", "regression", refused=EITHER)
def nul_bytes(t):
    return csv(t).replace(b"red", b"r\x00d")


@file("binary", refused="NUL")
def a_nul_byte_late_in_the_file(t):
    return csv(pd.concat([t] * 20)) + b"1,2,r\x00d,yes\n"


@file("binary", refused="not UTF-8 text", fast=True)
def latin_1(t):
    return csv(t).replace(b"red", "größe".encode("latin-1"))


@file("binary", refused=EITHER)
def utf_16(t):
    return csv(t).decode().encode("utf-16")


@file("binary", "regression")
def a_byte_order_mark(t):
    return b"\xef\xbb\xbf" + csv(t)


@file("binary", "regression")
def carriage_returns(t):
    return csv(t).replace(b"\n", b"\r\n")


@file("binary")
def old_carriage_returns(t):
    return csv(t).replace(b"\n", b"\r")


@file("binary", "regression")
def line_ends_mixed(t):
    lines = csv(t).split(b"\n")
    return b"".join(line + (b"\r\n", b"\n", b"\n\n")[i % 3] for i, line in enumerate(lines) if line)


@file("binary", note="fields are separated by ';'", fast=True)
def semicolons_and_decimal_commas(t):
    return csv(t, sep=";", decimal=",")


@file("binary")
def semicolons_and_both_decimal_signs(t):
    text = csv(t, sep=";").decode().splitlines()
    return "\n".join(line if i % 2 else line.replace(".", ",") for i, line in enumerate(text)).encode()


@file("binary", note="fields are separated by 'tab'", name="t.csv")
def tabs_in_a_csv(t):
    return csv(t, sep="\t")


@file("binary", refused="has no column 'y'")
def separated_by_colons(t):
    return csv(t, sep=":")


@file("binary", refused="has no column 'y'")
def separated_by_spaces(t):
    return csv(t, sep=" ")


@file("binary")
def spaces_round_names_and_values(t):
    return csv(t).replace(b"red", b"  red ").replace(b"a,b,", b" a , b ,", 1)


@file("binary", refused="has no column 'y'")
def spaces_round_the_target_name(t):
    return csv(t).replace(b",y\n", b", y \n", 1)


@file("binary", refused="has no column 'y'", name="t.json")
def json_lines(t):
    return t.to_json(orient="records", lines=True).encode()


@file("binary", refused="data.source", name="t.html")
def a_web_page(t):
    return b"<!DOCTYPE html>\n<html><body>\n<p>Please log in, then try again.</p>\n</body></html>\n"


@file("binary", refused="data.source", name="t.py")
def random_text(t):
    return open(__file__, "rb").read()


# --- forms --------------------------------------------------------------------------------------------------------


@file("binary", name="t.parquet", fast=True)
def csv_named_parquet(t):
    return csv(t)


@file("regression", name="t.csv")
def parquet_named_csv(t):
    return parquet(t)


@file("binary", "regression", refused="damaged Parquet", name="t.parquet", fast=True)
def half_a_parquet_file(t):
    whole = parquet(t)
    return whole[: len(whole) // 2]


@file("binary", refused="damaged Parquet", name="t.parquet")
def parquet_with_a_flipped_footer(t):
    whole = bytearray(parquet(t))
    whole[-60:-20] = bytes(255 - b for b in whole[-60:-20])
    return bytes(whole)


@file("binary", refused="damaged Parquet", name="t.parquet")
def parquet_with_a_flipped_page(t):
    out = io.BytesIO()
    pd.concat([t] * 50).to_parquet(out, index=False, write_page_checksum=True)
    whole = bytearray(out.getvalue())
    whole[60:200] = bytes(255 - b for b in whole[60:200])
    return bytes(whole)


@file("binary", "regression", refused="no rows", name="t.parquet")
def parquet_without_rows(t):
    return parquet(t[:0])


@file("binary", refused="data.source: column 'a' occurs twice", name="t.parquet")
def parquet_with_two_columns_of_one_name(t):
    import pyarrow as pa
    import pyarrow.parquet as pq

    out, whole = io.BytesIO(), pa.Table.from_pandas(t)
    pq.write_table(whole.rename_columns(["a", "a", "c", "y"]).replace_schema_metadata(), out)
    return out.getvalue()


@file("binary", refused="holds values of type", name="t.parquet")
def parquet_with_structs(t):
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    rows = [{"x": i, "deep": [{"k": "v"}]} for i in range(len(t))]
    pq.write_table(pa.Table.from_pandas(t).append_column("z", pa.array(rows)), out)
    return out.getvalue()


@file("regression", name="t.parquet")
def parquet_with_a_null_column_and_times(t):
    import datetime

    return parquet(t.assign(z=None, at=[datetime.time(i % 24, i) for i in range(len(t))]))


@file("binary", name="t.csv.gz", fast=True)
def gzipped(t):
    return gzip.compress(csv(t))


@file("binary", refused="damaged gzip", name="t.csv.gz")
def half_a_gzip_file(t):
    return gzip.compress(csv(t))[:-30]


@file("binary", refused=EITHER)
def gzipped_twice(t):
    return gzip.compress(gzip.compress(csv(t)))


@file("binary", refused="data.source", name="t.csv.bz2")
def bzip2(t):
    return bz2.compress(csv(t))


@file("binary", refused=EITHER, name="t.xlsx")
def a_spreadsheet(t):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    return out.getvalue()


@file("binary", refused="data.source", name="t.npz")
def images_without_a_target(t):
    out = io.BytesIO()
    np.savez(out, a=t["a"].to_numpy())
    return out.getvalue()


@file("binary", refused="data.source", name="t.npz")
def pickled_images(t):
    out = io.BytesIO()
    np.savez(out, X=np.array([{}] * 20, dtype=object), y=np.arange(20) % 2)
    return out.getvalue()
