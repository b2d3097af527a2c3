"""Artifacts: a plugin's files, named by the digest of their canonical content.

What is edited is read once, into memory; digest and stored copy are made of the same bytes, so
a file that changes while it is read cannot make them disagree. Layout of the store:
`<store>/<digest>/<relative name>`, read-only, never changed after its rename.
"""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from changeover.workers.errors import ChangeoverError

MAX_BYTES = 256 * 1024 * 1024
"""Most bytes that one artifact holds."""
SIGNATURE = "plugin.sig.json"
"""Name of the signature in a plugin's folder, which is no content: it says something of that."""

_ASIDE, _GONE = ".aside-", ".gone-"
"""How names of folders begin that are on their way into the store, and out of it."""
_CODE_SUFFIXES = (".py", ".so", ".pyd")
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Why a file cannot be read that is not there, or is something else."""
_IGNORED_SUFFIXES = (".pyc", ".pyo", "~", ".swp", ".tmp")

Files = Mapping[str, bytes]
"""Relative name with `/` -> content."""


class ArtifactError(ChangeoverError):
    """Files could not become, or are no longer, the artifact they should be."""


class UnreadableArtifact(ArtifactError):
    """What is to become an artifact cannot be read.

    Attributes:
        path: Where.
        reason: Why.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class CorruptArtifact(ArtifactError):
    """What lies in the store is not what its name says.

    Attributes:
        digest: The artifact's name.
        reason: What is wrong.
    """

    def __init__(self, folder: Path, reason: str) -> None:
        self.digest = folder.name
        self.reason = reason
        super().__init__(
            f"artifact {self.digest[:12]} in the store {reason}; remove {folder} and reload: that stores it again "
            "where its files lie on disk as they were. A rollback cannot; for one, put these files back there first"
        )


class ArtifactNotRead(ArtifactError):
    """What lies in the store could not be looked at, which says nothing of what it is.

    Attributes:
        digest: The artifact's name.
        reason: Why.
    """

    def __init__(self, folder: Path, reason: str) -> None:
        self.digest = folder.name
        self.reason = reason
        super().__init__(f"artifact {self.digest[:12]} in the store cannot be read: {reason}; mend that and ask again")


def digest_of(files: Files) -> str:
    """SHA-256 over names and bytes in the order of the names, hexadecimal."""
    whole = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        encoded = name.encode("utf-8", "surrogateescape")
        whole.update(b"%d:%d:" % (len(encoded), len(content)))
        whole.update(encoded)
        whole.update(content)
    return whole.hexdigest()


def read_files(path: Path) -> dict[str, bytes]:
    """Read what `path` consists of: every file below a folder, or the one file.

    Hidden files, bytecode and editors' leftovers are no content. Links are followed.

    Args:
        path: A folder, or a single file.

    Raises:
        UnreadableArtifact: It is not there, not readable, holds something other than files, or is too large.
    """
    try:
        return read_named(path, {path.name: path} if path.is_file() else dict(_walk(path)))
    except OSError as error:
        raise UnreadableArtifact(path, error.strerror or str(error)) from error


def read_named(path: Path, found: Mapping[str, Path]) -> dict[str, bytes]:
    """Read files that were found already.

    Args:
        path: What they are part of, for messages.
        found: Relative name with `/` -> file.

    Raises:
        UnreadableArtifact: One is no file, or they are too large.
        OSError: One cannot be read.
    """
    files: dict[str, bytes] = {}
    left = MAX_BYTES
    for name, file in found.items():
        mode = file.stat()
        if not stat.S_ISREG(mode.st_mode):
            raise UnreadableArtifact(file, "neither a file nor a folder")
        left -= mode.st_size
        if left < 0:
            raise UnreadableArtifact(path, f"holds more than {MAX_BYTES} bytes")
        files[name] = file.read_bytes()
    return files


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    if not _is_folder(root):
        raise UnreadableArtifact(root, "there is no such file or folder")
    for folder, names in content_folders(root, _raise):
        for name in names:
            file = folder / name
            yield file.relative_to(root).as_posix(), file


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False


