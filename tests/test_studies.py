"""The study files that come with the project: all can be read, and those on data that is at hand show their effect."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoreg.data import is_published
from autoreg.planning import plan
from autoreg.published import matching
from autoreg.report import artifacts
from autoreg.spec import load_study, read_study
from autoreg.trial import Choice
from autoreg.tuner import tune

STUDIES = Path(__file__).parent.parent / "studies"
FOUNDING = ("heart_linear", "heart_network", "moons", "iris_activity", "digits", "digits_mnist")
TRIALS = {
    "heart_linear": 6,
    "heart_network": 9,
    "moons": 2,
    "iris_activity": 2,
    "digits": 6,
    "digits_mnist": 6,
}


def made_up(name):
    """A table of the form of one that is not shipped; None where it is."""
    rng = np.random.default_rng(0)
    if name.startswith("heart"):
        X = rng.normal(size=(303, 13))
        return pd.DataFrame(X, columns=[f"c{i}" for i in range(13)]).assign(target=(X[:, 0] > 0).astype(int))
    if name == "digits_mnist":
        pixels = rng.integers(0, 256, (60, 784), dtype=np.uint8)
        return pd.DataFrame(pixels, columns=[f"pixel{i}" for i in range(784)]).assign(
            **{"class": np.arange(60) % 10}
        )
    return None


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_file_is_read(path):
    study = load_study(path)
    assert study.name == (path.stem if path.stem != "template" else "mine")
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", FOUNDING)
def test_every_founding_study_plans_the_trials_that_its_figures_name(name):
    study = load_study(STUDIES / f"{name}.toml")
    planned = plan(study, made_up(name))
    (space,) = planned.resolved.values()
    listed = list(space.turns() if study.search.sampler == "turns" else space.grid())
    assert len(listed) == study.search.trials == TRIALS[name]
    assert is_published(planned.split)
    searched = {key for key, d in space.searched.items() if isinstance(d, Choice)}
    for figure in study.published.figures:
        assert figure.match.keys() <= searched
        assert any(all(chosen[key] == value for key, value in figure.match.items()) for chosen in listed)


def shortened(name, **changes):
    """A study file with some of its lines replaced."""
    text = (STUDIES / f"{name}.toml").read_text(encoding="utf-8")
    for key, value in changes.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert found == 1, key
    return read_study(text, name, STUDIES)


@pytest.mark.slow
def test_the_moons_show_overfitting_and_what_a_penalty_does():
    result = tune(shortened("moons"), tracking="off")
    plain, penalized = result.record.trials
    assert plain.train == penalized.train == 1.0
    stop = {t.number: np.asarray(t.curves["stop_loss"]) for t in result.record.trials}
    # Without a penalty the loss on the other rows ends far above its lowest point; with it, close to it.
    assert stop[0][-1] > 1.5 * stop[0].min()
    assert stop[1][-1] < stop[0][-1]
    rows = result.report["published"]["rows"]
    assert [(row["part"], row["trials"]) for row in rows] == [
        ("train", [0]),
        ("test", [0]),
        ("train", [1]),
        ("test", [1]),
    ]
    files = artifacts(result.record)
    assert {"figures/surfaces.svg", "figures/before-after.svg", "published.json"} <= files.keys()
    assert all(np.asarray(shown.surface).shape == (60, 60) for shown in result.record.shown)
    assert len(result.record.plane.rows) == 100
    assert sum(train for *_, train in result.record.plane.rows) == 30


@pytest.mark.slow
def test_iris_is_followed_by_accuracy_and_has_no_plane():
    result = tune(shortened("iris_activity", epochs=30), tracking="off")
    assert [shown.name for shown in result.record.shown] == ["without", "activity L1 = 0.001"]
    assert all({"train_accuracy", "stop_accuracy"} <= shown.curves.keys() for shown in result.record.shown)
    assert result.record.plane is None
    page = artifacts(result.record)["report.html"]
    assert "Published figures beside ours" in page
    assert "0.9211" in page


@pytest.mark.slow
def test_a_penalty_that_is_too_strong_underfits_as_in_heart_linear():
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True).frame
    study = load_study(STUDIES / "heart_linear.toml")
    result = tune(study, table, tracking="off")
    found = {row["name"]: row["ours"] for row in result.report["published"]["rows"]}
    # All weights are zero: what is left is the share of a class.
    assert found["L1, C = 0.001"] < 0.7
    assert found["L2, C = 0.001"] > 0.9
    assert found["L1, C = 0.1"] > 0.9


def test_figures_match_nothing_before_a_study_has_run():
    assert matching([], load_study(STUDIES / "moons.toml").published.figures[0]) == []
