"""What is known of a connection, once for all its requests.

Public: re-exported by `changeover.plugin`.
"""

import msgspec


class ConnectionFacts(msgspec.Struct, frozen=True):
    """What the handshake of a connection told.

    Attributes:
        transport: `tcp` or `unix`; empty where nobody said.
        tls: Version of TLS (`TLSv1.3`); empty for cleartext.
        alpn: Protocol that was agreed on.
        sni: Host name that the client asked for.
        client_certificate: The client's certificate, DER; empty for none.
        proxied: Whether addresses are those that a trusted proxy told by the PROXY protocol.
        proxy_data: Further facts of the PROXY protocol: type -> value.
    """

    transport: str = ""
    tls: str = ""
    alpn: str = ""
    sni: str = ""
    client_certificate: bytes = b""
    proxied: bool = False
    proxy_data: dict[int, bytes] = {}


UNKNOWN = ConnectionFacts()
"""Where nobody said: cleartext, and outside a server."""
