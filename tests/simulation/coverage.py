"""Which transitions of which tables happened."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from changeover.supervisor.core import boot, child, cutover, retirement, shutdown, upgrade, zygote
from changeover.workers.participant import aside, attachment, migration, tenure
from changeover.workers.protocol.table import Table

Pair = tuple[str, str, str]
"""Table, state, cause."""

TABLES: tuple[Table[Any, Any], ...] = (
    boot.TABLE,
    zygote.TABLE,
    child.TABLE,
    cutover.TABLE,
    retirement.TABLE,
    shutdown.TABLE,
    upgrade.TABLE,
    attachment.TABLE,
    aside.TABLE,
    migration.TABLE,
    tenure.TABLE,
)


@contextmanager
def counting() -> Iterator[Counter[Pair]]:
    """Count every transition that is taken inside."""
    counts: Counter[Pair] = Counter()
    after = Table.after

    def counted(self: Table[Any, Any], state: Any, cause: Any) -> Any:
        counts[self.name, state.value, cause.value] += 1
        return after(self, state, cause)

    Table.after = counted  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        Table.after = after  # type: ignore[method-assign]


def listed() -> list[Pair]:
    """Every transition that a table lists."""
    return [(table.name, state.value, cause.value) for table in TABLES for state, cause, _ in table.rows()]
