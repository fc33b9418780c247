"""Lines of a CSV that a benchmark goes on with: what is there is not measured again."""

import csv


def known(out):
    """The lines of a CSV, as text by name; none where it is not there."""
    if not out.exists():
        return []
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def keep(out, fields, lines):
    """Add lines; before the first ones the names of their fields."""
    new = not out.exists()
    with out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields)
        if new:
            writer.writeheader()
        writer.writerows(lines)
