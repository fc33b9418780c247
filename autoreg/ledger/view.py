"""How MLflow's pages show an experiment: what can be set in the store, so that every browser sees it.

MLflow's page keeps the columns that a person chose in that person's browser. What a store can hold beside it is a
shared view, an experiment tag that its "share" button writes too: a link that names the view opens the list of runs
with these columns, sorted. Which parents' rows are expanded, and whether pages for models or for language models come
first, each browser keeps for itself; the link asks for the former.
"""

from __future__ import annotations

import json
from typing import Any

VIEW = "autoreg"
_VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_KIND = {
    "mlflow.experimentKind": "custom_model_development",  # the tabs of a training experiment
    "mlflow.experiment.primaryMetric.name": "loss",  # drawn first in charts that compare runs
}


def view_state(metric: str) -> dict[str, Any]:
    """The list of runs: which columns, and how it is sorted.

    Parameters
    ----------
    metric : str
        The study's own metric, which names the runs' metrics.
    """
    metrics = ("loss", f"cv_{metric}", f"train_{metric}", f"gap_{metric}", f"holdout_{metric}")
    params = ("penalty", "alpha", "l1_ratio", "dropout", "patience")
    columns = [f"metrics.`{name}`" for name in metrics] + [f"params.`{name}`" for name in params]
    return {
        "selectedColumns": [*columns, "metrics.`fit_seconds`"],
        "orderByKey": "metrics.`loss`",
        "orderByAsc": True,
    }


def set_view(client: Any, experiment_id: str, metric: str) -> None:
    """Let an experiment's page open as one of training runs, and keep autoreg's view of it.

    What a person has set about the kind of the experiment stays.

    Parameters
    ----------
    client : MlflowClient
    experiment_id : str
    metric : str
        See ``view_state``.
    """
    tags = client.get_experiment(experiment_id).tags
    wanted = {
        **_KIND,
        **{key: tags[key] for key in _KIND if tags.get(key)},
        _VIEW_TAG: json.dumps(view_state(metric)),
    }
    for key, value in wanted.items():
        if tags.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)


def runs_page(experiment_id: str) -> str:
    """The part of an address, after the server's own, that opens a study's runs in autoreg's view."""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
