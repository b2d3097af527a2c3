"""What one program hands to the next that runs in its process: descriptors, by number, and who it was.

Written by one version and read by another: fields may be added with a default, and never change their meaning.
"""

import os
from collections.abc import MutableMapping
from contextlib import suppress

import msgspec

from changeover.workers.protocol.belongings import Belongings

VARIABLE = "CHANGEOVER_HANDED"
"""Names the descriptor of the file that holds it; removed from the environment before anything else is started."""
REASON = "CHANGEOVER_FELL_BACK"
"""Says why the program that was executed in between did not come up; likewise."""
READY = b"!"
"""Written into the pipe by a program that has taken over."""


class Handed(msgspec.Struct, frozen=True):
    """Everything that is inherited over the execution of another program.

    Attributes:
        version: Of the program that hands over.
        runtime_lock: The runtime directory's lock.
        state_lock: The state directory's lock.
        belongings: Listening sockets, commit cell, page of counts.
        zygotes: Connections to zygotes, by the name of the zygote's socket.
        control: The listening control socket; -1 when it was not served.
        ready: Pipe to write `READY` into.
        secret: What the nonces of workers are derived from; its file may have been tidied away since.
        slots: How many workers are wanted by now; -1 = as many as the settings say.
        settings: What the one that hands over goes by, in JSON: read by itself alone, when it comes back.
    """

    version: str
    runtime_lock: int
    state_lock: int
    belongings: Belongings
    zygotes: dict[str, int] = {}
    control: int = -1
    ready: int = -1
    secret: str = ""
    slots: int = -1
    settings: str = ""

    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        numbers = (self.runtime_lock, self.state_lock, self.control, self.ready)
        held = (*numbers, *self.belongings.descriptors(), *self.zygotes.values())
        return tuple(fd for fd in held if fd >= 0)

    def say_ready(self) -> None:
        """Tell the launcher that the service is taken over: there is no way back any more."""
        with suppress(BrokenPipeError):  # after a way back nobody waits for it
            os.write(self.ready, READY)
        os.close(self.ready)


class Inherited(msgspec.Struct, frozen=True):
    """How this program came to run in a process that was a supervisor before.

    Attributes:
        handed: What it was handed.
        fell_back: Why the program in between did not come up; empty when there was none.
    """

    handed: Handed
    fell_back: str = ""


def take(environment: MutableMapping[str, str]) -> Inherited | None:
    """What this process was handed; None in one that was just started."""
    number = environment.pop(VARIABLE, "")
    reason = environment.pop(REASON, "")
    if not number:
        return None
    with open(int(number), "rb") as file:
        file.seek(0)
        handed = msgspec.json.decode(file.read(), type=Handed)
    for fd in handed.descriptors():
        os.set_inheritable(fd, False)
    return Inherited(handed, reason)


def leave(handed: Handed) -> int:
    """Write it into a file in memory; the descriptor is the caller's."""
    fd = os.memfd_create("changeover-handed", os.MFD_CLOEXEC)
    os.write(fd, msgspec.json.encode(handed))
    return fd
