"""Sections about the model: what is shipped, its estimates, its errors, its columns, and where it all comes from."""

from __future__ import annotations

from collections.abc import Mapping

from autoreg.record import StudyRecord
from autoreg.report.facts import (
    direction,
    estimates,
    gap,
    main_estimate,
    metric,
    optimism,
    params_line,
    reproduced,
    told_params,
    unweighted,
    winner,
)
from autoreg.report.markup import Html, bullets, chips, code, el, figure, pairs, table, together, words
from autoreg.report.plots_judged import class_name, matrix, recalls
from autoreg.report.wording import clean, clipped, counted, duration, finite, plus_minus, short, size

KINDS = {
    "refit": "one model fitted on all rows of the search",
    "bag": "the average of several models of the winner",
    "blend": "a weighted mix of several configurations",
}


def shipped(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """The winner's configuration, the ways to ship it that were weighed, and what is inside."""
    parts = [_winner(record), _kind(record)]
    if record.shipped.options:
        rows = [
            (
                clipped(o.kind, 24),
                KINDS.get(o.kind, ""),
                short(o.score),
                o.models or "–",
                "shipped" if o.chosen else "",
            )
            for o in record.shipped.options
        ]
        marked = [i for i, o in enumerate(record.shipped.options) if o.chosen]
        head = ("way", "what it is", f"{metric(record)}, out of fold", "models", "")
        parts.append(table(head, rows, (2, 3), marked))
    if len(record.shipped.weights) > 1:
        parts.append(el("h3", "What is inside"))
        by = {t.number: t for t in record.trials}
        inside = [
            (f"#{w.get('number')}", clipped(w.get("backend"), 24), short(w.get("weight"), 3),
             clipped(params_line(told_params(record, t.backend, t.params)), 400) if (t := by.get(w.get("number") or 0)) else "")
            for w in record.shipped.weights
        ]  # fmt: skip
        parts.append(table(("trial", "backend", "weight", "parameters"), inside, (2,), (), "dense"))
    parts.append(pairs(_costs(record)) if _costs(record) else Html(""))
    return together([part for part in parts if part])


def _winner(record: StudyRecord) -> Html:
    trial = winner(record)
    if trial is None:
        return Html("")
    told = told_params(record, trial.backend, trial.params)
    params = Html(" ".join(code(f"{name} = {short(value, 4)}") for name, value in told.items()))
    name = el("b", f"{clipped(trial.backend, 40)} trial #{trial.number}")
    return words(
        el("p", words(name, " won", " with" if told else ".")),
        el("p", params, cls="chips") if told else Html(""),
    )


def _kind(record: StudyRecord) -> Html:
    found = record.shipped
    if not found.kind:
        return Html("")
    what = KINDS.get(found.kind)
    why = f" Why: {clipped(found.why, 800).rstrip('.')}." if found.why else ""
    return el("p", words("Shipped as ", el("b", clipped(found.kind, 40)), f", {what}." if what else ".", why))


def _costs(record: StudyRecord) -> list[tuple[str, str]]:
    found = record.shipped
    rows = []
    if finite(found.blend_gain):
        gained = plus_minus(found.blend_gain, found.blend_gain_se)
        rows.append(("blend against the best single", f"{gained} (positive: the blend is better)"))
    if finite(found.temperature):
        rows.append(
            (
                "temperature",
                f"{short(found.temperature, 3)} (above 1 softens probabilities that were too sure)",
            )
        )
    if finite(found.threshold):
        second = f"{class_name(record, 1)} is predicted" if len(record.classes) == 2 else "predicted"
        rows.append(("threshold", f"{second} from probability {short(found.threshold, 3)} on"))
    if found.bytes:
        rows.append(("size on disk", size(found.bytes)))
    if found.microseconds:
        rows.append(("time to predict", f"{short(found.microseconds, 3)} microseconds a row, in batches"))
    return rows


def estimates_body(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Forest plot, and what each estimate means."""
    found, main = estimates(record), main_estimate(record)
    if not found:
        return Html("")
    rows = [
        (
            e.label,
            short(e.value),
            f"{short(e.low)} to {short(e.high)}" if e.low is not None else "–",
            e.meaning,
        )
        for e in found
    ]
    marked = [i for i, e in enumerate(found) if main is not None and e.key == main.key]
    head = ("estimate", metric(record), "95% interval", "what it means")
    return together([figure(drawn.get("estimates")), table(head, rows, (1, 2), marked), *_flattering(record)])


def _flattering(record: StudyRecord) -> list[Html]:
    """Optimism and gap in words."""
    by, apart, said = optimism(record), gap(record), []
    if by is not None:
        main = main_estimate(record)
        within_noise = (
            main is not None
            and main.low is not None
            and main.high is not None
            and 2 * abs(by) < main.high - main.low
        )
        chance = " It is smaller than half the interval, so it may be chance." if within_noise else ""
        said.append(
            el("p", words(el("b", f"Optimism {short(by, 3)}"),
                          f": the search score against the marked estimate; positive means flattering.{chance}"))
        )  # fmt: skip
    if apart is not None:
        how = "better" if apart >= 0 else "worse"
        said.append(
            el("p", words(el("b", f"Gap {short(apart, 3)}"),
                          f": the winner is {short(abs(apart), 3)} {how} on its training rows than on new ones. "
                          "A large gap is overfitting that regularization has not removed."))
        )  # fmt: skip
    return said


def judged(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Confusion matrix, calibration, residuals."""
    figures = [
        figure(drawn.get("confusion"), _confused(record)),
        figure(drawn.get("reliability"), "Calibration. On the line: of the rows given 70%, 70% came true. Below it: more was promised than came true."),
        figure(drawn.get("residuals"), "Residuals. A median away from zero is a bias there; a band that widens means larger errors there."),
    ]  # fmt: skip
    shown = [f for f in figures if f]
    if not shown or record.judged is None:
        return Html("")
    lead = el("p", f"Judged on {counted(record.judged.rows, 'row')}.")
    small = len(matrix(record)) <= 4
    return together([lead, el("div", together(shown), cls="pair" if small else "stack")])


def _confused(record: StudyRecord) -> str:
    """The most frequent confusion, in words."""
    cells = matrix(record)
    wrong = [
        (count, i, j) for i, row in enumerate(cells) for j, count in enumerate(row) if i != j and count > 0
    ]
    if not wrong or not recalls(record):
        return ""
    count, i, j = max(wrong, key=lambda found: (found[0], -found[1], -found[2]))
    shade = "Shade: share of the true class. " if len(cells) <= 20 else ""
    return (
        f"{shade}Most often confused: {class_name(record, i)} taken for {class_name(record, j)} "
        f"({short(count, 4)} of {short(sum(cells[i]), 4)})."
    )


def features(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Importance, and what L1 removed."""
    parts = [figure(drawn.get("importance"), _rest(record))]
    if record.removed:
        total = len(record.removed) + len(record.kept)
        where = "the winner" if reproduced(record) else "most of the winner's linear models"
        parts.append(el("h3", "Columns that L1 switched off"))
        parts.append(
            el(
                "p",
                f"{len(record.removed):,} of {total:,} encoded columns have weight 0 in {where}:",
            )
        )
        parts.append(chips(record.removed))
        if record.kept:
            parts.append(el("p", f"Kept ({len(record.kept):,}):"))
            parts.append(chips(record.kept, 30))
    told = [
        f"#{trial.number}: {len(gone):,} of {total:,} have weight 0: {', '.join(clipped(c, 40) for c in gone[:20])}"
        for trial, gone, total in unweighted(record)
    ]
    if told:
        parts += [el("h3", "Encoded columns without weight, by trial"), bullets(told, 20)]
    return together([part for part in parts if part])


def _rest(record: StudyRecord) -> str:
    more = len(record.importance) - 20
    return f"The top 20; {counted(more, 'further column')} matter less." if more > 0 else ""


def worth(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """What each regularizer of the winner is worth."""
    return figure(drawn.get("worth"))


def cautions(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Why figures may mislead, and what happened."""
    parts = []
    if record.cautions:
        parts += [el("h3", "Cautions"), bullets(record.cautions)]
    if record.events:
        parts += [el("h3", "Events"), bullets(record.events)]
    return together(parts)


def provenance(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Data, division and run."""
    report = record.report
    model, seconds = report.get("model") or {}, report.get("seconds") or {}
    names = f": {', '.join(clipped(c, 40) for c in record.classes[:20])}" if record.classes else ""
    more = f" and {len(record.classes) - 20} more" if len(record.classes) > 20 else ""
    took = ", ".join(f"{clean(k).replace('_', ' ')} {duration(v)}" for k, v in seconds.items() if finite(v))
    repeats = f", then {counted(record.repeats, 'fresh repeat')} of folds" if record.repeats else ""
    rows = [
        ("data", clipped(record.source, 300)),
        ("fingerprint", code(record.fingerprint) if record.fingerprint else ""),
        ("target", words(code(record.target), f" ({clipped(record.task, 24)}{names}{more})" if record.classes else "")),
        ("rows", f"{record.rows:,}: " + ("divided as the authors did" if reproduced(record) else
                  f"{record.search_rows:,} to search, {record.holdout_rows:,} held out")),
        ("columns", f"{record.columns:,}"),
        ("folds", "" if reproduced(record) else f"{record.folds}{repeats}"),
        ("metric", f"{metric(record)} ({direction(record)})"),
        ("rule", clipped(record.rule, 40)),
        ("study", clipped(report.get("study") or "", 120)),
        ("run", code(report["run_id"]) if report.get("run_id") else ""),
        ("model", clipped(f"{model.get('name')} version {model.get('version')}", 200) if model.get("name") else ""),
        ("time", took),
    ]  # fmt: skip
    return pairs([(name, value) for name, value in rows if value])
