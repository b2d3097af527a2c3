"""Executes a module out of pinned bytes, and lets everybody who asks for its source have these."""

import importlib.machinery
import os
from types import CodeType

from changeover.workers.pinned.content import PinnedContent
from changeover.workers.pinned.tracebacks import show_line, show_lines


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
            show_line(error, self.path, self._source)
            raise
        show_lines(self.path, self._source)
        return code

    def get_data(self, path: str) -> bytes:
        """The bytes of a file: those of a module are pinned, any other is read where it lies."""
        if os.fspath(path) == self.path:
            return self._source
        name = self._content.below(path)
        pinned = None if name is None else self._content.module(name)
        return super().get_data(path) if pinned is None else pinned
