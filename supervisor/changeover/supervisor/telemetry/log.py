"""Where log lines go and what they look like: text for people at a terminal, JSON lines for machines."""

import enum
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from changeover.supervisor.telemetry.line_writer import STDERR, LineWriter
from changeover.supervisor.telemetry.stream import Level

ROOT = "changeover"
"""Name of the logger above all of ours."""

LIBRARIES = ("uvicorn", "asyncio")
"""Loggers of libraries whose warnings and errors belong into the same log, and nothing below that."""


class LogFormat(enum.Enum):
    """Shape of log lines."""

    AUTO = "auto"
    """Text when the log is a terminal, JSON lines elsewhere."""
    TEXT = "text"
    JSON = "json"


NUMBERS: dict[Level, int] = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}
"""Our levels -> the standard library's."""


def install(level: Level, format: LogFormat = LogFormat.AUTO, file: Path | None = None) -> None:
    """Send our loggers and the libraries' to one place from here on.

    Args:
        level: The least severe level that is written.
        format: Shape of the lines.
        file: Where to; None for stderr.

    Raises:
        OSError: `file` cannot be opened for appending.
    """
    handler = LineWriter(file)
    handler.setFormatter(_formatter(format, terminal=file is None and os.isatty(STDERR)))
    for name in (ROOT, *LIBRARIES):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(NUMBERS[level] if name == ROOT else max(NUMBERS[level], logging.WARNING))


def reopen() -> None:
    """Write to a new file of the same name: what USR1 asks for after the old one was moved away.

    The old file stays in use when the new one cannot be opened, and the log says so.
    """
    for handler in _writers():
        handler.reopen()


def flush() -> None:
    """Wait until what was said so far is written, for a moment at most."""
    for handler in _writers():
        handler.flush()


def _writers() -> list[LineWriter]:
    return [handler for handler in logging.getLogger(ROOT).handlers if isinstance(handler, LineWriter)]


def _formatter(format: LogFormat, terminal: bool) -> logging.Formatter:
    if format is LogFormat.TEXT or (format is LogFormat.AUTO and terminal):
        return TextLines()
    return JsonLines()


class TextLines(logging.Formatter):
    """`14:02:11 warning  slot 3 is parked: 5 exits in 60 s`; further lines are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Shape one line."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        head, *rest = self._text(record).splitlines() or [""]
        return "\n".join((f"{at} {record.levelname.lower():8} {head}", *(f"    {line}" for line in rest)))

    def _text(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        return f"{message}\n{self.formatException(record.exc_info)}" if record.exc_info else message


class JsonLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a JSON log.

    Attributes:
        at: When, ISO 8601 in UTC.
        level: How much it asks of a person.
        logger: Who says it.
        message: In words.
        type: Name of the record that is told, empty for what is none.
        record: The record itself (`docs/events.md` has its fields).
        traceback: Of the exception that is told, empty without one.
    """

    at: str
    level: str
    logger: str
    message: str
    type: str = ""
    record: msgspec.Raw | None = None
    traceback: str = ""


class JsonLines(logging.Formatter):
    """One `JsonLine` a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Shape one line."""
        told = getattr(record, "record", None)
        line = JsonLine(
            at=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            level=record.levelname.lower(),
            logger=record.name,
            message=record.getMessage(),
            type=getattr(record, "type", ""),
            record=told if isinstance(told, msgspec.Raw) else None,
            traceback=self.formatException(record.exc_info) if record.exc_info else "",
        )
        return msgspec.json.encode(line).decode()
