"""The README's commands are those that are tested."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def between(mark):
    return re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", README.read_text(encoding="utf-8"), re.S)[1]


def test_both_commands_make_their_own_environment():
    for mark in ("main command", "test command"):
        assert "python3 -m venv .venv &&" in between(mark)
