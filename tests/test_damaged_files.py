"""Whatever bytes a table's file holds, reading it gives a table or one clear line, and it ends."""

import gzip
import io
import signal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from autoreg.data import load_table
from autoreg.errors import DataError
from autoreg.spec import DataSpec

EXAMPLES, HUNG_AFTER = 200, 60


def good() -> pd.DataFrame:
    """Every kind of column, with holes."""
    rng, n = np.random.default_rng(0), 40
    frame = pd.DataFrame({
        "x": rng.normal(size=n).round(3), "whole": rng.integers(0, 9, n), "word": ["red", "blue", None, "gr\u00fcn"] * 10,
        "when": pd.date_range("2024-02-27", periods=n, freq="37h").astype(str), "yes": [True, False] * 20,
        "said": [f'so, "{i}" was said\nat last' for i in range(n)], "key": [f"{i:03d}" for i in range(n)],
    })  # fmt: skip
    frame.loc[::7, "x"] = np.nan
    return frame.assign(y=np.where(frame["whole"] > 4, "up", "down"))


def parquet(frame: pd.DataFrame, **options: object) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, **options)
    return out.getvalue()


GOOD = good()
TEXT = GOOD.to_csv(index=False)
TYPED = GOOD.assign(
    when=pd.to_datetime(GOOD["when"]),
    word=GOOD["word"].astype("category"),
    span=pd.to_timedelta(GOOD["whole"], "h"),
)
FILES = {
    "comma": TEXT.encode(),
    "semicolon": GOOD.to_csv(index=False, sep=";", decimal=",").encode(),
    "tab": GOOD.to_csv(index=False, sep="\t").encode(),
    "mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "windows": TEXT.replace("\n", "\r\n").encode(),
    "gzip": gzip.compress(TEXT.encode(), mtime=0),
    "parquet": parquet(TYPED, index=False),
    "plain parquet": parquet(TYPED.set_index("key"), compression=None, use_dictionary=False),
}
BITS = (
    b"\x00", b'"', b"'", b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xe9",
    "gr\u00fcn".encode("utf-16-le"), "\u6f22\u5b57".encode("shift-jis"), "\u20ac".encode("cp1252"), b"\xed\xa0\x80", b"\xc0\x80",
    b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b"nan", b"inf", b"-1e400", b"1" * 400, b"0x1F", b"1,5", b"\x1b[31m", b"\x85", b"\xe2\x80\xa8",
    b"9999-12-31", b"0001-01-01", b"2024-02-30", b"2024-01-01T00:00:00+99:99", b"NULL", b"true", b"x", b"y", b"=cmd()", b"a" * 5000,
    b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80" * 9, b"{}", b"[]",
)  # fmt: skip


def spoken(bit: bytes) -> bool:
    """Whether bytes may stand in a file of text; others are refused before anything is made of the table."""
    return b"\0" not in bit and bit.decode(errors="ignore").encode() == bit


