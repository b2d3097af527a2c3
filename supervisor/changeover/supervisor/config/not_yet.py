"""Settings that have a meaning and that nothing acts on yet: refused, because nobody may rely on them. Pure."""

from typing import Any

from changeover.workers.protocol.document import Mistake, below

ANY = "<id>"
"""Stands for the id of a plugin."""
NOT_YET: frozenset[tuple[str, ...]] = frozenset(
    {
        ("plugins", ANY, "grant"),
    }
)
"""Settings, or whole areas: neither taken nor listed anywhere. What is built loses its row here."""


def is_listed(key: tuple[str, ...]) -> bool:
    """Whether a setting is one that people can use."""
    return not any(key[:depth] in NOT_YET for depth in range(1, len(key) + 1))


def leave_out(table: dict[str, Any], mistakes: list[Mistake]) -> dict[str, Any]:
    """Take out of a configuration what nothing acts on yet.

    Args:
        table: As it was merged, or as it is to be written.
        mistakes: Receives what was there.
    """
    for key in sorted(NOT_YET):
        table = _without(table, key, "$", mistakes)
    return table


def _without(table: dict[str, Any], key: tuple[str, ...], path: str, mistakes: list[Mistake]) -> dict[str, Any]:
    left = dict(table)
    for name in table if key[0] == ANY else table.keys() & {key[0]}:
        if len(key) == 1:
            del left[name]
            mistakes.append(Mistake(below(path, name), "not supported by this version; leave it out"))
        elif isinstance(table[name], dict):
            left[name] = _without(table[name], key[1:], below(path, name), mistakes)
    return left
