"""The application's content: its files, and what is installed with it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.settled import latest_change, settled
from changeover.supervisor.config.settings import App
from changeover.workers.pinned.content import interpreter_folders, is_own
from changeover.workers.pinned.distributions import Distributions, own_path
from changeover.workers.plugins.artifact import UnreadableArtifact, digest_of, get, is_content, put, read_named
from changeover.workers.plugins.globs import compiled
from changeover.workers.protocol.snapshot import ApplicationSpec

NAMED = 3
"""How many changed files are named."""


class ApplicationContent(msgspec.Struct, frozen=True):
    """What an application consists of at one moment.

    Attributes:
        files: Name below the application's folder -> bytes.
        distributions: What is installed for the interpreter that imports it.
    """

    files: dict[str, bytes] = {}
    distributions: Distributions = Distributions()

    @property
    def artifact(self) -> str:
        """The digest that names its files in the store."""
        return digest_of(self.files)

    @property
    def installed(self) -> str:
        """The digest that names, in the store, the record of what is installed."""
        return digest_of(self.distributions.files())

    def stored(self) -> dict[str, dict[str, bytes]]:
        """What belongs into the store: digest -> files."""
        return {self.artifact: self.files, self.installed: self.distributions.files()}

    def put(self, store: Path) -> None:
        """Store all of it. Blocks on the disk.

        Raises:
            OSError: The disk does not take it.
        """
        for files in self.stored().values():
            put(store, files)

    def changes(self, spec: ApplicationSpec, store: Path) -> Iterator[str]:
        """Say what is not as in `spec`, for people; nothing when it is the same.

        Raises:
            CorruptArtifact: What `spec` names is not in the store as it was stored.
        """
        if spec.artifact != self.artifact:
            stored = get(store, spec.artifact)
            names = differing(stored, self.files)
            count = f"{len(names)} file{'s' if len(names) > 1 else ''} changed on disk"
            yield f"{count}: {_first(_worded(name, stored, self.files) for name in names)}"
        if spec.distributions != self.installed:
            recorded = Distributions.of_files(get(store, spec.distributions))
            yield f"installed: {', '.join(recorded.differing(self.distributions)) or 'in other folders'}"


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> tuple[str, ...]:
    """Names of the files that are not the same in both."""
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))


def _worded(name: str, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> str:
    return f"{name} added" if name not in old else f"{name} gone" if name not in new else name


def _first(names: Iterable[str]) -> str:
    """The first few of them, and how many there are besides."""
    few = [*names]
    more = len(few) - NAMED
    return ", ".join(few[:NAMED]) + (f" and {more} more" if more > 0 else "")


def read_application(app: App, without: Iterable[Path] = (), search: Iterable[str] | None = None) -> ApplicationContent:
    """Read every file that `include` selects, once nobody is writing it. Blocks on the disk.

    Hidden files and folders, bytecode, virtual environments, the interpreter's own folders and `without` are no part
    of an application. Links are followed, as an import would follow them.

    Args:
        app: Its settings; `dir` is absolute.
        without: Folders that have a meaning of their own: plugins, state, runtime.
        search: Where distributions are installed for the interpreter that imports it; None for this one's.

    Raises:
        UnreadableArtifact: A file cannot be read, they are too large, or somebody does not stop writing them.
    """
    selection = _Selection(app, without)
    try:
        files = settled(selection.root, selection.read, selection.touched)
    except OSError as error:
        raise UnreadableArtifact(Path(error.filename or selection.root), error.strerror or str(error)) from error
    return ApplicationContent(files, Distributions.found(own_path() if search is None else search))


class _Selection:
    """The files that `include` selects, looked for again whenever it is asked when they changed."""

    def __init__(self, app: App, without: Iterable[Path]) -> None:
        self.root = Path(app.dir)
        self._selects = compiled(app.include)
        self._excluded = interpreter_folders().union(os.path.realpath(folder) for folder in without)
        self._found: dict[str, Path] = {}

    def touched(self) -> float:
        files = ((path.relative_to(self.root).as_posix(), path) for path in self._walk(self.root, frozenset()))
        self._found = {name: path for name, path in sorted(files) if self._selects.fullmatch(name)}
        return latest_change({*self._found.values(), *(path.parent for path in self._found.values())})

    def read(self) -> dict[str, bytes]:
        try:
            return read_named(self.root, self._found)
        except OSError as error:
            raise UnreadableArtifact(Path(error.filename or self.root), error.strerror or str(error)) from error

    def _walk(self, folder: Path, above: frozenset[str]) -> Iterator[Path]:
        """Every file that may be content, in and below a folder; a link to a folder above is not gone round."""
        try:
            entries = list(os.scandir(folder))
        except (PermissionError, FileNotFoundError, NotADirectoryError):
            return  # nothing can be imported from there either
        above |= {os.path.realpath(folder)}
        for path in (Path(entry.path) for entry in entries if is_content(entry.name)):
            if os.path.isfile(path):
                yield path
            elif os.path.isdir(path) and is_own(path) and os.path.realpath(path) not in above | self._excluded:
                yield from self._walk(path, above)
