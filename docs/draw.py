"""Draws the state machines from their tables, one page each in `docs/diagrams/`, with an index.

`python docs/draw.py` writes them; a test fails when a page and its table differ.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from changeover.workers.protocol.table import Table

DIAGRAMS = Path(__file__).resolve().parent / "diagrams"

MODULES = (
    "changeover.supervisor.core.cutover",
    "changeover.supervisor.core.child",
    "changeover.supervisor.core.retirement",
    "changeover.supervisor.core.boot",
    "changeover.supervisor.core.zygote",
    "changeover.supervisor.core.shutdown",
    "changeover.supervisor.core.upgrade",
    "changeover.supervisor.watching.lookout",
    "changeover.workers.participant.aside",
    "changeover.workers.participant.attachment",
    "changeover.workers.participant.tenure",
    "changeover.workers.participant.migration",
    "changeover.workers.handover.parting",
    "changeover.workers.handover.outbound",
    "changeover.workers.handover.adoption",
    "changeover.workers.handover.inbound",
    "changeover.workers.handover.giving",
)
"""Where the tables are, in the order in which they are best read."""


def pages() -> dict[str, str]:
    """Every page by its file name."""
    drawn = {f"{name.rpartition('.')[2]}.md": _page(name) for name in MODULES}
    return drawn | {"index.md": _index()}


def _index() -> str:
    lines = ["# State machines", "", "Drawn from the tables in the code by `docs/draw.py`.", ""]
    for name in MODULES:
        module = importlib.import_module(name)
        table: Table[Any, Any] = module.TABLE
        count = len(list(table.rows()))
        first = _essay(module.__doc__)[0]
        lines.append(f"- [{table.name}]({name.rpartition('.')[2]}.md): {first} ({count} transitions)")
    return "\n".join((*lines, ""))


def _page(name: str) -> str:
    module = importlib.import_module(name)
    table: Table[Any, Any] = module.TABLE
    title, *essay = _essay(module.__doc__)
    lines = [f"# {table.name.capitalize()}", "", title, *essay, "", "```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {_id(table.start)}"]
    lines += [f'    state "{state.value}" as {_id(state)}' for state in table.transitions]
    lines += [f"    {_id(state)} --> {_id(after)}: {causes}" for state, after, causes in _edges(table)]
    lines += ["```", "", "| state | cause | next state |", "|---|---|---|"]
    lines += [f"| {state.value} | {cause.value} | {after.value} |" for state, cause, after in table.rows()]
    return "\n".join((*lines, "", f"The table is `{name}.TABLE`.", ""))


def _edges(table: Table[Any, Any]) -> Iterator[tuple[Any, Any, str]]:
    edges: dict[tuple[Any, Any], list[str]] = {}
    for state, cause, after in table.rows():
        edges.setdefault((state, after), []).append(cause.value)
    for (state, after), causes in edges.items():
        yield state, after, ", ".join(causes)


def _id(state: Any) -> str:
    name: str = state.name
    return name.lower()


def _essay(text: str | None) -> list[str]:
    return (text or "").strip().splitlines()


def main() -> int:
    """Write every page."""
    DIAGRAMS.mkdir(exist_ok=True)
    for name, text in pages().items():
        (DIAGRAMS / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
