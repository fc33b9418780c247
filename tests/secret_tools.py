"""Looks into files for pickles and for secrets: archives and compressed files as well."""

import base64
import bz2
import gzip
import importlib.util
import io
import lzma
import pickletools
import zipfile
import zlib
from urllib.parse import quote

import numpy as np

PACKED = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"\x78": zlib.decompress,
}
WORKING = {
    "REDUCE",
    "BUILD",
    "GLOBAL",
    "STACK_GLOBAL",
    "INST",
    "OBJ",
    "NEWOBJ",
    "NEWOBJ_EX",
    "EXT1",
    "EXT2",
    "EXT4",
}
"""Opcodes that import or call something."""
DATA = {"EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "DICT", "LIST", "TUPLE"}


def pieces(name, content):
    """(name, content) of a file and of everything packed in it."""
    yield name, content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for inside in archive.namelist():
                yield from pieces(f"{name}!{inside}", archive.read(inside))
        return
    for mark, unpack in PACKED.items():
        if content.startswith(mark):
            try:
                yield from pieces(f"{name}!", unpack(content))
            except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
                continue


def runs(content):
    """Why the content is no plain data: it is a pickle by its opcodes, an array of objects, or marshalled code; or ""."""
    if content.startswith(b"\x93NUMPY"):
        try:
            np.load(io.BytesIO(content), allow_pickle=False)
        except ValueError as error:
            return str(error)
        return ""
    if content.startswith(importlib.util.MAGIC_NUMBER) or content[:1] in (b"\xe3", b"\x63"):
        return "marshalled code" if _marshalled(content) else ""
    found = set()
    try:
        for code, _, _ in pickletools.genops(content):
            found.add(code.name)
    except Exception:
        return "pickle" if "PROTO" in found and len(found) > 2 else ""  # joblib puts raw arrays between
    whole = "PROTO" in found or found & WORKING or found & DATA
    return "pickle" if whole else ""


def _marshalled(content):
    import marshal

    for start in (0, 16):
        try:
            if hasattr(marshal.loads(content[start:]), "co_code"):
                return True
        except (ValueError, EOFError, TypeError):
            continue
    return False


def spellings(secret):
    """How a secret may be written: as it is, quoted in addresses, in base64 at each of three places."""
    raw = secret.encode()
    inner = {base64.b64encode(b"\0" * i + raw)[4 * (i > 0) + (i > 0) : -4] for i in range(3)}
    return {raw, quote(secret, safe="").encode(), raw.hex().encode(), *inner}
