"""Lets a process write below some folders only, and its children with it, for good: Landlock, by its system calls.

The standard library has no word for it, and no library for it is kept well enough to be in everybody's workers. The
numbers are those of `linux/landlock.h`; they are the same on every architecture that we know to run on.
"""

import ctypes
import os
import struct
import tempfile
from collections.abc import Iterable, Mapping

from changeover.workers.errors import ChangeoverError
from changeover.workers.runtime import kernel

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ABI_VERSION = 1
"""Flag of `CREATE_RULESET` that asks which version the kernel has."""
PATH_BENEATH = 1
"""Kind of rule: what may be done below a folder, or to a file."""

LEAST_ABI = 3
"""The first version that sees files being truncated: Linux 6.2."""
SCOPES_ABI = 6
"""The first version that sees who is reached by signals and abstract sockets: Linux 6.12."""
LINUX = {LEAST_ABI: "6.2", SCOPES_ABI: "6.12"}
"""Which version of Linux came with it."""

WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER = 1 << 13
"""Links and renames from one folder to another."""

TO_FILES = WRITE_FILE | TRUNCATE
MAKING = MAKE_CHAR | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | MAKE_SYM
BELOW_FOLDERS = TO_FILES | REMOVE_DIR | REMOVE_FILE | MAKING | REFER

ABSTRACT_SOCKETS, SIGNALS = 1 << 0, 1 << 1

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
"""What everybody may write to."""
SHARED_MEMORY = "/dev/shm"
"""Where `multiprocessing` keeps semaphores and shared memory."""


class LandlockMissing(ChangeoverError):
    """The kernel has no Landlock, or one that is too old.

    Attributes:
        abi: Its version, 0 for none.
        least: What it takes.
    """

    def __init__(self, abi: int, least: int = LEAST_ABI) -> None:
        self.abi = abi
        self.least = least
        found = f"its version is {abi}" if abi else "it is not built in, or not among `cat /sys/kernel/security/lsm`"
        takes = f"that takes Landlock {least}, of Linux {LINUX[least]} or later"
        super().__init__(f"this kernel cannot do it: {takes}; {found}")


def abi() -> int:
    """The version of the kernel's Landlock, 0 for none."""
    try:
        return kernel.syscall("", CREATE_RULESET, None, ctypes.c_size_t(0), ABI_VERSION)
    except OSError:
        return 0


def require(found: int, least: int = LEAST_ABI) -> None:
    """Make sure that a version of Landlock is enough.

    Raises:
        LandlockMissing: It is not.
    """
    if found < least:
        raise LandlockMissing(found, least)


def write_only_below(folders: Iterable[str]) -> None:
    """Let this process and all that it starts change nothing but what is below `folders`, and what everybody needs.

    The latter is the folder for temporary files, shared memory, and a few devices. What is open already stays so, and
    reading is not touched. Needs `no_new_privs`.

    Raises:
        LandlockMissing: The kernel cannot do it.
        OSError: A folder cannot be opened, or the kernel refuses.
    """
    require(abi())
    allowed = dict.fromkeys((*folders, tempfile.gettempdir()), BELOW_FOLDERS)
    if os.path.exists(SHARED_MEMORY):
        allowed[SHARED_MEMORY] = BELOW_FOLDERS
    _restrict(struct.pack("Q", BELOW_FOLDERS), allowed | _devices())


def reach_nobody() -> None:
    """Let this process and all that it starts signal nobody else, and reach no abstract socket of anybody else.

    Needs `no_new_privs`.

    Raises:
        LandlockMissing: The kernel cannot do it.
        OSError: The kernel refuses.
    """
    require(abi(), SCOPES_ABI)
    _restrict(struct.pack("QQQ", 0, 0, ABSTRACT_SOCKETS | SIGNALS), {})


def _devices() -> dict[str, int]:
    return {device: TO_FILES for device in DEVICES if os.path.exists(device)}


def _restrict(attributes: bytes, allowed: Mapping[str, int]) -> None:
    ruleset = _called("a ruleset cannot be made", CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for path, rights in allowed.items():
            _allow(ruleset, path, rights)
        _called("it cannot be put into force", RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, beneath)
        _called(f"{path} cannot be allowed", ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
    finally:
        os.close(beneath)


def _called(failure: str, number: int, *arguments: object) -> int:
    return kernel.syscall(f"Landlock: {failure}", number, *arguments)
