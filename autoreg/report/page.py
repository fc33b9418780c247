"""The page: look, headline, table of contents, and the sections that have something to say."""

from __future__ import annotations

from collections.abc import Mapping

from autoreg.record import StudyRecord
from autoreg.report.facts import (
    at_edges,
    direction,
    expectation,
    flattery,
    gap,
    main_estimate,
    metric,
    refitted,
    reproduced,
    seen,
    winner,
)
from autoreg.report.markup import Html, bullets, el, text, together, words
from autoreg.report.sections import SECTIONS, Section
from autoreg.report.wording import clipped, counted, duration, finite, short

CSS = """
:root{color-scheme:light;--ink:#24292f;--soft:#59626e;--line:#e1e4e9;--wash:#f6f7f9;--blue:#0072b2;--red:#d55e00}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,
"DejaVu Sans",sans-serif;-webkit-print-color-adjust:exact;print-color-adjust:exact}
.frame{max-width:1240px;margin:0 auto;padding:28px 32px 64px;display:grid;grid-template-columns:190px minmax(0,1fr);gap:0 40px}
header,main{grid-column:2}
nav{grid-column:1;grid-row:1/span 2;font-size:13.5px}
nav ol{position:sticky;top:24px;list-style:none;margin:6px 0 0;padding:0;border-left:2px solid var(--line)}
nav a{display:block;padding:4px 0 4px 14px;color:var(--soft);text-decoration:none}
nav a:hover{color:var(--blue)}
.kicker{color:var(--soft);font-size:13px;margin:0;overflow-wrap:anywhere}
h1{font-size:29px;line-height:1.25;letter-spacing:-.012em;margin:6px 0 10px;font-weight:680;text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:20px;line-height:1.3;margin:0 0 4px;letter-spacing:-.005em}
h3{font-size:15px;margin:24px 0 4px}
section{margin-top:44px;padding-top:24px;border-top:1px solid var(--line)}
p{margin:8px 0;max-width:78ch;overflow-wrap:anywhere}
.how{color:var(--soft)}
code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;background:var(--wash);padding:1px 5px;
border-radius:4px;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:22px 0 0}
.tile{background:var(--wash);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:20px;line-height:1.3;font-weight:650;overflow-wrap:anywhere}
.tile span{display:block;color:var(--soft);font-size:12.5px;line-height:1.4}
.warn{border-left:4px solid var(--red);background:#fdf3ec;border-radius:0 8px 8px 0;padding:10px 16px;margin:18px 0 0}
.warn ul{margin:4px 0;padding-left:20px}
figure{margin:18px 0 4px;break-inside:avoid}
figure svg{display:block;width:100%;height:auto}
figcaption{color:var(--soft);font-size:13px;max-width:80ch;margin-top:4px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(360px,1fr));gap:8px 28px;align-items:start}
.scroll{overflow-x:auto;margin:14px 0}
table{border-collapse:collapse;font-size:13.5px;line-height:1.45;min-width:50%;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:600;font-size:12.5px;border-bottom:1.5px solid #c9ced6;white-space:nowrap;vertical-align:bottom}
th,td{text-align:left;padding:6px 18px 6px 0;vertical-align:top}
td{border-bottom:1px solid var(--line);overflow-wrap:break-word}
td:first-child{white-space:nowrap}
.n{text-align:right;white-space:nowrap}
th.n,td.n{padding-left:6px}
tr.marked td{font-weight:650;background:#eef6fb}
tr{break-inside:avoid}
table.dense{width:100%;font-size:12.5px}
table.dense th{white-space:normal}
table.dense td{padding-right:14px}
table.dense td:last-child{font:11.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-weight:400;min-width:220px;overflow-wrap:anywhere}
ul{padding-left:22px;margin:8px 0;max-width:90ch}
li{margin:3px 0;overflow-wrap:anywhere}
.more{color:var(--soft);font-style:italic}
.chips code{display:inline-block;margin:2px 1px}
.chips{max-width:none}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 24px;margin:14px 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
footer{grid-column:2;color:var(--soft);font-size:12.5px;margin-top:48px}
@media (max-width:1000px){
 .frame{display:block;padding:20px}
 nav{margin:14px 0 22px}
 nav ol{position:static;border:0;display:flex;flex-wrap:wrap;gap:6px}
 nav a{padding:3px 10px;background:var(--wash);border-radius:20px}
}
@media print{
 @page{margin:14mm}
 body{font-size:10.5pt}
 .frame{display:block;max-width:none;padding:0}
 nav{display:none}
 section{margin-top:20px;padding-top:14px}
 h1{font-size:20pt}
 h2,h3,.how{break-after:avoid}
 p,li,dt,dd{break-inside:avoid}
 p:has(+figure),p:has(+.pair),p:has(+.stack){break-after:avoid}
 .scroll{overflow:visible}
 .tile,.warn{break-inside:avoid}
 figure svg{max-height:235mm}
 table{font-size:9pt}
 table.dense{font-size:7.5pt}
 table.dense td:last-child{font-size:6.5pt;min-width:0;width:34%}
 th,td,table.dense td{padding-right:8px}
 th.n,td.n{padding-left:0}
 .pair{display:block}
}
"""


