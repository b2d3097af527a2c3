"""What comes before the first message at one address, in one generation."""

import ssl
from pathlib import Path

import msgspec

from changeover.workers.channel.allocator import keep_large_apart
from changeover.workers.channel.proxy import is_trusted, networks
from changeover.workers.channel.selector import Selector
from changeover.workers.channel.tls import Names, context_of
from changeover.workers.protocol.snapshot import ChannelSpec
from changeover.workers.serving.handshake import HandshakeOutcome, Peer


class ServerChannel:
    """Leads connections of one address from their first byte to an initializer.

    Args:
        spec: What the generation says.
        store: Where the artifacts with certificates are.

    Attributes:
        address: As it is configured.
        tls: Speaks TLS; None for cleartext.
        names: What clients asked for.

    Raises:
        UnusableCertificate: A certificate is not what it should be.
        ProtocolMissing: HTTP/2 is to be offered and cannot be spoken here.
        ValueError: A network is none.
    """

    def __init__(self, spec: ChannelSpec, store: Path) -> None:
        self.address = spec.key.ref.name
        self.names = Names()
        self.tls: ssl.SSLContext | None = None
        if spec.tls is not None:
            keep_large_apart()
            self.tls = context_of(store / spec.tls.artifact, spec.tls, self.names)
        self._proxies = networks(spec.proxies)
        self._selector = Selector(spec.rules, spec.safe)

    def expects_proxy(self, peer: Peer) -> bool:
        """Whether a PROXY header comes first, from this peer."""
        return bool(self._proxies) and is_trusted(peer, self._proxies)

    def labelled(self, outcome: HandshakeOutcome) -> HandshakeOutcome:
        """The same, with what the rule that it matches calls such connections."""
        label = self._selector.label(outcome)
        return msgspec.structs.replace(outcome, label=label) if label else outcome

    def select(self, outcome: HandshakeOutcome) -> str | None:
        """Name of the connection's initializer; None when no rule matches and there is no safe one."""
        return self._selector.select(outcome)

    def is_safe_choice(self, outcome: HandshakeOutcome) -> bool:
        """Whether it is only the safe initializer that takes this connection."""
        return not self._selector.matches(outcome)
