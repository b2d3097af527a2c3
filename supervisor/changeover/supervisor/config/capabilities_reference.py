"""The table of capabilities in the documentation.

`python -m changeover.supervisor.config.capabilities_reference docs/security.md` writes it between the page's marks.
"""

import sys
from pathlib import Path

from changeover.supervisor.config.marked import replace_marked
from changeover.workers.plugins.capabilities import TABLE, Capability


def document(page: str) -> str:
    """Put a fresh table between the marks of a page.

    Raises:
        ValueError: The marks are missing.
    """
    return replace_marked(page, "capabilities", table())


def table() -> str:
    """A row for each capability."""
    lines = ["| capability | its plugin may | enforced by | not seen |", "|---|---|---|---|", *map(_row, TABLE)]
    return "\n".join(lines)


def _row(capability: Capability) -> str:
    return f"| `{capability.name}` | {capability.allows} | {capability.enforced} | {capability.unseen} |"


def main(page: Path) -> None:
    """Write a fresh table into the page."""
    page.write_text(document(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
