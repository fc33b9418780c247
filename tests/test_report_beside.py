"""The report of a study that repeats a published experiment: figures side by side, curves, surfaces."""

import dataclasses
import json

import numpy as np
import pytest
from report_records import binary

from autoreg.record import Plane, Shown, StudyRecord
from autoreg.report import artifacts

GRID = np.outer(np.linspace(0, 1, 12), np.ones(12)).tolist()
ROWS = [[0.1, 0.2, 0, 1], [0.9, 0.8, 1, 1], [0.5, 0.4, 1, 0]]
TOLD = {
    "source": "a page <b>",
    "rows": [
        {"name": "<script>", "part": "test", "published": 0.914, "ours": 0.9, "low": 0.85, "high": 0.95, "says": "a & b", "trials": [0, 1]},
        {"name": "never", "part": "train", "published": 0.5, "ours": None, "low": None, "high": None, "says": "", "trials": []},
    ],
}  # fmt: skip


def shown(number, name, kinds=("loss", "accuracy"), length=30, surface=GRID):
    curves = {
        f"{part}_{kind}": np.linspace(1, 0.2, length).tolist() for part in ("train", "stop") for kind in kinds
    }
    return Shown(number, name, curves, 10 * length, surface)


def with_published(record, **changes):
    return dataclasses.replace(record, report={**record.report, "published": TOLD}, **changes)


def plane():
    return Plane(["x0", "x1"], [0.0, 1.0], [0.0, 1.0], ROWS)


def test_everything_side_by_side_is_drawn_and_survives_json():
    record = with_published(binary(), shown=[shown(0, "plain"), shown(1, "l2 < .1")], plane=plane())
    files = artifacts(StudyRecord.from_json(record.to_json()))
    assert {"figures/before-after.svg", "figures/surfaces.svg", "published.json"} <= files.keys()
    assert json.loads(files["published.json"]) == TOLD
    page = files["report.html"]
    for text in (
        "Published figures beside ours",
        "&lt;script&gt;",
        "a page &lt;b&gt;",
        "0.914",
        "-0.014",
        "0.9 (0.85 to 0.95, 2 trials)",
    ):
        assert text in page
    assert "<script>" not in page
    assert "l2 &lt; .1" in files["figures/before-after.svg"].decode()


def test_a_curve_is_drawn_over_all_its_epochs():
    one = with_published(binary(), shown=[shown(0, "plain", length=40)])
    svg = artifacts(one)["figures/before-after.svg"].decode()
    assert ">400<" in svg


def test_an_ordinary_study_has_none_of_it():
    files = artifacts(binary())
    assert "published.json" not in files
    assert not {"figures/before-after.svg", "figures/surfaces.svg"} & files.keys()
    assert "Published figures" not in files["report.html"]


@pytest.mark.parametrize("classes", [["a", "b", "c"], []])
def test_surfaces_of_several_classes_and_of_values(classes):
    task = "multiclass" if classes else "regression"
    surface = np.round(2 * np.array(GRID)).tolist() if classes else GRID
    record = dataclasses.replace(
        binary(), classes=classes, task=task, shown=[shown(0, "one", surface=surface)], plane=plane()
    )
    assert b"one" in artifacts(record)["figures/surfaces.svg"]


def test_a_surface_that_is_missing_is_said_to_be():
    record = dataclasses.replace(
        binary(), shown=[shown(0, "one"), shown(1, "late", surface=[])], plane=plane()
    )
    assert "Left out, because the time was too short: late." in artifacts(record)["report.html"]


def test_linear_models_have_no_curves_to_draw():
    record = dataclasses.replace(binary(), shown=[Shown(0, "linear", {})])
    assert "figures/before-after.svg" not in artifacts(record)
