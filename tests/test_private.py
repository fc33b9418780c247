"""Predictions that are kept out of the store: they stay beside it until the study ends, and change nothing."""

import io

import numpy as np
import pytest
from test_tuner import Stopper, children, study

from autoreg import tune
from autoreg.errors import Interrupted, TrackingUnavailable
from autoreg.ledger.private import PrivateArrays
from autoreg.spec import Study


def private(**search) -> Study:
    return study(**search).updated(registry={"predictions": False})


@pytest.fixture
def state(tmp_path, monkeypatch):
    """The folder of what waits for the store."""
    monkeypatch.setenv("AUTOREG_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def stored(store, result):
    """Names of the arrays in every trial's artifact."""
    found = []
    for run in children(store, result):
        path = store.download_artifacts(run.info.run_id, "trial.npz")
        with np.load(path, allow_pickle=False) as arrays:
            found.append(set(arrays.files))
    return found


def test_no_prediction_reaches_the_store_and_none_is_left_behind(store, state):
    open_study = tune(study(), tracking="off").as_json()
    result = tune(private()).as_json()
    assert (result["best"], result["estimate"]) == (open_study["best"], open_study["estimate"])
    arrays = stored(store, result)
    assert len(arrays) == 12
    assert not any("predictions" in names for names in arrays)
    assert any(names for names in arrays)  # curves are no rows' and stay
    assert list(state.iterdir()) == []


def test_it_is_the_same_study_with_and_without(store, state):
    first = tune(private(trials=4)).as_json()
    assert tune(study(trials=4)).as_json()["run_id"] == first["run_id"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_study_cut_short_goes_on_or_computes_again_what_is_lost(store, state, lost):
    whole = tune(study(), tracking="off").as_json()
    with pytest.raises(Interrupted):
        tune(private(), watch=Stopper(7))
    (folder,) = [path for path in state.iterdir() if path.is_dir()]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    if lost:
        for path in folder.iterdir():
            path.unlink()
    watch = Stopper(-1)
    result = tune(private(), watch=watch).as_json()
    assert (watch.replayed >= 7) is not lost
    assert (result["best"], result["estimate"]) == (whole["best"], whole["estimate"])
    runs = children(store, result)
    assert [int(run.data.tags["autoreg.trial"]) for run in runs] == list(range(12))
    assert not any("predictions" in names for names in stored(store, result))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingUnavailable, match=r"registry\.predictions = false, and .*file"):
        PrivateArrays(tmp_path / "file").keep(0, b"")


def test_what_is_kept_is_given_back_until_it_is_removed(tmp_path):
    content = io.BytesIO()
    np.savez(content, predictions=np.arange(3.0))
    here = PrivateArrays(tmp_path / "here")
    assert 4 not in here
    assert here.load(4) is None
    here.keep(4, content.getvalue())
    assert 4 in here
    assert here.load(4) == content.getvalue()
    here.remove()
    assert not here.folder.exists()
