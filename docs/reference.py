"""Write the pages that are made from the code: every key of a study file, and the help of every command.

python docs/reference.py             write docs/study-file.md and docs/cli.md
python docs/reference.py --check     only say whether they are what the code says (exit code 1 where not)
"""

import argparse
import sys
from pathlib import Path

import click

from autoreg.cli import cli
from autoreg.spec import reference

HERE = Path(__file__).parent
WIDTH = 100
STUDY = """# Study file

A TOML file with one study. All but `name`, `data.source` and `data.target` has a default; unknown keys are refused with the nearest known one.
`autoreg init DATA` writes a commented one, `studies/template.toml` has every key with an example, and `autoreg validate STUDY.toml` shows what would run.

{table}
## Search spaces

`[search.sklearn]`, `[search.xgboost]` and `[search.keras]` say what is searched for each backend; what they leave out has a built-in range.

| written | means |
|---|---|
| `dropout = 0.3` | fixed |
| `penalty = ["l1", "l2"]` | one of these |
| `alpha = {{low = 1e-4, high = 1.0, log = true}}` | a range, uniform on a logarithmic scale |
| `dropout = {{low = 0.05, high = 0.6, off = true}}` | a range, and exact 0 |
| `eta = {{low = 0.01, high = 0.3, log = true, extend = true}}` | a range whose ends the search may move, where its best trials crowd one |

With `sampler = "grid"` every combination of the lists is tried, and what the file does not name stays at the library's default.

## Exactly the same again

Two runs of one file on one table give the same trials, however many workers run them and however often they are stopped; in other versions of the libraries, or on another kind of processor, digits may differ.
"""
COMMANDS = """# Commands

Every command has `--help`. Words go to stderr, results to stdout; `--json PATH` (`-`: stdout) writes one JSON object for scripts.
The tracking store is MLflow's own setting, `MLFLOW_TRACKING_URI`; without it, a SQLite file in the working directory.

{commands}"""


def pages():
    """Content of every generated page by its name."""
    return {
        "study-file.md": STUDY.format(table=reference()),
        "cli.md": COMMANDS.format(commands="\n".join(helped(name) for name in cli.commands)),
    }


def helped(name):
    """One command's section."""
    command = cli.commands[name]
    context = click.Context(
        command,
        info_name=f"autoreg {name}",
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    return f"## {name}\n\n```text\n{command.get_help(context)}\n```\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 where a page is stale"
    )
    check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        place = HERE / name
        if not place.exists() or place.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                place.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"stale: {', '.join(stale)}; run: python docs/reference.py")


if __name__ == "__main__":
    main()
