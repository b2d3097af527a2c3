"""The running program, kept in memory: what is installed may be another one by the time there is a way back."""

import io
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from changeover.supervisor import errors as ours
from changeover.supervisor.release import VERSION
from changeover.supervisor.upgrade import launcher
from changeover.workers import errors as theirs

_OURS = re.compile(r"^/proc/self/fd/(\d+)(?:/|$)")
"""Where the program of a supervisor lies that went back to it."""


def keep_program() -> int:
    """Archive the program that runs into a file in memory; the descriptor is the caller's. Blocks on the disk.

    Raises:
        OSError: A file of the program cannot be read.
    """
    portions = [Path(str(module.__file__)).parents[1] for module in (ours, theirs)]
    if found := _OURS.match(str(portions[0])):
        return os.dup(int(found[1]))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in dict(_entries(portions)).items():
            archive.writestr(name, content)
    fd = os.memfd_create("changeover-program", os.MFD_CLOEXEC)
    os.write(fd, packed.getvalue())
    return fd


def path_of(archive: int) -> str:
    """How an interpreter is told to run it; only in the process that has it open."""
    return f"/proc/self/fd/{archive}"


def _entries(portions: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Names and contents; folders too, because a namespace package in an archive is found by those alone."""
    yield "__main__.py", Path(launcher.__file__).read_bytes()
    yield (
        f"changeover-{VERSION}.dist-info/METADATA",
        f"Metadata-Version: 2.1\nName: changeover\nVersion: {VERSION}\n".encode(),
    )
    yield "changeover/", b""
    for portion in portions:
        for path in sorted(portion.rglob("*")):
            name = f"changeover/{path.relative_to(portion)}"
            if "__pycache__" in path.parts:
                continue
            if path.is_dir():
                yield f"{name}/", b""
            elif path.is_file():
                yield name, path.read_bytes()
