"""What comes before the first message at one address, in one generation."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from changeover.workers.channel.allocator import keep_large_apart
from changeover.workers.channel.proxy import is_trusted, networks
from changeover.workers.channel.selector import NOBODY, Choice, Selector, Use
from changeover.workers.channel.tls import Names, context_of
from changeover.workers.protocol.snapshot import ChannelSpec
from changeover.workers.serving.handshake import HandshakeOutcome, Peer


class ServerChannel:
    """Leads connections of one address from their first byte to an initializer.

    Args:
        spec: What the generation says.
        store: Where the artifacts with certificates are.
        uses: The selectors of plugins that its rules name.

    Attributes:
        address: As it is configured.
        tls: Speaks TLS; None for cleartext.
        names: What clients asked for.

    Raises:
        UnusableCertificate: A certificate is not what it should be.
        ProtocolMissing: HTTP/2 is to be offered and cannot be spoken here.
        ValueError: A network is none.
    """

    def __init__(self, spec: ChannelSpec, store: Path, uses: Mapping[str, Use] = NOBODY) -> None:
        self.address = spec.key.ref.name
        self.names = Names()
        self.tls: ssl.SSLContext | None = None
        if spec.tls is not None:
            keep_large_apart()
            self.tls = context_of(store / spec.tls.artifact, spec.tls, self.names)
        self._proxies = networks(spec.proxies)
        self._selector = Selector(spec.rules, spec.safe, uses)

    def expects_proxy(self, peer: Peer) -> bool:
        """Whether a PROXY header comes first, from this peer."""
        return bool(self._proxies) and is_trusted(peer, self._proxies)

    def choose(self, outcome: HandshakeOutcome) -> Choice:
        """What the connection gets."""
        return self._selector.choose(outcome)
