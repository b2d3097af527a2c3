"""The PROXY protocol, versions 1 and 2: who the client of a proxy is. Pure: bytes in, facts out.

Source: HAProxy's `proxy-protocol.txt`. The header comes before everything else, TLS included.
"""

import ipaddress
import struct
from collections.abc import Iterable

import msgspec
from proxyprotocol import ProxyProtocolChecksumError, ProxyProtocolIncompleteError, ProxyProtocolSyntaxError
from proxyprotocol.result import ProxyResult, is_ipv4, is_ipv6, is_unix
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.handshake import Peer

V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2_FIXED = 16
"""Bytes of a version 2 header before the part whose length it says."""
V1_LONGEST = 107
"""Longest version 1 header, with its line end."""
V2_LONGEST = 4096
"""Longest version 2 header that is read: addresses, and what real proxies add to them."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadProxyHeader(ChangeoverError):
    """What came first is no PROXY header.

    Attributes:
        fact: What is wrong with it.
    """

    def __init__(self, fact: str) -> None:
        self.fact = fact
        super().__init__(f"no PROXY header: {fact}")


class ProxyHeader(msgspec.Struct, frozen=True):
    """What a proxy said.

    Attributes:
        client: Its client; None when it speaks for itself (a health check), or does not say.
        server: The address that its client reached; None as above.
        authority: The name that its client asked for; empty without.
        tls: Version of TLS between its client and it; empty without.
    """

    client: Peer = None
    server: Peer = None
    authority: str = ""
    tls: str = ""


def length_of(data: bytes) -> int | None:
    """How long the header is that `data` begins with; None as long as that cannot be known.

    Args:
        data: The connection's first bytes; what follows the header may be among them.

    Raises:
        BadProxyHeader: It is none, or too long.
    """
    if V2_SIGNATURE.startswith(data[: len(V2_SIGNATURE)]):
        return _length_of_v2(data)
    if not b"PROXY ".startswith(data[:6]):
        raise BadProxyHeader(f"the connection begins with {data[:12]!r}")
    end = data.find(b"\r\n", 0, V1_LONGEST)
    if end < 0 and len(data) >= V1_LONGEST:
        raise BadProxyHeader(f"its line is longer than {V1_LONGEST} bytes")
    return None if end < 0 else end + 2


def _length_of_v2(data: bytes) -> int | None:
    if len(data) < V2_FIXED:
        return None
    length: int = V2_FIXED + struct.unpack_from("!H", data, V2_FIXED - 2)[0]
    if length > V2_LONGEST:
        raise BadProxyHeader(f"it is {length} bytes long; at most {V2_LONGEST} are read")
    return length


def parse(data: bytes) -> ProxyHeader:
    """Parse a complete header.

    Args:
        data: All of it, and nothing else.

    Raises:
        BadProxyHeader: It is none.
    """
    version = ProxyProtocolV2() if data.startswith(V2_SIGNATURE) else ProxyProtocolV1()
    try:
        return _facts(version.unpack(data))
    except ProxyProtocolIncompleteError as error:
        raise BadProxyHeader("it is cut short") from error
    except ProxyProtocolChecksumError as error:
        raise BadProxyHeader("its checksum is wrong") from error
    except (ProxyProtocolSyntaxError, ValueError, struct.error) as error:
        raise BadProxyHeader(f"it cannot be read: {error}") from error


def _facts(result: ProxyResult) -> ProxyHeader:
    if not result.proxied:
        return ProxyHeader()
    authority = result.tlv.authority or ""
    tls = (result.tlv.ssl.version or "TLS") if result.tlv.ssl.has_ssl else ""
    if is_ipv4(result) or is_ipv6(result):
        (source, source_port), (destination, destination_port) = result.source, result.dest
        return ProxyHeader((str(source), source_port), (str(destination), destination_port), authority, tls)
    if is_unix(result):
        return ProxyHeader(authority=authority, tls=tls)
    return ProxyHeader()


def networks(written: Iterable[str]) -> tuple[Network, ...]:
    """Parse networks and addresses.

    Raises:
        ValueError: One is none; the message names it.
    """
    return tuple(ipaddress.ip_network(each, strict=False) for each in written)


def is_trusted(peer: Peer, trusted: Iterable[Network]) -> bool:
    """Whether a peer is one of those that are believed; on a Unix socket, who may connect is."""
    if peer is None:
        return True
    address = ipaddress.ip_address(peer[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in trusted)
