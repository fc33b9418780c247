"""How long the first turn of a backend takes on real tables, beside what is expected before any of its models was fitted.

    python benchmarks/opening.py FOLDER [--backend keras] [--sets NAME ...]

FOLDER holds an INDEX.csv (columns name, file, target, task). A turn of random configurations in the folds of a study of four fifths
of the rows; TensorFlow's import, which the expectation of networks holds too, is timed once. Boosted trees (`--backend xgboost`) are
told by their default and the configurations a search begins with.
"""

import argparse
import time
from pathlib import Path

from peers import SETS
from peers_data import divided, read, read_index


def measured(entry, kind):
    """(train rows, columns, expected seconds, seconds) of the first turn."""
    from autoreg.evaluation import Candidate
    from autoreg.executor import SerialExecutor, Work
    from autoreg.planning import plan
    from autoreg.space import Proposer
    from autoreg.spec import parse_study

    rows, _ = divided(read(entry), entry, 0)
    task = "regression" if entry.task == "regression" else "auto"
    study = {"name": "opening", "data": {"source": "made", "target": entry.target, "task": task}}
    study |= {"split": {"estimate": "none"}, "search": {"backends": [kind]}}
    planned = plan(parse_study(study), rows)
    proposer, backend, shared = (
        Proposer(planned.resolved[kind], "random" if kind == "keras" else "tpe", 0, kind),
        planned.backends[kind],
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
    executor.submit(Work(tuple(range(planned.block)), kind, tuple(candidates)))
    executor.wait()
    return sizes.rows, sizes.columns, planned.opening(kind), time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--backend", default="keras", choices=("keras", "xgboost"))
    args = parser.parse_args()
    imported = 0.0
    if args.backend == "keras":
        began = time.perf_counter()
        import tensorflow as tf

        tf.constant(1.0) + 1
        imported = time.perf_counter() - began
        print(f"import of TensorFlow: {imported:.1f} s")
    print("| set | train rows | columns | expected, s | turn and import, s |")
    print("|---|---|---|---|---|")
    for name in args.sets:
        rows, columns, expected, seconds = measured(read_index(args.folder)[name], args.backend)
        print(f"| {name} | {rows:,} | {columns} | {expected:.1f} | {seconds + imported:.1f} |", flush=True)


if __name__ == "__main__":
    main()
