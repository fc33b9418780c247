"""The model card of a registered version, as Markdown: what it predicts, how well, how it was chosen, how to call it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from autoreg.record import REPRODUCED, StudyRecord
from autoreg.report.facts import (
    at_edges,
    direction,
    estimates,
    flattery,
    headline,
    main_estimate,
    metric,
    params_line,
    refitted,
    reproduced,
    ruled,
    told_params,
    unweighted,
    winner,
)
from autoreg.report.wording import clean, clipped, counted, finite, plus_minus, short, size

LIMIT = 8000
"""Characters of a card at most."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


def model_card(record: StudyRecord) -> str:
    """A card for the model's registered version; at most 8,000 characters, lists cut at whole entries."""
    for listed, length in ((20, 200), (10, 120), (5, 80), (3, 40), (1, 24)):
        card = "\n\n".join(_section(title, body(record, listed, length)) for title, body in SECTIONS).strip()
        card = re.sub(r"\n{3,}", "\n\n", card) + "\n"
        if len(card) <= LIMIT:
            break
    return card


def _section(title: str, lines: list[str]) -> str:
    """A heading and what stands below it; nothing where there is nothing to say."""
    body = "\n".join(lines).strip("\n")
    return f"## {title}\n\n{body}" if title and body else body


def words(value: object, length: int) -> str:
    """A user's text that Markdown and HTML read as nothing but text."""
    return (
        _SPECIAL.sub(r"\\\1", clipped(value, length))
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
        .replace("\\&", "&amp;")
    )


def name(value: object, length: int) -> str:
    """A user's name as code; its own backticks become quotes."""
    return f"`{clipped(value, length).replace('`', chr(39)) or ' '}`"


def _items(entries: list[str], listed: int) -> list[str]:
    """List entries, those beyond ``listed`` counted."""
    more = [f"- and {len(entries) - listed:,} more"] if len(entries) > listed else []
    return [*(f"- {entry}" for entry in entries[:listed]), *more]


def _names(values: list[str], listed: int, length: int) -> str:
    shown = ", ".join(name(v, min(length, 60)) for v in values[:listed])
    return shown + (f" and {len(values) - listed:,} more" if len(values) > listed else "")


def _top(record: StudyRecord, listed: int, length: int) -> list[str]:
    study, target = record.report.get("study"), name(record.target, min(length, 80))
    title = f"# {words(study, min(length, 80))}\n" if study else "# Model\n"
    source = f" like those of {name(record.source, length)}" if record.source else ""
    names = _names(record.classes, listed, length)
    kind = f", one of {len(record.classes):,} classes ({names})," if record.classes else ", a number,"
    inputs = f"an image of {_shape(record.image)}," if record.image else None
    inputs = inputs or f"{counted(record.columns, 'column')} of a row"
    what = f"Predicts {target}{kind} from {inputs}{source}."
    return [title, f"**{headline(record)}**\n", what]


def _performance(record: StudyRecord, listed: int, length: int) -> list[str]:
    main = main_estimate(record)
    lines = []
    for e in estimates(record):
        span = f" (95% interval {short(e.low)} to {short(e.high)})" if e.low is not None else ""
        value = f"{short(e.value)}{span}"
        lead = main is not None and e.key == main.key
        lines.append(f"- {'**' if lead else ''}{e.label}: {value}{'**' if lead else ''}. {e.meaning}")
    if lines:
        lines.insert(0, f"{metric(record)[:1].upper()}{metric(record)[1:]}, {direction(record)}:\n")
    return lines


