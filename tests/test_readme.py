"""The README's generated part is the spec's, and its commands are those that are tested."""

import re
from pathlib import Path

from autoreg.spec import reference

README = Path(__file__).parent.parent / "README.md"


def between(mark):
    return re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", README.read_text(encoding="utf-8"), re.S)[1]


def test_the_study_reference_is_the_spec():
    assert between("reference") == reference(), "run: python -m autoreg.spec README.md"


def test_both_commands_make_their_own_environment():
    for mark in ("main command", "test command"):
        assert "python3 -m venv .venv &&" in between(mark)
