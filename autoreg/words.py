"""Study results and summaries in words for a person new to them, and lines fit for a log. Pure, and light to import."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoreg.record import REPRODUCED
from autoreg.secrets import redact

PENALTY = ("penalty", "alpha", "l1_ratio")
"""Names that are shown of every model, searched or not."""


def one_line(text: str) -> str:
    """Text without line breaks, control characters and passwords, for a log that is read line by line."""
    return redact(" ".join("".join(c if c.isprintable() else " " for c in text).split()))


def duration(seconds: float) -> str:
    """Seconds in words of at most two units: ``"4 s"``, ``"1 min 30 s"``, ``"2 h 5 min"``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value: float | None) -> str:
    """A value to four digits; ``"-"`` when there is none."""
    return f"{value:.4g}" if isinstance(value, int | float) and math.isfinite(value) else "-"


def counted(n: int, thing: str) -> str:
    """``"1 trial"``, ``"3 trials"``."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def aligned(rows: Iterable[Sequence[Any]], head: Sequence[str] = (), indent: str = "  ") -> str:
    """Columns of text, numbers to the right, for a terminal and for ``grep`` alike."""
    body = [
        [number(cell) if isinstance(cell, float) else one_line(str(cell)) for cell in row] for row in rows
    ]
    right = [all(isinstance(cell, int | float) for cell in column) for column in zip(*rows, strict=True)]
    lines = [list(head), *body] if head else body
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        (
            indent
            + "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        ).rstrip()
        for line in lines
    )


def params_line(params: Mapping[str, Any], searched: Iterable[str] | None = None) -> str:
    """Parameters as ``name=value`` with short numbers; where ``searched`` names are given, those and the penalty."""
    shown = params if searched is None else {k: v for k, v in params.items() if k in (*PENALTY, *searched)}
    return ", ".join(f"{k}={number(v) if isinstance(v, float) else v}" for k, v in shown.items())


def _searched(result: Mapping[str, Any], backend: str) -> Iterable[str] | None:
    """The names that a backend searched, where the result knows them."""
    names: Iterable[str] | None = (result.get("searched") or {}).get(backend)
    return names


def describe_result(result: Mapping[str, Any], look: str = "") -> str:
    """A study's result for a person who meets autoreg for the first time.

    Parameters
    ----------
    result : mapping
        The JSON object of the command-line contract.
    look : str
        The command or address that shows the study's runs.
    """
    best, model = result.get("best") or {}, result.get("model") or {}
    rows = []
    if best:
        line = params_line(best["params"], _searched(result, best["backend"]))
        wrapped = textwrap.wrap(f"{family(best['backend'])} with {line}", 90) or [""]
        rows += [("winner" if first == 0 else "", part) for first, part in enumerate(wrapped)]
    if result.get("final"):
        rows.append(("shipped", _shipped(result["final"])))
    rows += _estimate_rows(result.get("estimate") or {}, best)
    if model.get("name"):
        alias = f", alias '{model['alias']}'" if model.get("alias") else ""
        rows.append(("model", f"{model['name']} version {model['version']}{alias}"))
    rows.append(("run", str(result.get("run_id"))))
    if look:
        rows.append(("look", look))
    told = _opening(result) + "\n\n" + aligned(rows)
    return told + _published(result) + (_how_to_load(model, result.get("image")) if model.get("name") else "")


def _published(result: Mapping[str, Any]) -> str:
    """Published figures beside those of the study; empty where it names none."""
    rows = (result.get("published") or {}).get("rows") or []
    if not rows:
        return ""
    lines = [
        (row["name"], row["part"], number(row["published"]), number(row["ours"]), row["says"]) for row in rows
    ]
    return "\n\nPublished, and found here\n" + aligned(lines, ("trial", "", "published", "here", "said"))


OUTCOMES = {
    "tuned": "the model had no champion: the winner of its first study serves",
    "promoted": "the challenger, the new version, serves from now on",
    "kept": "the champion, the version in use, goes on serving",
    "skipped": "done already under this key, nothing was run",
}


GATE = "P(better): how sure it is that the challenger beats the champion on rows that neither had been fitted on when they were compared"


def describe_retune(result: Mapping[str, Any], look: str = "") -> str:
    """How a retune ended, for a person."""
    model, due, gate = (result.get(name) or {} for name in ("model", "due", "gate"))
    rows = [("retune", str(result.get("key")))]
    rows += [
        ("due", "; ".join(due.get("reasons") or []))
        if due.get("due")
        else ("not due", "; ".join(due.get("reasons") or []))
    ]
    if gate:
        rows += [("gate", str(gate.get("reason"))), ("", GATE)]
    if model.get("name"):
        rows.append(("model", f"{model['name']} version {model['version']}, alias '{model['alias']}'"))
    if result.get("run_id"):
        rows += [("run", str(result["run_id"])), *([("look", look)] if look else [])]
    return f"Model of '{result.get('study')}': {OUTCOMES[result['status']]}.\n\n" + aligned(rows)


FAMILIES = {"sklearn": "a linear model", "xgboost": "boosted trees", "keras": "a neural network"}


def family(backend: str) -> str:
    """A backend with what it is."""
    return f"{backend} ({FAMILIES[backend]})" if backend in FAMILIES else backend


def _shipped(final: Mapping[str, Any]) -> str:
    """What the registered model is made of."""
    after = "; after the look at the held-out rows, fitted on these too" if final.get("refit_full") else ""
    return _made_of(final) + after


def _made_of(final: Mapping[str, Any]) -> str:
    parts = final.get("configurations") or []
    models = counted(final.get("models") or 1, "model")
    if final.get("kind") == "blend":
        shown = ", ".join(f"{p['weight']:.0%} {p['backend']} #{p['trial']}" for p in parts[:6])
        more = f" and {len(parts) - 6} more" if len(parts) > 6 else ""
        return f"a blend, the weighted mean of these trials: {shown}{more} ({models} in all)"
    if final.get("kind") == "bag":
        return f"a bag: the mean of {models} that train the winner's configuration under different seeds"
    return "one model, fitted on all rows of the search"


STATES = {
    "complete": "complete",
    "pruned": "pruned (worse than the best, given up early)",
    "failed": "failed",
}


def _opening(result: Mapping[str, Any]) -> str:
    trials, total = result.get("trials") or {}, (result.get("seconds") or {}).get("total")
    parts = [f"{trials[state]} {word}" for state, word in STATES.items() if trials.get(state)]
    took = f" in {duration(total)}" if isinstance(total, int | float) and math.isfinite(total) else ""
    sentence = f"{counted(trials.get('total') or 0, 'trial')}{took}: {', '.join(parts) or 'none over'}."
    if not result.get("best"):
        sentence += " No winner yet: the same tune command goes on from there."
    already = " is finished already, nothing was run; it had" if result.get("status") == "skipped" else ","
    return f"Study '{result.get('study')}'{already} {sentence}"


def _estimate_rows(estimate: Mapping[str, Any], best: Mapping[str, Any]) -> list[tuple[str, str]]:
    metric, kind = estimate.get("metric"), estimate.get("kind") or "holdout"
    if kind == "reproduced":
        scored = (
            f"{metric} {number(best.get('cv_mean'))}; on its training rows {number(estimate.get('train'))}"
        )
        return [("scored rows", scored), ("", REPRODUCED)]
    value = estimate.get(kind)
    if metric and kind == "none":
        told = f"no rows were held out; {metric} in the search {number(estimate.get('cv'))}"
        fair = estimate.get("cv_corrected")
        more = f", {number(fair)} once corrected for having chosen the best trial" if _finite(fair) else ""
        return [("on new rows", told + more)]
    if not metric or not _finite(value):
        return []
    low, high = number(estimate.get(f"{kind}_low")), number(estimate.get(f"{kind}_high"))
    direction = "higher" if _greater_is_better(estimate) else "lower"
    how = "measured once, at the end, on rows the search never saw"
    if kind == "nested":
        how = "the whole study was repeated in outer folds, each scored on rows it had not seen"
    rows = [
        (
            "on new rows",
            f"expect {metric} between {low} and {high}, best guess {number(value)} ({direction} is better)",
        ),
        ("", f"{how}; the interval covers 95 %"),
    ]
    cv, optimism, gap = best.get("cv_mean"), estimate.get("optimism"), estimate.get("gap")
    if optimism is not None and _finite(optimism):
        by = (
            f"flattered itself by {number(optimism)}"
            if optimism > 0
            else "shows no sign of flattering itself"
        )
        rows.append(("in the search", f"the winner's {metric} was {number(cv)}: the search {by}"))
    if _finite(estimate.get("cv_corrected")):
        ends = f"{number(estimate.get('cv_corrected_low'))} to {number(estimate.get('cv_corrected_high'))}"
        told = f"{number(estimate['cv_corrected'])} ({ends}) once corrected for having chosen the best trial"
        rows.append(("", told))
    if gap is not None and _finite(gap):
        than = f"{number(abs(gap))} {'better' if gap > 0 else 'worse'}"
        rows.append(("overfit", f"its {metric} is {than} on the rows it trained on than on others"))
    return rows


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _greater_is_better(estimate: Mapping[str, Any]) -> bool:
    """The direction that the study recorded; studies of an earlier version know only the metric's name."""
    from autoreg.metrics import known_metric

    if "greater_is_better" in estimate:
        return bool(estimate["greater_is_better"])
    metric = known_metric(str(estimate.get("metric")))
    return metric is not None and metric.greater_is_better


