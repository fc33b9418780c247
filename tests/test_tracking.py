import os
import subprocess
import sys
import time

import pytest

from autoreg.errors import AutoregError, TrackingUnavailable
from autoreg.tracking import quiet_client, reaching


def test_a_store_that_is_no_database_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_text("not a database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(TrackingUnavailable) as caught:
        quiet_client().search_experiments()
    assert "mlflow.db" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_passwords_in_store_addresses_are_masked():
    with pytest.raises(TrackingUnavailable) as caught, reaching("postgresql://me:s3cret@host/db"):
        raise OSError("cannot reach postgresql://me:s3cret@host/db")
    assert "s3cret" not in str(caught.value)


def test_our_own_bugs_and_our_own_errors_pass_through():
    with pytest.raises(KeyError), reaching("x"):
        raise KeyError("bug")
    with pytest.raises(AutoregError, match="mine"), reaching("x"):
        raise AutoregError("mine")


@pytest.mark.slow
def test_killed_while_the_database_is_made_the_next_start_makes_it(tmp_path):
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    command = [
        sys.executable,
        "-c",
        "from autoreg.tracking import quiet_client as c; c().search_experiments()",
    ]
    kills = 0
    for share in (0.1, 0.4, 0.7):
        running = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("mlflow.db*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(2 * share)
        kills += running.poll() is None
        running.kill()
        running.wait()
        for whole in tmp_path.glob("mlflow.db"):
            whole.unlink()  # made in time: begin again, and be killed later
    assert kills
    last = subprocess.run(command, env=env, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
