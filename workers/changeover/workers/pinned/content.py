"""The content of an application as the importer sees it: which modules there are, and whose folders are its own."""

import os
import site
import sysconfig
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

NO_CODE = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
"""Names of folders that are never an application's."""
ENVIRONMENT = "pyvenv.cfg"
"""The file by which a folder is known as a virtual environment."""


def is_own(folder: Path) -> bool:
    """Whether a folder below an application's may hold modules of it, by what it is named and what it is."""
    return not (folder.name.startswith(".") or folder.name in NO_CODE or os.path.exists(folder / ENVIRONMENT))


def interpreter_folders() -> frozenset[str]:
    """Where the interpreter and what is installed for it lie, with every link resolved."""
    named = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return frozenset(os.path.realpath(folder) for folder in (*named, *site.getsitepackages()))


class PinnedContent:
    """The modules of an application, and where each would lie on disk.

    Args:
        artifact: The digest that names the content.
        directory: The application's directory, absolute.
        files: The content: name below the directory -> bytes. What is no module is left to the disk.

    Attributes:
        artifact: The digest that names the content.
        directory: The application's directory.
        epoch: The epoch that introduced the content, 0 as long as it is not known.
    """

    def __init__(self, artifact: str, directory: str, files: Mapping[str, bytes]) -> None:
        self.artifact = artifact
        self.directory = os.path.normpath(directory)
        self.epoch = 0
        self._modules = {name: source for name, source in files.items() if name.endswith(".py")}
        self._folders = {str(folder) for name in self._modules for folder in PurePosixPath(name).parents}
        self._roots = tuple(dict.fromkeys((self.directory, os.path.realpath(self.directory))))

    @cached_property
    def _foreign(self) -> frozenset[str]:
        return interpreter_folders()

    def __str__(self) -> str:
        return f"the content of epoch {self.epoch}" if self.epoch else f"content {self.artifact[:12]}"

    def below(self, path: str) -> str | None:
        """The name of `path` below the application's directory (`.` for itself); None when it is not the application's.

        A link on the way there may be changed to lead elsewhere; the names that it had stay the application's.
        """
        try:
            path = os.path.abspath(path)
        except OSError:
            return None
        for root in self._roots if "\0" not in path else ():
            if path == root:
                return "."
            if path.startswith(root.rstrip("/") + "/"):
                name = os.path.relpath(path, root)
                return name if self._owns(Path(root), PurePosixPath(name)) else None
        return None

    def _owns(self, root: Path, name: PurePosixPath) -> bool:
        folders = [root / folder for folder in (name, *name.parents) if folder.name]
        return all(is_own(folder) and os.path.realpath(folder) not in self._foreign for folder in folders)

    def module(self, name: str) -> bytes | None:
        """The source of a module by its file's name below the directory; None when the content has no such file."""
        return self._modules.get(name)

    def has_folder(self, name: str) -> bool:
        """Whether modules of the content lie in or below a folder."""
        return name in self._folders

    def listing(self, folder: str) -> dict[str, bool]:
        """The modules directly in a folder, by their own names; whether each is a package."""
        return dict(self._listings.get(folder, {}))

    @cached_property
    def _listings(self) -> dict[str, dict[str, bool]]:
        found: dict[str, dict[str, bool]] = {}
        for path in map(PurePosixPath, self._modules):
            own = path.parent if path.name == "__init__.py" else path.with_suffix("")
            if own.name and "." not in own.name:
                beside = found.setdefault(str(own.parent), {})
                beside[own.name] = beside.get(own.name, False) or own == path.parent
        return found
