"""Put right what crashes and outages have left of a study, where no driver runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autoreg.errors import StudyError
from autoreg.ledger.client import (
    PARENT,
    generation_of,
    leftovers,
    read_result,
    records_by_number,
    search_runs,
    source_tags,
)
from autoreg.ledger.items import decided, decision_tag, merged
from autoreg.ledger.lock import study_lock
from autoreg.ledger.spool import Spool
from autoreg.ledger.summary import find_parent
from autoreg.ledger.trials import TrialRuns
from autoreg.metrics import Metric, known_metric
from autoreg.tracking import canonical, found_or_none, quiet_client, reaching

VERSION_TAGS = ("autoreg.uid", "autoreg.study", "autoreg.digest", "autoreg.backend", "autoreg.trial")
"""Tags that every version of a study carries."""
SAID = {
    "drops": "backends were dropped",
    "extensions": "ranges became wider",
    "turns": "turns the clock made shorter",
}


@dataclass
class Reconciled:
    """What was put right, or would be.

    Attributes
    ----------
    study, run_id, experiment_id : str
    done : list of str
        What was done, a line each.
    found : list of str
        What was found and is left to the user, a line each.
    """

    study: str
    run_id: str
    experiment_id: str
    done: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)


def reconcile(study_or_run: str, dry_run: bool = False) -> Reconciled:
    """Deliver what waits for a study's store, delete halves and doubles of runs, and close what is open.

    Parameters
    ----------
    study_or_run : str
        Name of a study (its newest generation is taken) or id of its parent run.
    dry_run : bool
        Say what would be done, and do nothing.

    Raises
    ------
    StudyError
        Nothing of that name or id is in the tracking store.
    DataError
        A newer release wrote it.
    Busy
        A driver of this host works on the study.
    TrackingUnavailable
        The store cannot be reached or written.
    """
    client = quiet_client()
    uri = str(client.tracking_uri)
    with reaching(uri):
        parent = find_parent(client, study_or_run)
        tags = parent.data.tags
        if "autoreg.digest" not in tags or "autoreg.metric" not in tags:
            raise StudyError(
                f"run {parent.info.run_id} is not a study of autoreg: give a study's name or run id"
            )
        metric = known_metric(tags["autoreg.metric"])
        if metric is None:
            raise StudyError(
                f"the study's metric '{tags['autoreg.metric']}' is not known here: install the package that offers it"
            )
        with study_lock(canonical(uri), tags["autoreg.digest"], tags.get("autoreg.study", "")):
            return _Work(client, uri, parent.info.run_id, metric, dry_run).run()


class _Work:
    """One study's repair, the lock held."""

    def __init__(self, client: Any, uri: str, run_id: str, metric: Metric, dry_run: bool) -> None:
        self.client, self.uri, self.metric, self.dry_run = client, uri, metric, dry_run
        self.parent = client.get_run(run_id)
        self.run_id, self.tags = run_id, self.parent.data.tags
        self.said = Reconciled(
            self.tags.get("autoreg.study", ""), run_id, str(self.parent.info.experiment_id)
        )

    def run(self) -> Reconciled:
        """Do everything, in an order in which each step may be the last."""
        self._deliver()
        self._tidy()
        self._close()
        versions = self.client.search_model_versions(f"run_id = '{self.run_id}'")
        self._drop_models(versions)
        self._look_at_versions(versions)
        return self.said

    def _do(self, past: str, future: str, call: Any, *args: Any) -> None:
        if not self.dry_run:
            call(*args)
        self.said.done.append(f"would {future}" if self.dry_run else past)

    def _children(self) -> list[Any]:
        return search_runs(self.client, [self.said.experiment_id], f"tags.`{PARENT}` = '{self.run_id}'")

    def _deliver(self) -> None:
        """Write what the spool holds and the store does not."""
        spool = Spool(self.uri, self.tags["autoreg.digest"], self.run_id)
        if not spool.path.exists():
            return
        kept = spool.read()
        history = replace(decided(self.tags), records=records_by_number(self._children()))
        runs = self._trial_runs()
        for item in merged(history, kept):
            if item.kind == "trial":
                what = f"trial {item.number} from the spool"
                self._do(f"wrote {what}", f"write {what}", self._write, runs, spool, item.number)
            else:
                what = f"which {SAID[item.kind]}"
                self._do(
                    f"wrote {what}", f"write {what}", self.client.set_tag, self.run_id, *decision_tag(item)
                )
        if kept.damaged:
            self.said.found.append(
                f"{kept.damaged} lines of {spool.path} cannot be read; a new run computes them"
            )
        if not self.dry_run:
            spool.delivered()  # attempts of a driver that died stay: the next driver is to know them
            spool.close()

    def _trial_runs(self) -> TrialRuns:
        return TrialRuns(
            self.client, self.said.experiment_id, self.run_id, self.said.study, self.tags["autoreg.digest"],
            generation_of(self.parent), self.metric, source_tags(""),
        )  # fmt: skip

    @staticmethod
    def _write(runs: TrialRuns, spool: Spool, number: int) -> None:
        waiting = spool.trial(number)
        if waiting is None:
            raise RuntimeError(f"trial {number} is not in {spool.path}")
        runs.write(*waiting)

    def _tidy(self) -> None:
        for run, why in leftovers(self._children()):
            number = run.data.tags["autoreg.trial"]
            what = f"the {why} run {run.info.run_id} of trial {number}"
            self._do(f"deleted {what}", f"delete {what}", self.client.delete_run, run.info.run_id)

    def _close(self) -> None:
        """No driver runs: a study is finished, or it was stopped."""
        status = "FINISHED" if "autoreg.finished" in self.tags else "KILLED"
        if self.parent.info.status == "RUNNING" or (
            status == "FINISHED" and self.parent.info.status != status
        ):
            what = f"the study's run as {status}, which said {self.parent.info.status}"
            self._do(f"closed {what}", f"close {what}", self.client.set_terminated, self.run_id, status)

    def _drop_models(self, versions: Sequence[Any]) -> None:
        """Delete what was logged for a version that a crash prevented; the next start has logged, or logs, it anew."""
        named = {v.model_id or str(v.source).removeprefix("models:/") for v in versions}
        models = self.client.search_logged_models(
            [self.said.experiment_id], filter_string=f"source_run_id = '{self.run_id}'"
        )
        for model in models:
            if "autoreg.uid" in model.tags and model.model_id not in named:
                what = f"the logged model {model.model_id}, which no version names"
                self._do(f"deleted {what}", f"delete {what}", self.client.delete_logged_model, model.model_id)

    def _look_at_versions(self, versions: Sequence[Any]) -> None:
        """Say what registering has left half done; the study's own command does the rest of it."""
        finished = "autoreg.finished" in self.tags
        report = read_result(self.client, self.run_id) if finished else {}
        model = report.get("model") or {}
        for version in versions:
            name = f"version {version.version} of model '{version.name}'"
            lacking = [tag for tag in VERSION_TAGS if tag not in version.tags]
            if lacking:
                self.said.found.append(
                    f"{name} lacks the tags {', '.join(lacking)}: run the study's tune command again"
                )
            aliases = dict(self.client.get_registered_model(version.name).aliases)
            if not finished and str(version.version) not in map(str, aliases.values()):
                self.said.found.append(
                    f"{name} carries no alias, and its study is not finished: run its tune command again"
                )
            elif finished and model.get("alias") and model["alias"] not in aliases:
                self.said.found.append(
                    f"no version of model '{version.name}' carries the alias '{model['alias']}'"
                )
        if (
            model
            and found_or_none(self.client.get_model_version, model["name"], str(model["version"])) is None
        ):
            self.said.found.append(
                f"version {model['version']} of model '{model['name']}' is gone from the registry"
            )
