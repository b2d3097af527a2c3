"""What people write, read into Structs: every mistake at once, each with its path.

`msgspec.convert` stops at the first mistake. A person who corrects a file wants to see all of
them, so Structs, tables and lists are walked here, and msgspec judges the values in them.
Every `float` in such a Struct is a duration in seconds; a size is annotated as `Bytes`.
"""

import difflib
import enum
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")
Bytes = Annotated[int, "bytes"]
"""A size."""

_POWERS = {letter: place + 1 for place, letter in enumerate("kmgt")}
_SIZE = re.compile(r"(-?\d+)(?:\s*b)?|(-?\d+(?:\.\d+)?)\s*([kmgt])(i?)b", re.IGNORECASE)
_LARGEST = 2**63 - 1
_KEY = re.compile(r"[A-Za-z0-9_-]+")
_EXPECTED: dict[object, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    tuple: "a list",
    dict: "a table",
}


class Mistake(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong in a document.

    Attributes:
        path: Where, from the root: `$.handlers.discount.direction`, `$.pipelines[0].handlers[2]`.
        message: What is wrong and what would be right.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def duration(written: object) -> float:
    """Read a duration as people write it: seconds, or a number with a unit (`250ms`, `30s`, `5m`, `1h`, `2d`).

    Raises:
        ValueError: It is no duration, or below zero.
    """
    if isinstance(written, str):
        match = _DURATION.fullmatch(written.strip())
        if match:
            return float(match[1]) * _UNITS[match[2]]
    elif isinstance(written, int | float) and not isinstance(written, bool) and 0 <= written < float("inf"):
        return float(written)
    raise ValueError(f"{written!r} is no duration: write seconds, or a number with ms, s, m, h or d (`30s`)")


def size(written: object) -> int:
    """Read a size as people write it: bytes, or a number with a unit (`80MB` is 80,000,000, `80 MiB` is 83,886,080).

    Raises:
        ValueError: It is no size.
    """
    found: int | None = None
    if isinstance(written, str) and (match := _SIZE.fullmatch(written.strip())):
        plain, number, letter, binary = match.groups()
        found = int(plain or Decimal(number) * (1024 if binary else 1000) ** _POWERS[letter.lower()])
    elif isinstance(written, int) and not isinstance(written, bool):
        found = written
    if found is not None and found <= _LARGEST:
        return found
    raise ValueError(
        f"{written!r} is no size: write bytes, or a number with kB, MB, GB or TB (powers of 1000), or with KiB, MiB, "
        "GiB or TiB (powers of 1024) (`80MB`, `64 KiB`)"
    )


class Text(str):
    """A value that arrived as text (environment, command line): numbers, yes/no and lists are read out of it."""

    __slots__ = ()


def below(path: str, key: str) -> str:
    """The path of `key` in the table at `path`; a key that needs it is quoted."""
    return f"{path}.{key}" if _KEY.fullmatch(key) else f'{path}."{key}"'


def nearest(word: str, known: Iterable[str]) -> str:
    """A clause that suggests the known word which is most like `word`, empty when none is."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def read(raw: object, shape: type[T], mistakes: list[Mistake], path: str = "$") -> T | None:
    """Read `raw` as a `shape`.

    Args:
        raw: Tables, lists and values as a TOML reader gives them.
        shape: A Struct.
        mistakes: Receives everything that is wrong.
        path: Where `raw` stands in its document.

    Returns:
        The value; None when mistakes were added.
    """
    before = len(mistakes)
    value = _read(raw, shape, mistakes, path)
    return typing.cast(T, value) if len(mistakes) == before else None


def _read(raw: object, shape: Any, mistakes: list[Mistake], path: str) -> Any:
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin in (typing.Union, types.UnionType):
        return _read_union(raw, shape, arguments, mistakes, path)
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        return _read_struct(raw, shape, mistakes, path)
    if origin is dict and isinstance(raw, Mapping):
        return {key: _read(value, arguments[1], mistakes, below(path, str(key))) for key, value in raw.items()}
    if origin is tuple and arguments[1:] == (...,):
        items = [Text(part.strip()) for part in raw.split(",")] if isinstance(raw, Text) else raw
        if isinstance(items, list | tuple):
            return tuple(_read(item, arguments[0], mistakes, f"{path}[{i}]") for i, item in enumerate(items))
    return _convert(raw, shape, mistakes, path)


def _read_union(raw: object, shape: Any, members: tuple[Any, ...], mistakes: list[Mistake], path: str) -> Any:
    """Tables go to the member that is a table, lists to the one that is a list: only one of each may exist."""
    for member in members:
        is_table = typing.get_origin(member) is dict or (
            isinstance(member, type) and issubclass(member, msgspec.Struct)
        )
        is_list = typing.get_origin(member) is tuple
        if (isinstance(raw, Mapping) and is_table) or (isinstance(raw, list | tuple) and is_list):
            return _read(raw, member, mistakes, path)
    return _convert(raw, shape, mistakes, path)


def _read_struct(raw: object, shape: type[msgspec.Struct], mistakes: list[Mistake], path: str) -> msgspec.Struct | None:
    if isinstance(raw, shape):
        return raw
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(path, f"{_kind(raw)} is not a table"))
        return None
    before = len(mistakes)
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key in fields:
            values[fields[key].name] = _read(value, fields[key].type, mistakes, below(path, key))
        else:
            mistakes.append(Mistake(below(path, str(key)), f"unknown key{nearest(str(key), fields)}"))
    for key, field in fields.items():
        if key not in raw and field.required:
            mistakes.append(Mistake(below(path, key), "missing, and it has no default"))
    if len(mistakes) > before:
        return None
    try:
        return shape(**values)
    except ValueError as error:
        mistakes.append(Mistake(path, str(error)))
        return None


def _convert(raw: object, shape: Any, mistakes: list[Mistake], path: str) -> Any:
    try:
        if shape is float:
            return duration(raw)
        if shape == Bytes:
            return size(raw)
        if isinstance(raw, Text):
            return msgspec.convert(str(raw), shape, strict=False)
        return msgspec.convert(raw, shape)
    except ValueError as error:
        mistakes.append(Mistake(path, str(error) if shape in (float, Bytes) else _worded(raw, shape)))
        return None


def _worded(raw: object, shape: Any) -> str:
    given = _kind(raw) if isinstance(raw, Mapping | list | tuple) else repr(raw)
    allowed = list(_values(shape))
    return f"{given} is not {' or '.join(_expected(shape))}{nearest(str(raw), allowed)}"


def _expected(shape: Any) -> Iterator[str]:
    if typing.get_origin(shape) in (typing.Union, types.UnionType):
        for member in typing.get_args(shape):
            yield from _expected(member) if member is not types.NoneType else ()
    elif values := list(_values(shape)):
        yield f"one of {', '.join(values)}" if len(values) > 1 else f"`{values[0]}`"
    else:
        yield _EXPECTED.get(typing.get_origin(shape) or shape, "a table")


def _values(shape: Any) -> Iterator[str]:
    """The values that an enum, or a union with literals in it, admits."""
    if typing.get_origin(shape) is typing.Literal:
        yield from map(str, typing.get_args(shape))
    elif isinstance(shape, type) and issubclass(shape, enum.Enum):
        yield from (str(member.value) for member in shape)
    elif typing.get_origin(shape) in (typing.Union, types.UnionType):
        for member in typing.get_args(shape):
            yield from _values(member)


def _kind(raw: object) -> str:
    return "a table" if isinstance(raw, Mapping) else "a list" if isinstance(raw, list | tuple) else repr(raw)
