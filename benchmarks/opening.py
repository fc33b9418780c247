"""How long the first block of networks takes on real tables, beside what is expected before any was trained.

    python benchmarks/opening.py FOLDER [--sets NAME ...]

FOLDER holds an INDEX.csv (columns name, file, target, task). A block of random configurations in five folds of four fifths of the rows;
TensorFlow's import, which the expectation holds too, is timed once.
"""

import argparse
import time
from pathlib import Path

from peers import SETS
from peers_data import divided, read, read_index


def measured(entry):
    """(train rows, columns, expected seconds, seconds) of the first block."""
    from autoreg.evaluation import Candidate
    from autoreg.executor import SerialExecutor, Work
    from autoreg.planning import plan
    from autoreg.space import Proposer
    from autoreg.spec import parse_study

    rows, _ = divided(read(entry), entry, 0)
    task = "regression" if entry.task == "regression" else "auto"
    study = {"name": "opening", "data": {"source": "made", "target": entry.target, "task": task}}
    study |= {"split": {"estimate": "none"}, "search": {"backends": ["keras"]}}
    planned = plan(parse_study(study), rows)
    proposer, backend, shared = (
        Proposer(planned.resolved["keras"], "random", 0, "keras"),
        planned.backends["keras"],
        {},
    )
    candidates = []
    for n in range(planned.block):
        asked = proposer.ask(n, None, shared)
        shared = shared or {name: asked.params[name] for name in backend.shared}
        candidates.append(Candidate(asked.params, n))
    sizes = planned.problem.sizes(backend.encoding)
    executor = SerialExecutor(planned.problem, planned.backends, lambda: True)
    began = time.perf_counter()
    executor.submit(Work(tuple(range(planned.block)), "keras", tuple(candidates)))
    executor.wait()
    return sizes.rows, sizes.columns, planned.opening("keras"), time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    args = parser.parse_args()
    began = time.perf_counter()
    import tensorflow as tf

    tf.constant(1.0) + 1
    imported = time.perf_counter() - began
    print(f"import of TensorFlow: {imported:.1f} s")
    print("| set | train rows | columns | expected, s | block and import, s |")
    print("|---|---|---|---|---|")
    for name in args.sets:
        rows, columns, expected, seconds = measured(read_index(args.folder)[name])
        print(f"| {name} | {rows:,} | {columns} | {expected:.1f} | {seconds + imported:.1f} |", flush=True)


if __name__ == "__main__":
    main()
