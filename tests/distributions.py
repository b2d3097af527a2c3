"""Source distributions of others, for the tests in them: fetched once, into a cache outside of the repository."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FETCHING = 120.0
"""Seconds that pip may take."""


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


def _fetch(requirement: str, into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", str(into)]
    try:
        subprocess.run([*command, requirement], check=True, capture_output=True, text=True, timeout=FETCHING)
    except subprocess.CalledProcessError as error:
        raise Unreachable(f"{requirement} cannot be fetched: {error.stderr[-300:].strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"{requirement} cannot be fetched: pip took longer than {FETCHING:.0f} s") from error