def _how_to_load(model: Mapping[str, Any], image: Mapping[str, Any] | None) -> str:
    uri = f"models:/{model['name']}@{model['alias']}" if model.get("alias") else model.get("uri")
    given, call = "new_rows.csv", "new_rows)  # a pandas DataFrame with the columns of the training data"
    if image and image["array"]:
        given = "new_images.npz"
        call = (
            f"images)  # an array (n, {', '.join(map(str, image['shape']))}) of {image['array']}, as they are"
        )
    return (
        "\n\nPredict new rows:\n"
        f"  autoreg predict '{uri}' {given} predictions.csv\n"
        "or in Python:\n"
        f'  model = mlflow.pyfunc.load_model("{uri}")\n'
        f"  model.predict({call}"
    )


SCORES = """

  loss   what the search makes small, on rows that a model did not train on
  cv     your metric on the same rows; +- is its standard error
  train  your metric on the rows it trained on
The winner is chosen among the best by fresh scores (other divisions of the rows), so it need not be the first."""


def describe_summary(summary: Mapping[str, Any], top: int, look: str = "") -> str:
    """A study's result and its best trials.

    Parameters
    ----------
    summary : mapping
        The result with ``trials_table``: one mapping a trial.
    top : int
        How many trials to list.
    look : str
        See ``describe_result``.
    """
    listed = summary["trials_table"]
    result = {"trials": {"total": len(listed), **Counter(t["state"] for t in listed)}, **summary}
    trials = sorted(
        listed, key=lambda t: (t["state"] != "complete", t["loss"] if _finite(t["loss"]) else math.inf)
    )
    scores = ("loss", "cv", "cv_se", "train")
    rows = [
        [
            t["number"],
            t["backend"],
            t["state"],
            *(number(t[score]) for score in scores),
            params_line(t["params"], _searched(result, t["backend"])),
        ]
        for t in trials[:top]
    ]
    head = ("trial", "backend", "state", "loss", "cv", "+-", "train", "parameters")
    table = aligned(rows, head) if rows else "  no trial is recorded"
    title = f"Best {counted(len(rows), 'trial')} of {len(trials)}, by the loss that the search minimises"
    return f"{describe_result(result, look)}\n\n{title}\n{table}{SCORES if rows else ''}"
