"""Bad places: no files at all, or not of this table."""

import os
import socket
import sqlite3
import threading

from bad_files import csv
from bad_tables import place


@place("binary", refused="does not exist (did you mean 'tables.csv'?)", fast=True)
def a_misspelled_name(t, folder):
    (folder / "tables.csv").write_bytes(csv(t))
    return str(folder / "table.csv")


@place("binary", refused="data.source")
def a_folder(t, folder):
    (folder / "t.csv").write_bytes(csv(t))
    return str(folder)


@place("binary", refused="data.source: file", fast=True)
def a_file_below_a_file(t, folder):
    (folder / "t.csv").write_bytes(csv(t))
    return str(folder / "t.csv" / "t.csv")


@place("binary", refused="data.source", fast=True)
def a_name_of_5000_letters(t, folder):
    return str(folder / ("x" * 5000))


@place("binary", refused="data.source", fast=True)
def the_home_of_nobody(t, folder):
    return "~no-such-user-here/t.csv"


@place("binary", refused="data.source", fast=True)
def a_nul_in_the_path(t, folder):
    return "t\x00.csv"


@place("binary", refused="Too many levels of symbolic links")
def a_link_to_itself(t, folder):
    (folder / "t.csv").symlink_to(folder / "t.csv")
    return str(folder / "t.csv")


@place("binary", refused="data.source: file", fast=True)
def a_socket(t, folder):
    with socket.socket(socket.AF_UNIX) as server:
        before = os.getcwd()
        os.chdir(folder)  # the address of a socket is short
        server.bind("t.csv")
        os.chdir(before)
    return str(folder / "t.csv")


@place("binary", refused="no data came", fast=True)
def a_pipe_that_nobody_writes(t, folder):
    os.mkfifo(folder / "t.csv")
    return str(folder / "t.csv")


@place("binary", fast=True, rows=lambda t: t)
def a_pipe(t, folder):
    os.mkfifo(folder / "t.csv")
    threading.Thread(target=(folder / "t.csv").write_bytes, args=(csv(t),), daemon=True).start()
    return str(folder / "t.csv")


@place("binary", refused="data.source: file '/dev/zero'", fast=True)
def a_device_without_end(t, folder):
    return "/dev/zero"


@place("binary", refused="data.source: file '/dev/null'")
def the_null_device(t, folder):
    return "/dev/null"


@place("binary", refused="no such table", query="SELECT 1 FROM nowhere")
def a_database_without_the_table(t, folder):
    with sqlite3.connect(folder / "t.db") as connection:
        t.to_sql("t", connection, index=False)
    connection.close()
    return f"sqlite:///{folder}/t.db"


@place("binary", refused="data.source", query="SELECT * FROM t")
def a_database_that_is_none(t, folder):
    (folder / "t.db").write_bytes(csv(t) * 50)
    return f"sqlite:///{folder}/t.db"


@place(
    "binary", query="SELECT *, NULL AS z, x'ff00' AS raw FROM t", rows=lambda t: t.assign(z=None, raw=b"\xff")
)
def a_database_with_blobs(t, folder):
    with sqlite3.connect(folder / "t.db") as connection:
        t.to_sql("t", connection, index=False)
    connection.close()
    return f"sqlite:///{folder}/t.db"
