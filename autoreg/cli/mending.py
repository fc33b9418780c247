"""The command that puts a study's runs in order after crashes and outages."""

from __future__ import annotations

from dataclasses import asdict

import click

from autoreg.cli.helping import HelpfulCommand
from autoreg.cli.options import json_option, print_record, study_argument, study_name
from autoreg.cli.reading import reading
from autoreg.secrets import redact


@click.command(cls=HelpfulCommand)
@study_argument("STUDY|RUN_ID|STUDY.toml")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
def reconcile(study: str, dry_run: bool, json: str | None) -> None:
    """Put a study's runs in order after a crash or an outage.

    Writes the trials that wait for the tracking store, deletes runs of trials that were cut short or written twice,
    closes the study's run where no driver works on it, and tells what registering has left half done. Ends with 75
    while the study runs.
    """
    with reading():
        from autoreg.ledger.reconcile import reconcile as put_in_order

        said = put_in_order(study_name(study), dry_run)
    lines = [*said.done, *(f"note: {line}" for line in said.found)] or ["nothing to do"]
    status = "planned" if dry_run and said.done else "reconciled" if said.done else "clean"
    print_record(redact("\n".join(lines)), {"status": status, **asdict(said)}, json)
