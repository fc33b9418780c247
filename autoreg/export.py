"""A study's trials as Optuna studies, one for each backend, in a database that optuna-dashboard opens.

The tracking store stays the only record; what is written here is a copy to look at, and nothing reads it back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.errors import DataError, StudyError, UsageError
from autoreg.ledger import StudyTrials, read_trials
from autoreg.secrets import redact, scrub
from autoreg.trial import Scalar, State, TrialRecord

if TYPE_CHECKING:
    import optuna

JOURNALS = (".log", ".journal")


@dataclass(frozen=True)
class Exported:
    """An Optuna study that was written: its name, its number of trials, and its smallest loss (NaN without one)."""

    name: str
    trials: int
    best: float


def export(study_or_run: str, to: str, name: str | None = None) -> list[Exported]:
    """Copy a study's trials to a database of Optuna.

    Parameters
    ----------
    study_or_run : str
        Name of a study (its newest generation is taken) or id of its parent run.
    to : str
        Address of a database, as SQLAlchemy takes it (``sqlite:///trials.db``), or a file that ends in ``.log`` or
        ``.journal`` for Optuna's journal.
    name : str, optional
        First part of the Optuna studies' names, ``NAME/BACKEND``; the study's name when left out.

    Returns
    -------
    list of Exported
        One for each backend. The value of a trial is the loss that the search minimised; its parameters are the
        effective ones (0 = off). A range runs from the smallest to the largest value that was tried.

    Raises
    ------
    UsageError
        The address is none, or the database holds a study of such a name already: nothing is written then.
    StudyError
        There is no such study, or it has no finished trial.
    DataError
        The database cannot be opened or written.
    """
    _check_address(to)
    found = read_trials(study_or_run)
    if not found.records:
        raise StudyError(f"study '{found.study}' has no finished trial yet: nothing to export")
    backends = dict.fromkeys(record.backend for record in found.records)
    parts = {
        f"{name or found.study}/{backend}": [r for r in found.records if r.backend == backend]
        for backend in backends
    }
    try:
        with storage_at(to) as storage:
            return _write(parts, found, to, storage)
    except (UsageError, KeyboardInterrupt):
        raise
    except Exception as error:
        if not _is_database_error(error):
            raise
        raise DataError(f"--to: {redact(to)} cannot be written: {scrub(error, ())}") from None


def _check_address(to: str) -> None:
    if "://" in to or to.endswith(JOURNALS):
        return
    raise UsageError(
        f"--to: expected the address of a database such as sqlite:///{Path(to).stem or 'trials'}.db, "
        f"or a file that ends in .log; found '{redact(to)}'"
    )


def _write(
    parts: dict[str, list[TrialRecord]], found: StudyTrials, to: str, storage: optuna.storages.BaseStorage
) -> list[Exported]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known = set(optuna.get_all_study_names(storage))
    if there := sorted(known & set(parts)):
        raise UsageError(
            f"--to: {redact(to)} already holds a study '{there[0]}'; give another database, or another name with --name"
        )
    done = []
    for name, records in parts.items():
        study = optuna.create_study(storage=storage, study_name=name, direction="minimize")
        about = {"autoreg.study": found.study, "autoreg.run_id": found.run_id, "autoreg.metric": found.metric}
        for key, value in about.items():
            study.set_user_attr(key, value)
        study.add_trials(_frozen(records, found.metric))
        best = min(
            (t.value for t in study.get_trials(states=_complete()) if t.value is not None), default=math.nan
        )
        done.append(Exported(name, len(records), best))
    return done


def _complete() -> tuple[optuna.trial.TrialState]:
    from optuna.trial import TrialState

    return (TrialState.COMPLETE,)


@contextmanager
def storage_at(to: str) -> Iterator[optuna.storages.BaseStorage]:
    """Optuna's storage in a database or a journal; its connections are closed at the end, which Optuna leaves undone."""
    from optuna.storages import JournalStorage, RDBStorage

    if "://" in to:
        storage = RDBStorage(to)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    else:
        from optuna.storages.journal import JournalFileBackend

        yield JournalStorage(JournalFileBackend(to))


def _frozen(records: Sequence[TrialRecord], metric: str) -> list[optuna.trial.FrozenTrial]:
    """Optuna's form of finished trials, in their order."""
    from optuna.trial import FrozenTrial, TrialState

    ranges = _distributions([record.result.params for record in records])
    states = {
        State.COMPLETE: TrialState.COMPLETE,
        State.PRUNED: TrialState.PRUNED,
        State.FAILED: TrialState.FAIL,
    }
    frozen = []
    for place, record in enumerate(records):
        r = record.result
        complete = r.state is State.COMPLETE and math.isfinite(r.loss)
        params = {key: value for key, value in r.params.items() if key in ranges}
        frozen.append(
            FrozenTrial(
                number=place,
                trial_id=place,
                state=TrialState.FAIL if r.state is State.COMPLETE and not complete else states[r.state],
                value=r.loss if complete else None,
                datetime_start=datetime.fromtimestamp(record.started),
                datetime_complete=datetime.fromtimestamp(record.ended),
                params=params,
                distributions={key: ranges[key] for key in params},
                user_attrs=_attributes(record, metric),
                system_attrs={},
                intermediate_values=_running_means(r.fold_losses),
            )
        )
    return frozen


def _attributes(record: TrialRecord, metric: str) -> dict[str, Any]:
    r = record.result
    scores = {
        f"cv_{metric}": r.cv,
        f"cv_{metric}_se": r.cv_se,
        f"train_{metric}": r.train,
        "fit_seconds": r.seconds,
    }
    found: dict[str, Any] = {key: value for key, value in scores.items() if math.isfinite(value)}
    found |= {"autoreg.trial": record.number, "autoreg.run_id": record.run_id}
    return found | ({"autoreg.reason": r.reason} if r.reason else {})


def _running_means(losses: Sequence[float]) -> dict[int, float]:
    """The mean loss after each fold, which pruning goes by."""
    return {k: sum(losses[:k]) / k for k in range(1, len(losses) + 1) if math.isfinite(sum(losses[:k]))}


def _distributions(params: Sequence[Any]) -> dict[str, optuna.distributions.BaseDistribution]:
    """A range or a choice for every name, from the values that were tried."""
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, BaseDistribution] = {}
    for name in dict.fromkeys(key for each in params for key in each):
        values: list[Scalar] = [each[name] for each in params if name in each]
        numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(numbers) < len(values):
            found[name] = CategoricalDistribution(list(dict.fromkeys(values)))
        elif all(isinstance(v, int) for v in values):
            found[name] = IntDistribution(int(min(numbers)), int(max(numbers)))
        elif all(map(math.isfinite, numbers)):
            low, high = min(numbers), max(numbers)
            # Strengths are searched on a logarithmic scale, which has no place for an exact 0.
            found[name] = FloatDistribution(low, high, log=low > 0 and high / low > 100)
    return found


def _is_database_error(error: Exception) -> bool:
    """Errors of a database, its driver and its address, as opposed to bugs of ours."""
    modules = {type(e).__module__.partition(".")[0] for e in (error, error.__cause__) if e}
    return isinstance(error, OSError | ImportError) or bool(
        modules & {"sqlalchemy", "sqlite3", "optuna", "alembic"}
    )
