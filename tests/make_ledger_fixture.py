"""Makes ``tests/fixtures/ledger-VERSION.tar.gz``: a ledger as this version of autoreg writes it, for later ones to read.

    python tests/make_ledger_fixture.py

Run once for a release, before its number changes; what older releases left in the folder stays as it is. In the archive:
a study that is finished, with its registered model and what it predicts (``predicted.csv``), and one that was stopped,
with the run of a trial that was cut short. The database is SQL text, without the name of a machine, a person or a folder:
``PLACE`` stands for where it is unpacked.
"""

import io
import os
import platform
import pwd
import shutil
import socket
import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from test_tuner import Stopper

HERE = Path(__file__).resolve().parent
FIXTURES = HERE / "fixtures"
PLACE, CODE, MOST = "@PLACE@", "CODE", 1_000_000
SOMEBODY = "somebody"
STUDY = """
name = "{name}"
[data]
source = "flowers.csv"
target = "species"
[split]
folds = 2
[search]
backends = ["sklearn"]
trials = 6
block = 2
lookahead = 2
seed = {seed}
race = false
"""
STOPPED_AFTER = 3


def unpack(archive, folder):
    """Unpack a ledger into an empty folder; the address of its store."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    for path in folder.rglob("*"):
        if path.is_file() and PLACE.encode() in (content := path.read_bytes()):
            path.write_bytes(content.replace(PLACE.encode(), str(folder).encode()))
    with closing(sqlite3.connect(folder / "mlflow.db")) as base:
        base.executescript((folder / "mlflow.sql").read_text(encoding="utf-8"))
    return f"sqlite:///{folder}/mlflow.db"


def write(folder):
    """Run the studies in an empty folder, which is the current one."""
    from sklearn.datasets import load_iris

    from autoreg import tune
    from autoreg.__main__ import main
    from autoreg.errors import Interrupted
    from autoreg.ledger import read_summary
    from autoreg.tracking import quiet_client

    found = load_iris(as_frame=True)
    table = found.data.assign(species=found.target_names[found.target])
    table.iloc[::2].to_csv("flowers.csv", index=False)
    table.iloc[1::2, :-1].to_csv("rows.csv", index=False)
    for name, seed in (("finished", 1), ("stopped", 2)):
        Path(f"{name}.toml").write_text(STUDY.format(name=name, seed=seed))
    tune("finished.toml")
    code = main(["predict", "models:/finished@champion", "rows.csv", "predicted.csv"])
    if code:
        sys.exit(code)
    try:
        tune("stopped.toml", watch=Stopper(STOPPED_AFTER))
    except Interrupted:
        study = read_summary("stopped")
        tags = {
            "mlflow.parentRunId": study["run_id"],
            "autoreg.trial": "5",
            "autoreg.backend": "sklearn",
            "autoreg.uid": "cut short",
        }
        quiet_client().create_run(study["experiment_id"], tags=tags)
    with closing(sqlite3.connect(folder / "mlflow.db")) as base:
        Path("mlflow.sql").write_text("\n".join(base.iterdump()), encoding="utf-8")


def neutral(path, folder):
    """A file's content without what tells of this machine."""
    content = path.read_bytes()
    names = {str(folder): PLACE, str(HERE.parent): CODE, platform.platform(): "some system"}
    for name, instead in names.items():
        content = content.replace(name.encode(), instead.encode())
    user = pwd.getpwuid(os.getuid()).pw_name
    told = [socket.gethostname(), *(f"/{top}/" for top in ("home", "root", "tmp", "usr"))]
    told += [user] if user != "root" else []  # which is a word of other meanings, too
    if there := [name for name in told if name.encode() in content]:
        where = content.index(there[0].encode())
        raise ValueError(f"{path} tells {there}: {content[max(0, where - 80) : where + 80]!r}")
    return content


def pack(folder, archive):
    """The archive of a folder, the same for the same files."""
    with tarfile.open(archive, "w:gz", compresslevel=9) as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if name.startswith(("mlflow.db", "state/", "scratch/")):
                continue
            content = neutral(path, folder)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    if archive.stat().st_size > MOST:
        raise ValueError(f"{archive} has {archive.stat().st_size} bytes")


def main():
    sys.path.insert(0, str(HERE.parent))
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.update(dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), SOMEBODY))
    with tempfile.TemporaryDirectory(prefix="autoreg-ledger-") as place:
        folder = Path(place).resolve()
        (folder / "scratch").mkdir()
        os.environ.update(AUTOREG_STATE_DIR=str(folder / "state"), TMPDIR=str(folder / "scratch"))
        tempfile.tempdir = None  # what is made there gets a name that is taken out again
        os.chdir(folder)
        write(folder)
        from autoreg import __version__

        FIXTURES.mkdir(exist_ok=True)
        made = folder / "scratch" / f"ledger-{__version__}.tar.gz"
        pack(folder, made)
        archive = Path(shutil.move(made, FIXTURES / made.name))
        os.chdir(HERE)
    print(f"{archive}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main()
