"""Sections about the search: finalists, trials, paths, curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from autoreg.record import Finalist, StudyRecord, TrialRow
from autoreg.report.facts import (
    advantage,
    at_edges,
    metric,
    params_line,
    ranked,
    ruled,
    told_params,
    winner_number,
)
from autoreg.report.markup import Html, bullets, el, figure, table, together, words
from autoreg.report.wording import clean, clipped, counted, finite, plus_minus, short

LISTED, REPORTS, REPORT_LINES = 50, 10, 120
_RIM = (
    "Other settings vary from dot to dot as well: read the rim of the cloud, not its middle. The same alpha does not mean the "
    "same strength for every backend."
)
RULES = {
    "best": "the best fresh score, ties to the simpler",
    "one_se": "the simplest within one standard error of the best",
}


def finalists(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Who was scored again, the paired differences, and what each rule names."""
    if not record.finalists:
        return Html("")
    rows = [_finalist(record, f) for f in record.finalists]
    head = (
        "trial", "backend", f"{metric(record)}, search", f"{metric(record)}, fresh", "worse than best by",
        "effective parameters", "", "parameters",
    )  # fmt: skip
    chosen = [i for i, f in enumerate(record.finalists) if f.number == winner_number(record)]
    return together(
        [
            _rules(record),
            figure(drawn.get("finalists")),
            table(head, rows, (2, 3, 4, 5), chosen, "dense"),
        ]
    )


def _finalist(record: StudyRecord, f: Finalist) -> list[object]:
    notes = [
        word for word, holds in (("best", f.best), ("one SE", f.one_se), ("default", f.default)) if holds
    ]
    if f.number == winner_number(record):
        notes.insert(0, "chosen")
    params = params_line(told_params(record, f.backend, f.params))
    return [
        f"#{f.number}", clipped(f.backend, 24), short(f.search), short(f.fresh),
        "–" if f.best else plus_minus(f.difference, f.difference_se), short(f.complexity, 3), ", ".join(notes),
        clipped(params, 400),
    ]  # fmt: skip


def _rules(record: StudyRecord) -> Html:
    """What each rule names, in a sentence."""
    named = {rule: ruled(record, rule) for rule in RULES}
    parts = [
        f"“{rule}” ({RULES[rule]}) names #{found.number} ({clipped(found.backend, 24)})"
        for rule, found in named.items()
        if found is not None
    ]
    if not parts:
        return Html("")
    cells = max(len(f.cells) for f in record.finalists)
    over = f" over {counted(cells, 'fresh fold')}" if cells else ""
    return el(
        "p",
        words(
            f"Differences are paired{over}. The rule {'; the rule '.join(parts)}. This study follows ",
            el("b", f"“{clipped(record.rule, 24)}”"),
            ".",
        ),
    )


def trials_figure(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Train against score."""
    return figure(
        drawn.get("trials"), "Pale marks: trials that were stopped early." if _pruned(record) else ""
    )


def _pruned(record: StudyRecord) -> bool:
    return any(t.state == "pruned" for t in record.trials)


def paths(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Regularization paths with warnings about the ends of ranges."""
    edges = at_edges(record)
    if "paths" not in drawn:
        return Html("")
    if edges:
        told = el("div", words(el("b", "At the end of a searched range"), bullets(edges)), cls="warn")
    elif winner_number(record) is None:
        told = Html("")
    else:
        told = el("p", "Neither the chosen nor the best configuration lies at an end of a searched range.")
    return together([told, figure(drawn["paths"], _RIM)])


def curves(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Learning curves."""
    return figure(drawn.get("curves"))


def overtuning(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """Search score of the best so far against its fresh score."""
    if "overtuning" not in drawn:
        return Html("")
    again = [o for o in record.overtuning if finite(o.fresh)]
    last = again[-1] if again else None
    by = advantage(record, last.search, last.fresh) if last else None
    told = ""
    if last is not None and by is not None:
        word = "better" if by > 0 else "worse"
        told = f"The last of them that was run again, #{last.number}, looked {short(abs(by), 3)} {word} in the search than on fresh folds."
    return together([figure(drawn["overtuning"]), el("p", told) if told else Html("")])


def trials_table(record: StudyRecord, drawn: Mapping[str, str]) -> Html:
    """The best fifty, and the rest counted."""
    if not record.trials:
        return Html("")
    order = ranked(record)
    shown = order[:LISTED]
    head = (
        "trial", "backend", "state", "loss", metric(record), "train", "gap", "effective parameters", "seconds", "parameters",
    )  # fmt: skip
    chosen = [i for i, t in enumerate(shown) if t.number == winner_number(record)]
    parts = [table(head, [_trial(record, t) for t in shown], range(3, 9), chosen, "dense")]
    if len(order) > LISTED:
        parts.append(el("p", f"Not shown: {_states(order[LISTED:])}.", cls="more"))
    parts += _reports(shown)
    reasons = Counter(clipped(t.reason, 200) for t in record.trials if t.state == "failed" and t.reason)
    if reasons:
        parts.append(el("h3", "Why trials failed"))
        parts.append(bullets([f"{reason} ({counted(n, 'trial')})" for reason, n in reasons.most_common()], 8))
    return together(parts)


def _reports(trials: list[TrialRow]) -> list[Html]:
    """scikit-learn's classification report of the best trials of a published experiment."""
    told = [(t, t.details["classification_report"]) for t in trials if t.details.get("classification_report")]
    if not told:
        return []
    title = f"Classification reports on the scored rows: the best {len(told[:REPORTS])} of {len(told)} trials"
    parts = [el("h3", title)]
    for trial, report in told[:REPORTS]:
        lines = "\n".join(_kept(line) for line in str(report).splitlines()[:REPORT_LINES])
        parts += [el("p", f"#{trial.number}, {clipped(trial.backend, 24)}"), el("pre", lines)]
    return parts


def _kept(line: str) -> str:
    """A line of a table in text: its blanks stay, nothing that is not printable does."""
    return "".join(c if c.isprintable() else " " for c in line)[:200]


def _states(trials: list[TrialRow]) -> str:
    states = Counter(clean(t.state) for t in trials)
    return f"{counted(len(trials), 'more trial')} ({', '.join(f'{n} {state}' for state, n in states.most_common())})"


def _trial(record: StudyRecord, t: TrialRow) -> list[object]:
    params = params_line(told_params(record, t.backend, t.params))
    return [
        f"#{t.number}", clipped(t.backend, 24), t.state, short(t.loss), plus_minus(t.cv, t.cv_se), short(t.train),
        short(advantage(record, t.train, t.cv), 3), short(t.complexity, 3), short(t.seconds, 2), clipped(params, 400),
    ]  # fmt: skip
