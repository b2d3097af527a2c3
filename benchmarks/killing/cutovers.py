"""Cutovers at whose steps a supervisor is killed: how each is set off, and what is taken back before the next one."""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks.contents import Contents
from benchmarks.killing import moments
from benchmarks.killing.moments import Moment
from benchmarks.subject import Kind, Subject, SubjectBroken, free_port, until
from changeover.supervisor.api.bodies import CutoverBody
from changeover.supervisor.api.client import NoAnswer, ProblemAnswered, WaitEnded
from changeover.supervisor.core.outcome import Strategy

MODULE = "probe/__init__.py"
MARKED = "    marker = MARKER\n"
MIGRATING = """\
    marker = MARKER

    def migrate(self, old: object) -> None:
        note("migrate")
        if Path("migration-fails").exists():
            raise RuntimeError("broken on purpose")

    def unmigrate(self, old: object) -> None:
        note("unmigrate")
"""
NOTING = """

def note(what: str) -> None:
    with Path("migrations").open("a") as file:
        file.write(f"{what} {MARKER}\\n")
"""
BROKEN = '\nraise RuntimeError("broken on purpose")\n'
SHORT_LINGER = "[drain]\naddress = 0.3\n"
LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""
SETTLED = 10.0
"""Seconds until what was migrated for an aborted epoch is undone, and an address is as it has to be."""
SURGE = 1
"""How many workers a part of a roll has."""
WAIT = 30.0
"""Seconds after which a command that nobody waits for gives up."""


class Cutover(msgspec.Struct, frozen=True):
    """What is set off, beside new content.

    Attributes:
        name: For people.
        moments: Of how many workers -> at which steps of it a supervisor dies.
        migrates: Whether the content migrates something.
        fails: Whether that migration fails.
        broken: Whether the content does not load.
        moves: Whether an address is added.
        taken: Whether somebody has that address.
        parts: Whether it is a roll with one more worker at a time.
        first: Where the supervisor dies that is before the one that dies at a moment.
    """

    name: str
    moments: Callable[[int], tuple[Moment, ...]]
    migrates: bool = False
    fails: bool = False
    broken: bool = False
    moves: bool = False
    taken: bool = False
    parts: bool = False
    first: Moment | None = None


class Play(msgspec.Struct, frozen=True):
    """Cutovers of one server, one kind after the other.

    Attributes:
        name: For people.
        kind: Of the server.
        cutovers: What is set off.
        workers: Of the server; None for as many as usual.
        mixes: Whether two versions serve beside each other, as they do in parts.
    """

    name: str
    kind: Kind
    cutovers: tuple[Cutover, ...]
    workers: int | None = None
    mixes: bool = False

    def moments(self, workers: int) -> tuple[tuple[Cutover, Moment], ...]:
        """Every moment of every one."""
        return tuple((cutover, moment) for cutover in self.cutovers for moment in cutover.moments(workers))


def _always(*steps: Moment) -> Callable[[int], tuple[Moment, ...]]:
    """The same moments for any number of workers."""
    return lambda workers: steps


_WAY_BACK = _always(*moments.WAY_BACK)

PLAYS = (
    Play(
        "swap",
        Kind.PLUGIN,
        (
            Cutover("swap", moments.of_swap),
            Cutover("migration", _always(*moments.MIGRATION), migrates=True),
            Cutover("failing migration", _always(*moments.UNMIGRATED), migrates=True, fails=True),
            Cutover("content that does not load", _always(*moments.UNREHEARSED), broken=True),
        ),
    ),
    Play("roll", Kind.APPLICATION, (Cutover("roll", moments.of_roll),)),
    Play(
        "roll elsewhere",
        Kind.PLUGIN,
        (
            Cutover("address in use", _always(*moments.UNBOUND), moves=True, taken=True),
            Cutover("further address", _always(*moments.MOVE), migrates=True, moves=True),
            Cutover("failing migration", _always(*moments.UNMOVED), migrates=True, fails=True, moves=True),
        ),
        workers=2,
    ),
    Play(
        "roll in parts",
        Kind.APPLICATION,
        (
            Cutover("parts", _always(*moments.PARTS), parts=True),
            Cutover("way back", _WAY_BACK, parts=True, first=moments.PARTED),
        ),
        workers=2,
        mixes=True,
    ),
)
"""All of them, in the order of a run."""


