"""Calls of the kernel for which the standard library has no word."""

import ctypes
import os

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

M_ARENA_MAX = -8

CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

CAPABILITIES_VERSION = 0x20080522
"""Of `capset`: 64 capabilities, in two halves."""


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityHalf(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def syscall(failure: str, number: int, *arguments: object) -> int:
    """Make a call by its number.

    Args:
        failure: What to say when the kernel refuses.
        number: Of the call.
        arguments: As ctypes takes them.

    Raises:
        OSError: The kernel refuses.
    """
    return _checked(failure, _libc().syscall(number, *arguments))


def prctl(failure: str, option: int, *arguments: object) -> int:
    """Change something about this process.

    Args:
        failure: What to say when the kernel refuses.
        option: What to change.
        arguments: Up to four; those that are left out are 0.

    Raises:
        OSError: The kernel refuses.
    """
    given = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    return _checked(failure, _libc().prctl(option, *given, *(ctypes.c_ulong(0) for _ in range(4 - len(given)))))


def unshare(flags: int) -> None:
    """Put this process, or its children, into namespaces of their own.

    Raises:
        OSError: The kernel refuses.
    """
    _checked("namespaces cannot be made", _libc().unshare(flags))


def keep_capabilities(kept: frozenset[int]) -> None:
    """Give up all capabilities but these, which are permitted now.

    Raises:
        OSError: The kernel refuses.
    """
    header = _CapabilityHeader(CAPABILITIES_VERSION, 0)
    halves = (_CapabilityHalf * 2)()
    for capability in kept:
        half = halves[capability // 32]
        half.effective |= 1 << capability % 32
        half.permitted |= 1 << capability % 32
    _checked("capabilities cannot be given up", _libc().capset(ctypes.byref(header), ctypes.byref(halves)))


def permitted_capabilities() -> frozenset[int]:
    """What this process may do beyond what everybody may."""
    with open("/proc/self/status", "rb") as status:
        [bits] = [int(line.split()[1], 16) for line in status if line.startswith(b"CapPrm:")]
    return frozenset(number for number in range(64) if bits >> number & 1)


def share_arenas(most: int) -> None:
    """Have threads share what they allocate from, where the C library (glibc) would reserve 64 MiB for each.

    Args:
        most: How many there are at the most.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, most)


def _checked(failure: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{failure}: {os.strerror(number)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
