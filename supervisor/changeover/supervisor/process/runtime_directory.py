"""The runtime directory: where a service's sockets and shared pages are, held by one supervisor at a time."""

import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.config.paths import private
from changeover.supervisor.process.errors import ProcessError
from changeover.supervisor.process.estate import Estate
from changeover.supervisor.process.finding import Search, find
from changeover.supervisor.process.holders import (
    Holder,
    children_of,
    has_socket,
    holder_of_pid,
    holders_of_path,
    worded,
)
from changeover.supervisor.process.listeners import LONGEST_UNIX_PATH
from changeover.supervisor.process.lock import DirectoryLock
from changeover.supervisor.process.sharing import RUNTIME_MODE, SOCKET_MODE, share, share_folder
from changeover.workers.generation.cell import CellWriter
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.identity import WorkerId

MODE = 0o750
logger = logging.getLogger("changeover")

LONGEST_NAME = "worker-18446744073709551615.sock"
LINKS = ("snapshots.sock", "reports.sock")
"""What workers connect to."""
SECRET = "secret"
COUNTED = "counted"
OURS = (
    *LINKS,
    "control.sock",
    "zygote-*.sock",
    "worker-*.sock",
    "epoch.cell",
    SECRET,
    COUNTED,
    f"{COUNTED}.new",
)
"""All that a supervisor makes in its runtime directory, beside the lock; everything else in there is not ours."""
LEADER = "leader.lock"
"""Made by a worker. A start leaves it there: a worker that nobody finds any more may hold it until its last thread
ends, and whoever made it anew would lead beside that."""
NO_CANDIDATE = 0
"""The roll for which a process was made that hands over to its next program: that happens beside no candidate."""


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
    """Processes of a supervisor that died serve on, and cannot be adopted.

    Attributes:
        directory: Where their sockets are.
        holders: Who, as far as this user may see.
        reason: Why they cannot be adopted.
    """

    def __init__(self, directory: Path, holders: tuple[Holder, ...], reason: str) -> None:
        self.directory = directory
        self.holders = holders
        self.reason = reason
        super().__init__(
            f"{directory} is in use by processes of a supervisor that died, and {reason}: {worded(holders)}; "
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
    def take(cls, directory: Path, name: str, account: Account | None = None, lock: int | None = None) -> Self:
        """Make the directory, and lock it.

        Args:
            directory: Made with mode 0750 when it is not there.
            name: The service's name, for the note in the lock.
            account: Whom workers run as, None for ourselves.
            lock: Descriptor of the lock that this process held before it was executed anew.

        Raises:
            DirectoryHeld: Another supervisor has it.
            DirectoryUnfit: It is not ours, or others may write to it.
            Unreachable: Workers cannot get there.
        """
        real = private_directory(directory, MODE, account)
        held = DirectoryLock.take(real, name, real, lock)
        try:
            if account is not None:
                share_folder(real, account, RUNTIME_MODE)
            return cls(real, addressable(real, account), held)
        except BaseException:
            held.release()
            raise

    @property
    def lock(self) -> int:
        """Descriptor of its lock."""
        return self._lock.descriptor

    @property
    def cell(self) -> Path:
        """The commit cell's file."""
        return self.path / "epoch.cell"

    def find_estate(
        self, account: Account | None, inherited: Mapping[str, int], held: Belongings | None = None
    ) -> Estate:
        """Find what a dead predecessor left, and remove what nobody holds any more. Blocks.

        Args:
            account: Whom workers run as, None for ourselves.
            inherited: Connections to zygotes from before this process was executed anew, by the socket's name.
            held: What this process itself held then.

        Raises:
            Orphaned: Somebody holds a socket, and nobody answers.
            DirectoryUnfit: Something that is none of ours has the name of a file of ours.
        """
        user = os.geteuid() if account is None else account.uid
        estate = find(Search(self.path, user, inherited))
        if held is not None:
            estate.take(held, held.descriptors(), NO_CANDIDATE)
        elif estate.empty:
            self._refuse_mute()
            self._clear(self._ours())
        return estate

    def make_cell(self) -> CellWriter:
        """Make the commit cell's file.

        Raises:
            DirectoryUnfit: It cannot be made.
        """
        try:
            return CellWriter.make(self.cell)
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

    def forget(self, worker: WorkerId) -> None:
        """Remove the socket of a worker that is confirmed dead: one that was killed could not do so itself."""
        with suppress(OSError):  # whoever looks for the living finds it in the way, and nobody behind it
            self.worker(worker).unlink(missing_ok=True)

    def share_links(self, account: Account) -> None:
        """Let workers of another user report and listen."""
        for name in LINKS:
            share(self.path / name, account, SOCKET_MODE)

    def make_secret(self) -> str:
        """Make what the nonces of workers are derived from, and keep it for who adopts them.

        Raises:
            DirectoryUnfit: It cannot be kept.
        """
        secret = secrets.token_hex(16)
        path = self.real / SECRET
        try:
            path.unlink(missing_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
                file.write(secret)
        except OSError as error:
            raise DirectoryUnfit(self.real, f"{SECRET} cannot be made in it ({error.strerror})") from error
        return secret

    def read_secret(self, estate: Estate) -> str:
        """What the nonces of living workers were derived from.

        Raises:
            Orphaned: It is gone, and with it what they could be recognized by.
        """
        path = self.real / SECRET
        try:
            with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)) as file:
                if os.fstat(file.fileno()).st_uid == os.geteuid() and (secret := file.read()):
                    return secret
        except OSError:
            pass
        holders = tuple(filter(None, map(holder_of_pid, estate.pids)))
        raise Orphaned(self.real, holders, f"{SECRET}, by which they would be recognized, is not what we left there")

    def keep_counted(self, content: bytes) -> None:
        """Keep what dead workers counted for who adopts the living; without it numbers begin anew, and nothing else."""
        path, fresh = self.real / COUNTED, self.real / f"{COUNTED}.new"
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
            os.replace(fresh, path)
        except OSError as error:
            logger.warning("%s cannot be written (%s): an upgrade or a restart counts anew", path, error.strerror)

    def read_counted(self) -> bytes:
        """What was kept; nothing where that is not there or not ours."""
        try:
            with open(os.open(self.real / COUNTED, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
                return file.read() if os.fstat(file.fileno()).st_uid == os.geteuid() else b""
        except OSError:
            return b""

    def refuse_foreign(self, estate: Estate, journal: str) -> None:
        """Make sure that everybody who was found belongs to `journal`: others would not follow what it says.

        Raises:
            Orphaned: Somebody belongs to another.
        """
        others = estate.journals - {journal}
        if others:
            holders = tuple(filter(None, map(holder_of_pid, estate.pids)))
            raise Orphaned(
                self.real,
                holders,
                f"they belong to journal {', '.join(sorted(others))} and not to {journal}, which lies in the state "
                "directory: start with the state directory that they were started with",
            )

    def _refuse_mute(self) -> None:
        ours = [path.name for path in self._ours() if path.suffix == ".sock"]
        addressed = [folder / name for name in ours for folder in {self.real, self.path}]
        holders = {holder for path in addressed for holder in holders_of_path(path)}
        if holders or any(has_socket(path) for path in addressed):
            holders.update(children_of(frozenset(holder.pid for holder in holders)))
            raise Orphaned(self.real, tuple(sorted(holders)), "none of them answers")

    def _clear(self, paths: Iterable[Path]) -> None:
        """Remove our sockets and pages. Only the holder of the lock may: nobody living listens on them."""
        unfit = [problem for path in paths if (problem := _not_removed(path))]
        if unfit:
            raise DirectoryUnfit(
                self.real, f"{', '.join(unfit)}: look at what is there, remove it by hand, and start again"
            )

    def close(self) -> None:
        """Give the directory free, without our files unless a process that can be adopted needs them.

        The folder stays.

        Raises:
            DirectoryUnfit: Something that is none of ours has the name of one of them.
        """
        try:
            if not self.is_lived_in():
                self._clear([*self._ours(), self.real / LEADER])
                if self.path != self.real:
                    self.path.unlink(missing_ok=True)
        finally:
            self._lock.release()

    def is_lived_in(self) -> bool:
        """Whether a process serves on that can be adopted."""
        names = [path.name for path in self._ours() if path.match("zygote-*.sock") or path.match("worker-*.sock")]
        return any(has_socket(folder / name) for name in names for folder in {self.real, self.path})

    def _ours(self) -> Iterator[Path]:
        for pattern in OURS:
            yield from self.real.glob(pattern)


def _not_removed(path: Path) -> str:
    """Remove a file; why it cannot be, empty when it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        return f"{path.name} cannot be removed ({error.strerror})"
    return ""


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
