"""Surroundings that only root can make: how another user sees the disk, processes and file systems of their own."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def needs_root(*namespaces: str) -> None:
    """Skip where this user, or the kernel, does not let us make what the test needs; say what.

    Args:
        namespaces: Flags of `unshare`.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can do this")
    tried = subprocess.run(["unshare", *namespaces, "true"], capture_output=True, text=True, timeout=20, check=False)
    if tried.returncode:
        pytest.skip(f"the kernel refuses namespaces: {tried.stderr.strip()}")


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="changeover-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def for_everybody(command: Sequence[str], scratch: Path) -> list[str]:
    """The command, where every user may enter the folders above our interpreter.

    Args:
        command: What is to be executed; it keeps its pid.
        scratch: An empty folder that everybody may enter.
    """
    closed = next((each for each in reversed(Path(sys.base_prefix).parents) if not each.stat().st_mode & 0o001), None)
    if closed is None:
        return list(command)
    inner = Path(sys.base_prefix).relative_to(closed).parts[0]
    steps = (
        f"mkdir {shlex.quote(str(scratch / inner))}",
        f"mount --bind {shlex.quote(str(closed / inner))} {shlex.quote(str(scratch / inner))}",
        f"mount --rbind {shlex.quote(str(scratch))} {shlex.quote(str(closed))}",
        'exec "$@"',
    )
    return ["unshare", "--mount", "sh", "-ec", "; ".join(steps), "sh", *command]
