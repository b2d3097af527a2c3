"""What is known of a connection before its first message.

Public: re-exported by `changeover.plugin`.
"""

import enum

import msgspec

Peer = tuple[str, int] | None
"""Address and port; None where there is none, as on a Unix socket."""


class Transport(enum.Enum):
    """What carries a connection."""

    TCP = "tcp"
    UNIX = "unix"


class Proxied(msgspec.Struct, frozen=True, array_like=True):
    """What a trusted proxy said in a PROXY header.

    Attributes:
        peer: The proxy's own address.
        authority: The name that the client asked the proxy for (SNI); empty when it did not say.
        tls: Version of TLS between client and proxy; empty for cleartext, or when it did not say.
    """

    peer: Peer = None
    authority: str = ""
    tls: str = ""


class HandshakeOutcome(msgspec.Struct, frozen=True, array_like=True):
    """How a connection came about.

    Attributes:
        listener: The address by which it came, as it is configured.
        transport: What carries it.
        client: The client's address; behind a trusted proxy that one's word for it.
        server: The address that the client reached; path and None on a Unix socket.
        tls: Version (`TLSv1.3`); empty in cleartext.
        alpn: The protocol that was agreed on (`h2`, `http/1.1`); empty without.
        sni: The name that the client asked for; empty without.
        subject: Of the client's certificate, verified, as RFC 4514 writes it; empty without.
        proxied: What a trusted proxy said; None without one.
        label: What the rule that selected its initializer calls such connections; empty without.
    """

    listener: str = ""
    transport: Transport = Transport.TCP
    client: Peer = None
    server: tuple[str, int | None] | None = None
    tls: str = ""
    alpn: str = ""
    sni: str = ""
    subject: str = ""
    proxied: Proxied | None = None
    label: str = ""

    @property
    def scheme(self) -> str:
        """`https` when the client speaks TLS, with us or with the proxy."""
        return "https" if self.tls or (self.proxied is not None and self.proxied.tls) else "http"


NO_HANDSHAKE = HandshakeOutcome()
"""Outside a server."""
