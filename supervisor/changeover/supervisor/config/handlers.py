"""Handlers as pipelines name them: a plugin's, or a ready-made one with its settings. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from changeover.workers.handlers.catalogue import mistakes_of
from changeover.workers.protocol.document import Mistake, below, nearest
from changeover.workers.protocol.snapshot import HandlerRef

USE = "use"
"""The key that names the handler where it stands with its settings."""

Written = str | Mapping[str, Any]
"""`plugin:handler`, `request-id`, or `{ use = "concurrency-limit", limit = 200 }`."""

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
        wrong = _mistakes_of(written, at)
        if not wrong and written in handlers[:index]:
            wrong = [Mistake(at, f"{_parted(written)[0]} stands in this pipeline twice")]
        found += wrong
    return found


def _mistakes_of(written: Written, at: str) -> list[Mistake]:
    name, settings = _parted(written)
    if not isinstance(name, str) or not name:
        near = next((hint for key in settings if (hint := nearest(key, [USE]))), "")
        return [Mistake(f"{at}.{USE}", f"missing: the name of a handler{near}")]
    if ":" not in name:
        return mistakes_of(name, settings, at)
    if not _NAMED.fullmatch(name):
        return [Mistake(at, f"{name!r} is no handler; write it like `plugin:handler`, or name a ready-made one")]
    plugin = name.partition(":")[0]
    fact = f"a plugin is told things in [plugins.{plugin}] config"
    return [Mistake(below(at, key), f"unknown key; {fact}") for key in settings]


def _parted(written: Written) -> tuple[Any, dict[str, Any]]:
    if isinstance(written, str):
        return written, {}
    return written.get(USE), {key: value for key, value in written.items() if key != USE}