WORDS = [bit for bit in BITS if spoken(bit)]
places = st.floats(0, 1)
changes = st.one_of(
    st.tuples(st.just("flip"), places, st.integers(1, 255)),
    st.tuples(st.just("cut"), places, st.integers(1, 400)),
    st.tuples(st.just("insert"), places, st.sampled_from(BITS) | st.binary(min_size=1, max_size=12)),
    st.tuples(st.just("replace"), places, st.sampled_from(BITS)),
    st.tuples(st.just("end"), places, st.none()),
    st.tuples(st.just("start"), places, st.none()),
    st.tuples(st.just("repeat"), places, st.integers(1, 400)),
    st.tuples(
        st.just("encoding"),
        places,
        st.sampled_from(["utf-16", "utf-32", "latin-1", "cp1252", "utf-7", "cp037"]),
    ),
)
mutated = st.tuples(st.sampled_from(sorted(FILES)), st.lists(changes, min_size=1, max_size=2)).map(
    lambda drawn: changed(FILES[drawn[0]], drawn[1])
)
zipped = st.tuples(
    st.sampled_from(["comma", "semicolon", "parquet"]), st.lists(changes, min_size=1, max_size=3)
).map(lambda drawn: gzip.compress(changed(FILES[drawn[0]], drawn[1]), mtime=0))
headed = st.tuples(
    st.sampled_from([b"PAR1", b"\x1f\x8b\x08\x00", b"x,y\n", b"\xef\xbb\xbf", b"a;y\n", b'"']),
    st.binary(max_size=300),
)
tables = st.lists(
    st.lists(st.sampled_from([*WORDS, b"1", b"2.5", b"red", b""]), min_size=1, max_size=4),
    min_size=1,
    max_size=40,
).map(lambda rows: b"x,y\n" + b"\n".join(b",".join(row) for row in rows))
said = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(str.encode)
cells = st.lists(
    st.tuples(st.integers(0, 39), st.sampled_from([*range(7), *range(8)]), st.sampled_from(WORDS) | said),
    min_size=1,
    max_size=12,
).map(lambda edits: with_cells(edits))
contents = st.one_of(
    mutated,
    mutated,
    mutated,
    cells,
    cells,
    cells,
    zipped,
    tables,
    headed.map(b"".join),
    st.binary(max_size=400),
)
roles = st.sampled_from(
    [
        {},
        {},
        {},
        {"id": "key"},
        {"group": "word"},
        {"time": "when"},
        {"weight": "whole"},
        {"task": "multiclass"},
    ]
)


def changed(content: bytes, edits: list[tuple[str, float, object]]) -> bytes:
    """A file with a few things done to it."""
    for what, share, by in edits:
        at = round(share * len(content))
        head, tail = content[:at], content[at:]
        if what == "flip":
            content = head + bytes([tail[0] ^ by]) + tail[1:] if tail else content
        elif what in ("insert", "replace"):
            content = head + by + (tail if what == "insert" else tail[len(by) :])
        elif what in ("cut", "repeat"):
            content = head + (tail[by:] if what == "cut" else tail[:by] + tail)
        elif what == "encoding":
            content = content.decode("utf-8", "replace").encode(by, "replace")
        else:
            content = head if what == "end" else tail
    return content


def with_cells(edits: list[tuple[int, int, bytes]]) -> bytes:
    """The table as CSV with some cells replaced, all of them quoted as they must be."""
    rows = [[str(value).encode() for value in row] for row in GOOD.itertuples(index=False)]
    for row, column, cell in edits:
        rows[row][column] = cell
    lines = [[name.encode() for name in GOOD.columns], *rows]
    return b"\n".join(b",".join(b'"' + cell.replace(b'"', b'""') + b'"' for cell in line) for line in lines)


def hung(*_: object) -> None:
    raise AssertionError("reading does not end")


def read(path, content, **roles):
    """What became of a file: "read", or the line that refuses it."""
    path.write_bytes(content)
    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(HUNG_AFTER)
    try:
        table = load_table(DataSpec(source=str(path), target="y", **roles), "test", path.parent)
    except DataError as error:
        line = str(error)
        assert line.strip()
        assert "\n" not in line
        assert len(line) < 2000
        return line
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert len(table.features) == len(table.target) >= 10
    return "read"


def fuzzed(path, examples):
    """How many files were read, and how many were refused, of so many examples."""
    seen = {"read": 0, "refused": 0}

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(contents, roles)
    @example(b"", {})
    @example(FILES["parquet"][:-6], {})
    def one(content, given_roles):
        seen["read" if read(path, content, **given_roles) == "read" else "refused"] += 1

    one()
    return seen


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_good_before_they_are_damaged(tmp_path, name):
    assert read(tmp_path / "t", FILES[name]) == "read"


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path):
    seen = fuzzed(tmp_path / "t", EXAMPLES)
    assert min(seen.values()) > EXAMPLES / 20


@pytest.mark.full
def test_ten_thousand_damaged_files(tmp_path):
    seen = fuzzed(tmp_path / "t", 10_000)
    print(seen)
    assert min(seen.values()) > 500
