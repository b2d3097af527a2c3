"""Packs a plugin's folder into a wheel: the same content gives the same bytes, wherever it is packed. Pure."""

import base64
import hashlib
import re
import stat
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO

from packaging.requirements import Requirement
from packaging.version import Version

from changeover.supervisor.artifacts.folder import Found
from changeover.supervisor.errors import SupervisorError
from changeover.workers.plugins.artifact import SIGNATURE
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.plugins.natives import is_native
from changeover.workers.plugins.wheel import SUFFIX, read_wheel

_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that an archive can say."""
_MODE = (stat.S_IFREG | 0o644) << 16
_UNIX = 3


class Unpackable(SupervisorError):
    """A plugin has files that a wheel cannot hand on.

    Attributes:
        files: Their names.
    """

    def __init__(self, files: tuple[str, ...]) -> None:
        self.files = files
        super().__init__(f"{', '.join(files)}: is no content of a plugin in a wheel; rename it, or leave it out")


def packed(found: Found) -> tuple[str, bytes]:
    """The name and the bytes of a wheel with a plugin's content, and its signature.

    Args:
        found: A plugin's folder.

    Raises:
        ManifestInvalid: There are files that may not be in a wheel.
        Unpackable: There are files that whoever reads wheels would leave out.
    """
    manifest, tag = found.manifest, _tag(found.files)
    name = f"{re.sub('[-_.]+', '_', manifest.id)}-{Version(manifest.version)}"
    files = dict(sorted(found.files.items()))
    if found.signature:
        files[SIGNATURE] = found.signature
    folder = f"{name}.dist-info"
    files[f"{folder}/METADATA"] = _lines(_metadata(manifest))
    files[f"{folder}/WHEEL"] = _lines(_wheel(tag))
    files[f"{folder}/RECORD"] = _lines(_record(files, f"{folder}/RECORD"))
    archive = _zipped(files)
    read = read_wheel(archive, found.path)
    if lost := tuple(each for each in found.files if each not in read):
        raise Unpackable(lost)
    return f"{name}-{tag}{SUFFIX}", archive


def _tag(files: Mapping[str, bytes]) -> str:
    if not any(map(is_native, files)):
        return "py3-none-any"
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{python}-{python}-{re.sub('[-.]', '_', sysconfig.get_platform())}"


def _metadata(manifest: Manifest) -> Iterator[str]:
    yield "Metadata-Version: 2.1"
    yield f"Name: {manifest.id}"
    yield f"Version: {Version(manifest.version)}"
    if manifest.summary:
        yield f"Summary: {' '.join(manifest.summary.split())}"
    for needed in manifest.dependencies:
        yield f"Requires-Dist: {Requirement(needed)}"


def _wheel(tag: str) -> Iterator[str]:
    yield "Wheel-Version: 1.0"
    yield "Generator: changeover"
    yield f"Root-Is-Purelib: {str(tag.endswith('-any')).lower()}"
    yield f"Tag: {tag}"


def _record(files: Mapping[str, bytes], own: str) -> Iterator[str]:
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        quoted = '"' + name.replace('"', '""') + '"' if {",", '"'} & set(name) else name
        yield f"{quoted},sha256={digest},{len(content)}"
    yield f"{own},,"


def _lines(lines: Iterator[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """Not compressed: what comes of that differs from one build of zlib to the next."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as wheel:
        for name, content in files.items():
            member = zipfile.ZipInfo(name, _DATE)
            member.external_attr, member.create_system = _MODE, _UNIX
            wheel.writestr(member, content)
    return archive.getvalue()
