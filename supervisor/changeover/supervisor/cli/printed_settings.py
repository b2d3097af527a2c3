"""Settings as TOML, which can be read back. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from changeover.supervisor.config.settings import Settings


def toml(settings: Settings) -> Iterator[str]:
    """Write every setting that people can use on a line of its own (`drain.http = 30.0`)."""
    plain = msgspec.to_builtins(settings)
    entries = plain["plugins"].pop("entries")
    plain["plugins"].update(entries)
    yield from _lines("", plain)


def _lines(prefix: str, table: dict[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        name = f"{prefix}{_key(key)}"
        if isinstance(value, dict):
            yield from _lines(f"{name}.", value)
        elif value is not None:
            yield f"{name} = {_value(value)}"


def _key(key: str) -> str:
    return key if key.replace("_", "a").replace("-", "a").isalnum() and key.isascii() else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None) + " }"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return msgspec.json.encode(value).decode()
