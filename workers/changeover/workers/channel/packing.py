"""A connection's luggage: packed where it leaves, unpacked where it goes on."""

from changeover.workers.channel.connection import Carrying, Connection
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.luggage import Luggage
from changeover.workers.channel.phases import Phase, Sight
from changeover.workers.channel.tunnel import CUT
from changeover.workers.protocol.assembly import HTTP

PHASES = {phase.name: phase for phase in Phase}


def pack(connection: Connection, now: float) -> Luggage:
    """What a connection takes along.

    Args:
        connection: Nothing of it is under way.
        now: Seconds of the loop's clock.
    """
    sight, watch = connection.sight(), connection.watch
    since = watch.since if watch.sight == sight else now
    outcome = connection.outcome
    tunnelled = outcome is not None and bool(outcome.tls)
    shut = connection.outlet.client_shut
    name, state = HTTP, None
    if isinstance(connection, Carrying):
        name, state = connection.initializer, connection.carried()
    unread, phase = connection.unread(), sight.phase._name_  # `name` runs Python
    cut = CUT if tunnelled else b""
    return Luggage(unread, connection.requests, phase, since, shut, outcome, tunnelled, name, state, cut)


def unpack(luggage: Luggage, connection: Connection, now: float, limits: Limits) -> None:
    """Go on as it was elsewhere.

    Args:
        luggage: What it brought.
        connection: It has a transport, and has read nothing.
        now: Seconds of the loop's clock.
        limits: Bounds on how long it may do what it does.
    """
    connection.requests = luggage.requests
    phase = PHASES.get(luggage.phase)
    if phase is not None:
        connection.watch.resume(Sight(phase, luggage.requests), luggage.since, now, limits)
    connection.outlet.client_shut = luggage.client_shut
    connection.outlet.final = luggage.last
    connection.outlet.handed = True
    connection.outlet.last_word = luggage.cut
    if isinstance(connection, Carrying):
        connection.go_on(luggage.state)
    if luggage.unread or luggage.client_shut:
        connection.take(luggage.unread)
