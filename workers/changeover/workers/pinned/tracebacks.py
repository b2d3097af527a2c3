"""Has everybody who shows lines of a module show those that run, and not those that lie on disk by now."""

import importlib.util
import linecache
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import overload


class PinnedLines(Sequence[str]):
    """The lines of a module, as `linecache` keeps them; decoded when somebody looks.

    Args:
        source: The module's bytes.
    """

    def __init__(self, source: bytes) -> None:
        self._source = source

    @cached_property
    def _lines(self) -> list[str]:
        return importlib.util.decode_source(self._source).splitlines(keepends=True)

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._lines[index]


def show_lines(path: str, source: bytes) -> None:
    """Have tracebacks, warnings and `inspect` find the lines of `source` under the name of its file."""
    # Without a time of change, linecache never compares the entry with the file on disk.
    linecache.cache[path] = (len(source), None, PinnedLines(source), path)  # type: ignore[assignment]


def show_line(error: SyntaxError, path: str, source: bytes) -> None:
    """Put the line that does not compile into its error, into which Python puts that of the file on disk."""
    lines = source.decode("utf-8", "replace").splitlines(keepends=True)
    if error.filename == path and error.lineno and error.lineno <= len(lines):
        error.text = lines[error.lineno - 1]


def print_by_lines() -> None:
    """Have errors that nobody caught printed out of `linecache`: Python up to 3.12 prints them out of the files."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _print_error
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _print_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _print_unraisable


def _print_error(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    traceback.print_exception(kind, error, where)


def _print_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread is not None else threading.get_ident()
        sys.stderr.write(f"Exception in thread {name}:\n")
        traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback)


def _print_unraisable(args: "sys.UnraisableHookArgs") -> None:
    sys.stderr.write(f"{args.err_msg or 'Exception ignored in'}: {args.object!r}\n")
    traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback)
