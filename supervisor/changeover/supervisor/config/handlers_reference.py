"""The tables of ready-made handlers in the documentation, made from the catalogue.

`python -m changeover.supervisor.config.handlers_reference docs/handlers.md` writes them between the page's marks.
"""

import sys
from pathlib import Path

import msgspec

from changeover.supervisor.config.marked import replace_marked
from changeover.supervisor.config.reference import default_of, described, kind_of
from changeover.workers.handlers.catalogue import CATALOGUE, ReadyMade


def document(page: str) -> str:
    """Put fresh tables between the marks of a page.

    Raises:
        ValueError: The marks are missing.
    """
    return replace_marked(page, "handlers", tables())


def tables() -> str:
    """All handlers in one table, then the settings of each."""
    lines = ["| handler | direction | phase | after | does |", "|---|---|---|---|---|"]
    lines += map(_row, CATALOGUE.values())
    return "\n".join((*lines, "", "\n\n".join(map(_settings, CATALOGUE.values()))))


def _row(handler: ReadyMade) -> str:
    directions = ", ".join(direction.value for direction in handler.directions)
    after = ", ".join(f"`{name}`" for name in handler.after)
    return f"| `{handler.name}` | {directions} | {handler.phase.value} | {after} | {handler.summary} |"


def _settings(handler: ReadyMade) -> str:
    texts = described(handler.settings)
    lines = [f"### {handler.name}", "", "| setting | is | default | meaning |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(handler.settings):
        cells = (f"`{field.name}`", kind_of(field.type), default_of(field), texts[field.name])
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def main(page: Path) -> None:
    """Write fresh tables into the page."""
    page.write_text(document(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
