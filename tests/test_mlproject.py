"""MLproject and the command line say the same, and `mlflow run` works."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from autoreg.cli import cli

ROOT = Path(__file__).parent.parent
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))
ENTRIES = PROJECT["entry_points"]
# What a launched run has no use for: flags take no value, and `fresh` is an entry point of its own.
FLAGS = {"fresh", "quiet"}
SAME = ("validate", "retune", "promote", "rollback")
"""Entry points that have their command's name."""
NEEDED = {"promote": {"model": "m", "version": "3"}, "rollback": {"model": "m"}}
"""What has no default."""


def command_of(entry, **given):
    """The words mlflow would run, by its own rules."""
    from mlflow.projects._project_spec import load_project

    return shlex.split(load_project(str(ROOT)).get_entry_point(entry).compute_command(given, None))


def parsed(words):
    assert words[0] == "autoreg"
    parent = click.Context(cli, **cli.context_settings)
    with cli.commands[words[1]].make_context(words[1], words[2:], parent) as context:
        return context.params


@pytest.mark.parametrize(
    ("entry", "command"), [("main", "tune"), ("fresh", "tune"), *((name, name) for name in SAME)]
)
def test_parameters_are_the_options_of_the_command(entry, command):
    options = {p.name for p in cli.commands[command].params} - FLAGS
    assert set(ENTRIES[entry]["parameters"]) == options


def test_every_entry_point_is_checked_here():
    assert set(ENTRIES) == {"main", "fresh", *SAME}


@pytest.mark.parametrize("entry", ENTRIES)
def test_defaults_leave_everything_to_the_study(entry):
    needed = NEEDED.get(entry, {})
    params = parsed(command_of(entry, **needed))
    assert {name: params.pop(name) for name in needed} == needed
    assert params.pop("study", "studies/quickstart.toml") == "studies/quickstart.toml"
    assert params.pop("fresh", False) == (entry == "fresh")
    assert not any(params.values())


def test_values_arrive_whole():
    given = {
        "study": "my studies/x.toml", "data": "a b.csv", "trials": "7", "timeout": "90s", "backends": "sklearn,xgboost",
        "n_jobs": "2", "engine": "dask", "address": "tcp://h:8786", "seed": "3", "json": "out.json",
    }  # fmt: skip
    params = parsed(command_of("main", **given))
    assert {name: str(params[name]) for name in given} == given


def test_no_parameter_is_a_path_to_mlflow():
    """mlflow would resolve it against the caller's folder, where the project's studies are not."""
    given = [spec for entry in ENTRIES.values() for spec in entry["parameters"].values()]
    kinds = {spec if isinstance(spec, str) else spec["type"] for spec in given}
    assert kinds == {"string"}


def test_the_environment_installs_this_checkout_live():
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text(encoding="utf-8"))
    assert set(environment) == {"python", "build_dependencies", "dependencies"}
    assert environment["dependencies"] == ["-e ."]
    assert PROJECT["python_env"] == "python_env.yaml"


def mlflow_run(folder, manager, *more):
    binaries = str(Path(sys.executable).parent)
    env = {
        **os.environ,
        "PATH": binaries + os.pathsep + os.environ["PATH"],
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_ENV_ROOT": f"{folder}/environments",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    words = [
        sys.executable,
        "-m",
        "mlflow",
        "run",
        str(ROOT),
        "--env-manager",
        manager,
        "-P",
        "backends=sklearn",
        "-P",
        "trials=3",
        *more,
    ]
    return subprocess.run(
        words,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=1200,
        check=False,
    )


@pytest.mark.parametrize("manager", ["local", pytest.param("uv", marks=pytest.mark.full)])
@pytest.mark.slow
def test_mlflow_run(tmp_path, manager):
    from mlflow import MlflowClient

    done = mlflow_run(tmp_path, manager, "-P", f"json={tmp_path}/out.json")
    assert done.returncode == 0, done.stderr[-2000:]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len([run for run in runs if "autoreg.trial" in run.data.tags]) == 3
    assert int(client.get_model_version_by_alias("quickstart", "champion").version) == 1
    assert (tmp_path / "out.json").is_file()
