"""Listening sockets that a service manager passed when it started us: `LISTEN_FDS`, by number and by name.

Some are of socket units: the manager keeps them and listens on. Others are our own, kept for us in its descriptor
store since an earlier start, and known by the name under which we stored them.
"""

import os
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

FIRST = 3
"""The descriptor of the first one."""
STORED = "changeover-"
"""What the names of sockets in the store begin with."""
LONGEST_NAME = 255
"""Characters of a name that a service manager accepts."""


class Passed(msgspec.Struct, frozen=True):
    """What was passed.

    Attributes:
        names: Of the descriptors from `FIRST` on.
        problem: Why none can be used although some were announced, empty when all is well.
    """

    names: tuple[str, ...] = ()
    problem: str = ""

    def named(self, name: str) -> tuple[int, ...]:
        """The descriptors of this name."""
        return tuple(FIRST + index for index, each in enumerate(self.names) if each == name)

    def stored(self) -> tuple[str, ...]:
        """The names of sockets that were in our store, each once."""
        return tuple(dict.fromkeys(name for name in self.names if name.startswith(STORED)))

    @property
    def lent(self) -> "Passed":
        """The same without what was in our store, whose descriptors we closed after our start."""
        names = (STORED if name.startswith(STORED) else name for name in self.names)
        return msgspec.structs.replace(self, names=tuple(names))

    def numbers(self) -> tuple[int, ...]:
        """The descriptors of all that are not from our store."""
        return tuple(FIRST + index for index, name in enumerate(self.names) if not name.startswith(STORED))

    def known(self) -> str:
        """What can be asked for, for people."""
        return ", ".join(sorted({name for name in self.names if not name.startswith(STORED)})) or "none"


NOTHING = Passed()
"""What a process gets that no service manager started."""


def passed_to(environment: Mapping[str, str], pid: int) -> Passed:
    """Read what was passed.

    Args:
        environment: `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` are looked at.
        pid: Ours.
    """
    written = environment.get("LISTEN_FDS", "")
    if not written:
        return NOTHING
    if not (written.isascii() and written.isdigit()):
        return Passed(problem=f"LISTEN_FDS={written} is no number of sockets")
    owner = environment.get("LISTEN_PID", "")
    if owner != str(pid):
        whose = f"for process {owner}" if owner else "for nobody (LISTEN_PID is not set)"
        return Passed(
            problem=f"the sockets of LISTEN_FDS are {whose} and this is process {pid}; "
            "start changeover itself, or with `exec` where a script starts it"
        )
    count = int(written)
    names = environment["LISTEN_FDNAMES"].split(":") if environment.get("LISTEN_FDNAMES") else ["unknown"] * count
    if len(names) != count:
        return Passed(problem=f"LISTEN_FDNAMES has {len(names)} names for the {count} sockets of LISTEN_FDS")
    return Passed(tuple(names))


def of_this_process() -> Passed:
    """What was passed to this process; before its variables are taken away."""
    return passed_to(os.environ, os.getpid())


def addresses(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Every socket that was announced, as addresses; without those that come from our store."""
    written = environment.get("LISTEN_FDS", "")
    count = int(written) if written.isascii() and written.isdigit() else 0
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    return tuple(
        f"fd://{FIRST + index}"
        for index in range(count)
        if not (index < len(names) and names[index].startswith(STORED))
    )


def stored_name(address: str) -> str:
    """Under which name the sockets of an address are stored: printable, and without a colon."""
    return (STORED + quote(address, safe="/[]*."))[:LONGEST_NAME]
