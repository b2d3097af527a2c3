"""What supervisor and zygote say to each other, over `zygote-<cohort>.sock` (SEQPACKET).

One message is one packet. `Forked` carries descriptors beside its bytes (SCM_RIGHTS): the
worker's pidfd, opened by the zygote before it may reap, and the file its stacks go to. A pid
sent as a number could be recycled before it arrives; it is there for people only.
"""

from typing import TypeVar

import msgspec

from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import Interface

MAX_PACKET = 128 * 1024
"""Longest packet, in bytes: fits the kernel's default send buffer."""

FORKED_DESCRIPTORS = 2
"""Descriptors beside `Forked`: the pidfd, then the stacks file."""

REHEARSE_DESCRIPTORS = 1
"""Descriptors beside `Rehearse`: a file with its `RehearsalOrder`, MessagePack, which may be longer than a packet."""

REHEARSING_DESCRIPTORS = 2
"""Descriptors beside `Rehearsing`: the keeper's pidfd, then the socket on which it sends its report."""

STACKS_SIGNAL = 34
"""SIGRTMIN: makes a zygote or worker, stuck or not, write the stacks of all its threads into its stacks file."""

DEFAULT_ENTRY = "changeover.workers.runtime.main:run"
"""What a worker runs: `run(birth: Birth) -> int`, the exit status."""


class Preload(msgspec.Struct, frozen=True):
    """The application to import once, before any fork.

    Attributes:
        target: `module:attribute`.
        directory: Its directory, put first on the import path.
        factory: Whether the attribute makes the application when it is called.
        store: The artifact store.
        artifact: Digest that names its content there; empty imports what lies on disk.
        distributions: Digest that names the record of what was installed with it; empty accepts anything.
        strict: Whether threads that this starts are a refusal.
        interface: How it is called.
    """

    target: str
    directory: str
    factory: bool = False
    store: str = ""
    artifact: str = ""
    distributions: str = ""
    strict: bool = False
    interface: Interface = Interface.AUTO


class ToZygote(msgspec.Struct, frozen=True, tag=True):
    """Said by the supervisor."""


class Setup(ToZygote, frozen=True):
    """First message of a new zygote; one that is set up already ignores it.

    Attributes:
        cohort: The zygote's number.
        name: The service's name, for titles.
        orphan: How long it waits for a supervisor that went away, in seconds; 0 = for ever.
        path: Directories put first on the import path, in this order.
        preload: What to import before forking; None imports nothing.
        entry: What a worker runs, `module:function`.
        threads: Modules that started threads in an earlier attempt to preload.
        journal: The journal that its workers belong to.
        rolled: The epoch whose roll made it: what its workers can serve.
        belongings: What it inherited for its workers, under its own numbers.
    """

    cohort: int
    name: str
    orphan: float = 900.0
    path: tuple[str, ...] = ()
    preload: Preload | None = None
    entry: str = DEFAULT_ENTRY
    threads: tuple[str, ...] = ()
    journal: str = ""
    rolled: int = 0
    belongings: Belongings = Belongings()

    @property
    def imported(self) -> str:
        """The record of what is installed with which an application is imported before the fork; empty for none."""
        return "" if self.preload is None or self.threads else self.preload.distributions


class Fork(ToZygote, frozen=True):
    """Fork a worker; answered by `Forked` or `ForkFailed`.

    Attributes:
        worker: Who it is to be. A second Fork for a living incarnation only repeats the answer.
        birth: Its `Birth`, MessagePack: whatever changed since the zygote began reaches each new worker.
        rolled: The epoch whose roll makes it. A zygote that was kept forks for a later one than it was started for.
    """

    worker: WorkerId
    birth: bytes
    rolled: int = 0


class Held(ToZygote, frozen=True):
    """The pidfd of `worker` arrived: let it begin. A worker that the supervisor does not hold never begins."""

    worker: WorkerId


class AskForked(ToZygote, frozen=True):
    """Repeat `Forked` with its descriptors: they did not arrive (no free descriptor)."""

    worker: WorkerId


class End(ToZygote, frozen=True):
    """Give up a worker that has not begun: its pidfd cannot be had. Answered by `Exited`."""

    worker: WorkerId


class ExitedSeen(ToZygote, frozen=True):
    """`Exited` need not be repeated."""

    worker: WorkerId


class Introduce(ToZygote, frozen=True):
    """Say all that a supervisor is told that connects; this one inherited the connection, and knows nothing yet."""


