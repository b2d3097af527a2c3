"""What an interpreter answered, and whether it can execute what serves. Pure."""

from collections.abc import Iterator

import msgspec

from changeover.supervisor.interpreters.question import OLDEST
from changeover.supervisor.process.errors import ProcessError
from changeover.workers.pinned.announced import Announced
from changeover.workers.protocol.messages import PROTOCOL_VERSION
from changeover.workers.protocol.refusal import Fault, Refusal, Stage

NEEDED = ("changeover.workers", "msgspec", "zmq", "multiprocess", "setproctitle", "uvloop", "httptools")
"""What a zygote and its workers import; the first stands for all of changeover."""


class InterpreterUnfit(ProcessError):
    """An interpreter cannot execute what serves.

    Attributes:
        python: Path of its executable.
        reason: What is wrong, and what to do.
        fault: Whose fault it is.
    """

    def __init__(self, python: str, reason: str, fault: Fault = Fault.CONFIG) -> None:
        self.python = python
        self.reason = reason
        self.fault = fault
        super().__init__(f"python {python} {reason}")

    def refusal(self, stage: Stage) -> Refusal:
        """As a refusal."""
        return Refusal(stage, self.fault, str(self))


class Answer(msgspec.Struct, frozen=True):
    """What an interpreter says of itself; what it cannot know is left out.

    Attributes:
        implementation: Which Python it is.
        version: Its version.
        release: The same, major and minor.
        missing: What it cannot import -> why.
        protocol: The version of the wire that its changeover speaks; 0 when it cannot even say that.
        changeover: The version of its changeover; empty when none is said to be installed.
        search: Where distributions are installed for it.
        folders: Its own folders, which are no application's.
        plugins: What is announced by the distributions that are installed for it.
    """

    implementation: str
    version: str
    release: tuple[int, int]
    missing: dict[str, str] = {}
    protocol: int = 0
    changeover: str = ""
    search: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    plugins: tuple[Announced, ...] = ()


def judged(python: str, said: Answer, ours: str) -> Answer:
    """The answer of an interpreter that can execute what serves.

    Args:
        python: Path of its executable.
        said: What it answered.
        ours: The version of the supervisor's changeover.

    Raises:
        InterpreterUnfit: It cannot.
    """
    for wrong in _wrong(python, said, ours):
        raise InterpreterUnfit(python, wrong)
    return said


def _wrong(python: str, said: Answer, ours: str) -> Iterator[str]:
    oldest = ".".join(map(str, OLDEST))
    if said.implementation != "CPython":
        yield f"is {said.implementation} {said.version}, and workers need CPython {oldest} or later"
    elif said.release < OLDEST:
        yield f"is Python {said.version}, and workers need {oldest} or later"
    install = f"`{python} -m pip install changeover=={ours}`"
    if said.protocol not in (0, PROTOCOL_VERSION):
        there = f"changeover {said.changeover}" if said.changeover else "a changeover"
        speaks = f"speaks protocol {said.protocol} with its supervisor, and this one speaks {PROTOCOL_VERSION}"
        yield f"has {there} that {speaks}: {install} makes them the same"
    for name, why in said.missing.items():
        yield f"cannot import {name} ({why}): {install} installs what workers need"
    if not said.protocol:
        yield f"does not say which protocol its changeover speaks: {install} installs one that does"
