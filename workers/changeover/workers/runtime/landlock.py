"""Lets a process write below some folders only, and its children with it, for good: Landlock, by its system calls.

The standard library has no word for it, and no library for it is kept well enough to be in everybody's workers. The
numbers are those of `linux/landlock.h`; they are the same on every architecture that we know to run on.
"""

import ctypes
import os
import struct
import tempfile
from collections.abc import Iterable

from changeover.workers.errors import ChangeoverError

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ABI_VERSION = 1
"""Flag of `CREATE_RULESET` that asks which version the kernel has."""
PATH_BENEATH = 1
"""Kind of rule: what may be done below a folder, or to a file."""

LEAST_ABI = 3
"""The first version that sees files being truncated: Linux 6.2."""

WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER = 1 << 13
"""Links and renames from one folder to another."""

TO_FILES = WRITE_FILE | TRUNCATE
MAKING = MAKE_CHAR | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | MAKE_SYM
BELOW_FOLDERS = TO_FILES | REMOVE_DIR | REMOVE_FILE | MAKING | REFER

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
"""What everybody may write to."""
SHARED_MEMORY = "/dev/shm"
"""Where `multiprocessing` keeps semaphores and shared memory."""


class LandlockMissing(ChangeoverError):
    """The kernel has no Landlock, or one that is too old.

    Attributes:
        abi: Its version, 0 for none.
    """

    def __init__(self, abi: int) -> None:
        self.abi = abi
        found = f"its version is {abi}" if abi else "it is not built in, or not among `cat /sys/kernel/security/lsm`"
        super().__init__(f"this kernel cannot do it: that takes Landlock {LEAST_ABI}, of Linux 6.2 or later; {found}")


def abi() -> int:
    """The version of the kernel's Landlock, 0 for none."""
    found: int = _libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ABI_VERSION)
    return max(0, found)


def require(found: int) -> None:
    """Make sure that a version of Landlock is enough.

    Raises:
        LandlockMissing: It is not.
    """
    if found < LEAST_ABI:
        raise LandlockMissing(found)


def write_only_below(folders: Iterable[str]) -> None:
    """Let this process and all that it starts change nothing but what is below `folders`, and what everybody needs.

    The latter is the folder for temporary files, shared memory, and a few devices. What is open already stays so, and
    reading is not touched. Needs `no_new_privs`.

    Raises:
        LandlockMissing: The kernel cannot do it.
        OSError: A folder cannot be opened, or the kernel refuses.
    """
    require(abi())
    attributes = struct.pack("Q", BELOW_FOLDERS)
    ruleset = _called("a ruleset cannot be made", CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for folder in (*folders, tempfile.gettempdir()):
            _allow(ruleset, folder, BELOW_FOLDERS)
        for path, rights in ((SHARED_MEMORY, BELOW_FOLDERS), *((device, TO_FILES) for device in DEVICES)):
            if os.path.exists(path):
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


def _called(failure: str, *arguments: object) -> int:
    result: int = _libc().syscall(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {failure}: {os.strerror(number)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
