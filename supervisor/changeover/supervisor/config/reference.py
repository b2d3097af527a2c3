"""The tables of settings in the documentation, made from the Structs.

`python -m changeover.supervisor.config.reference docs/configuration.md` writes them between the page's marks.
"""

import enum
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from changeover.supervisor.config.changing import change_of
from changeover.supervisor.config.channels import Certificate, Channel, Select
from changeover.supervisor.config.marked import replace_marked
from changeover.supervisor.config.settings import App, Pipeline, PipelineMatch, Plugin, Plugins, Settings
from changeover.supervisor.config.sources import setting_keys, variable
from changeover.workers.protocol.document import Bytes

_ATTRIBUTE = re.compile(r"^ {4,8}(\w+): (.*)$")


def document(page: str) -> str:
    """Put fresh tables between the marks of a page.

    Raises:
        ValueError: The marks are missing.
    """
    return replace_marked(page, "settings", tables())


def tables() -> str:
    """One table for each area, in the order of the Structs."""
    areas: list[tuple[str, type[msgspec.Struct], tuple[str, ...]]] = [
        ("Top level", Settings, ()),
        ("`[app]`", App, ("app",)),
        ("`[plugins]`", Plugins, ("plugins",)),
        ("`[plugins.<id>]`", Plugin, ("plugins", "<id>")),
        ("`[[pipelines]]`", Pipeline, ("pipelines",)),
        ("`match` of a pipeline", PipelineMatch, ("pipelines", "match")),
        ("`[[channels]]`", Channel, ("channels",)),
        ("`select` of a channel", Select, ("channels", "select")),
        ("`certificates` of TLS", Certificate, ("tls", "certificates")),
        *((f"`[{name}]`", type(getattr(Settings(), name)), (name,)) for name in _plain_areas()),
    ]
    return "\n\n".join(_table(title, shape, key) for title, shape, key in areas)


def _plain_areas() -> Iterator[str]:
    for field in msgspec.structs.fields(Settings):
        is_area = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        if is_area and field.name != "plugins":
            yield field.name


def _table(title: str, shape: type[msgspec.Struct], key: tuple[str, ...]) -> str:
    texts = described(shape)
    variables = {each: variable(each) for each in setting_keys()}
    lines = [
        f"### {title}",
        "",
        "| setting | is | default | variable | changes by | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for field in msgspec.structs.fields(shape):
        named = variables.get((*key, field.name), "")
        if (shape is Settings and not named) or field.name == "entries":
            continue
        cells = (
            f"`{field.name}`",
            kind_of(field.type),
            default_of(field),
            f"`{named}`" if named else "",
            change_of((*key, field.name)).value,
            texts[field.name],
        )
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def described(shape: type[msgspec.Struct]) -> dict[str, str]:
    """What the Struct's documentation says of each attribute."""
    found: dict[str, str] = {}
    name = ""
    _, _, attributes = (shape.__doc__ or "").partition("Attributes:")
    for line in attributes.splitlines():
        match = _ATTRIBUTE.match(line)
        if match:
            name = match[1]
            found[name] = match[2].strip()
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def kind_of(shape: Any) -> str:
    """What a setting is, in a word or two."""
    plain = {str: "text", bool: "true or false", float: "seconds", dict: "table", types.NoneType: ""}
    if shape == Bytes:
        return "bytes"
    origin = typing.get_origin(shape)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(filter(None, (kind_of(member) for member in typing.get_args(shape))))
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(shape))
    if origin is tuple:
        return "list"
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in shape)
    if shape is int:
        return "number"
    return plain.get(origin or shape, "table")


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """What a setting is where nobody says, as it would be written."""
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else typing.cast(Any, field.default_factory)()
    if value in (None, "", {}, ()):
        return ""
    if isinstance(value, msgspec.Struct):
        return ""
    return f"`{_written(value)}`"


def _written(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f'"{value.value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(_written(each) for each in value)}]"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def main(page: Path) -> None:
    """Write fresh tables into the page."""
    page.write_text(document(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
