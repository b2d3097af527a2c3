"""Settings that stand until a restart. Pure."""

from collections.abc import Iterator
from typing import Any

from changeover.supervisor.config.changing import Change, change_of
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.config.sources import setting_keys


def restart_notes(booted: Settings, now: Settings) -> Iterator[str]:
    """Name the settings that differ from those the service runs with and that only a restart takes."""
    for key in setting_keys():
        if change_of(key) is Change.RESTART and _value(booted, key) != _value(now, key):
            yield f"{'.'.join(key)} (needs a restart)"


def _value(settings: Settings, key: tuple[str, ...]) -> Any:
    value: Any = settings
    for part in key:
        value = getattr(value, part)
    return value
