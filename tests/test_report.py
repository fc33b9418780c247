import dataclasses
import functools
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from report_records import binary, hostile, hundred_classes, minimal, regression, ten_classes

from autoreg.record import Judged, StudyRecord
from autoreg.report import model_card, render
from autoreg.report.catalogue import drawings
from autoreg.report.page import page

VOID = {"meta", "link", "br", "hr", "img", "input"}
EVERYWHERE = {"estimates", "finalists", "trials", "paths", "curves", "overtuning", "importance", "worth"}
CASES = {
    "binary": (binary, EVERYWHERE | {"confusion", "reliability"}),
    "regression": (regression, EVERYWHERE | {"residuals"}),
    "ten classes": (ten_classes, EVERYWHERE | {"confusion", "reliability"}),
    "hundred classes": (hundred_classes, EVERYWHERE | {"confusion", "reliability"}),
    "minimal": (minimal, set()),
    "hostile": (lambda: hostile(binary()), EVERYWHERE | {"confusion", "reliability"}),
}


@functools.cache
def drawn(name):
    """Record, page and figures of a case, drawn once for all tests."""
    record = CASES[name][0]()
    found = drawings(record)
    text = page(record, {key: drawing.inline() for key, drawing in found.items()})
    return record, text, {key: drawing.file() for key, drawing in found.items()}


def small():
    """A study with two quick figures."""
    judged = Judged(10, [[4.0, 1.0], [0.0, 5.0]])
    curves = {"train_loss": [1.0 / (i + 1) for i in range(5000)]}
    return dataclasses.replace(minimal(), classes=["a$1$", "b_2"], judged=judged, curves=curves)


