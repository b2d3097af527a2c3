"""Handlers as pipelines name them. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from changeover.workers.protocol.document import Mistake, below
from changeover.workers.protocol.snapshot import HandlerRef

USE = "use"
"""The key that names the handler where it stands with its settings."""

Written = str | Mapping[str, Any]
"""`plugin:handler`, or a table with `use` and settings."""

_NAMED = re.compile(r"[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*")


def ref_of(written: Written) -> HandlerRef:
    """The handler that is meant; `written` has no mistakes."""
    name, settings = _parted(written)
    plugin, _, handler = name.rpartition(":")
    return HandlerRef(plugin, handler, msgspec.json.encode(settings, order="sorted") if settings else b"")


def mistakes(path: str, handlers: Sequence[Written]) -> list[Mistake]:
    """Say everything that is wrong with the handlers of one pipeline, each by itself.

    Args:
        path: Where they stand.
        handlers: In request order.
    """
    found: list[Mistake] = []
    for index, written in enumerate(handlers):
        at = f"{path}[{index}]"
        name, settings = _parted(written)
        if not isinstance(name, str) or not _NAMED.fullmatch(name):
            found.append(Mistake(at, f"{name!r} is no handler; write it like `plugin:handler`"))
        elif written in handlers[:index]:
            found.append(Mistake(at, f"{name} stands in this pipeline twice"))
        elif settings:
            told = f"a plugin is told things in [plugins.{name.partition(':')[0]}] config"
            found += [Mistake(below(at, key), f"unknown key; {told}") for key in settings]
    return found


def _parted(written: Written) -> tuple[Any, dict[str, Any]]:
    if isinstance(written, str):
        return written, {}
    return written.get(USE), {key: value for key, value in written.items() if key != USE}
