"""Every bad table of the corpus either works or is refused in one line, whatever the backend."""

import shutil
from contextlib import nullcontext
from unittest import mock

import pytest
from bad_runs import at_home, run
from bad_tables import every_case

CASES = every_case()
FEW = (
    "column_of_inf-binary", "huge_numbers-regression", "tiny_numbers-multiclass", "a_copy_of_the_target-regression",
    "the_largest_double-regression", "names_of_encoded_columns-binary", "brackets_in_column_names-regression",
    "a_class_of_two_rows-binary", "one_in_a_thousand-binary", "every_word_for_missing-regression",
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(migrated_store, tmp_path_factory):
    """One tracking store for all cases, and its folder."""
    folder = tmp_path_factory.mktemp("bad")
    return shutil.copy(migrated_store, folder / "mlflow.db")


def judged(name, backend, folder, store):
    with at_home(folder, store):
        outcome = run(CASES[name], backend, folder)
    assert outcome.wrong(CASES[name]) == ""


def marked(backend):
    """Every case with the mark of the runs that it belongs to."""
    cases = []
    for name, case in CASES.items():
        quick = backend == "sklearn" and (case.fast or not case.works)  # a refusal takes no time
        marks = () if quick else pytest.mark.slow if name in FEW else pytest.mark.full
        cases.append(pytest.param(name, id=name, marks=marks))
    return cases


@pytest.mark.parametrize("name", marked("sklearn"))
def test_linear_models(name, tmp_path, shared):
    """Figures are drawn where the names that they show are what is bad; ``test_pages`` draws them all."""
    with nullcontext() if CASES[name].draws else mock.patch("autoreg.tuner.artifacts", return_value={}):
        judged(name, "sklearn", tmp_path, shared)


@pytest.mark.parametrize("name", marked("xgboost"))
def test_boosted_trees(name, tmp_path, shared):
    judged(name, "xgboost", tmp_path, shared)


@pytest.mark.parametrize("name", marked("keras"))
def test_networks(name, tmp_path, shared):
    judged(name, "keras", tmp_path, shared)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.works and case.way != "fit"])
def test_pages(name, tmp_path, shared):
    judged(name, "sklearn", tmp_path, shared)


def test_the_corpus_is_large_and_crosses_tasks():
    assert len(CASES) >= 120
    assert {case.task for case in CASES.values()} == {"binary", "multiclass", "regression"}
    assert set(FEW) <= set(CASES)
