"""What a study says of itself: the header of its parent run, and the card of its winner."""

from __future__ import annotations

import json

from autoreg.ledger import StudyHeader, environment
from autoreg.planning import StudyPlan
from autoreg.secrets import redact
from autoreg.selection import Estimate
from autoreg.spec import Study
from autoreg.trial import CANONICAL, TrialRecord


def header(planned: StudyPlan, fresh: bool) -> StudyHeader:
    """Everything the ledger keeps of a study as a whole."""
    table, study = planned.table, planned.study
    shape = (len(table.target), table.n_classes) if table.n_classes else (len(table.target),)
    params = {
        "source": table.source, "target": study.data.target, "task": table.task, "rows": len(table.target),
        "columns": table.features.shape[1], "metric": planned.metric.name, "folds": len(planned.split.folds),
        "holdout_rows": len(planned.split.holdout), "backends": ",".join(planned.backends),
        "seed": study.search.seed, "sampler": study.search.sampler,
    }  # fmt: skip
    schema = {
        "mlflow_colspec": [
            {"type": _colspec(kind), "name": str(n), "required": True} for n, kind in table.kinds.items()
        ]
    }
    dataset = {
        "name": study.name,
        "digest": table.fingerprint[:32],
        "source_type": "local",
        "source": json.dumps({"uri": table.source}),
        "schema": json.dumps(schema)[:60_000],
        "profile": json.dumps({"num_rows": len(table.target), "num_elements": table.features.size}),
    }
    files = {
        "environment.json": json.dumps(environment(), indent=1),
        "study.json": redact(_study_text(study)),
    }
    if study.text:
        files["study.toml"] = redact(study.text)
    return StudyHeader(
        study.name,
        planned.digest,
        planned.metric,
        planned.problem.kept_rows(),
        shape,
        params,
        files,
        dataset,
        fresh,
        str(study.folder),
    )


def _colspec(kind: str) -> str:
    return {"numeric": "double", "boolean": "boolean", "date": "datetime"}.get(kind, "string")


def _study_text(study: Study) -> str:
    return json.dumps(
        dict(study), indent=1, default=lambda v: dict(v) if hasattr(v, "model_fields_set") else vars(v)
    )


def describe(planned: StudyPlan, winner: TrialRecord, judged: Estimate) -> str:
    """A description of a model version that reads like a model card (Markdown)."""
    table, study = planned.table, planned.study
    classes = f", classes {', '.join(map(str, table.classes))}" if table.classes else ""
    searched = planned.resolved[winner.backend].searched
    told = {n: v for n, v in winner.result.params.items() if n in CANONICAL or n in searched}
    params = "\n".join(
        f"- `{n}` = {v:.4g}" if isinstance(v, float) else f"- `{n}` = {v}" for n, v in told.items()
    )
    flatter = "flattered itself by" if judged.optimism > 0 else "was too modest by"
    return (
        f"**{study.name}**: {table.task} model of `{study.data.target}`{classes}.\n\n"
        f"Expect {judged.metric} between {judged.holdout_low:.4g} and {judged.holdout_high:.4g} on new rows "
        f"({judged.holdout:.4g} on {len(planned.split.holdout)} rows looked at once; the search {flatter} "
        f"{abs(judged.optimism):.3g}).\n\n"
        f"Winner: {winner.backend} trial {winner.number}, cross-validated {judged.metric} {judged.cv:.4g} "
        f"(standard error {winner.result.cv_se:.2g}) over {len(planned.split.folds)} folds; refitted on "
        f"{len(planned.split.search)} rows.\n\n{params}\n\n"
        f"Data: {table.source}, {len(table.target)} rows, {table.features.shape[1]} columns, "
        f"fingerprint {table.fingerprint}. Takes raw rows; gives `prediction`"
        + (" and `probability_<class>`." if table.classes else ".")
    )
