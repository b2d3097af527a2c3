"""Workers that hand connections over in a world of chance: both machines, and no sockets.

Links keep the order of packets and lose none, as SEQPACKET does; processes die at any step; the
system refuses packets and loses descriptors. After every step each connection must have one owner.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from changeover.workers.handover import effects, events, outbound
from changeover.workers.handover.effects import Effect
from changeover.workers.handover.events import Arrival, Event, Hindrance
from changeover.workers.handover.messages import (
    HANDOVER_VERSION,
    Adopted,
    Declined,
    FromReceiver,
    Introduction,
    StateRefused,
    StateTaken,
    Welcomed,
)
from changeover.workers.handover.receiver import Receiver
from changeover.workers.handover.sender import Sender
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.handover import JOURNAL, worker_id

REFUSAL = Refusal(Stage.INITIALISE, Fault.CRASH, "it cannot be imported")
FOR_EVER, SHORT = 1e6, 1.0
"""Seconds that connections wait to be taken."""


@dataclass(eq=False)
class Connection:
    """A client's connection.

    Attributes:
        id: Its sender's number.
        unread: Bytes that have to arrive as they are.
        since: When it came to rest.
        adopted: Who registered it.
        lost: Whether its owner died with it, or its client left.
        ended: Whether it was closed because nobody took it.
    """

    id: int
    unread: bytes
    since: float
    adopted: list["ReceivingSide"] = field(default_factory=list)
    lost: bool = False
    ended: bool = False


@dataclass(eq=False)
class Gift:
    """What a plugin knows, on its way from worker to worker.

    Attributes:
        id: Its sender's number.
        receiver: To whom.
        sent: Whether a packet with it left.
        begun: Who gave it to the plugin there.
        refused: Whether that plugin cannot take it.
        settled: What its sender was told became of it; nothing said counts as well.
    """

    id: int
    receiver: "ReceivingSide"
    sent: bool = False
    begun: list["ReceivingSide"] = field(default_factory=list)
    refused: bool = False
    settled: list[StateTaken | StateRefused | None] = field(default_factory=list)


Passing = tuple[Connection, bytes]
Packet = tuple[Passing, ...]


class Wire:
    """A link: two queues, and whether each end is open."""

    def __init__(self, number: int, sender: "SendingSide", receiver: "ReceivingSide") -> None:
        self.number = number
        self.sender = sender
        self.receiver = receiver
        self.onward: deque[Introduction | Packet | Gift] = deque()
        self.back: deque[FromReceiver] = deque()
        self.sender_open = self.receiver_open = True


class Process:
    """Feeds one machine and performs what it wants."""

    machine: Sender | Receiver
    close: Callable[[], None]
    die: Callable[[], None]

    def __init__(self, world: "World", incarnation: int) -> None:
        self.world = world
        self.worker = worker_id(incarnation)
        self.alive = True
        self.wake: float | None = None
        self.wires: dict[Any, Wire] = {}
        self._events: deque[Event] = deque()
        self._feeding = False
        self.perform: dict[type[Effect], Callable[..., None]] = {}

    def feed(self, event: Event) -> None:
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        while self._events:
            happened = self._events.popleft()
            wanted = self.machine.handle(happened, self.world.now)
            self.world.trace.append((self.world.now, self.worker.incarnation, happened, wanted))
            for effect in wanted:
                self.perform[type(effect)](effect)
        self._feeding = False

    def set_wake(self, effect: effects.Wake) -> None:
        self.wake = effect.at

    def tick(self) -> None:
        if self.wake is not None and self.wake <= self.world.now:
            self.wake = None
            self.feed(events.Woken())


class SendingSide(Process):
    """A worker that leaves."""

    machine: Sender

    def __init__(self, world: "World", incarnation: int) -> None:
        super().__init__(world, incarnation)
        self.machine = Sender(world.patience)
        self.wires: dict[WorkerId, Wire] = {}
        self.held: dict[int, Connection] = {}
        self.gifts: dict[int, Gift] = {}
        self.closing = False
        self.perform = {
            effects.Introduce: self._introduce,
            effects.Offer: self._offer,
            effects.LetGo: self._let_go,
            effects.End: self._end,
            effects.Disconnect: self._disconnect,
            effects.Give: self._give,
            effects.Settle: self._settle,
            effects.Wake: self.set_wake,
        }

    def connect(self, receiver: "ReceivingSide") -> None:
        if receiver.worker not in self.wires and receiver.listening:
            wire = self.world.wire(self, receiver)
            self.wires[receiver.worker] = wire
            receiver.wires[wire.number] = wire
            receiver.feed(events.LinkMade(wire.number))
            self.feed(events.Connected(receiver.worker))

    def rest(self, connections: Sequence[Connection]) -> None:
        self.held |= {connection.id: connection for connection in connections}
        self.feed(events.Rested(tuple(connection.id for connection in connections)))

    def give(self, receiver: "ReceivingSide") -> None:
        """Give the state of a plugin to one of those that may be connected."""
        gift = Gift(len(self.world.gifts), receiver)
        self.world.gifts.append(gift)
        self.gifts[gift.id] = gift
        self.feed(events.StateReady(receiver.worker, gift.id))

    def read(self, wire: Wire, most: int) -> None:
        for _ in range(most):
            if not (self.alive and wire.sender_open):
                return
            if wire.back:
                self.feed(events.Heard(wire.receiver.worker, wire.back.popleft()))
            elif not wire.receiver_open:
                self.feed(events.LinkEnded(wire.receiver.worker))

    def _introduce(self, effect: effects.Introduce) -> None:
        self.wires[effect.receiver].onward.append(Introduction(HANDOVER_VERSION, self.worker, Stamp(JOURNAL, 1, 1)))

    def _offer(self, effect: effects.Offer) -> None:
        left = deque(id for id in effect.ids if not self._vanishes(id))
        while left:
            ids = tuple(left.popleft() for _ in range(min(len(left), self.world.random.randint(1, 16))))
            self._send(self.wires[effect.receiver], ids)

    def _vanishes(self, id: int) -> bool:
        vanishes = self.world.chance("vanish")
        if vanishes:
            self.held.pop(id).lost = True
            self.feed(events.Vanished(id))
        return vanishes

    def _send(self, wire: Wire, ids: tuple[int, ...]) -> None:
        if not wire.receiver_open or self.world.chance("link"):
            self.feed(events.NotSent(ids, Hindrance.LINK))
        elif self.world.chance("packet"):
            self.feed(events.NotSent(ids, Hindrance.PACKET))
        else:
            wire.onward.append(tuple((self.held[id], self.held[id].unread) for id in ids))
            self.feed(events.Sent(ids))

    def _let_go(self, effect: effects.LetGo) -> None:
        connection = self.held.pop(effect.id)
        assert connection.adopted or self.world.under_way(connection), "a connection that nobody has was let go of"

    def _end(self, effect: effects.End) -> None:
        connection = self.held.pop(effect.id)
        assert not connection.adopted, "a connection of somebody else was closed"
        assert self.closing or connection.since + self.world.patience <= self.world.now, "closed before its time"
        connection.ended = True

    def _give(self, effect: effects.Give) -> None:
        gift, wire = self.gifts[effect.id], self.wires[effect.receiver]
        if not wire.receiver_open or self.world.chance("link"):
            self.feed(events.StateNotSent(gift.id))
        else:
            gift.sent = True
            wire.onward.append(gift)
            self.feed(events.StateSent(gift.id))

    def _settle(self, effect: effects.Settle) -> None:
        gift = self.gifts.pop(effect.id)
        assert not gift.settled, f"it is known twice what became of state {gift.id}"
        gift.settled.append(effect.answer)
        if isinstance(effect.answer, StateTaken):
            assert gift.begun == [gift.receiver], f"state {gift.id} is held to be taken by who never had it"
            assert not gift.refused
        elif isinstance(effect.answer, StateRefused):
            assert gift.begun == [gift.receiver]
            assert gift.refused
        elif gift.sent:
            assert self.machine.link(gift.receiver.worker) is outbound.State.LOST, f"state {gift.id} was given up"

    def _disconnect(self, effect: effects.Disconnect) -> None:
        self.world.close_sender(self.wires.pop(effect.receiver))

    def close(self) -> None:
        """Give up: what was said until now is heard."""
        for wire in tuple(self.wires.values()):
            self.read(wire, len(wire.back) + 1)
        self.closing = True
        self.feed(events.Closed())
        self.die()

    def die(self) -> None:
        self.alive = False
        for wire in self.wires.values():
            self.world.close_sender(wire)
        for connection in self.held.values():
            if not connection.adopted and not self.world.under_way(connection):
                connection.lost = True
        self.held.clear()


class ReceivingSide(Process):
    """A worker that stays."""

    machine: Receiver

    def __init__(self, world: "World", incarnation: int) -> None:
        super().__init__(world, incarnation)
        self.machine = Receiver(JOURNAL)
        self.wires: dict[int, Wire] = {}
        self.listening = True
        self.room = world.random.choice([0, 3, 20, 1000])
        self.knows_of_state = world.random.choice([True, True, True, False])
        self.states: dict[tuple[int, int], Gift] = {}
        self.importing: list[tuple[int, Gift]] = []
        self.arrived: dict[tuple[int, int], Passing] = {}
        self.owned: list[Connection] = []
        self.perform = {
            effects.Say: self._say,
            effects.Adopt: self._adopt,
            effects.Drop: self._drop,
            effects.HangUp: self._hang_up,
            effects.Take: self._take,
            effects.Forget: self._forget,
            effects.Wake: self.set_wake,
        }

    def stand(self) -> None:
        room = events.Room(max(0, self.room - len(self.owned)), 100_000)
        self.feed(events.Standing(room, len(self.owned)))

    def tick(self) -> None:
        if self.wake is not None and self.wake <= self.world.now:
            self.stand()
        super().tick()

    def read(self, wire: Wire, most: int) -> None:
        arrivals: list[Arrival] = []
        for _ in range(most):
            if not (self.alive and wire.receiver_open and wire.onward):
                break
            packet = wire.onward.popleft()
            if isinstance(packet, Introduction):
                self.feed(events.Introduced(wire.number, packet))
            elif isinstance(packet, Gift):
                self.states[wire.number, packet.id] = packet
                self.feed(events.StateArrived(wire.number, packet.id))
            else:
                arrivals += self._unpack(wire, packet)
        if arrivals:
            self.stand()
            self.feed(events.Arrived(wire.number, tuple(arrivals)))
        if wire.receiver_open and not wire.onward and not wire.sender_open:
            self.feed(events.SenderEnded(wire.number))

    def _unpack(self, wire: Wire, packet: Packet) -> Iterator[Arrival]:
        """Its connections; when descriptors run short, the last ones come without."""
        whole = True
        for passing in packet:
            whole = whole and not self.world.chance("cut")
            if whole:
                self.arrived[wire.number, passing[0].id] = passing
            else:
                self.world.lose_if_nobody_has(passing[0])
            yield Arrival(passing[0].id, whole)

    def _say(self, effect: effects.Say) -> None:
        wire = self.wires.get(effect.link)
        if wire is None:
            return
        if not wire.sender_open:
            self.feed(events.Unsaid(effect.link, gone=True))
        elif self.world.chance("mute"):
            self.feed(events.Unsaid(effect.link, gone=False))
        else:
            older = isinstance(effect.message, Welcomed) and not self.knows_of_state
            wire.back.append(Welcomed() if older else effect.message)
            if isinstance(effect.message, Adopted | Declined):
                self.feed(events.Said(effect.link, effect.message))

    def _adopt(self, effect: effects.Adopt) -> None:
        connection, unread = self.arrived.pop((effect.link, effect.id))
        assert unread == connection.unread
        assert not connection.adopted, f"{connection.id} was adopted twice"
        assert not connection.ended, f"{connection.id} was closed, and goes on"
        connection.adopted.append(self)
        self.owned.append(connection)

    def _drop(self, effect: effects.Drop) -> None:
        connection, _ = self.arrived.pop((effect.link, effect.id))
        assert self.world.is_kept(connection), f"{connection.id} was dropped by the only one who had it"

    def _take(self, effect: effects.Take) -> None:
        gift = self.states.pop((effect.link, effect.id))
        assert self.knows_of_state
        assert not gift.begun, f"state {gift.id} was given twice"
        gift.begun.append(self)
        self.importing.append((effect.link, gift))

    def _forget(self, effect: effects.Forget) -> None:
        del self.states[effect.link, effect.id]

    def judge(self) -> None:
        """The plugin has taken the oldest state that it was given, or has not."""
        if self.alive and self.importing:
            link, gift = self.importing.pop(0)
            gift.refused = self.world.chance("import")
            self.feed(events.StateJudged(link, gift.id, REFUSAL if gift.refused else None))

    def _hang_up(self, effect: effects.HangUp) -> None:
        self.world.close_receiver(self.wires.pop(effect.link))

    def close(self) -> None:
        """Stop receiving, and live on with what is owned."""
        self.listening = False
        for wire in tuple(self.wires.values()):
            self.world.close_receiver(wire)
        self.wires.clear()

    def die(self) -> None:
        self.close()
        self.alive = False


class World:
    """A few workers, and everything that can happen to them.

    Args:
        seed: Decides all of it.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.patience = self.random.choice([FOR_EVER, FOR_EVER, SHORT])
        self.trace: deque[tuple[float, int, Event, Sequence[Effect]]] = deque(maxlen=60)
        self.faults = dict.fromkeys(("vanish", "link", "packet", "cut", "mute", "import"), 0.0)
        for fault in self.faults:
            self.faults[fault] = self.random.choice([0.0, 0.0, 0.05, 0.3])
        self.wires: list[Wire] = []
        self.numbered = 0
        self.connections: list[Connection] = []
        self.gifts: list[Gift] = []
        self.unsettled: set[Connection] = set()
        self.senders = [SendingSide(self, 1 + n) for n in range(self.random.randint(1, 2))]
        self.receivers = [ReceivingSide(self, 11 + n) for n in range(self.random.randint(1, 3))]

    def chance(self, fault: str) -> bool:
        return self.random.random() < self.faults[fault]

    # ---- what can happen ----

    def step(self) -> None:
        """One thing happens."""
        self.now += self.random.choice([0.0, 0.0001, 0.003, 0.05])
        action = self.random.choices(
            [self.read_some, self.rest_some, self.connect, self.tick, self.kill, self.give_some, self.judge_some],
            weights=[60, 15, 8, 16, 1, 6, 8],
        )[0]
        action()
        self.check()

    def read_some(self) -> None:
        if self.wires:
            wire, most = self.random.choice(self.wires), self.random.randint(1, 40)
            self.random.choice([wire.sender.read, wire.receiver.read])(wire, most)

    def rest_some(self) -> None:
        sender = self.random.choice(self.senders)
        if sender.alive:
            first, count = len(self.connections), self.random.choice([1, 1, 5, 40])
            rested = [Connection(first + n, self.random.randbytes(3), self.now) for n in range(count)]
            self.connections += rested
            self.unsettled.update(rested)
            sender.rest(rested)

    def give_some(self) -> None:
        sender, receiver = self.random.choice(self.senders), self.random.choice(self.receivers)
        if sender.alive:
            sender.give(receiver)

    def judge_some(self) -> None:
        self.random.choice(self.receivers).judge()

    def connect(self) -> None:
        sender, receiver = self.random.choice(self.senders), self.random.choice(self.receivers)
        if sender.alive and receiver.alive:
            sender.connect(receiver)

    def tick(self) -> None:
        for process in (*self.senders, *self.receivers):
            if process.alive:
                process.tick()

    def kill(self) -> None:
        victim = self.random.choice([*self.senders, *self.receivers])
        if victim.alive and self.random.random() < 0.3:
            victim.close()
        elif victim.alive:
            victim.die()

    def heal(self) -> None:
        """Nothing fails any more, and somebody has room."""
        self.faults = dict.fromkeys(self.faults, 0.0)
        self.receivers.append(ReceivingSide(self, 99))
        for receiver in self.receivers:
            receiver.room = 100_000
        self.wires = [wire for wire in self.wires if wire.sender_open or wire.receiver_open]
        for _ in range(400):
            self.now += 0.3
            for sender in self.senders:
                for receiver in self.receivers:
                    if sender.alive and receiver.alive:
                        sender.connect(receiver)
            for wire in tuple(self.wires):
                wire.receiver.read(wire, 32)
                wire.sender.read(wire, 32)
            for receiver in self.receivers:
                receiver.judge()
            self.tick()
            self.check()
            if self.at_rest:
                return
        raise AssertionError("the healed world does not come to rest")

    @property
    def at_rest(self) -> bool:
        under_way = any(wire.onward for wire in self.wires) or any(sender.held for sender in self.senders)
        return not under_way and not any(sender.gifts for sender in self.senders if sender.alive)

    # ---- what must hold ----

    def check(self) -> None:
        """Each connection has exactly one owner that lives, or its owner died."""
        kept = {id: sender for sender in self.senders for id in sender.held}
        under_way = set(self._under_way())
        for connection in tuple(self.unsettled):
            keeper = kept.get(connection.id)
            if connection.adopted and keeper is not None:
                state = keeper.machine.link(connection.adopted[0].worker)
                assert state is not outbound.State.LOST, f"{connection.id} is registered there, and ours here"
            elif keeper is None and connection.id not in under_way:
                settled = bool(connection.adopted) or connection.ended or connection.lost
                assert settled, f"nobody has {connection.id}"
                self.unsettled.remove(connection)

    def under_way(self, connection: Connection) -> bool:
        """Whether a living receiver may still come to it."""
        return connection.id in self._under_way()

    def _under_way(self) -> Iterator[int]:
        for wire in self.wires:
            if wire.receiver_open:
                yield from (connection.id for connection, _ in _passing(wire))
        for receiver in self.receivers:
            yield from (connection.id for connection, _ in receiver.arrived.values())

    def lose_if_nobody_has(self, connection: Connection) -> None:
        """A descriptor was closed: its owner has died, unless it still has its own."""
        if not self.is_kept(connection):
            connection.lost = not connection.adopted

    def is_kept(self, connection: Connection) -> bool:
        """Whether its sender lives and has it."""
        return any(sender.held.get(connection.id) is connection for sender in self.senders)

    def told(self) -> str:
        """What happened last."""
        return "\n".join(f"{now:8.3f} {who}: {event} -> {list(wanted)}" for now, who, event, wanted in self.trace)

    # ---- links ----

    def wire(self, sender: SendingSide, receiver: ReceivingSide) -> Wire:
        self.numbered += 1
        wire = Wire(self.numbered, sender, receiver)
        self.wires.append(wire)
        return wire

    def close_sender(self, wire: Wire) -> None:
        wire.sender_open = False
        wire.back.clear()

    def close_receiver(self, wire: Wire) -> None:
        wire.receiver_open = False
        dropped = tuple(_passing(wire))
        wire.onward.clear()
        for connection, _ in dropped:
            self.lose_if_nobody_has(connection)


def _passing(wire: Wire) -> Iterator[Passing]:
    """What is on its way over a link."""
    for packet in wire.onward:
        if not isinstance(packet, Introduction | Gift):
            yield from packet
