"""Reads TOML that anybody may have written: what would exhaust memory or the stack is refused, too."""

import itertools
import re
import sys
import tomllib
from typing import Any

MOST_PARTS = 32
"""Parts of a key (`a.b.c` has three): a reader keeps every beginning of it, so memory grows with their square."""
DEEPEST = 100
"""How many tables and lists there may be in each other."""

_TOKEN = re.compile(
    r'"""[^"\\]*+(?:(?:\\.|"{1,2}(?!"))[^"\\]*+)*+(?:"{3,5}|\Z)'
    r"|'''[^']*+(?:'{1,2}(?!')[^']*+)*+(?:'{3,5}|\Z)"
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+"
    r"|(?P<end>[=,\n\[\]{}])"
    r"|(?P<dot>\.)",
    re.DOTALL,
)
"""What a key may hold that has a dot in it and is no dot of the key, what ends it, and the dots; it never goes back.

A string of several lines may end in one or two quotes of its own, before the three that end it.
"""


class NoToml(ValueError):
    """A text is no TOML, or has more in it than anybody writes."""


def loads(text: str) -> dict[str, Any]:
    """Read a document.

    Raises:
        NoToml: It is none, or not within bounds.
    """
    _check_keys(text)
    try:
        parsed = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    except tomllib.TOMLDecodeError as error:
        raise NoToml(str(error)) from error
    except ValueError as error:
        raise NoToml(f"a number has more than {sys.get_int_max_str_digits()} digits") from error
    if _is_deep(parsed):
        raise _too_deep()
    return parsed


def _check_keys(text: str) -> None:
    dots = 0
    for token in _TOKEN.finditer(text):
        if token["end"]:
            dots = 0
        elif token["dot"]:
            dots += 1
            if dots >= MOST_PARTS:
                line = text.count("\n", 0, token.start()) + 1
                raise NoToml(f"a key has more than {MOST_PARTS} parts (at line {line})")


def _too_deep() -> NoToml:
    return NoToml(f"tables or lists are in each other, more than {DEEPEST} deep")


def _is_deep(parsed: dict[str, Any]) -> bool:
    level: list[dict[str, Any] | list[Any]] = [parsed]
    for _ in range(DEEPEST):
        inner = itertools.chain.from_iterable(each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in inner if isinstance(each, dict | list)]
    return bool(level)
