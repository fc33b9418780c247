"""Retuning, scene by scene: real commands on tables that scikit-learn ships, and what became of them.

    python benchmarks/retuning.py [--scene NAME ...] [--seeds 5] [--out retuning.csv]

A scene begins with a study that is tuned on 300 rows of breast cancer (or 900 of digits, ...), lets the table become what
the scene says, and retunes it. Every command is a process of its own with the command line's own exit code; those of
``empty`` start from a fresh interpreter, the others are forked from one that has the libraries imported.
"""

import argparse
import collections
import csv
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy is imported; forked drivers share it
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from fault_tools import Driver, Lab  # noqa: E402

STUDY = """
name = "served"
[data]
source = "{folder}/today.csv"
target = "target"
{trusted}
[split]
folds = 3
[search]
backends = ["sklearn"]
trials = {trials}
seed = {seed}
race = false
{space}
[retune]
gate = "{gate}"
"""
WEAK = "[search.sklearn]\nalpha = 3.0\npenalty = 'l2'"
FIRST = 300


class Scene:
    """One store with one model."""

    def __init__(self, lab, seed, weak=False):
        self.folder, self.seed = lab.folder(), seed
        self.env = lab.local(self.folder).env
        self.table = cancer(seed)
        self.write(self.table[:FIRST])
        self.study(weak=weak)
        self.first = self.go("--key", "first")

    def study(self, weak=False, gate="superior", trusted=""):
        text = STUDY.format(
            folder=self.folder, seed=self.seed, trials=1 if weak else 4, gate=gate, trusted=trusted,
            space=WEAK if weak else "",
        )  # fmt: skip
        (self.folder / "study.toml").write_text(text)

    def write(self, table):
        table.to_csv(self.folder / "today.csv", index=False)

    def start(self, *argv, command="retune", study="study.toml", folder=None, **more):
        env = {**self.env, **more.pop("env", {})}
        words = (command, study, *argv, "--quiet", "--json", "-") if command == "retune" else (command, *argv)
        return Driver(folder or self.folder, *words, env=env, **more)

    def go(self, *argv, **more):
        """A command to its end; its JSON object, or its exit code where that is not 0."""
        driver = self.start(*argv, **more)
        code = driver.wait()
        self.words = driver.words()
        if code:
            return {"status": f"exit code {code}", "words": self.words}
        return driver.result() if more.get("command", "retune") == "retune" else {"status": "done"}

    def client(self):
        from fault_tools import Store

        return Store(self.env["MLFLOW_TRACKING_URI"], "").client()

    def aliases(self):
        return {name: str(n) for name, n in self.client().get_registered_model("served").aliases.items()}

    def parents(self):
        client = self.client()
        experiment = client.get_experiment_by_name("served").experiment_id
        return len(client.search_runs([experiment], "tags.`autoreg.role` = 'study'"))


def cancer(seed):
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def flipped(table, chance, seed, only=None):
    """The table with so many labels of its new rows turned; of one class alone where that is said."""
    rng, table = np.random.default_rng(seed), table.copy()
    new = np.arange(len(table)) >= FIRST
    chosen = new & (rng.random(len(table)) < chance)
    if only is not None:
        chosen &= table["target"].to_numpy() == only
    table.loc[chosen, "target"] = 1 - table.loc[chosen, "target"]
    return table


def of(found, *words):
    """A retune's status, with the words of its reason that say which rule kept the champion."""
    reason = str((found.get("gate") or {}).get("reason", ""))
    return found["status"] + "".join(f" ({word})" for word in words if word in reason)


def empty(lab, seed):
    """A new empty folder, an address and nothing else; a fresh interpreter."""
    scene = Scene(lab, seed)
    scene.write(scene.table)
    found = scene.go(study="models:/served@champion", folder=lab.folder(), cold=True)
    return [found["status"]]


def one_key(lab, seed):
    """The same key three times: one parent run of it."""
    scene = Scene(lab, seed)
    scene.write(scene.table)
    found = [scene.go("--key", "tuesday")["status"] for _ in range(3)]
    return [f"{', '.join(found)}: {scene.parents() - 1} parent run"]


def at_once(lab, seed):
    """Two at once on one host: one runs, the other exits 75."""
    scene = Scene(lab, seed)
    scene.write(scene.table)
    both = [scene.start("--key", key) for key in ("tuesday", "wednesday")]
    codes = sorted(driver.wait() for driver in both)
    return [f"exit codes {codes[0]} and {codes[1]}"]


