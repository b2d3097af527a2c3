"""The application's files: what is new content when it changes."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from changeover.supervisor.config.settings import App


class ApplicationFiles(msgspec.Struct, frozen=True):
    """The files of an application at one moment.

    Attributes:
        files: Name below the application's folder -> SHA-256.
    """

    files: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents."""
        return hashlib.sha256(msgspec.msgpack.encode(self.files, order="sorted")).hexdigest()

    def differing(self, other: "ApplicationFiles") -> tuple[str, ...]:
        """Names of the files that are not the same in `other`."""
        names = self.files.keys() | other.files.keys()
        return tuple(sorted(name for name in names if self.files.get(name) != other.files.get(name)))


def read_application(app: App, without: Iterable[Path] = ()) -> ApplicationFiles:
    """Digest every file that `include` selects. Blocks on the disk.

    Hidden folders, bytecode, virtual environments and `without` are no part of an application.

    Args:
        app: Its settings; `dir` is absolute.
        without: Folders that have a meaning of their own: plugins, state.

    Raises:
        OSError: A file cannot be read.
    """
    selected = re.compile("|".join(f"(?:{_pattern(glob)})" for glob in app.include) or r"(?!)")
    root = Path(app.dir)
    excluded = frozenset(folder.resolve() for folder in without)
    names = sorted(name for name in _names(root, excluded) if selected.fullmatch(name))
    return ApplicationFiles({name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names})


def _names(root: Path, excluded: frozenset[Path]) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = [name for name in folders if _belongs(here / name, excluded)]
        yield from ((here / name).relative_to(root).as_posix() for name in names)


def _belongs(folder: Path, excluded: frozenset[Path]) -> bool:
    if folder.name.startswith(".") or folder.name in ("__pycache__", "node_modules"):
        return False
    return not (folder / "pyvenv.cfg").exists() and folder.resolve() not in excluded


def _pattern(glob: str) -> str:
    """A glob as a regular expression: `**/` is any folders or none, `*` and `?` stay in one name."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)
