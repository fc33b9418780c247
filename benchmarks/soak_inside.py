"""The process of a soak that lives on: a line names a study, it is tuned, and a line says how that went."""

import gc
import json
import os
import sys
import traceback


def tuned(study, n_jobs):
    """Outcome of one study."""
    import autoreg
    from autoreg.errors import AutoregError

    try:
        found = autoreg.tune(study, n_jobs=n_jobs)
    except AutoregError as error:
        return {"code": error.exit_code, "words": str(error)}
    except Exception as error:
        traceback.print_exc()
        return {"code": 70, "words": f"{type(error).__name__}: {error}"}
    return {"code": 0, "status": found.status, "run_id": found.run_id}


def main():
    """Answer until nothing more is asked."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        answer = tuned(**json.loads(line))
        gc.collect()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