def page(record: StudyRecord, drawn: Mapping[str, str]) -> str:
    """Lay the page out.

    Parameters
    ----------
    record : StudyRecord
    drawn : mapping of str to str
        SVG of every figure, by name.
    """
    built = [(section, section.body(record, drawn)) for section in SECTIONS]
    shown = [(section, body) for section, body in built if body]
    name = clipped(record.report.get("study") or "without a name", 120)
    links = [el("li", el("a", section.short, href=f"#{section.key}")) for section, _ in shown]
    frame = el(
        "div",
        el("nav", el("ol", together(links)), **{"aria-label": "Contents"}),
        _header(record, name),
        el("main", together([_section(section, body) for section, body in shown])),
        el("footer", "Drawn by autoreg from the study's record alone."),
        cls="frame",
    )
    head = (
        f'<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(name)}: report</title>\n<style>{CSS}</style>"
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{frame}\n</body>\n</html>\n'


def _section(section: Section, body: Html) -> Html:
    return el("section", el("h2", section.title), el("p", section.how, cls="how"), body, id=section.key)


def _header(record: StudyRecord, name: str) -> Html:
    task = f"predicts {clipped(record.target, 80)} ({clipped(record.task, 24)})"
    rows = f"{counted(record.rows, 'row')}, {counted(record.columns, 'column')}"
    said = flattery(record)
    sentence = expectation(record) + (f"; {said}." if said else ".")
    return el(
        "header",
        el("p", f"Study {name} · {task} · {rows}", cls="kicker"),
        el("h1", sentence),
        el("p", _believe(record), cls="how"),
        _tiles(record),
        _warnings(record),
    )


def _believe(record: StudyRecord) -> str:
    """Where the headline comes from."""
    main = main_estimate(record)
    if reproduced(record):
        return "A published experiment, repeated on its authors' own division of the rows. Nothing of it was registered."
    if main is None:
        return "Scores of a search are flattering: they belong to the trial that looked best of many."
    interval = " The interval covers 95%." if main.low is not None else ""
    if main.key == "nested":
        return f"Measured by repeating the whole search in outer folds.{interval} Best guess {short(main.value)}; {direction(record)}."
    looks = (record.report.get("estimate") or {}).get("looks")
    times = f" These rows have been looked at {looks} times by now." if finite(looks) and looks > 1 else ""
    after = (
        " What is shipped was then fitted on these rows, too: expect it to be a little better."
        if refitted(record)
        else ""
    )
    return (
        f"Measured once, at the very end, on {counted(record.holdout_rows, 'row')} that the search never saw.{interval} "
        f"Best guess {short(main.value)}; {direction(record)}.{after}{times}"
    )


def _tiles(record: StudyRecord) -> Html:
    """The main facts at a glance."""
    main, trial, apart = main_estimate(record), winner(record), gap(record)
    total = (record.report.get("seconds") or {}).get("total")
    tiles: list[tuple[str, str]] = []
    if main is not None:
        tiles.append((short(main.value), f"{metric(record)}, {main.label}"))
    if apart is not None and main is not None:
        better = "better" if apart >= 0 else "worse"
        size = seen(apart, main)
        told = (
            f"{better} on its training rows than on new ones"
            if size
            else "between training rows and new ones"
        )
        tiles.append((size or "no gap", told))
    if trial is not None:
        tiles.append((clipped(trial.backend, 24), f"won with trial #{trial.number}"))
    if record.shipped.kind:
        tiles.append((clipped(record.shipped.kind, 24), "is how it is shipped"))
    took = f" in {duration(total)}" if finite(total) else ""
    tiles.append((f"{len(record.trials):,}", f"{'trial' if len(record.trials) == 1 else 'trials'}{took}"))
    return el(
        "div", together([el("div", el("b", b), el("span", s), cls="tile") for b, s in tiles]), cls="tiles"
    )


def _warnings(record: StudyRecord) -> Html:
    """Cautions that belong beside the headline; of a published experiment it is the headline."""
    if reproduced(record):
        return Html("")
    found = [*record.cautions, *at_edges(record)]
    if not found:
        return Html("")
    return el("div", words(el("b", "Before you rely on this"), bullets(found, 5)), cls="warn", role="note")
