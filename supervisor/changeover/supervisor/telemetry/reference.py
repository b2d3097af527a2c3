"""The tables in `docs/events.md`, made from the records' Structs.

`python -m changeover.supervisor.telemetry.reference docs/events.md` writes them between the page's marks.
"""

import enum
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from changeover.supervisor.config.marked import replace_marked
from changeover.supervisor.config.reference import described
from changeover.supervisor.core.records import (
    boot,
    cutover,
    part,
    pipeline,
    plugin,
    preflight,
    request,
    rescue,
    retirement,
    service,
    staffing,
    upgrade,
    worker,
)
from changeover.supervisor.core.records.record import EpochRecord, Record, WorkerRecord
from changeover.supervisor.telemetry import shell
from changeover.supervisor.telemetry.stream import Told

SUBJECTS = (
    service,
    boot,
    request,
    preflight,
    cutover,
    retirement,
    part,
    rescue,
    worker,
    staffing,
    pipeline,
    plugin,
    upgrade,
    shell,
)
"""The modules that have records."""

RECURRING = {
    "addresses": "As people see them.",
    "adopted": "Whether a former supervisor had started it.",
    "address": "As people see it.",
    "at": "CLOCK_MONOTONIC, nanoseconds.",
    "changed": "What needs new processes.",
    "cohort": "The cohort's number.",
    "committed": "What the journal says of it.",
    "entry": "The kind of entry.",
    "epoch": "The epoch that the record is about.",
    "exits": "How many of late.",
    "meaning": "In words.",
    "origin": "Who asked.",
    "path": "Where it is.",
    "phase": "Its name.",
    "previous": "What was before.",
    "reason": "Why, in words.",
    "refusal": "The whole story.",
    "seconds": "How long.",
    "serving": "The epoch that serves.",
    "signal": "Its name.",
    "slot": "The place.",
    "slots": "How many.",
    "summary": "What would change.",
    "term": "The supervisor's incarnation.",
    "threads": "Modules that started threads when they were preloaded: its workers import after the fork.",
    "took": "Seconds.",
    "unit": "Which instance.",
    "units": "Which instances.",
}
"""What a field means in every record whose own documentation does not say more."""

_PLAIN = {str: "text", bool: "true or false", int: "number", float: "number", bytes: "base64 text", type(None): "null"}


def every_record() -> tuple[type[Record], ...]:
    """All records that can be told, in the order in which their modules have them."""
    abstract = (Record, EpochRecord, WorkerRecord)
    found = [
        value
        for module in SUBJECTS
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Record) and value not in abstract
    ]
    return tuple(dict.fromkeys(found))


def document(page: str, body: str) -> str:
    """Put a fresh body between the marks of a page.

    Raises:
        ValueError: The marks are missing.
    """
    return replace_marked(page, "reference", body)


def body() -> str:
    """The event, every record, and every Struct that they are made of."""
    told = every_record()
    inner = reachable((Told, *told))
    sections = [table("Told", Told), "## Records", *(table(shape.__name__, shape) for shape in told)]
    return "\n\n".join([*sections, "## What records are made of", *(table(s.__name__, s) for s in inner)])


def table(title: str, shape: type[msgspec.Struct]) -> str:
    """One Struct: what it is, and its fields."""
    lines = [f"### {title}", "", _summary(shape)]
    fields = msgspec.structs.fields(shape)
    if fields:
        texts = _texts(shape)
        lines += ["", "| field | is | meaning |", "|---|---|---|"]
        lines += (
            f"| `{field.encode_name}` | {kind(field.type)} | {texts.get(field.name, RECURRING.get(field.name, ''))} |"
            for field in fields
        )
    return "\n".join(lines)


def reachable(shapes: Iterable[type[msgspec.Struct]]) -> tuple[type[msgspec.Struct], ...]:
    """Every Struct that occurs in the fields of `shapes`, however deep, without these."""
    first = tuple(shapes)
    found: dict[type[msgspec.Struct], None] = dict.fromkeys(first)
    waiting = list(first)
    while waiting:
        for field in msgspec.structs.fields(waiting.pop(0)):
            for shape in _structs(field.type):
                if shape not in found:
                    found[shape] = None
                    waiting.append(shape)
    return tuple(shape for shape in found if shape not in first)


def kind(shape: Any) -> str:
    """What a field holds, for people."""
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind(each) for each in arguments)
    if origin in (tuple, frozenset, list):
        return f"list of {kind(arguments[0])}"
    if origin is dict:
        return f"table of {kind(arguments[0])} -> {kind(arguments[1])}"
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in shape)
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        return f"[{shape.__name__}](#{shape.__name__.lower()})"
    return _PLAIN.get(shape, "JSON")


def _summary(shape: type[msgspec.Struct]) -> str:
    text = inspect.cleandoc(shape.__doc__ or "").partition("\n\nAttributes:")[0]
    return " ".join(text.split())


def _texts(shape: type[msgspec.Struct]) -> dict[str, str]:
    found: dict[str, str] = {}
    for ancestor in reversed(shape.__mro__):
        if issubclass(ancestor, msgspec.Struct) and ancestor is not msgspec.Struct:
            found.update({name: text.replace("|", "&#124;") for name, text in described(ancestor).items()})
    return found


def _structs(shape: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        yield shape
    for argument in typing.get_args(shape):
        yield from _structs(argument)


def main(page: Path) -> None:
    """Write fresh tables into the page."""
    page.write_text(document(page.read_text("utf-8"), body()), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