def content_folders(root: Path, onerror: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Every folder in and below `root` that is content, linked ones too, each once, with the names of its files.

    Args:
        root: A folder; in anything else there is none.
        onerror: Told of a folder that cannot be looked into; None passes over it.
    """
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=onerror):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if is_content(name))
        yield Path(folder), sorted(filter(is_content, names))


def _raise(error: OSError) -> None:
    raise error


def is_content(name: str) -> bool:
    """Whether a file or folder of this name is content: hidden ones, bytecode and editors' leftovers are not."""
    return not (name.startswith(".") or name == "__pycache__" or name.endswith(_IGNORED_SUFFIXES))


def is_code(name: str) -> bool:
    """Whether a file of this name runs, whatever a manifest says of it."""
    return name.endswith(_CODE_SUFFIXES)


def folder_of(store: Path, digest: str) -> Path:
    """Where the artifact lies, or would lie, in the store."""
    return store / digest


def put(store: Path, files: Files) -> str:
    """Put an artifact into the store: written aside, synced, renamed, read-only. Blocks on the disk.

    Args:
        store: The store's folder; made when it is not there.
        files: What `read_files` gave.

    Returns:
        Its digest. An artifact that is there already is left as it is.

    Raises:
        OSError: The disk does not take it; nothing half-written is left under the digest.
    """
    digest = digest_of(files)
    final = folder_of(store, digest)
    if final.is_dir():
        return digest
    with _written_aside(store, files) as aside:
        try:
            os.rename(aside, final)
        except OSError:
            if not final.is_dir():
                raise
    _sync(store)
    return digest


def put_again(store: Path, files: Files) -> str:
    """Put an artifact in the place of what lies under its digest. Blocks on the disk.

    What lies there stays until the other is written and synced: workers may manage with the rest of it.

    Args:
        store: The store's folder.
        files: What `read_files` gave.

    Returns:
        Its digest.

    Raises:
        OSError: The disk does not take it; what was there is there still.
    """
    digest = digest_of(files)
    with _written_aside(store, files) as aside:
        _exchange(folder_of(store, digest), aside)
    _sync(store)
    return digest


def _exchange(final: Path, written: Path) -> None:
    """Have what was written under a name, and remove what was there; where that fails it is there still."""
    gone = Path(tempfile.mkdtemp(prefix=_GONE, dir=final.parent))
    try:
        before = _moved_away(final, gone / "content")
        try:
            os.rename(written, final)
        except OSError:
            if before:
                os.rename(gone / "content", final)
            raise
    finally:
        if os.path.lexists(final):  # else it is the only one that there is
            _discard(gone)


def _moved_away(there: Path, to: Path) -> bool:
    """Whether there was anything to move."""
    if not os.path.lexists(there):
        return False
    if there.is_dir() and not there.is_symlink():
        there.chmod(0o755)
    os.rename(there, to)
    return True


@contextmanager
def _written_aside(store: Path, files: Files) -> Iterator[Path]:
    """A folder of the store in which these files are written and synced; gone afterwards, unless it was renamed."""
    store.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=store))
    try:
        _write(aside, files)
        yield aside
    finally:
        if aside.is_dir():
            _discard(aside)


def _write(root: Path, files: Files) -> None:
    folders = {root}
    written = [root / PurePosixPath(name) for name in files]
    for file, content in zip(written, files.values(), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        folders.update(parent for parent in file.parents if parent.is_relative_to(root))
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        os.fchmod(fd, 0o444)  # whatever the umask: workers of another user read it
        with os.fdopen(fd, "wb") as handle:
            handle.write(content)
    # Only now: what is synced first takes along what was written with it, so that many files cost little more than one.
    for each in (*written, *sorted(folders, reverse=True)):
        _sync(each)
    for folder in folders:
        folder.chmod(0o555)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def get(store: Path, digest: str) -> dict[str, bytes]:
    """Read an artifact back and check that it is what its name says. Blocks on the disk.

    Raises:
        CorruptArtifact: It, or a part of it, is not there, or is not the content that the digest names.
        ArtifactNotRead: It cannot be read.
    """
    folder = folder_of(store, digest)
    try:
        files = read_files(folder)
    except UnreadableArtifact as error:
        failed = error.__cause__
        if isinstance(failed, OSError) and failed.errno not in _ABSENT:
            raise ArtifactNotRead(folder, str(error)) from error
        raise CorruptArtifact(folder, f"cannot be read ({error})") from error
    if digest_of(files) != digest:
        raise CorruptArtifact(folder, "is not the content that its name says")
    return files


def remove(store: Path, digest: str) -> None:
    """Remove an artifact that nothing refers to any more; one that is not there is none to remove."""
    folder = folder_of(store, digest)
    if not folder.is_dir():
        return
    aside = Path(tempfile.mkdtemp(prefix=_GONE, dir=store))
    folder.chmod(0o755)
    os.rename(folder, aside / "content")
    _discard(aside)


def remove_unfinished(store: Path) -> None:
    """Remove what a process left that was killed while it put or removed an artifact; nobody may do that meanwhile.

    Raises:
        OSError: Something of it cannot be removed.
    """
    for prefix in (_ASIDE, _GONE):
        for left in store.glob(f"{prefix}*"):
            _discard(left)


def _discard(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        os.chmod(folder, 0o755)
    shutil.rmtree(root)