class Rehearse(ToZygote, frozen=True):
    """Fork a keeper, which has a candidate rehearsed below it; answered by `Rehearsing` or `RehearsalFailed`.

    The order comes with this packet, in a file.

    Attributes:
        number: Tells this rehearsal from others.
    """

    number: int


class EndRehearsal(ToZygote, frozen=True):
    """End what is below the keeper of `number`, and the keeper; one that is gone is none to end."""

    number: int


class Leave(ToZygote, frozen=True):
    """Fork no more; leave once all children are gone and their statuses are acknowledged."""


class FromZygote(msgspec.Struct, frozen=True, tag=True):
    """Said by the zygote."""


class Ready(FromZygote, frozen=True):
    """Set up, or greeting a supervisor that did not start it.

    The latter gets descriptors beside it, as `protocol.belongings` says, and `Forked` or `Exited` for each child after
    it.

    Attributes:
        cohort: Its number.
        pid: For people.
        children: Workers that live, or whose end is not acknowledged.
        threads: Modules that started threads when they were preloaded: this cohort imports after the fork.
        journal: The journal that its workers belong to.
        rolled: The epoch whose roll made the latest of its workers.
        belongings: What it holds, under its own numbers.
        rehearses: Whether it understands `Rehearse`.
        imported: Digest that names the record of what was installed when it imported the application; empty where it
            imported none, or does not say.
    """

    cohort: int
    pid: int
    children: tuple[WorkerId, ...] = ()
    threads: tuple[str, ...] = ()
    journal: str = ""
    rolled: int = 0
    belongings: Belongings = Belongings()
    rehearses: bool = False
    imported: str = ""


class PreloadFailed(FromZygote, frozen=True):
    """The application cannot be imported; the zygote leaves."""

    refusal: Refusal


class Forked(FromZygote, frozen=True):
    """`worker` exists and waits for `Held`; its pidfd and its stacks file come with this packet.

    Attributes:
        worker: Who it is.
        pid: For people.
        rolled: The epoch whose roll made it: what it can serve.
    """

    worker: WorkerId
    pid: int
    rolled: int = 0


class ForkFailed(FromZygote, frozen=True):
    """`worker` does not exist.

    Attributes:
        worker: Who it was to be.
        errno: The system's error number, 0 when it was none.
        reason: In words.
    """

    worker: WorkerId
    errno: int
    reason: str


class Exited(FromZygote, frozen=True):
    """`worker` ended; repeated until `ExitedSeen`.

    Attributes:
        worker: Who it was.
        status: Exit status, or minus the number of the signal that ended it.
    """

    worker: WorkerId
    status: int


class Rehearsing(FromZygote, frozen=True):
    """The keeper of `number` exists; its pidfd and the socket for its report come with this packet.

    Attributes:
        number: Which rehearsal.
        pid: For people.
    """

    number: int
    pid: int


class RehearsalFailed(FromZygote, frozen=True):
    """The keeper of `number` does not exist.

    Attributes:
        number: Which rehearsal.
        errno: The system's error number, 0 when it was none.
        reason: In words.
    """

    number: int
    errno: int
    reason: str


ZygoteOrder = Setup | Fork | Held | AskForked | End | ExitedSeen | Rehearse | EndRehearsal | Introduce | Leave
ZygoteReport = Ready | PreloadFailed | Forked | ForkFailed | Exited | Rehearsing | RehearsalFailed

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[ZygoteOrder] = msgspec.msgpack.Decoder(ZygoteOrder)
_reports: msgspec.msgpack.Decoder[ZygoteReport] = msgspec.msgpack.Decoder(ZygoteReport)


def encode(message: ZygoteOrder | ZygoteReport) -> bytes:
    """Encode a message as one packet."""
    return _encoder.encode(message)


def decode_order(packet: bytes) -> ZygoteOrder:
    """Decode what the supervisor said.

    Raises:
        MalformedFrame: `packet` is no order.
    """
    return _decode(_orders, packet)


def decode_report(packet: bytes) -> ZygoteReport:
    """Decode what the zygote said.

    Raises:
        MalformedFrame: `packet` is no report.
    """
    return _decode(_reports, packet)


def _decode(decoder: "msgspec.msgpack.Decoder[T]", packet: bytes) -> T:
    try:
        return decoder.decode(packet)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise MalformedFrame(len(packet), str(error)) from error
