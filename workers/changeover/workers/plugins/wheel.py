"""Reads a wheel as a plugin's files: what is in it decides, not how it is packed. Nothing of it is trusted. Pure."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise

from changeover.workers.plugins.artifact import MAX_BYTES, is_content
from changeover.workers.plugins.manifest import MANIFEST
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.protocol.document import Mistake

SUFFIX = ".whl"

_MOST_FILES = 20_000
_LONGEST = 255
"""Bytes of one part of a name, as file systems have it."""
_LONGEST_NAME = 1024
"""Characters of a whole name."""
_LARGEST_DIRECTORY = 8 * 1024 * 1024
"""Bytes of what says the files' names and sizes."""
_END = struct.Struct("<12xL6x")
_END_MARK, _ENTRY_MARK, _ZIP64_MARK = b"PK\5\6", b"PK\1\2", b"PK\6\7"
_ZIP64 = 20
"""Bytes of what stands before the end of an archive that has sizes for more than a wheel may hold."""
_LONGEST_COMMENT = 1 << 16
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


def read_wheel(archive: bytes, file: str) -> dict[str, bytes]:
    """Unpack a wheel into memory.

    Its metadata is no content, and neither is what is none in a folder. A manifest in its one package stands at the
    top too.

    Args:
        archive: The wheel's bytes.
        file: Its name, for messages.

    Returns:
        Name -> content, with a `plugin.toml` at the top.

    Raises:
        ManifestInvalid: It is no wheel, holds what may not be in one, or no one manifest.
    """
    if mistakes := [Mistake("$", reason) for reason in _too_many(archive)]:
        raise ManifestInvalid(file, mistakes)
    try:
        with zipfile.ZipFile(BytesIO(archive)) as wheel:
            members = [member for member in wheel.infolist() if not member.filename.endswith("/")]
            if mistakes := [Mistake("$", reason) for reason in _wrong(members)]:
                raise ManifestInvalid(file, mistakes)
            files = {member.filename: _unpacked(wheel, member) for member in members if _is_content(member.filename)}
    # NotImplementedError is how zipfile tells of a packing that it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise ManifestInvalid(file, [Mistake("$", f"no whole wheel: {error}")]) from error
    return {**files, MANIFEST: files[_manifest(files, file)]}


def _too_many(archive: bytes) -> Iterator[str]:
    """What is wrong with the list of its files, found before there is an object for each of them."""
    end = len(archive) - _END.size
    if not (archive.startswith(_END_MARK, max(end, 0)) and archive.endswith(b"\0\0")):
        end = archive.rfind(_END_MARK, max(end - _LONGEST_COMMENT, 0))
    if end < 0 or end + _END.size > len(archive):
        yield "no whole wheel: it has no end"
        return
    (size,) = _END.unpack_from(archive, end)
    if archive.startswith(_ZIP64_MARK, max(end - _ZIP64, 0)):
        yield "is packed for sizes (zip64) that no wheel may have"
    elif size > _LARGEST_DIRECTORY:
        yield f"has more than {_LARGEST_DIRECTORY} bytes of names"
    elif archive.count(_ENTRY_MARK, max(end - size, 0), end) > _MOST_FILES:
        yield f"holds more than {_MOST_FILES} files"


def _wrong(members: list[zipfile.ZipInfo]) -> Iterator[str]:
    if sum(member.file_size for member in members) > MAX_BYTES:
        yield f"holds more than {MAX_BYTES} bytes"
    folders = _folders_too({member.filename for member in members})
    seen: set[str] = set()
    for member in members:
        name = member.filename
        if name in seen:
            yield f"{name!r} is in it twice"
        elif name in folders:
            yield f"{name!r} is a file and a folder"
        seen.add(name)
        if _leads_elsewhere(name):
            yield f"{name!r} is no name of a file in it"
        elif stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            yield f"{name!r} is no file: wheels have no links"
        elif member.flag_bits & _ENCRYPTED or member.compress_type not in _PACKED:
            yield f"{name!r} is encrypted, or packed in a way that wheels are not"
        elif name.partition("/")[0].endswith(".data"):
            yield f"{name!r} would be installed elsewhere, and plugins are not installed; leave it out"


def _folders_too(names: set[str]) -> set[str]:
    """The names of files that others have as a folder: sorted part by part, such a one comes right behind."""
    ordered = sorted(names, key=lambda name: name.replace("/", "\0"))
    return {name for name, behind in pairwise(ordered) if behind.startswith(f"{name}/")}


def _unpacked(wheel: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A file's content; never more of it is unpacked than its size, which was counted."""
    with wheel.open(member) as opened:
        return opened.read(member.file_size + 1)


def _leads_elsewhere(name: str) -> bool:
    parts = name.split("/")
    bad = any(part in ("", ".", "..") or len(part.encode("utf-8", "surrogatepass")) > _LONGEST for part in parts)
    return bad or len(name) > _LONGEST_NAME or "\\" in name or not name.isprintable()


def _is_content(name: str) -> bool:
    parts = name.split("/")
    return not parts[0].endswith(".dist-info") and all(map(is_content, parts))


def _manifest(files: dict[str, bytes], file: str) -> str:
    """Where the manifest stands: at the top, or in the one package that has one."""
    if MANIFEST in files:
        return MANIFEST
    found = sorted(name for name in files if name.count("/") == 1 and name.endswith(f"/{MANIFEST}"))
    if len(found) == 1:
        return found[0]
    where = f"{len(found)} packages have a {MANIFEST}" if found else f"no {MANIFEST} at its top or in its package"
    raise ManifestInvalid(file, [Mistake("$", f"{where}; a wheel in the folder of plugins is one plugin")])
