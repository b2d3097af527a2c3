"""How connections are assembled at an address, as a generation says it (L1 of Spark's architecture)."""

import msgspec

HTTP = "http"
"""Name of the initializer that speaks HTTP."""


class TlsSpec(msgspec.Struct, frozen=True):
    """How TLS is spoken at an address.

    Attributes:
        artifact: Digest that names certificates, keys and authorities in the store.
        certificates: How many there are.
        client: Whether clients show a certificate: `none`, `optional`, `required`.
        minimum: Oldest version that is spoken: `1.2` or `1.3`.
        ciphers: As OpenSSL writes them, for TLS 1.2; empty for the library's own.
        alpn: Protocols that are offered, best first; empty for all that a worker can speak.
    """

    artifact: str
    certificates: int = 1
    client: str = "none"
    minimum: str = "1.2"
    ciphers: str = ""
    alpn: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """Which connections an initializer is for; what is left empty matches everything.

    Attributes:
        initializer: `http`, or `plugin:initializer`.
        alpn: The protocol that was agreed on.
        sni: The name that the client asked for, `*.shop.example` for all below it.
        tls: Whether TLS is spoken; None for either.
        client: Networks that the client is in.
        proxied: Whether a proxy said who the client is; None for either.
        label: What such connections are called, for routes that ask for it.
        use: `plugin:selector` that is asked when everything else matches; empty for none.
    """

    initializer: str = HTTP
    alpn: str = ""
    sni: str = ""
    tls: bool | None = None
    client: tuple[str, ...] = ()
    proxied: bool | None = None
    label: str = ""
    use: str = ""


class InitializerDescriptor(msgspec.Struct, frozen=True):
    """What an initializer says of itself.

    Attributes:
        name: For people.
        category: What kind of protocol it speaks.
        summary: One line.
    """

    name: str
    category: str = "message"
    summary: str = ""
