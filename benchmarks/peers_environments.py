"""Environments of the contenders: made once in a folder, each by itself, because they do not agree on versions."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = {
    "flaml": ("flaml[automl]==2.7.0", "pyarrow"),
    "autogluon": ("autogluon.tabular[lightgbm,catboost,xgboost,fastai,ray]==1.6.3",),
    "mljar": ("mljar-supervised==1.3.2", "pyarrow"),
}
"""What is installed into an environment of its own."""
ENVIRONMENT = {"autogluon-best": "autogluon"} | {name: name for name in REQUIREMENTS}
"""Contender -> environment. The others use autoreg's own libraries, in the very versions that autoreg runs with."""
MARK = "made-of.txt"
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


class NotMade(Exception):
    """An environment cannot be made; the message is the installer's last line."""


def default_folder():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoreg-peers"


def made_of(contender):
    """What a contender is made of: the requirements of its environment, or the commit of autoreg ("+": with changes)."""
    name = ENVIRONMENT.get(contender)
    if name is not None:
        return REQUIREMENTS[name][0]
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "--", "../autoreg", "*.py"], capture_output=True)
    if commit.returncode != 0:
        return "autoreg"
    return f"autoreg {commit.stdout.strip()}{'+' if changed.stdout else ''}"


def installer(python):
    """The command that installs into an environment: uv where there is one, else its own pip."""
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", str(python)]
    return [str(python), "-m", "pip", "install", "--quiet"]


def interpreter(contender, folder):
    """The Python that has a contender's libraries.

    Raises
    ------
    NotMade
        The environment is not there and cannot be made.
    """
    name = ENVIRONMENT.get(contender)
    if name is None:
        return Path(sys.executable)
    place = Path(folder).absolute() / name
    python, mark, wanted = place / "bin" / "python", place / MARK, "\n".join(REQUIREMENTS[name])
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(place, ignore_errors=True)
    print(f"{name}: installing {' '.join(REQUIREMENTS[name])} into {place}", file=sys.stderr, flush=True)
    _do([sys.executable, "-m", "venv", str(place)])
    _do([*installer(python), *REQUIREMENTS[name]])
    mark.write_text(wanted, encoding="utf-8")
    return python


def _do(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise NotMade(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise NotMade(last_line(done.stderr or done.stdout) or f"exit code {done.returncode}")


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def variables(python, cores, root):
    """Environment variables of a contender's process: its threads, no accelerator, no packages of anybody else."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    kept |= dict.fromkeys(THREADS, str(cores)) | {"CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg"}
    if Path(python) == Path(sys.executable):
        kept["PYTHONPATH"] = str(root)
    return kept
