"""Which pipeline a connection belongs to, and what goes on from one to the next."""

from collections.abc import Callable
from time import monotonic_ns
from typing import Any, ParamSpec, TypeVar

from changeover.workers.channel.phases import Overdue
from changeover.workers.message.chain import Bounds
from changeover.workers.message.channel import Channel
from changeover.workers.message.codec import Codec, Goodbye
from changeover.workers.message.contract import MessageCall
from changeover.workers.message.failure import report_between
from changeover.workers.message.site import Generation, MessageSite, MessageTarget
from changeover.workers.plugins.refused import ContractBroken
from changeover.workers.serving.counters import PipelineCounters
from changeover.workers.serving.lease import Lease, LeaseKind, current_lease

P = ParamSpec("P")
T = TypeVar("T")

ANYBODY = Bounds()
GOODBYES = {
    Overdue.CLOSE: Goodbye.IDLE,
    Overdue.TIMEOUT: Goodbye.SLOW,
    Overdue.UNAVAILABLE: Goodbye.UNSERVED,
}
"""How a client is told that it took too long."""
MOST_STATE = 16 * 1024
"""Most bytes of one connection's state."""


class Session:
    """A connection's place in a generation.

    Between two pipelines its state is bytes that nobody knows: nothing of a version outlives its last message here.

    Args:
        site: What it has in common with others.
        name: Its initializer.
        channel: The connection, as user code sees it.

    Attributes:
        target: What answers; None before the first one, and between two.
        codec: Of the last one.
        counters: Of the last one.
    """

    __slots__ = ("_channel", "_epoch", "_held", "_met", "_name", "_site", "_state", "codec", "counters", "target")

    def __init__(self, site: MessageSite, name: str, channel: Channel) -> None:
        self.target: MessageTarget | None = None
        self.codec: Codec[Any] | None = None
        self.counters: PipelineCounters | None = None
        self._site = site
        self._name = name
        self._channel = channel
        self._epoch = 0
        self._met = False
        self._state = b""
        self._held: Lease | None = None

    @property
    def outdated(self) -> bool:
        """Whether a generation serves that has another pipeline, or none."""
        return self._held is not None

    @property
    def bounds(self) -> Bounds:
        """How long the connection may take."""
        return ANYBODY if self.target is None else self.target.pipeline.bounds

    def call(self, target: MessageTarget, started: int) -> MessageCall:
        """What travels with a message that is dispatched now, with a lease.

        Args:
            target: What `turn_to` said.
            started: When it was admitted, CLOCK_MONOTONIC in nanoseconds.
        """
        lease = target.unit_set.lease(LeaseKind.HTTP, self._epoch, self._name, started)
        return MessageCall(self._epoch, self._name, self._site.worker, started, lease, channel=self._channel)

    def word(self, goodbye: Goodbye | None) -> bytes:
        """How the protocol words the end, which is counted; empty where it has no word, or there is no reason."""
        if goodbye is not None and self.counters is not None:
            self.counters.ends[goodbye.value] += 1
        if goodbye is None or self.codec is None:
            return b""
        try:
            return self.codec.goodbye(goodbye)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is its own failure
            self.report(error, connected=True)
            return b""

    def report(self, error: BaseException, *, connected: bool) -> None:
        """Log what user code raised that belongs to no message."""
        report_between(error, self._name, self._epoch, connected=connected)

    def hold(self, generation: Generation) -> None:
        """Where `generation` lacks the pipeline, keep its units until the connection has moved."""
        if self.target is not None and self._held is None:
            target = self._target_in(generation)
            if target is None or target.pipeline is not self.target.pipeline:
                self._held = self._lease(self.target)

    def exported(self) -> bytes | None:
        """The state, between two pipelines; None when no service knows of the connection."""
        return self._state if self._met else None

    def arrive(self, state: bytes | None) -> None:
        """Go on with what another process exported."""
        self._met = state is not None
        self._state = state or b""

    def turn_to(self, generation: Generation) -> MessageTarget | None:
        """Make the pipeline that answers in `generation` the connection's; None when there is none.

        Raises:
            Exception: Whatever a service raises that exports or imports state, or greets.
        """
        target = self._target_in(generation)
        current = self.target
        if target is None:
            self.part()
            self.codec = self.counters = None
            return None
        if current is not None and current.pipeline.service != target.pipeline.service:
            self.part()
        known = self.target is not None
        self.target, self._epoch = target, generation.epoch
        self.codec, self.counters = target.pipeline.codec, target.pipeline.counters
        self._let_go()
        if not known:
            self._meet(target)
        return target

    def _target_in(self, generation: Generation) -> MessageTarget | None:
        return generation.messages.get((self._channel.outcome.listener, self._name))

    def _meet(self, target: MessageTarget) -> None:
        met, self._met = self._met, True
        state, self._state = self._state, b""
        sessions = target.pipeline.sessions
        if sessions is None:
            return
        if not met:
            self._run(target, sessions.opened, self._channel)
        elif state:
            self._run(target, sessions.import_state, self._channel, state)

    def part(self) -> None:
        """Leave the pipeline; what its service knows of the connection becomes bytes.

        Raises:
            ContractBroken: It is no bytes, or too many.
            Exception: Whatever the service raises.
        """
        target, self.target = self.target, None
        try:
            if target is not None and target.pipeline.sessions is not None:
                self._state = _checked(self._run(target, target.pipeline.sessions.export_state, self._channel))
        finally:
            self._channel.state = None
            self._let_go()

    def end(self) -> None:
        """The connection is gone.

        Raises:
            Exception: Whatever the service raises.
        """
        target, self.target = self.target, None
        try:
            if target is not None and target.pipeline.sessions is not None:
                self._run(target, target.pipeline.sessions.closed, self._channel)
        finally:
            self._channel.state = None
            self._let_go()

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.release()

    def _lease(self, target: MessageTarget) -> Lease:
        return target.unit_set.lease(LeaseKind.TASK, self._epoch, self._name, monotonic_ns())

    def _run(self, target: MessageTarget, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what belongs to a pipeline: whatever it starts holds the pipeline's units."""
        lease = self._lease(target)
        context = self._site.context.copy()
        context.run(current_lease.set, lease)
        try:
            return context.run(call, *args, **kwargs)
        finally:
            lease.release()


def _checked(state: object) -> bytes:
    if state is None:
        return b""
    if not isinstance(state, bytes):
        raise ContractBroken(f"export_state returned a {type(state).__name__}; return bytes or None")
    if len(state) > MOST_STATE:
        raise ContractBroken(f"export_state returned {len(state)} bytes; at most {MOST_STATE} go over")
    return state