def _chosen(record: StudyRecord, listed: int, length: int) -> list[str]:
    trial, lines = winner(record), []
    families = list(dict.fromkeys(t.backend for t in record.trials))
    what = f" of {', '.join(words(b, 24) for b in families[:6])}" if families else ""
    how = (
        "scored on the rows that the authors scored"
        if reproduced(record)
        else f"cross-validated in {record.folds} folds"
        if record.folds > 1
        else "each fitted once and scored on a part of the rows"
    )
    lines.append(f"- {counted(len(record.trials), 'trial')}{what}, {how}.")
    if record.finalists:
        repeats = f" on {counted(record.repeats, 'fresh repeat')} of the folds" if record.repeats else ""
        lines.append(
            f"- {counted(len(record.finalists), 'finalist')} scored again{repeats}; rule {name(record.rule, 24)}."
        )
        other = ruled(record, "one_se" if record.rule == "best" else "best")
        if other is not None and trial is not None and other.number != trial.number:
            worse = plus_minus(other.difference, other.difference_se)
            label = "simplest within one standard error" if other.one_se else "best"
            lines.append(
                f"- The {label} was {words(other.backend, 24)} #{other.number}, worse than the best by {worse}."
            )
    if trial is not None:
        params = params_line(told_params(record, trial.backend, trial.params))
        told = f": {name(params, 2 * length)}" if params else ""
        lines.append(f"- Winner: {words(trial.backend, 24)} trial #{trial.number}{told}.")
    said = flattery(record)
    return [*lines, f"- Against the estimate above, {said}."] if said else lines


def _inside(record: StudyRecord, listed: int, length: int) -> list[str]:
    found, by = record.shipped, {t.number: t for t in record.trials}
    lines = []
    if found.kind:
        why = f": {words(found.why, 2 * length)}" if found.why else ""
        models = next((o.models for o in found.options if o.chosen), None)
        count = f" ({counted(models, 'model')})" if models else ""
        lines.append(f"- Shipped as {words(found.kind, 24)}{count}{why}.")
    entries = []
    for w in found.weights:
        trial = by.get(w.get("number") or 0)
        params = params_line(told_params(record, trial.backend, trial.params)) if trial else ""
        told = f": {name(params, length)}" if params else ""
        entries.append(
            f"weight {short(w.get('weight'), 3)}: {words(w.get('backend'), 24)} #{short(w.get('number'))}{told}"
        )
    lines += _items(entries, listed) if len(entries) > 1 else []
    if finite(found.temperature):
        lines.append(
            f"- Probabilities are divided by temperature {short(found.temperature, 3)} on the logit scale."
        )
    if finite(found.threshold):
        second = name(record.classes[1], 60) if len(record.classes) == 2 else "The second class"
        lines.append(f"- {second} is predicted from probability {short(found.threshold, 3)} on.")
    if found.bytes:
        speed = (
            f"; {short(found.microseconds, 3)} microseconds to predict a row" if found.microseconds else ""
        )
        lines.append(f"- {size(found.bytes)} on disk{speed}.")
    return lines


def _calibration(record: StudyRecord, listed: int, length: int) -> list[str]:
    bins = record.judged.reliability if record.judged else []
    whole = [
        (b["rows"], b["predicted"], b["observed"])
        for b in bins
        if finite(b.get("rows")) and finite(b.get("predicted")) and finite(b.get("observed"))
    ]
    rows = sum(float(n or 0) for n, _, _ in whole)
    if not rows:
        return []
    error = sum(float(n or 0) * abs(float(p or 0) - float(o or 0)) for n, p, o in whole) / rows
    worst = max(whole, key=lambda b: abs(float(b[1] or 0) - float(b[2] or 0)))
    return [
        f"Predicted probabilities are off by {error:.3f} on average over {counted(len(whole), 'bin')} of {rows:,.0f} judged rows "
        f"(expected calibration error); the worst bin says {float(worst[1] or 0):.2f} where {float(worst[2] or 0):.2f} came true."
    ]


def _data(record: StudyRecord, listed: int, length: int) -> list[str]:
    mark = f", fingerprint {name(record.fingerprint, 40)}" if record.fingerprint else ""
    held = f", {record.holdout_rows:,} others held out for the estimate" if record.holdout_rows else ""
    held += " and fitted once it was made" if refitted(record) else ""
    what = f"{counted(record.rows, 'row')} and {counted(record.columns, 'column')}"
    if record.image:
        what = f"{counted(record.rows, 'image')} of {_shape(record.image)}"
    return [
        f"{name(record.source, length) if record.source else 'A table'}: {what}{mark}; {record.search_rows:,} rows for search and fitting{held}."
    ]