class Staging:
    """Sets one kind of cutover off in one service, again and again.

    Args:
        subject: The service.
        cutover: What is set off.
    """

    def __init__(self, subject: Subject, cutover: Cutover) -> None:
        self._subject = subject
        self._cutover = cutover
        self._settings = subject.settings.read_text()
        if cutover.moves and SHORT_LINGER not in self._settings:
            self._settings += SHORT_LINGER
        self._port = 0
        self._taken: socket.socket | None = None
        subject.settings.write_text(self._settings)
        if cutover.migrates:
            subject.contents.put({MODULE: _migrating(subject.contents)})

    def set_off(self) -> str:
        """Have new content served, and say what it calls itself."""
        cutover, subject = self._cutover, self._subject
        marker = subject.contents.renew()
        if cutover.fails:
            self._failing.touch()
        if cutover.broken:
            subject.contents.append("probe/content.py", BROKEN)
        if cutover.moves:
            self._move()
        if cutover.parts:
            threading.Thread(target=self._ask_for_parts, name="roll in parts", daemon=True).start()
        else:
            subject.hang_up()
        return marker

    def take_back(self) -> None:
        """Let the next cutover be an ordinary one."""
        self._failing.unlink(missing_ok=True)
        self._subject.settings.write_text(self._settings)
        if self._taken is not None:
            self._taken.close()

    def problems(self, marker: str, keeps: bool) -> Iterator[str]:
        """What is not as it has to be once the cutover is settled; `keeps`: whether what it brought serves."""
        if self._cutover.migrates and not _comes(lambda: self._migrated(marker) is keeps):
            yield f"what {marker} migrates is {'not there' if keeps else 'not undone'}"
        if self._cutover.moves and not self._cutover.taken and not _comes(lambda: _listens(self._port) is keeps):
            yield f"port {self._port} is {'not served' if keeps else 'still listened on'}"

    @property
    def _failing(self) -> Path:
        return self._subject.folder / "migration-fails"

    def _move(self) -> None:
        if self._cutover.taken:
            self._taken = socket.create_server(("127.0.0.1", 0))
            self._port = self._taken.getsockname()[1]
        else:
            self._port = free_port()
        ours = f'"127.0.0.1:{self._subject.address[1]}"'
        self._subject.settings.write_text(self._settings.replace(ours, f'{ours}, "127.0.0.1:{self._port}"'))

    def _migrated(self, marker: str) -> bool:
        """Whether what a content migrates is done and not undone."""
        try:
            lines = (self._subject.folder / "migrations").read_text().splitlines()
        except FileNotFoundError:
            return False
        return [what for what, _, whose in (line.partition(" ") for line in lines) if whose == marker][-1:] == [
            "migrate"
        ]

    def _ask_for_parts(self) -> None:
        body = CutoverBody(strategy=Strategy.ROLL, surge=SURGE, allow_partial=True)
        with contextlib.suppress(NoAnswer, ProblemAnswered, WaitEnded):
            deque(self._subject.control.stream("POST", "/v1/cutovers", body, seconds=WAIT), maxlen=0)


def _migrating(contents: Contents) -> str:
    plain = contents.original(MODULE)
    imports = plain.replace("import asyncio\n", "import asyncio\nfrom pathlib import Path\n", 1)
    code = imports.replace(MARKED, MIGRATING, 1)
    if code == imports or imports == plain:
        raise SubjectBroken(f"{MODULE} is not written as expected: nothing in it can be made to migrate")
    return code + NOTING


def _listens(port: int) -> bool:
    """Whether somebody listens at a port; nobody connects for that, as nobody may accept there."""
    sockets = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == LISTENING for fields in sockets)


def _comes(condition: Callable[[], bool]) -> bool:
    try:
        until(condition, SETTLED, str, 0.05)
    except SubjectBroken:
        return False
    return True
