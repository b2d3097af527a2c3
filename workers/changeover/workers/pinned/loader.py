"""Executes a module out of pinned bytes, and lets everybody who asks for its source have these."""

import importlib.machinery
import importlib.util
import linecache
import os
from collections.abc import Sequence
from functools import cached_property
from types import CodeType
from typing import overload

from changeover.workers.pinned.content import PinnedContent


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


class PinnedLoader(importlib.machinery.SourceFileLoader):
    """Loads one module of an application.

    Args:
        fullname: The module's name.
        path: Where its file lies on disk, or lay.
        content: The content that has it.
        source: Its bytes.
    """

    def __init__(self, fullname: str, path: str, content: PinnedContent, source: bytes) -> None:
        super().__init__(fullname, path)
        self._content = content
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        """Compile the pinned source: bytecode on disk belongs to what lies there now.

        Tracebacks and `inspect` show its pinned lines from then on.
        """
        try:
            code: CodeType = self.source_to_code(self._source, self.path)
        except SyntaxError as error:
            self._show_line(error)
            raise
        # Without a time of change, linecache never compares the entry with the file on disk.
        linecache.cache[self.path] = (len(self._source), None, PinnedLines(self._source), self.path)  # type: ignore[assignment]
        return code

    def _show_line(self, error: SyntaxError) -> None:
        """Python takes the line that it shows from the file on disk."""
        lines = self._source.decode("utf-8", "replace").splitlines(keepends=True)
        if error.filename == self.path and error.lineno and error.lineno <= len(lines):
            error.text = lines[error.lineno - 1]

    def get_data(self, path: str) -> bytes:
        """The bytes of a file: those of a module are pinned, any other is read where it lies."""
        if os.fspath(path) == self.path:
            return self._source
        name = self._content.below(path)
        pinned = None if name is None else self._content.module(name)
        return super().get_data(path) if pinned is None else pinned