def _limits(record: StudyRecord, listed: int, length: int) -> list[str]:
    lines = [words(c, 2 * length) for c in (*record.cautions, *at_edges(record))]
    if reproduced(record):
        return _items([words(REPRODUCED, 2 * length), *lines[len(record.cautions) :]], listed)
    main = main_estimate(record)
    known = "The estimate holds for" if main else "Scores hold at best for"
    lines.append(
        f"{known} rows drawn as the training data were; it says nothing of data that have drifted since."
    )
    if record.events:
        lines += [f"In the search: {words(e, length)}" for e in record.events[: max(1, listed // 4)]]
    return _items(lines, listed)


def _features(record: StudyRecord, listed: int, length: int) -> list[str]:
    found = [i for i in record.importance if finite(i.mean) and i.mean > 0]
    lines = _items(
        [f"{name(i.column, min(length, 60))}: {plus_minus(i.mean, i.se)}" for i in found[: min(10, listed)]],
        listed,
    )
    if lines:
        lines.insert(
            0,
            f"How much worse the {metric(record)} gets when a {'patch of the images' if record.image else 'column'} "
            "is shuffled (± standard error):\n",
        )
    if record.removed:
        total = len(record.removed) + len(record.kept)
        where = "the winner" if reproduced(record) else "most of the winner's linear models"
        names = _names(record.removed, listed, length)
        lines.append(
            f"\n{len(record.removed):,} of {total:,} encoded columns have weight 0 in {where}: {names}."
        )
    told = [
        f"#{trial.number}: {len(gone):,} of {total:,} encoded columns have weight 0: {_names(gone, listed, length)}"
        for trial, gone, total in unweighted(record)
    ]
    lines += ["\nColumns that a penalty switched off, by trial:\n", *_items(told, listed)] if told else []
    return lines


def _use(record: StudyRecord, listed: int, length: int) -> list[str]:
    model = record.report.get("model") or {}
    if not model.get("name"):
        return ["This model was not registered."]
    version = f"@{model['alias']}" if model.get("alias") else f"/{model.get('version')}"
    uri = json.dumps(clean(f"models:/{model['name']}{version}")[:400], ensure_ascii=False).replace("`", "'")
    gives = "`prediction` and `probability_<class>` for every class" if record.classes else "`prediction`"
    return [
        "```python",
        "import mlflow",
        "",
        f"model = mlflow.pyfunc.load_model({uri})",
        _call(record),
        "```",
        "",
        f"It takes {_taken(record)}, no preprocessing needed, and gives the columns {gives}.",
    ]


def _call(record: StudyRecord) -> str:
    if record.image and record.tensor:
        return (
            f"model.predict(images)  # an array (n, {', '.join(map(str, record.image))}) of {record.tensor}"
        )
    return "model.predict(new_rows)  # a pandas DataFrame"


def _taken(record: StudyRecord) -> str:
    if record.image and record.tensor:
        return "images with their raw values"
    rows = "raw rows with the columns of the training data"
    if record.image:
        rows += f", {record.columns:,} pixels (an array of images: `model.unwrap_python_model().package.predict(images)`)"
    return rows


def _shape(image: list[int]) -> str:
    from autoreg.serving import spelled_shape  # which loads numpy, and a card may do without

    return spelled_shape(image)


Body = Callable[[StudyRecord, int, int], list[str]]
SECTIONS: tuple[tuple[str, Body], ...] = (
    ("", _top),
    ("How to use it", _use),
    ("Expected performance", _performance),
    ("How it was chosen", _chosen),
    ("What is inside", _inside),
    ("Calibration", _calibration),
    ("Training data", _data),
    ("Columns that matter", _features),
    ("Limits", _limits),
)
