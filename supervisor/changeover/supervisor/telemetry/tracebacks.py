"""How much of a traceback is told: all of it, or the part that its reader wrote. Pure."""

import enum
import re
from collections.abc import Iterator

_FRAME = re.compile(r'(?P<margin>[\s|]*)File "(?P<file>[^"]*)", line \d+')


class Tracebacks(enum.Enum):
    """What is told below a refusal."""

    WHOLE = "whole"
    OWN = "own"
    """Frames of the user's own code, and the error."""


def told(traceback: str, how: Tracebacks) -> list[str]:
    """The lines to tell: a traceback without a frame of the user's own is told whole."""
    lines = traceback.splitlines()
    if how is Tracebacks.WHOLE or not any(_is_own(match["file"]) for line in lines if (match := _FRAME.match(line))):
        return lines
    return list(_own(lines))


def _own(lines: list[str]) -> Iterator[str]:
    skipped: str | None = None
    for line in lines:
        if match := _FRAME.match(line):
            skipped = None if _is_own(match["file"]) else match["margin"]
        elif skipped is not None and not line.startswith(f"{skipped}  "):
            skipped = None
        if skipped is None:
            yield line


def _is_own(file: str) -> bool:
    """Files of the user's own are named from the folder that they lie in."""
    return not file.startswith(("/", "<frozen"))
