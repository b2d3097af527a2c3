"""Starts a zygote: its socket, its arguments, its environment, its descriptors; nothing is inherited by chance."""

import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.config.rlimits import Rlimit
from changeover.supervisor.process.errors import ProcessError
from changeover.supervisor.process.limiting import limit_process, may_limit_others
from changeover.supervisor.process.stacks import StacksFile
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.forking import DEFAULT_ENTRY, Preload, Setup

MODULE = "changeover.workers.zygote"


class ZygoteNotStarted(ProcessError):
    """The system could not execute a zygote.

    Attributes:
        cohort: Its number.
        reason: The system's words.
    """

    def __init__(self, cohort: int, python: str, reason: str) -> None:
        self.cohort = cohort
        self.reason = reason
        super().__init__(f"cannot start the zygote of cohort {cohort} with {python}: {reason}")


class ZygotePlan(msgspec.Struct, frozen=True):
    """Everything that makes a zygote.

    Attributes:
        cohort: Its number.
        name: The service's name.
        python: Path of its interpreter.
        directory: Its working directory.
        environment: All of its environment.
        belongings: Inherited for its workers under the same numbers: listening sockets, commit cell, counts page.
        path: Directories put first on its import path.
        preload: The application to import before forking, None for none.
        orphan: How long it waits for a supervisor that went away, in seconds; 0 = for ever.
        ready: How long it may take to get ready, in seconds.
        entry: What its workers run, `module:function`.
        account: Whom it and its workers run as, None for ourselves.
        umask: Permissions that files made by it and its workers lack; -1 = as inherited.
        rlimits: What the kernel limits each of its processes to.
        no_new_privs: Whether they gain nothing by executing files.
        writable: Folders below which alone they may write, beside what everybody needs; None = wherever they may.
        journal: The journal that its workers belong to.
        rolled: The epoch whose roll makes it.
    """

    cohort: int
    name: str
    python: str
    directory: str
    environment: Mapping[str, str]
    belongings: Belongings
    path: tuple[str, ...] = ()
    preload: Preload | None = None
    orphan: float = 900.0
    ready: float = 60.0
    entry: str = DEFAULT_ENTRY
    account: Account | None = None
    umask: int = -1
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privs: bool = False
    writable: tuple[str, ...] | None = None
    journal: str = ""
    rolled: int = 0

    def setup(self) -> Setup:
        """The zygote's first message."""
        return Setup(
            self.cohort,
            self.name,
            self.orphan,
            self.path,
            self.preload,
            self.entry,
            journal=self.journal,
            rolled=self.rolled,
            belongings=self.belongings,
        )


@dataclass(frozen=True, slots=True)
class HeldZygote:
    """What is held of a zygote.

    Attributes:
        cohort: Its number.
        pid: For people.
        path: Its socket's file.
        pidfd: Becomes readable when it is dead.
        sock: Connected to it, non-blocking.
        stacks: Its stacks file.
        reap: Takes its status when it is dead; None where nobody can tell.
    """

    cohort: int
    pid: int
    path: Path
    pidfd: int
    sock: socket.socket
    stacks: StacksFile
    reap: Callable[[], int | None]


def start_zygote(plan: ZygotePlan, path: Path) -> HeldZygote:
    """Execute a zygote and connect to it.

    Args:
        plan: What it is to be.
        path: Where its listening socket is made.

    Raises:
        ZygoteNotStarted: The system refuses; nothing is left behind.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(path))
            try:
                path.chmod(0o660)
                listening.listen(4)
                return _execute(plan, path, listening)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ZygoteNotStarted(plan.cohort, plan.python, str(error)) from error


def _environment(plan: ZygotePlan) -> dict[str, str]:
    return {**plan.environment, **(plan.account.environment() if plan.account is not None else {})}


def _command(plan: ZygotePlan, socket: int, stacks: int, own: tuple[Rlimit, ...]) -> list[str]:
    flags = ["--no-new-privs"] if plan.no_new_privs else []
    flags += [f"--limit={limit.resource}:{limit.soft}:{limit.hard}" for limit in own]
    flags += [f"--write-below={folder}" for folder in plan.writable or ()]
    return [plan.python, "-P", "-m", MODULE, "--socket", str(socket), "--stacks", str(stacks), *flags]


def _execute(plan: ZygotePlan, path: Path, listening: socket.socket) -> HeldZygote:
    limits_itself = plan.account is not None and not may_limit_others()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stacks = os.memfd_create(f"stacks of zygote {plan.cohort}", os.MFD_CLOEXEC)
    try:
        sock.setblocking(False)
        sock.connect(str(path))
        process = subprocess.Popen(
            _command(plan, listening.fileno(), stacks, plan.rlimits if limits_itself else ()),
            stdin=subprocess.DEVNULL,
            cwd=plan.directory,
            env=_environment(plan),
            pass_fds=(listening.fileno(), stacks, *plan.belongings.descriptors()),
            start_new_session=True,
            user=None if plan.account is None else plan.account.uid,
            group=None if plan.account is None else plan.account.gid,
            extra_groups=None if plan.account is None else plan.account.groups,
            umask=plan.umask,
        )
        pidfd = _held(process, () if limits_itself else plan.rlimits)
        return HeldZygote(plan.cohort, process.pid, path, pidfd, sock, StacksFile(stacks), process.poll)
    except BaseException:
        sock.close()
        os.close(stacks)
        raise


def _held(process: "subprocess.Popen[bytes]", limits: tuple[Rlimit, ...]) -> int:
    """Limit it before it is told what it is, and open its pidfd."""
    try:
        limit_process(process.pid, limits)
        return os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.wait()
        raise