class Page(HTMLParser):
    """Checks that tags close in order; keeps tags, attributes, ids and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name):
        return [v for _, k, v in self.attributes if k == name]


def figures(record):
    """The figures by file name."""
    return {f"{name}.svg": drawing.file() for name, drawing in drawings(record).items()}


@pytest.fixture(params=CASES)
def case(request):
    record, text, files = drawn(request.param)
    return record, CASES[request.param][1], text, files


def test_page_parses_and_needs_nothing_from_outside(case):
    _, _, text, _ = case
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "image", "foreignobject"} & set(
        page.tags
    )
    assert not [k for _, k, _ in page.attributes if k.startswith("on")]
    links = page.values("href") + page.values("xlink:href") + page.values("src")
    assert links
    assert all(link.startswith("#") for link in links)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_ids_are_unique_and_every_link_has_its_target(case):
    _, _, text, _ = case
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    wanted = {link[1:] for link in page.values("href") + page.values("xlink:href")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", text))
    assert wanted <= set(ids)


def test_figures_are_all_there_and_sound_files(case):
    _, names, text, files = case
    assert set(files) == names
    assert Page(text).tags.count("svg") == len(names)
    for content in files.values():
        root = ElementTree.fromstring(content)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.get("viewBox").split()[2]) > 100


def test_no_bitmap_hides_in_a_figure(case):
    _, _, text, _ = case
    assert "data:image" not in text


def test_card_is_short_and_whole(case):
    record, _, _, _ = case
    card = model_card(record)
    assert len(card) <= 8000
    assert card.count("```") in (0, 2)
    assert card.startswith("# ")


def sections(text):
    return re.findall(r'<section id="([^"]+)"', text)


def test_every_section_of_a_full_study_is_there_and_in_the_contents():
    text = drawn("binary")[1]
    found = sections(text)
    assert found == [
        "shipped", "estimates", "finalists", "trials-figure", "paths", "curves", "overtuning", "judged", "features", "worth",
        "trials", "cautions", "provenance",
    ]  # fmt: skip
    assert re.findall(r'<li><a href="#([^"]+)"', text) == found
    assert all(f'{key}"><h2>' in text for key in found)


def test_a_study_with_next_to_nothing_has_a_page_of_what_there_is():
    text = render(minimal())
    assert sections(text) == ["shipped", "trials", "provenance"]
    assert "There is no estimate from untouched rows" in text
    assert "This model was not registered." in model_card(minimal())
    assert "None" not in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_the_same_record_gives_the_same_bytes():
    record, text, files = drawn("hostile")
    again = hostile(binary())
    assert again is not record
    assert render(again) == text
    assert model_card(again) == model_card(record)
    found = figures(small())
    assert set(found) == {"confusion.svg", "curves.svg"}
    assert figures(small()) == found
    assert {f"{name}.svg" for name in files} > set(found)


def test_a_record_read_back_from_json_gives_the_same_page():
    record = small()
    assert render(StudyRecord.from_json(record.to_json())) == render(record)


def test_drawing_leaves_matplotlib_as_it_was_and_heeds_no_setting_of_the_user():
    import matplotlib

    expected = figures(small())
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.parse_math": True}):
        before = dict(matplotlib.rcParams)
        assert figures(small()) == expected
        assert dict(matplotlib.rcParams) == before


def test_hostile_names_stay_text():
    record, text, _ = drawn("hostile")
    page = Page(text)
    assert "<script" not in text
    assert "foo" not in page.values("id")
    seen = "".join(page.text)
    assert '<script>alert("$x_1$ & `y`")</script> id="foo" |' in seen
    assert not any(c in seen for c in "\x00\ud800\u202e")
    assert "名前" in seen
    text.encode()
    assert "hunter2" not in text + model_card(record)


def test_dollars_and_underscores_in_figures_are_not_read_as_mathematics():
    root = ElementTree.fromstring(figures(small())["confusion.svg"])
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("a$1$") == 2
    assert words.count("b_2") == 2


def test_hostile_names_cannot_leave_their_place_in_the_card():
    card = model_card(hostile(binary()))
    outside = re.sub(r"`[^`\n]*`", "", card.replace("```python", "").replace("```", ""))
    assert "<script" not in outside.partition("import mlflow")[0]
    assert card.count("\n## ") == 8
    assert "\x00" not in card


def test_trials_beyond_fifty_are_counted():
    text = drawn("hundred classes")[1]
    table = text.partition('<section id="trials"')[2].partition("</section>")[0]
    assert len(re.findall(r"<tr[ >]", table)) == 51
    assert "450 more trials" in table
    assert "the loss became infinite (21 trials)" in table


def test_many_classes_are_shown_by_the_worst():
    svg = drawn("hundred classes")[2]["confusion"].decode()
    assert "the worst 20 of 100 classes" in svg


def test_long_curves_are_thinned():
    whole = {"train_loss": [math.sin(i) for i in range(5000)]}
    svg = figures(dataclasses.replace(small(), curves=whole))["curves.svg"].decode()
    points = max(len(re.findall(r"[ML] [\d.]+", path)) for path in re.findall(r' d="([^"]*)"', svg))
    assert 150 < points <= 200


def test_matplotlib_waits_until_something_is_drawn():
    code = "import sys, autoreg.report; print('matplotlib' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_drawing_needs_no_pyplot():
    code = (
        "import sys; from report_records import binary; from autoreg.report import render; render(binary(24));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    path = [p for p in sys.path if p]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_the_page_tells_what_was_chosen_shipped_and_left_out():
    text = drawn("binary")[1]
    for words in (
        "Shipped as <b>blend</b>",
        "more than one standard error",
        "The rule “best”",
        "6 of 19 encoded columns",
        "Measured once, at the very end, on 1,409 rows",
        "yes is predicted from probability 0.42 on",
        "1.83 MB",
        "3f9a77c1d2e4b605",
        "xgboost was dropped after trial 40",
        "Before you rely on this",
        "Most often confused: yes taken for no (151 of 374)",
    ):
        assert words in text, words


def test_numbers_that_were_never_computed_leave_a_page_without_them():
    kept = {"seconds", "bytes", "microseconds"}

    def emptied(value, key=""):
        if isinstance(value, dict):
            return {k: emptied(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [emptied(v, key) for v in value if not isinstance(v, float)]
        return None if isinstance(value, float) and key not in kept else value

    data = emptied(json.loads(binary(24).to_json()))
    record = StudyRecord.from_json(json.dumps({**data, "judged": None}))
    assert figures(record) == {}
    assert {"shipped", "finalists", "trials", "provenance"} <= set(sections(render(record)))
    assert len(model_card(record)) < 8000


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e12])
def test_scores_of_any_size_can_be_drawn(scale):
    rows = [dataclasses.replace(t, cv=scale * i, train=scale) for i, t in enumerate(regression().trials[:5])]
    found = figures(dataclasses.replace(minimal(), trials=rows))
    assert set(found) == {"trials.svg", "paths.svg"}
