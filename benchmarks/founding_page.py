"""The page of the founding experiments: its tables from the CSV, its figure of all scores."""

import re
import shutil
import statistics

from founding_authors import known_lines

SIDES = ("authors", "autoreg")


def write_page(page, out, published, whole):
    """Put the tables between the page's marks, and the figures into `figures/` beside it."""
    lines = known_lines(out)
    text = page.read_text(encoding="utf-8")
    for mark, table in (("scores", scores(lines, published)), ("times", times(lines, published, whole))):
        pattern = rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)"
        text, found = re.subn(pattern, lambda m, t=table: m[1] + t + m[2], text, flags=re.S)
        assert found == 1, f"{page} has no marks <!-- {mark} --> and <!-- /{mark} -->"
    page.write_text(text, encoding="utf-8")
    figures = page.parent / "figures"
    figures.mkdir(exist_ok=True)
    (figures / "founding-scores.svg").write_bytes(scores_figure(lines, published))
    for drawn in out.parent.glob("founding-*.svg"):
        shutil.copy(drawn, figures / drawn.name)


def values(lines, study, side, variant, part):
    found = [line[part] for key, line in lines.items() if (key[0], key[1], key[3]) == (study, side, variant)]
    return [float(value) for value in found if value]


def told(found):
    """A mean, and the lowest and highest where seeds differ."""
    if not found:
        return "–"
    mean = f"{statistics.mean(found):.3f}"
    return mean if max(found) - min(found) < 5e-4 else f"{mean} ({min(found):.3f} to {max(found):.3f})"


def scores(lines, published):
    """Accuracy on the scored rows: published, by hand, by autoreg."""
    rows = [
        "| experiment | setting | published | the authors' way, here | autoreg | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for study, variants in published.items():
        for variant, figure in variants.items():
            ours, theirs = (values(lines, study, side, variant, "test") for side in ("autoreg", "authors"))
            seeds = f"{len(theirs)}, {len(ours)}"
            rows.append(
                f"| {study} | {variant} | {stated(figure)} | {told(theirs)} | {told(ours)} | {seeds} |"
            )
    return "\n".join(rows) + "\n"


def stated(figure):
    if figure is None:
        return ""
    return f"{figure.test:g}" if figure.test is not None else (figure.says or "")


def times(lines, published, whole):
    """Seconds: every fit by hand, every trial of autoreg, and its whole command."""
    rows = [
        "| experiment | fits | authors' way, all fits | autoreg, all trials | ratio | autoreg, the whole command |",
        "|---|---|---|---|---|---|",
    ]
    for study, variants in published.items():
        spent = {side: [values(lines, study, side, v, "seconds") for v in variants] for side in SIDES}
        theirs, ours = (
            sum(statistics.median(v) for v in spent[side]) if all(spent[side]) else None for side in SIDES
        )
        entire = values(lines, study, "autoreg", whole, "seconds")
        ratio = f"{theirs / ours:.1f}x" if theirs and ours else "–"
        rows.append(
            f"| {study} | {len(variants)} | {seconds(theirs)} | {seconds(ours)} | {ratio} | "
            f"{seconds(statistics.median(entire) if entire else None)} |"
        )
    return "\n".join(rows) + "\n"


def seconds(value):
    return "–" if value is None else f"{value:.1f} s"


def scores_figure(lines, published):
    """Published, the authors' way and autoreg, a line for every setting."""
    from autoreg.report.canvas import BLUE, INK, ORANGE, WIDTH, drawn, plain_ticks, sheet, styled

    rows = [
        (study, variant, figure)
        for study, variants in published.items()
        for variant, figure in variants.items()
    ]
    with styled():
        figure = sheet(WIDTH, 0.9 + 0.19 * len(rows))
        axes = figure.add_subplot()
        for at, (study, variant, stated_figure) in enumerate(rows):
            for side, color, marker, shift in (("authors", ORANGE, "s", 0.14), ("autoreg", BLUE, "o", -0.14)):
                found = values(lines, study, side, variant, "test")
                if found:
                    axes.plot([min(found), max(found)], [at + shift] * 2, color=color, lw=1.4)
                    label = {"authors": "the authors' way, here", "autoreg": "autoreg"}[side]
                    axes.plot(statistics.mean(found), at + shift, marker, color=color, ms=4.5, label=label)
            if stated_figure is not None and stated_figure.test is not None:
                axes.plot(stated_figure.test, at, "|", color=INK, ms=11, mew=1.6, label="published")
        axes.set_yticks(range(len(rows)), [f"{study}: {variant}" for study, variant, _ in rows])
        axes.invert_yaxis()
        axes.set(xlabel="accuracy on the scored rows; lines: lowest to highest of the seeds")
        axes.grid(axis="x")
        plain_ticks(axes, "x")
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=3)
        return drawn(
            "founding", figure, "Accuracy of every setting: published, the authors' way, autoreg"
        ).file()
