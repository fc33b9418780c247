"""Help that a newcomer can read: options in groups, examples below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from autoreg.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from click import Context, HelpFormatter

EXAMPLES: dict[str, tuple[str, ...]] = {
    "init": (
        "autoreg init churn.csv                             # asks which column to predict",
        "autoreg init churn.csv --target churn --out churn.toml",
        "autoreg init sklearn:load_iris --target target",
    ),
    "validate": ("autoreg validate churn.toml",),
    "tune": (
        "autoreg tune churn.toml",
        "autoreg tune churn.toml --n-jobs 4                 # the same trials, four at a time",
        "autoreg tune churn.toml --trials 120               # go on after the first 60",
        "autoreg tune churn.toml --quiet --json result.json",
    ),
    "show": ("autoreg show churn", "autoreg show churn --top 20"),
    "ui": ("autoreg ui", "autoreg ui --port 5050 --no-browser"),
    "report": ("autoreg report churn --out churn.html", "autoreg report churn --out card.md"),
    "predict": (
        "autoreg predict models:/churn@champion new_rows.csv predictions.csv",
        "autoreg predict models:/churn/3 new_rows.parquet -   # version 3, to the terminal",
    ),
    "retune": (
        "autoreg retune churn.toml --key 2026-11            # the same key again does nothing",
        "autoreg retune models:/churn@champion --data new.csv",
    ),
    "promote": ("autoreg promote churn 7",),
    "rollback": ("autoreg rollback churn",),
    "schedule": (
        "autoreg schedule churn.toml --for cron",
        'autoreg schedule churn.toml --for k8s --at "0 3 * * 1" --out deploy',
    ),
    "reconcile": ("autoreg reconcile churn --dry-run", "autoreg reconcile churn"),
    "export": ("autoreg export churn --to sqlite:///churn_trials.db",),
    "completion": (
        "autoreg completion bash >> ~/.bashrc",
        "autoreg completion zsh >> ~/.zshrc",
        "autoreg completion fish > ~/.config/fish/completions/autoreg.fish",
    ),
}
OPTION_GROUPS: dict[str, tuple[str, ...]] = {
    "What to search": ("data", "trials", "timeout", "backends", "seed", "fresh", "key"),
    "Where trials run": ("n_jobs", "engine", "address"),
    "What is said": ("quiet", "json", "notify"),
}
FEW = 6
WHOLE = 200
"""A first sentence is shown whole, over two lines where it is long."""
COMMAND_GROUPS: dict[str, tuple[str, ...]] = {
    "Tune": ("init", "validate", "tune"),
    "Look": ("show", "ui", "report", "export"),
    "Use a model": ("predict", "promote", "rollback"),
    "Keep it good": ("retune", "schedule", "reconcile"),
    "Shell": ("completion",),
}
EXIT_CODES = (
    ("0", "done (tuned, promoted, kept, or skipped because it is done already)"),
    ("64", "the command line is wrong"),
    ("65", "the data or the study file is wrong, or no trial completed"),
    ("70", "a bug of autoreg"),
    ("75", "something is busy or a server is away: try again"),
    ("130, 143", "stopped by Ctrl-C or SIGTERM: the same command goes on from there"),
)


class HelpfulCommand(click.Command):
    """A command whose help groups many options, and ends with its examples."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options, in groups where there are many."""
        records = {
            str(param.name): record
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None
        }
        groups = OPTION_GROUPS if len(records) > FEW else {}
        left = [name for name in records if not any(name in names for names in groups.values())]
        for title, names in {**groups, ("Other" if groups else "Options"): left}.items():
            _section(formatter, title, [records[name] for name in names if name in records])

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the examples."""
        lines = EXAMPLES.get(str(self.name), ())
        if lines:
            with formatter.section("Examples"):
                for line in lines:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class HelpfulGroup(click.Group):
    """The program: its commands by what they are for, and what its exit codes mean."""

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that is not there is told with the nearest, or with all."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise UsageError(f"there is no command '{args[0]}'{did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands, in groups."""
        for title, names in COMMAND_GROUPS.items():
            _section(
                formatter, title, [(name, self.commands[name].get_short_help_str(WHOLE)) for name in names]
            )

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the exit codes."""
        _section(formatter, "Exit codes", EXIT_CODES)


def _section(formatter: HelpFormatter, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)


def ungrouped(commands: Mapping[str, click.Command]) -> list[str]:
    """Commands that no group of the help lists, or that have no example."""
    listed = {name for names in COMMAND_GROUPS.values() for name in names}
    return sorted(
        {name for name in commands if name not in listed or name not in EXAMPLES} | (listed - set(commands))
    )
