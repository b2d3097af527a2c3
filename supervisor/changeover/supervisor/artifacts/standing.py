"""Settings that stand until a restart. Pure."""

from collections.abc import Iterator
from typing import Any

from changeover.supervisor.config.settings import Settings
from changeover.supervisor.config.sources import setting_keys

SWAPPED = frozenset({"plugins", "pipelines", "watch"})
"""Areas that a swap takes, or nobody who serves."""
ROLLED = frozenset({"app", "python"})
"""Areas that only new processes take."""


def restart_notes(booted: Settings, now: Settings) -> Iterator[str]:
    """Name the settings that differ from those the service runs with and that only a restart takes."""
    for key in setting_keys():
        if key[0] not in SWAPPED | ROLLED and _value(booted, key) != _value(now, key):
            yield f"{'.'.join(key)} (needs a restart)"


def _value(settings: Settings, key: tuple[str, ...]) -> Any:
    value: Any = settings
    for part in key:
        value = getattr(value, part)
    return value
