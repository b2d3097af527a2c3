"""Files as bodies: which part of one a request asks for, and its bytes in pieces, read beside the loop."""

import mimetypes
import os
import re
import stat
from collections.abc import AsyncGenerator, Mapping
from email.utils import formatdate, parsedate_to_datetime
from io import FileIO

import msgspec

from changeover.workers.serving.disk import Disk

PIECE = 256 * 1024
"""Bytes that are read at once, and so held in memory for each client."""
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
CONDITIONS = ("range", "if-range", "if-none-match", "if-modified-since")
"""The fields of a request that decide what is sent."""
THREADS = 8
"""Most threads that read files: as many clients wait for a disk that is slow, until the next one waits for them."""

_disk = Disk("files", THREADS)


class FilePiece(msgspec.Struct, frozen=True):
    """Some bytes of a file.

    Attributes:
        path: The file.
        start: Offset of the first one.
        size: How many.
    """

    path: str
    start: int
    size: int

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The bytes, in pieces; reading waits for whoever takes them.

        Raises:
            OSError: It cannot be read, or has become shorter.
        """
        file = await _disk.do(_open_at, self.path, self.start)
        try:
            left = self.size
            while left:
                piece = await _disk.do(file.read, min(PIECE, left))
                if not piece:
                    raise OSError(f"{self.path} has become {left} bytes shorter while it was sent")
                left -= len(piece)
                yield piece
        finally:
            file.close()


class Representation(msgspec.Struct, frozen=True):
    """What is answered to a request for a file.

    Attributes:
        status: 200, 206, 304 or 416.
        fields: Lower-case names and values.
        piece: What is sent of it; None for nothing.
    """

    status: int
    fields: tuple[tuple[str, str], ...]
    piece: FilePiece | None = None


def whole(path: str) -> FilePiece:
    """All of a file.

    Raises:
        OSError: It is no regular file, or cannot be read.
    """
    return FilePiece(path, 0, _status_of(path).st_size)


def represent(path: str, method: str, asked: Mapping[str, str]) -> Representation:
    """Decide what is answered.

    Args:
        path: The file.
        method: Of the request; a Range is for GET alone.
        asked: Its `CONDITIONS`; what it has not is empty.

    Raises:
        OSError: It is no regular file, or cannot be read.
    """
    found = _status_of(path)
    tag, changed = f'"{found.st_mtime_ns:x}-{found.st_size:x}"', formatdate(found.st_mtime, usegmt=True)
    fields = (("etag", tag), ("last-modified", changed), ("accept-ranges", "bytes"))
    if _is_known(asked, tag, int(found.st_mtime)):
        return Representation(304, fields)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    asks_part = method == "GET" and asked.get("if-range", "") in ("", tag, changed)
    span = _span(asked.get("range", ""), found.st_size) if asks_part else None
    if span is None:
        sized = (*fields, ("content-type", kind), ("content-length", str(found.st_size)))
        return Representation(200, sized, None if method == "HEAD" else FilePiece(path, 0, found.st_size))
    start, size = span
    if not size:
        return Representation(416, (*fields, ("content-range", f"bytes */{found.st_size}")))
    of_all = f"bytes {start}-{start + size - 1}/{found.st_size}"
    part = (*fields, ("content-type", kind), ("content-length", str(size)), ("content-range", of_all))
    return Representation(206, part, FilePiece(path, start, size))


def _open_at(path: str, start: int) -> FileIO:
    file = FileIO(path)
    try:
        file.seek(start)
    except OSError:
        file.close()
        raise
    return file


def _status_of(path: str) -> os.stat_result:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise IsADirectoryError(f"{path} is no regular file")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path} may not be read")
    return found


def _is_known(asked: Mapping[str, str], tag: str, changed: int) -> bool:
    """Whether the client has it already; a tag that it names overrules a date (RFC 9110, 13.2.2)."""
    tags, since = asked.get("if-none-match", ""), asked.get("if-modified-since", "")
    if tags:
        return tags.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in tags.split(","))
    try:
        return bool(since) and changed <= parsedate_to_datetime(since).timestamp()
    except ValueError:
        return False


def _span(written: str, size: int) -> tuple[int, int] | None:
    """Start and size of the one range that is asked for, size 0 for none of it; None when all is to be sent."""
    match = RANGE.fullmatch(written.replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        wanted = min(int(match[2]), size)
        return size - wanted, wanted
    start = int(match[1])
    end = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < start:
        return None
    return start, max(0, end - start + 1)
