"""What makes the exchanges of a connection: plain ones, or such as tell of themselves."""

from collections.abc import Callable

from changeover.workers.http.exchange import WireExchange
from changeover.workers.http.head import Head
from changeover.workers.http.incoming import Incoming
from changeover.workers.http.logged import LoggedExchange, LoggedUpgrade
from changeover.workers.http.site import Site
from changeover.workers.http.upgrade import Switching, WireUpgrade
from changeover.workers.http.wire import Wire
from changeover.workers.serving.handshake import Peer

MakeExchange = Callable[[Wire, Head, Incoming | None, bytes], WireExchange]
MakeUpgrade = Callable[[Switching, Head], WireUpgrade]


def exchanges(site: Site, peer: Peer) -> MakeExchange:
    """What makes those of a connection of that client."""
    making = site.making
    return WireExchange if making is None else making.maker(peer, WireExchange, LoggedExchange)


def upgrades(site: Site, peer: Peer) -> MakeUpgrade:
    """What makes those that ask for a WebSocket."""
    making = site.making
    return WireUpgrade if making is None else making.maker(peer, WireUpgrade, LoggedUpgrade)
