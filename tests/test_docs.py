"""The pages: made from the code where they say so, their links lead somewhere, and the site builds."""

import ast
import doctest
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
TOLD = sorted(path for path in (ROOT / "autoreg").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))
"""Modules with examples in their docstrings."""
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), ROOT / "benchmarks" / "README.md"]


def test_generated_pages_are_those_of_the_code():
    found = subprocess.run(
        [sys.executable, DOCS / "reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    within = [link for link in links if link and "://" not in link]
    assert not [link for link in within if not (page.parent / link).exists()]


@pytest.mark.parametrize("path", TOLD, ids=lambda path: path.stem)
def test_the_examples_of_docstrings_run(path):
    found = doctest.testmod(import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)))
    assert found.attempted > 0
    assert found.failed == 0


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_the_pages_is_python(page):
    for code in blocks(page):
        ast.parse(code)


def test_the_metric_of_the_page_about_metrics_counts_euros():
    told = {}
    exec(blocks(DOCS / "custom-metric.md")[0], told)
    right = [[1.0, 0.0], [0.0, 1.0]]
    y = told["np"].array([0, 1])
    assert told["euros"](y, told["np"].array(right)) == 0.0
    assert told["euros"](y, told["np"].array(right[::-1])) == (40 + 500) / 2
    assert told["model"].metric is told["euros"]


def test_every_page_is_in_the_contents():
    listed = set(
        re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert listed == {page.name for page in DOCS.glob("*.md")}


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    if find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: pip install 'autoreg[docs]'")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        tmp_path / "site",
    ]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "How it decides" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
