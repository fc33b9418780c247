"""What a study says of itself on its parent run."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np

from autoreg.drift import profile, row_keys
from autoreg.ledger import StudyHeader, environment
from autoreg.planning import NO_PRIOR, StudyPlan
from autoreg.record import REPRODUCED
from autoreg.secrets import redact
from autoreg.spec import Study
from autoreg.trial import Table

NO_TAGS: Mapping[str, str] = {}


def study_header(planned: StudyPlan, fresh: bool, tags: Mapping[str, str] = NO_TAGS) -> StudyHeader:
    """Everything the ledger keeps of a study as a whole; ``tags`` are put on its parent run."""
    table, study = planned.table, planned.study
    shape = (len(table.target), table.n_classes) if table.n_classes else (len(table.target),)
    params = {
        "source": table.source, "target": study.data.target, "task": table.task, "rows": len(table.target),
        "columns": table.features.shape[1], "metric": planned.metric.name, "folds": len(planned.split.folds),
        "holdout_rows": len(planned.split.holdout), "backends": ",".join(planned.backends),
        "seed": study.search.seed, "sampler": study.search.sampler,
    }  # fmt: skip
    if table.image:
        params["image"] = " x ".join(map(str, table.image))
    if planned.problem.published:
        params["reproduced"] = REPRODUCED
    dataset = {
        "name": study.name,
        "digest": table.fingerprint[:32],
        "source_type": "local",
        "source": json.dumps({"uri": table.source}),
        "schema": json.dumps(_schema(table))[:60_000],
        "profile": json.dumps({"num_rows": len(table.target), "num_elements": table.features.size}),
    }
    return StudyHeader(
        study.name,
        planned.digest,
        planned.metric,
        planned.problem.kept_rows(),
        shape,
        params,
        lambda: _files(planned),
        dataset,
        fresh,
        str(study.folder),
        tags,
        not study.registry.predictions,
    )


def _files(planned: StudyPlan) -> dict[str, str | bytes]:
    """Artifacts of the study's run by name."""
    files: dict[str, str | bytes] = {
        "environment.json": json.dumps(environment(), indent=1),
        "study.json": redact(_study_text(planned.study)),
        "split.json": json.dumps(dict(planned.split.rule), default=str),
        **_handed_on(planned),
    }
    if planned.study.text:
        files["study.toml"] = redact(planned.study.text)
    return files


def _handed_on(planned: StudyPlan) -> dict[str, str | bytes]:
    """What the next study of the name will want to know of this one's table; no raw rows."""
    rows = io.BytesIO()
    np.save(rows, row_keys(planned.table), allow_pickle=False)
    text = json.dumps(profile(planned.table, planned.split.search))
    found: dict[str, str | bytes] = {"profile.json": text, "rows.npy": rows.getvalue()}
    if planned.prior != NO_PRIOR:
        found["prior.json"] = json.dumps(vars(planned.prior), default=list)
    return found


def _schema(table: Table) -> dict[str, object]:
    """Columns of a table, or the tensor that images are, as MLflow's page of a data set shows them."""
    if table.image:
        shape = {"dtype": str(table.features.dtypes.iloc[0]), "shape": [-1, *table.image]}
        features = json.dumps([{"type": "tensor", "tensor-spec": shape}])
        return {"mlflow_tensorspec": {"features": features, "targets": None}}
    return {
        "mlflow_colspec": [
            {"type": _colspec(kind), "name": str(n), "required": True} for n, kind in table.kinds.items()
        ]
    }


def _colspec(kind: str) -> str:
    return {"numeric": "double", "boolean": "boolean", "date": "datetime"}.get(kind, "string")


def _study_text(study: Study) -> str:
    return json.dumps(
        dict(study), indent=1, default=lambda v: dict(v) if hasattr(v, "model_fields_set") else vars(v)
    )
