"""What trusted proxies say of their clients: `Forwarded` (RFC 7239) and its forerunners. Pure.

A chain is walked from its right end, where the nearest proxy wrote, past every hop that is trusted; the first one
that is not is the client, and what stands left of it may be anybody's invention. Only fields that the configuration
names are read: a proxy passes on as they are those that it does not write.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from changeover.workers.channel.proxy import Network, is_trusted, networks
from changeover.workers.http.target import is_authority
from changeover.workers.serving.handshake import Peer
from changeover.workers.serving.message import Request

FORWARDED = b"forwarded"
FOR, PROTO, HOST, PORT, PREFIX = (b"x-forwarded-" + each for each in (b"for", b"proto", b"host", b"port", b"prefix"))
FIELDS = frozenset({FORWARDED, FOR, PROTO, HOST, PORT, PREFIX})

PAIR = re.compile(r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(;|,|$)""")
NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?|([0-9.]+)(?::(\d{1,5}))?|([0-9A-Fa-f:.]+)")
MOUNT = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
DEFAULT_PORTS = {"http": "80", "https": "443"}


class Hop(msgspec.Struct, frozen=True):
    """What one proxy says of who asked it.

    Attributes:
        client: As written; empty where it says nothing.
        proto: The scheme it was asked by.
        host: The Host it was asked for.
    """

    client: str = ""
    proto: str = ""
    host: str = ""


class Forwarding:
    """Whose word is taken, and which fields of theirs.

    Args:
        trusted: Networks of proxies; who connects to a Unix socket is trusted, too.
        fields: Lower-case names of fields.

    Raises:
        ValueError: A network is none.
    """

    def __init__(self, trusted: Iterable[str], fields: Iterable[str]) -> None:
        self._trusted: tuple[Network, ...] = networks(trusted)
        self._fields = frozenset(name.encode() for name in fields)

    def trusts(self, peer: Peer) -> bool:
        """Whether what a peer says of its client is believed."""
        return is_trusted(peer, self._trusted)

    def reading(self, peer: Peer) -> Callable[[Request], None]:
        """What is done with the requests of a peer."""
        return self.apply if self.trusts(peer) else self.strip

    def strip(self, request: Request) -> None:
        """Take from a request what only a trusted proxy may say: nobody behind shall believe it."""
        fields = request.headers.raw
        fields[:] = [field for field in fields if field[0] not in FIELDS]

    def apply(self, request: Request) -> None:
        """Make of a trusted proxy's request the one that its client made; what makes no sense counts as not said."""
        said = {name: _values(request, name) for name in self._fields}
        hops = read_forwarded(said[FORWARDED]) if FORWARDED in said else _by_forerunners(said)
        client, told = self._walked(request.client, hops)
        scheme = SCHEMES.get(told.proto.lower(), request.scheme)
        request.client, request.scheme = client, scheme
        self._apply_host(request, told.host, said.get(PORT, ()), scheme)
        prefix = _last(said.get(PREFIX, ())).rstrip("/")
        if MOUNT.fullmatch(prefix):
            request.root_path = prefix
            request.raw_path = prefix.encode("ascii") + request.raw_path

    def _walked(self, peer: Peer, hops: Sequence[Hop]) -> tuple[Peer, Hop]:
        client, told = peer, Hop()
        for hop in reversed(hops):
            told = Hop("", hop.proto or told.proto, hop.host or told.host)
            node = _node(hop.client)
            if node is None:
                break
            client = node
            if not is_trusted(client, self._trusted):
                break
        return client, told

    def _apply_host(self, request: Request, host: str, ports: Sequence[str], scheme: str) -> None:
        port = _last(ports)
        known = host or request.headers.get("host", "")
        if port.isascii() and port.isdigit() and not re.search(r":\d+$", known) and port != DEFAULT_PORTS[scheme]:
            known = f"{known}:{port}"
        if known and known.isascii() and is_authority(known.encode()) and known != request.headers.get("host"):
            request.headers["host"] = known


def read_forwarded(values: Iterable[str]) -> list[Hop]:
    """Read `Forwarded` fields (RFC 7239, 4), in the order of the chain; nothing, when they break its grammar."""
    hops: list[Hop] = []
    for value in values:
        said: dict[str, str] = {}
        offset = 0
        while offset < len(value):
            match = PAIR.match(value, offset)
            if match is None or match[1].lower() in said:
                return []
            said[match[1].lower()] = _unquoted(match[2])
            offset = match.end()
            if match[3] != ";":
                hops.append(Hop(said.get("for", ""), said.get("proto", ""), said.get("host", "")))
                said = {}
        if said:
            return []
    return hops


def _by_forerunners(said: dict[bytes, list[str]]) -> list[Hop]:
    clients, protos, hosts = (said.get(name, []) for name in (FOR, PROTO, HOST))
    count = max(1, len(clients))
    nodes, schemes, names = (_spread(each, count) for each in (clients, protos, hosts))
    return [Hop(*each) for each in zip(nodes, schemes, names, strict=True)]


def _spread(values: list[str], count: int) -> list[str]:
    """One value for each hop; when there are not as many, the nearest proxy's counts for all."""
    return values if len(values) == count else [_last(values)] * count


def _values(request: Request, name: bytes) -> list[str]:
    """The members of a field's list, in order; of `Forwarded` the fields as they are."""
    found = [value.decode("latin-1") for key, value in request.headers.raw if key == name]
    if name == FORWARDED:
        return found
    return [member.strip() for value in found for member in value.split(",") if member.strip()]


def _last(values: Sequence[str]) -> str:
    return values[-1] if values else ""


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _node(text: str) -> Peer:
    """An address, with its port where it has one; None for `unknown`, hidden names, and what is none."""
    match = NODE.fullmatch(text)
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match[1] or match[3] or match[5])
    except ValueError:
        return None
    return str(address), int(match[2] or match[4] or 0)
