"""What a verdict moves: written down first and carried out then, so that no crash leaves half of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autoreg.ledger import keep_files, read_files
from autoreg.registry import CHALLENGER, ROLLED_BACK, annotate, contend, promote, tag_model, version_at
from autoreg.retune.champion import LOOKS_RUN

REPORT = "retune.json"
DONE, VERDICT = "autoreg.retuned", "autoreg.verdict"
DONE_KEY = "autoreg.retuned_key"
"""Tags of the run: what the retune came to, what it was about to come to, and under which key it is done."""


def read_report(run_id: str) -> dict[str, Any]:
    """The JSON object that a retune left on its run."""
    found: dict[str, Any] = json.loads(read_files(run_id, (REPORT,))[REPORT])
    return found


def write_down(
    run_id: str, report: Mapping[str, Any], files: Mapping[str, bytes], tags: Mapping[str, str]
) -> None:
    """Keep a verdict on its run before anything is moved: whatever stops the retune now, its key carries it out."""
    keep_files(run_id, {REPORT: _text(report), **files}, {**tags, VERDICT: str(report["status"])})


def carry_out(model: str, alias: str, run_id: str, report: dict[str, Any]) -> dict[str, Any]:
    """Move what a verdict moves, and say on version, model and run that it is done; twice is the same as once.

    Parameters
    ----------
    model, alias : str
        The registered model, and the alias that serves.
    run_id : str
        Run of the study that made the challenger.
    report : dict
        What was written down.

    Returns
    -------
    dict
        The report as it is now: another version may have been made to serve meanwhile.
    """
    gate, number, files = report.get("gate") or {}, str(report["model"]["version"]), dict[str, bytes]()
    if report["status"] == "promoted":
        serving = _let_serve(model, alias, report)
        if serving != number:
            report["status"] = "kept"
            gate |= {"promoted": False, "reason": f"kept: version {serving} was made to serve meanwhile"}
        report["model"]["alias"] = CHALLENGER if serving != number else alias
        files = {REPORT: _text(report)}
    if report["status"] == "tuned" and version_at(model, alias) is None:
        promote(model, number, alias, "there is no other")  # its study was done before, and the alias is gone
    if gate and (made := version_at(model, number)):
        annotate(made, {"autoreg.gate": f"champion was version {report['champion']}; {gate['reason']}"})
    if "rows" in gate:
        tag_model(model, LOOKS_RUN, run_id)
    status = str(report["status"])
    tags = {"autoreg.gate": str(gate.get("reason", status)), DONE: status, DONE_KEY: str(report["key"])}
    keep_files(run_id, files, tags)
    return report


def _let_serve(model: str, alias: str, report: Mapping[str, Any]) -> str:
    """The version that serves in the end; one that a person took back before this was done stays away."""
    number, over = str(report["model"]["version"]), str(report["champion"])
    made = version_at(model, number)
    if number != over and made is not None and ROLLED_BACK not in made.tags:
        return contend(model, number, alias, over, report["gate"].get("difference"))
    now = version_at(model, alias)
    return over if now is None else now.number


def _text(report: Mapping[str, Any]) -> bytes:
    return json.dumps(report, indent=1).encode()
