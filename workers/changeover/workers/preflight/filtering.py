"""System calls that a rehearsal does not make: a filter in the kernel's own small language (seccomp)."""

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from types import MappingProxyType

from changeover.workers.errors import ChangeoverError
from changeover.workers.runtime import kernel

ARCHITECTURES: Mapping[str, int] = MappingProxyType({"x86_64": 0xC000003E, "aarch64": 0xC00000B7})
"""Machine -> how the kernel calls it, of those whose numbers are below."""

FORBIDDEN: Mapping[str, tuple[int | None, int | None]] = MappingProxyType(
    {
        "acct": (163, 89),
        "add_key": (248, 217),
        "adjtimex": (159, 171),
        "bpf": (321, 280),
        "chroot": (161, 51),
        "clock_adjtime": (305, 266),
        "clock_settime": (227, 112),
        "delete_module": (176, 106),
        "fanotify_init": (300, 262),
        "finit_module": (313, 273),
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fsopen": (430, 430),
        "fspick": (433, 433),
        "init_module": (175, 105),
        "io_uring_setup": (425, 425),
        "ioperm": (173, None),
        "iopl": (172, None),
        "kcmp": (312, 272),
        "kexec_file_load": (320, 294),
        "kexec_load": (246, 104),
        "keyctl": (250, 219),
        "lookup_dcookie": (212, 18),
        "mount": (165, 40),
        "mount_setattr": (442, 442),
        "move_mount": (429, 429),
        "open_by_handle_at": (304, 265),
        "open_tree": (428, 428),
        "perf_event_open": (298, 241),
        "pidfd_getfd": (438, 438),
        "pivot_root": (155, 41),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "ptrace": (101, 117),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "reboot": (169, 142),
        "request_key": (249, 218),
        "setdomainname": (171, 162),
        "sethostname": (170, 161),
        "setns": (308, 268),
        "settimeofday": (164, 170),
        "swapoff": (168, 225),
        "swapon": (167, 224),
        "syslog": (103, 116),
        "umount2": (166, 39),
        "unshare": (272, 97),
        "userfaultfd": (323, 282),
        "vhangup": (153, 58),
    }
)
"""Name -> number on each of `ARCHITECTURES`, in their order. Each reaches other processes, or what belongs to the host;
io_uring would do what it is told past this filter."""

FILTER_MODE = 2
_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_OTHER_ABI = 0x40000000
"""From this number on the calls of x86-64 are those of x32."""


class FilterMissing(ChangeoverError):
    """There is no filter for this machine.

    Attributes:
        machine: What it is.
    """

    def __init__(self, machine: str) -> None:
        self.machine = machine
        super().__init__(f"the numbers of system calls on {machine} are not known here")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install() -> None:
    """Have the kernel refuse all of `FORBIDDEN` from now on, here and in all that this process starts.

    Needs `no_new_privs`.

    Raises:
        FilterMissing: There is none for this machine.
        OSError: The kernel has no filters, or refuses.
    """
    code = ctypes.create_string_buffer(program(os.uname().machine))
    whole = _Program((len(code) - 1) // 8, ctypes.addressof(code))
    failure = "system calls cannot be filtered"
    kernel.prctl(failure, kernel.PR_SET_SECCOMP, FILTER_MODE, ctypes.byref(whole))


def program(machine: str) -> bytes:
    """The filter: what is forbidden, and whatever another architecture's program calls, fails with EPERM.

    Args:
        machine: As `uname` says it.

    Raises:
        FilterMissing: There is none for it.
    """
    if machine not in ARCHITECTURES:
        raise FilterMissing(machine)
    column = list(ARCHITECTURES).index(machine)
    numbers = [both[column] for both in FORBIDDEN.values()]
    compared = [number for number in numbers if number is not None]
    refuse, allow = _step(_RETURN, _ERRNO | errno.EPERM), _step(_RETURN, _ALLOW)
    left = range(len(compared), 0, -1)
    return b"".join(
        (
            _step(_LOAD, _ARCHITECTURE_AT),
            _step(_EQUALS, ARCHITECTURES[machine], 1, 0),
            refuse,
            _step(_LOAD, _NUMBER_AT),
            _step(_AT_LEAST, _OTHER_ABI, len(compared) + 1, 0),
            *(_step(_EQUALS, number, beyond, 0) for number, beyond in zip(compared, left, strict=True)),
            allow,
            refuse,
        )
    )


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)
