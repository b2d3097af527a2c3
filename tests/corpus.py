"""gunicorn's corpus of raw requests, valid and invalid, out of its source distribution.

Each case is a raw request and a small program that says what to make of it; names of gunicorn's own that the program
uses are read as their names.
"""

import ast
import builtins
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.distributions import fetched

VERSION = "27.0.1"
ESCAPES = {b"\n": b"", b"\\r\\n": b"\r\n", b"\\0": b"\0", b"\\n": b"\n", b"\\t": b"\t"}
"""How the corpus writes what cannot be seen, in the order in which it is replaced."""
HEXADECIMAL = re.compile(rb"\\x([0-9A-Fa-f]{2})")
HOST = b"Host: localhost\r\n"
HOSTLESS = re.compile(rb"(?<= HTTP/1\.1\r\n)(?!(?:[^\r\n]+\r\n)*(?i:host):)")


class Config:
    """What a case sets of gunicorn's configuration."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def set(self, name: str, value: Any) -> None:
        self.values[name] = value


class Names(dict[str, Any]):
    """Names of a case's program; one that nobody has defined stands for itself."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, name)


@dataclass(frozen=True)
class Case:
    """One raw request.

    Attributes:
        name: Of its file.
        raw: What a client sends.
        expected: The requests that gunicorn reads, or the names of its errors.
        options: What differs from gunicorn's defaults.
    """

    name: str
    raw: bytes
    expected: list[Any]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def with_host(self) -> bytes:
        """The same with the Host that HTTP/1.1 demands and much of the corpus lacks: it would hide all else."""
        head, blank, rest = self.raw.partition(b"\r\n\r\n")
        body = rest if re.search(rb"(?i)\r\nContent-Length:", head) else HOSTLESS.sub(HOST, rest)
        return HOSTLESS.sub(HOST, head + blank) + body


def cases(kind: str) -> list[Case]:
    """Every case.

    Args:
        kind: `valid` or `invalid`.
    """
    folder = fetched("gunicorn", VERSION) / "tests" / "requests" / kind
    return [_read(path) for path in sorted(folder.glob("*.http"))]


def _read(path: Path) -> Case:
    raw = path.read_bytes()
    for written, meant in ESCAPES.items():
        raw = raw.replace(written, meant)
    raw = HEXADECIMAL.sub(lambda match: bytes.fromhex(match[1].decode()), raw)
    program = ast.parse(path.with_suffix(".py").read_text())
    program.body = [each for each in program.body if not isinstance(each, ast.Import | ast.ImportFrom)]
    names = Names(Config=Config, cfg=Config(), uri=lambda raw: raw)
    exec(compile(program, str(path), "exec"), {}, names)
    expected = names["request"]
    listed = list(expected) if isinstance(expected, list | tuple) else [expected]
    return Case(path.stem, raw, listed, names["cfg"].values)
