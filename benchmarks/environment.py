"""The virtual environment in which all compared servers are installed: one interpreter, the same libraries."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".changeover" / "peers"
PINNED = (ROOT / "benchmarks" / "peers.txt", ROOT / "requirements-dev.lock")
INSTALL = 600.0
"""Seconds until everything is installed."""
NOTHING_COMPARED = 3
"""Exit status of a command that had nothing to compare with; 1 is that of a promise that did not hold."""


class PeersMissing(Exception):
    """The servers cannot be installed here: there is nothing to compare with."""


def binaries() -> Path:
    """Where their commands are; installs them when that was not done, or when the pins are others.

    Raises:
        PeersMissing: That is not possible; says why.
    """
    done = FOLDER / "done"
    if not done.exists() or done.read_text() != _pins():
        print(f"installing the compared servers into {FOLDER.relative_to(ROOT)}", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", str(FOLDER))
        pip = (str(FOLDER / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check")
        requirements, lock = map(str, PINNED)
        _run(*pip, "--requirement", requirements, "--constraint", lock, "--editable", str(ROOT))
        done.write_text(_pins())
    return FOLDER / "bin"


def installed() -> Path:
    """The same, for a command that compares: where there is nothing to compare with it ends, and not as if all held."""
    try:
        return binaries()
    except PeersMissing as error:
        print(f"nothing was compared: the other servers cannot be installed here: {error}", file=sys.stderr)
        sys.exit(NOTHING_COMPARED)


def _pins() -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in PINNED)).hexdigest()


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeersMissing(str(error)) from error
    if done.returncode:
        raise PeersMissing(f"{' '.join(command[:3])} ended with status {done.returncode}: {done.stderr[-400:].strip()}")
