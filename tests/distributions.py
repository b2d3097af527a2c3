"""Source distributions of others, for the tests in them: fetched once, into a cache outside of the repository."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

FETCHING = 120.0
"""Seconds that pip may take."""
OFFLINE = "CHANGEOVER_TESTS_OFFLINE"
"""Environment variable that says, with 1, that nothing can be fetched here."""


class Unreachable(Exception):
    """A source distribution is not in the cache, and cannot be fetched."""


def unpacked(name: str, version: str) -> Path:
    """The folder of a source distribution.

    Args:
        name: As the package registry knows it.
        version: Which release.

    Raises:
        Unreachable: There is no way to get it.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "changeover-tests"
    folder = home / f"{name}-{version}"
    if not folder.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as fresh:
            _fetch(f"{name}=={version}", Path(fresh))
            with tarfile.open(next(Path(fresh).glob("*.tar.gz"))) as archive:
                archive.extractall(fresh, filter="data")
            (Path(fresh) / folder.name).rename(folder)
    return folder


def fetched(name: str, version: str) -> Path:
    """The same for a test, which fails where it cannot be had, and is skipped only where that was said before."""
    try:
        return unpacked(name, version)
    except Unreachable as error:
        if os.environ.get(OFFLINE) == "1":
            pytest.skip(f"{error} ({OFFLINE}=1)")
        pytest.fail(f"{error}; where there is no network, say {OFFLINE}=1")


def _fetch(requirement: str, into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", str(into)]
    try:
        subprocess.run([*command, requirement], check=True, capture_output=True, text=True, timeout=FETCHING)
    except subprocess.CalledProcessError as error:
        raise Unreachable(f"{requirement} cannot be fetched: {error.stderr[-300:].strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"{requirement} cannot be fetched: pip took longer than {FETCHING:.0f} s") from error
