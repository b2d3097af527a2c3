"""What a plugin may have to be allowed, as data: what each capability allows, and what sees to it.

A manifest asks, the configuration grants, and a scan refuses what asks for more. `docs/security.md` shows this table.
"""

from collections.abc import Collection, Iterable

import msgspec

from changeover.workers.protocol.document import nearest

AUDIT = "audit hook in the preflight"
"""Sees what Python code does by Python's own words for it: `changeover.workers.preflight.audit`."""
LANDLOCK = "Landlock"
"""The kernel, whatever words are used: `changeover.workers.runtime.landlock`."""


class Capability(msgspec.Struct, frozen=True):
    """One thing that a plugin may be granted.

    Attributes:
        name: As manifest and configuration have it.
        allows: What its code may do with it, for people.
        enforced: What refuses that to a plugin without it, for people.
        unseen: What nothing sees, for people.
    """

    name: str
    allows: str
    enforced: str
    unseen: str


TABLE = (
    Capability(
        "exec",
        "start programs and processes: `subprocess`, `multiprocessing`, `os.fork`, `os.exec*`, `os.system`, the loop's",
        AUDIT,
        "calls of the C library",
    ),
    Capability(
        "native",
        "load machine code, and call it: `ctypes`, also `CDLL(None)` and `pythonapi`; extension modules of its own",
        AUDIT,
        "what an installed library loads when imported, and calls; `cffi`; `_ctypes`; memory that `ctypes` changes",
    ),
    Capability(
        "net",
        "connect, listen, send datagrams and ask for names: sockets, Unix ones included, and those of the event loop",
        AUDIT,
        "sockets of libraries in C (database drivers), `_socket`",
    ),
    Capability(
        "write",
        "change files outside of the folder for temporary files, and open SQLite databases there",
        f"{AUDIT}, and {LANDLOCK} there, unless an application or a plugin that was granted it is rehearsed with it",
        "files that libraries in C open",
    ),
)

NAMES = tuple(capability.name for capability in TABLE)


def unknown(name: str) -> str:
    """What is wrong with a name that is no capability's; empty when it is one."""
    return "" if name in NAMES else f"{name!r} is none of {', '.join(NAMES)}{nearest(name, NAMES)}"


def granted(asked: Iterable[str], grant: Iterable[str]) -> tuple[str, ...]:
    """What a plugin has of what it asks for, sorted: nothing is given to who does not ask."""
    return tuple(sorted({*asked} & {*grant}))


def lacking(asked: Iterable[str], grant: Iterable[str]) -> tuple[str, ...]:
    """What a plugin asks for and has not, sorted."""
    return tuple(sorted({*asked} - {*grant}))


def refusal(lacks: Collection[str], grant: Iterable[str], place: str) -> str:
    """Say why a plugin is not taken, and the setting that would let it in.

    Args:
        lacks: What it asks for and has not.
        grant: What it has, or others.
        place: Where that is written.
    """
    wanted = ", ".join(f'"{name}"' for name in sorted({*lacks, *grant}))
    return f"asks for {' and '.join(lacks)}, which is not granted; write `grant = [{wanted}]` in {place}"
