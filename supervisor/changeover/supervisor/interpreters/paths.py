"""Where interpreters are. Looks at the disk."""

import os
import sys


def pinned(path: str) -> str:
    """The path of an executable with every link above it followed (`current -> releases/42`), and itself as it is.

    A virtual environment's interpreter is a link that knows by its own place where it belongs.
    """
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


OURS = pinned(sys.executable)
"""The supervisor's own, wherever links lead later."""


def executable(path: str) -> str:
    """The interpreter that a path means: itself, that of a virtual environment's folder, or ours."""
    if not path:
        return OURS
    found = pinned(os.path.join(path, "bin", "python") if os.path.isdir(path) else path)
    return OURS if _is_ours(found) else found


def _is_ours(path: str) -> bool:
    """Whether it is ours by another of its names: `python`, `python3` and `python3.12` lie in one folder."""
    return os.path.dirname(path) == os.path.dirname(OURS) and os.path.realpath(path) == os.path.realpath(OURS)
