"""Puts pinned content in the place of the application's files, once in the life of a process."""

import sys
from importlib.machinery import FileFinder

from changeover.workers.errors import ChangeoverError
from changeover.workers.pinned.content import PinnedContent
from changeover.workers.pinned.finder import Unpinned, path_hook
from changeover.workers.pinned.tracebacks import print_by_lines


class OtherContentPinned(ChangeoverError):
    """This process has other content of the application: it takes a new one to serve this.

    Attributes:
        pinned: The digest of what it has.
        wanted: The digest of what it was to have.
    """

    def __init__(self, pinned: str, wanted: str) -> None:
        self.pinned = pinned
        self.wanted = wanted
        super().__init__(
            f"this process imports the application from content {pinned[:12]}, and content {wanted[:12]} "
            "is to be served: that takes a new process"
        )


_pinned: list[PinnedContent] = []


def pinned() -> PinnedContent | None:
    """What this process imports its application from; None as long as that is the disk."""
    return _pinned[0] if _pinned else None


def pin(content: PinnedContent) -> None:
    """Import the application's modules from `content` from now on; those that are imported already stay.

    Raises:
        OtherContentPinned: Other content was pinned before.
    """
    before = pinned()
    if before is not None:
        if before.artifact != content.artifact:
            raise OtherContentPinned(before.artifact, content.artifact)
        return
    _pinned.append(content)
    sys.path_hooks.insert(0, path_hook(content))
    sys.meta_path.append(Unpinned())
    print_by_lines()
    for path, finder in list(sys.path_importer_cache.items()):
        if finder is None or isinstance(finder, FileFinder):
            del sys.path_importer_cache[path]
