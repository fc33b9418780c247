"""What a study would run, as data and in words. Pure, and light to import."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoreg.record import REPRODUCED
from autoreg.secrets import redact
from autoreg.words import aligned, counted, duration, family, number

if TYPE_CHECKING:
    from autoreg.planning import StudyPlan
    from autoreg.spec import Study
    from autoreg.trial import Dimension


INDENTED: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "    ", "break_on_hyphens": False}
LEGEND = """\
penalty   l1 sets small weights to zero, l2 keeps all weights small, elasticnet does both (l1_ratio: how much of l1)
alpha     strength of the penalty
dropout   share of a network's units, or of the trees, left out at random in training
patience  epochs or rounds without progress after which training stops
Lists, ranges and fixed values are set in [search.BACKEND]; docs/study-file.md has every key."""


def plan_record(study: Study, plan: StudyPlan) -> dict[str, Any]:
    """What a study would run, as data for JSON and for ``describe_plan``."""
    table, split = plan.table, plan.split
    counts = Counter(table.target.tolist()) if table.classes else {}
    return {
        "status": "valid",
        "study": study.name,
        "source": redact(table.source),
        "fingerprint": table.fingerprint,
        "rows": len(table.features),
        "image": list(table.image) if table.image else None,
        "columns": [{"name": str(name), "kind": kind} for name, kind in table.kinds.items()],
        "target": study.data.target,
        "task": table.task,
        "classes": [{"label": label, "rows": counts[code]} for code, label in enumerate(table.classes)],
        "split": {
            "search": len(split.search),
            "holdout": len(split.holdout),
            "folds": [
                {"train": len(f.train), "stop": len(f.stop), "score": len(f.score)} for f in split.folds
            ],
        },
        "metric": plan.metric.name,
        "greater_is_better": plan.metric.greater_is_better,
        "budget": {"trials": study.search.trials, "seconds": study.search.timeout, "block": plan.block},
        "backends": {
            name: {
                "space": {key: _dimension(d) for key, d in space.items()},
                "default": dict(plan.defaults[name]),
            }
            for name, space in plan.spaces.items()
        },
        "model": None if study.split.reproduce else study.model,
        "reproduced": study.split.reproduce,
        "digest": plan.digest,
        "notes": [redact(note) for note in plan.notes],
    }


def _dimension(dimension: Dimension) -> Any:
    """A scalar, a list or a table, as a study file would write it."""
    from autoreg.trial import Choice, Range

    if isinstance(dimension, Choice):
        return list(dimension.values)
    if isinstance(dimension, Range):
        kind = int if dimension.integer else float
        return {
            "low": kind(dimension.low),
            "high": kind(dimension.high),
            "log": dimension.log,
            "off": dimension.off,
        }
    return dimension


def describe_plan(record: Mapping[str, Any]) -> str:
    """The plan of a study (see ``plan_record``) in words."""
    split, budget = record["split"], record["budget"]
    direction = "higher" if record["greater_is_better"] else "lower"
    fold = split["folds"][0]
    rows = [
        ("data", f"{record['source']}: {_data(record)}"),
        ("target", f"{record['target']}: {record['task']}" + _class_counts(record["classes"])),
        ("split", REPRODUCED if record["reproduced"] else
         f"{split['search']} rows to search, {split['holdout']} held out for one look at the end"),
        ("folds", f"{len(split['folds'])}, the first with {fold['train']} rows to train on, {fold['stop']} to tell when to stop training, {fold['score']} to score"),
        ("metric", f"{record['metric']} ({direction} is better)"),
        ("budget", f"{counted(budget['trials'], 'trial')} (configurations to try) or {duration(budget['seconds'])}, whichever ends first; the backends take turns of {budget['block']}"),
        ("model", "will not be registered" if record["reproduced"] else f"will be registered as '{record['model']}'"),
        *(("note", note) for note in record["notes"]),
    ]  # fmt: skip
    spaces = [_describe_space(name, part) for name, part in record["backends"].items()]
    listed = [] if record.get("image") else [_columns(record["columns"])]
    legend = textwrap.indent(LEGEND, "  ")
    return "\n\n".join([f"Study '{record['study']}' can run.", aligned(rows), *spaces, legend, *listed])


def _data(record: Mapping[str, Any]) -> str:
    """How many rows of which columns, or how many images of which shape."""
    if record.get("image"):
        from autoreg.serving import spelled_shape

        return f"{counted(record['rows'], 'image')} of {spelled_shape(record['image'])}"
    kinds = Counter(column["kind"] for column in record["columns"])
    told = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    return f"{record['rows']} rows, {counted(len(record['columns']), 'column')} ({told})"


def _columns(columns: Sequence[Mapping[str, Any]]) -> str:
    listed = aligned([(column["name"], column["kind"]) for column in columns[:30]])
    more = len(columns) - 30
    return f"Columns\n{listed}" + (f"\n  and {more} more" if more > 0 else "")


def _class_counts(classes: Sequence[Mapping[str, Any]]) -> str:
    shown = ", ".join(f"{entry['label']} ({entry['rows']} rows)" for entry in classes[:10])
    more = f" and {len(classes) - 10} more" if len(classes) > 10 else ""
    return f", classes {shown}{more}" if classes else ""


def _describe_space(name: str, part: Mapping[str, Any]) -> str:
    default = part["default"]
    title = family(name)
    same = [key for key, value in part["space"].items() if _is_fixed(value) and default.get(key) == value]
    rows = [
        (key, _in_words(value), default.get(key, ""))
        for key, value in part["space"].items()
        if key not in same
    ]
    told = f"{title}\n" + aligned(rows, ("name", "searched", "first trial (library's default)"))
    fixed = ", ".join(f"{key}={_short(default[key])}" for key in same)
    return told + ("\n" + textwrap.fill(f"not searched: {fixed}", 110, **INDENTED) if same else "")


def _is_fixed(value: Any) -> bool:
    return not isinstance(value, list | Mapping)


def _short(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return f"one of {', '.join(map(str, value))}"
    if isinstance(value, Mapping):
        notes = " (log scale)" * value["log"] + " or off" * value["off"]
        return f"{number(value['low'])} to {number(value['high'])}{notes}"
    return f"fixed at {_short(value)}"
