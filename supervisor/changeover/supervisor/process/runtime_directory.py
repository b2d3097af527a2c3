"""The runtime directory: where a service's sockets and shared pages are, held by one supervisor at a time."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.config.paths import private
from changeover.supervisor.process.errors import ProcessError
from changeover.supervisor.process.holders import Holder, children_of, has_socket, holders_of_path, worded
from changeover.supervisor.process.listeners import LONGEST_UNIX_PATH
from changeover.supervisor.process.lock import DirectoryLock
from changeover.supervisor.process.sharing import RUNTIME_MODE, SOCKET_MODE, share, share_folder
from changeover.workers.generation.cell import CellWriter
from changeover.workers.protocol.identity import WorkerId

MODE = 0o750
LONGEST_NAME = "worker-18446744073709551615.sock"
LINKS = ("snapshots.sock", "reports.sock")
"""What workers connect to."""
OURS = (*LINKS, "control.sock", "zygote-*.sock", "worker-*.sock", "epoch.cell")
"""All that a supervisor makes in its runtime directory, beside the lock; everything else in there is not ours."""


class DirectoryUnfit(ProcessError):
    """A directory cannot be used.

    Attributes:
        directory: Which one.
        reason: Why not, and what to do.
    """

    def __init__(self, directory: Path, reason: str) -> None:
        self.directory = directory
        self.reason = reason
        super().__init__(f"{directory} cannot be used: {reason}")


class Orphaned(ProcessError):
    """Processes of a supervisor that died serve on.

    Attributes:
        directory: Where their sockets are.
        holders: Who, as far as this user may see.
    """

    def __init__(self, directory: Path, holders: tuple[Holder, ...]) -> None:
        self.directory = directory
        self.holders = holders
        super().__init__(
            f"{directory} is in use by processes of a supervisor that died: {worded(holders)}; "
            "otherwise they leave when their orphan timeout is over"
        )


class RuntimeDirectory:
    """The held runtime directory.

    Attributes:
        real: Where it is.
        path: How it is addressed: `real`, or a short link to it when a socket's path would be too long.
    """

    def __init__(self, real: Path, path: Path, lock: DirectoryLock) -> None:
        self.real = real
        self.path = path
        self._lock = lock

    @classmethod
    def take(cls, directory: Path, name: str, account: Account | None = None) -> Self:
        """Make the directory, lock it, and remove what a dead predecessor left.

        Args:
            directory: Made with mode 0750 when it is not there.
            name: The service's name, for the note in the lock.
            account: Whom workers run as, None for ourselves.

        Raises:
            DirectoryHeld: Another supervisor has it.
            DirectoryUnfit: It is not ours, or others may write to it.
            Orphaned: Processes of a dead predecessor serve on.
            Unreachable: Workers cannot get there.
        """
        real = private_directory(directory, MODE, account)
        lock = DirectoryLock.take(real, name, real)
        try:
            if account is not None:
                share_folder(real, account, RUNTIME_MODE)
            runtime = cls(real, addressable(real, account), lock)
            runtime.refuse_orphans()
            runtime.clear()
        except BaseException:
            lock.release()
            raise
        return runtime

    @property
    def cell(self) -> Path:
        """The commit cell's file."""
        return self.path / "epoch.cell"

    def make_cell(self) -> CellWriter:
        """Make the commit cell's file.

        Raises:
            DirectoryUnfit: It cannot be made.
        """
        try:
            return CellWriter(self.cell)
        except OSError as error:
            raise DirectoryUnfit(
                self.real,
                f"{self.cell.name} cannot be made in it ({error.strerror}); look at what is there, remove it and "
                "start again",
            ) from error

    @property
    def control(self) -> Path:
        """Socket of the control API."""
        return self.path / "control.sock"

    def zygote(self, cohort: int) -> Path:
        """Socket of a zygote."""
        return self.path / f"zygote-{cohort}.sock"

    def worker(self, worker: WorkerId) -> Path:
        """Socket of a worker that takes descriptors."""
        return self.path / f"worker-{worker.incarnation}.sock"

    def share_links(self, account: Account) -> None:
        """Let workers of another user report and listen."""
        for name in LINKS:
            share(self.path / name, account, SOCKET_MODE)

    def refuse_orphans(self) -> None:
        """Make sure that no process has a socket here.

        Raises:
            Orphaned: One has.
        """
        ours = [path.name for path in self._ours() if path.suffix == ".sock"]
        addressed = [folder / name for name in ours for folder in {self.real, self.path}]
        holders = {holder for path in addressed for holder in holders_of_path(path)}
        if holders or any(has_socket(path) for path in addressed):
            holders.update(children_of(frozenset(holder.pid for holder in holders)))
            raise Orphaned(self.real, tuple(sorted(holders)))

    def clear(self) -> None:
        """Remove our sockets and pages. Only the holder of the lock may: nobody living listens on them."""
        for path in self._ours():
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove all files of ours, then give the directory free; its folder stays."""
        self.clear()
        if self.path != self.real:
            self.path.unlink(missing_ok=True)
        self._lock.release()

    def _ours(self) -> Iterator[Path]:
        for pattern in OURS:
            yield from self.real.glob(pattern)


def private_directory(directory: Path, mode: int, account: Account | None = None) -> Path:
    """Make a directory that only we may change, with its parents, and return its absolute path.

    One that is there already is taken as it is or not at all: what it is to others is not ours to change.

    Args:
        directory: Where.
        mode: Of one that is made.
        account: Whom workers run as, None for ourselves: the account's group may write to one that is sticky.

    Raises:
        DirectoryUnfit: It belongs to somebody else, or others may write to it or put another in its place.
    """
    real = directory.absolute()
    try:
        real.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        real.mkdir(mode=mode, exist_ok=True)
        _refuse_foreign(real, None if account is None else account.gid)
        if real.parent.parent.stat().st_mode & stat.S_IWOTH:
            # Below /tmp whoever comes first makes the folder that others look in.
            _refuse_foreign(real.parent)
    except OSError as error:
        raise DirectoryUnfit(
            real,
            f"{error.strerror}; choose a folder that we may write to with --runtime-dir and --state-dir (or "
            "CHANGEOVER_RUNTIME_DIR, CHANGEOVER_STATE_DIR), in a container one on a tmpfs",
        ) from error
    return real


def _refuse_foreign(folder: Path, group: int | None = None) -> None:
    us, found, named = os.geteuid(), folder.stat(), folder.lstat()
    # A link may be root's; whoever else owns it could point it elsewhere.
    if found.st_uid != us or named.st_uid not in (us, 0):
        owner = named.st_uid if found.st_uid == us else found.st_uid
        raise DirectoryUnfit(folder, f"it belongs to uid {owner}, and we are uid {us}")
    shared = found.st_gid == group and found.st_mode & (stat.S_ISVTX | stat.S_IWOTH) == stat.S_ISVTX
    if stat.S_IMODE(found.st_mode) & 0o022 and not shared:
        raise DirectoryUnfit(
            folder,
            f"others may write to it (mode {stat.S_IMODE(found.st_mode):o}); `chmod go-w {folder}`, "
            "or choose another with --runtime-dir or --state-dir",
        )


def addressable(directory: Path, account: Account | None = None) -> Path:
    """The path to use for sockets in `directory`: itself, or a short private link that every caller finds alike.

    Raises:
        DirectoryUnfit: The link cannot be made, or would lead nowhere for workers of another user.
    """
    if len(os.fsencode(directory / LONGEST_NAME)) <= LONGEST_UNIX_PATH:
        return directory
    if account is not None:
        raise DirectoryUnfit(directory, "its path is too long for sockets; choose a shorter one with --runtime-dir")
    folder = private_directory(private_directory(private(os.geteuid()), 0o700) / ".short", 0o700)
    link = folder / hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    if not (link.is_symlink() and link.readlink() == directory):
        link.unlink(missing_ok=True)
        link.symlink_to(directory)
    return link
