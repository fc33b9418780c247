"""What everything around the models costs: the driver, tracking, memory, worker processes, and their start.

    python benchmarks/scaling.py [--part driver --part workers ...] [--short]

Each part prints a table; without --part all are run, an hour on two cores. The parts:

- driver: milliseconds per trial of ask, tell, settle, referee and bookkeeping, and memory kept, in a study of 5,000 trials.
- thinning: whether a sampler that sees the best and the latest trials alone searches as well as one that sees all.
- tracking: a search with the record on SQLite and over HTTP against one without.
- memory: resident memory of the driver and of workers over 500 real trials.
- workers: two workers against one process with one thread; the losses must be equal, or the script ends with an error.
  Random configurations of the built-in spaces, five folds; the batch is timed after the workers have started.
- busy: the same while other processes keep every core busy.
- start: seconds until each engine gives its first results.
"""

import argparse
import os
import sys

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"  # before numpy is imported
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def parts(short):
    from scaling_driver import overhead
    from scaling_memory import memory
    from scaling_thinning import thinning
    from scaling_tracking import tracking
    from scaling_workers import busy, engines, workers

    few = ((0.1, 40), (1.0, 12))
    return {
        "driver": lambda: overhead(1100 if short else 5000),
        "thinning": lambda: thinning(2 if short else 10),
        "tracking": lambda: tracking(few, fitted={}) if short else tracking(),
        "memory": lambda: memory(200 if short else 500),
        "workers": lambda: workers(4 if short else 24),
        "busy": lambda: busy(2 if short else 12),
        "start": engines,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer trials: minutes in all")
    parser.add_argument("--part", action="append", help="one of the parts, again for more; default all")
    given = parser.parse_args()
    found = parts(given.short)
    chosen = given.part or list(found)
    unknown = set(chosen) - set(found)
    if unknown:
        sys.exit(f"--part: expected one of {', '.join(found)}; found {', '.join(sorted(unknown))}")
    for part in chosen:
        found[part]()
        print(flush=True)


if __name__ == "__main__":
    main()