def two_hosts(lab, seed):
    """Two at once that see no lock of each other, one with a challenger that is much better than the other's."""
    scene = Scene(lab, seed, weak=True)
    scene.write(scene.table)
    scene.study()
    better, worse = scene.folder / "study.toml", scene.folder / "worse.toml"
    worse.write_text(
        better.read_text()
        .replace("trials = 4", "trials = 1")
        .replace("[retune]", f"{WEAK.replace('3.0', '1.0')}\n[retune]")
    )
    tmp = [lab.folder() for _ in range(2)]
    pair = [
        scene.start("--key", name, study=f"{name}.toml", cold=True, env={"TMPDIR": str(place)})
        for name, place in zip(("study", "worse"), tmp, strict=True)
    ]
    codes = [driver.wait() for driver in pair]
    if any(codes):
        return [f"exit codes {codes}: {pair[codes.index(max(codes))].words()[-200:]}"]
    numbers = [str(d.result()["model"]["version"]) for d in pair]
    ends = "the better one serves" if scene.aliases()["champion"] == numbers[0] else "the worse one serves"
    return [f"{ends}{'' if numbers[0] != numbers[1] else ', one version for two'}"]


def worse(lab, seed):
    """The challenger is held to strong regularization."""
    scene = Scene(lab, seed)
    scene.write(scene.table)
    scene.study(weak=True)
    return [of(scene.go())]


def equal(lab, seed):
    """More rows of the same kind, the same search."""
    scene = Scene(lab, seed)
    scene.write(scene.table[: FIRST + 60])
    return [of(scene.go())]


def better(lab, seed):
    """The champion was held to strong regularization, the challenger is not."""
    scene = Scene(lab, seed, weak=True)
    scene.write(scene.table)
    scene.study()
    return [of(scene.go())]


def noise(lab, seed):
    """One label in five of the new rows is wrong."""
    scene = Scene(lab, seed)
    scene.write(flipped(scene.table, 0.2, seed))
    return [of(scene.go(), "look wrong")]


def noise_of_a_class(lab, seed):
    """Of the new rows of one class every third is labelled as the other: one label in five."""
    scene = Scene(lab, seed)
    scene.write(flipped(scene.table, 0.32, seed, only=1))
    return [of(scene.go(), "look wrong")]


def leak(lab, seed):
    """A new column is the answer with a little noise; then the study says that it trusts the column."""
    scene = Scene(lab, seed)
    rng = np.random.default_rng(seed)
    scene.write(scene.table.assign(later=scene.table["target"] + rng.uniform(0, 0.2, len(scene.table))))
    first = of(scene.go("--key", "leak"), "held the answer")
    warned = "warned" if "'later'" in scene.words else "not warned"
    scene.study(trusted='trusted = ["later"]')
    return [f"{first}, {warned}; trusted: {scene.go('--key', 'leak')['status']}"]


def rollback(lab, seed):
    """A promotion taken back, a retune over the same table, and taken back once more."""
    scene = Scene(lab, seed, weak=True)
    scene.write(scene.table)
    scene.study()
    found, seen = scene.go()["status"], []
    for _ in range(2):
        scene.go("served", command="rollback")
        seen.append(scene.aliases()["champion"])
        if len(seen) == 1:
            again = scene.go("--key", "next day")["status"]
    return [f"{found}; back to {seen[0]}; next retune {again}; once more: {seen[1]}"]


def schema(lab, seed):
    """A column gone, one of words, one new: exit code 65, a line for each, the champion as it was."""
    scene = Scene(lab, seed)
    today = scene.table.drop(columns="mean radius").assign(**{"mean area": "wide", "later": 1.5})
    today.loc[::2, ["mean area", "later"]] = ["narrow", 2.5]
    scene.write(today)
    found = scene.go()
    return [
        f"{found['status']}, {found['words'].count('warning: column')} lines, champion {scene.aliases()['champion']}"
    ]


SCENES = {
    f.__name__: f
    for f in (
        empty,
        one_key,
        at_once,
        two_hosts,
        worse,
        equal,
        better,
        noise,
        noise_of_a_class,
        leak,
        schema,
        rollback,
    )
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", nargs="*", choices=SCENES, default=list(SCENES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", help="CSV")
    given = parser.parse_args()
    rows = []
    print(f"{'scene':18} {'runs':>4} {'seconds':>8}  outcomes", flush=True)
    for name in given.scene:
        began, outcomes = time.monotonic(), collections.Counter()
        for seed in range(given.seeds):
            with Lab() as lab:
                outcomes.update(SCENES[name](lab, seed))
        shown = "; ".join(f"{count} × {what}" for what, count in outcomes.most_common())
        rows.append((name, given.seeds, round(time.monotonic() - began), shown))
        print(f"{name:18} {given.seeds:4} {rows[-1][2]:8}  {shown}", flush=True)
    if given.out:
        with open(given.out, "w", newline="") as file:
            csv.writer(file).writerows([("scene", "runs", "seconds", "outcomes"), *rows])


if __name__ == "__main__":
    main()
