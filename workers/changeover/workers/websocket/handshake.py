"""What a request for a WebSocket asks for, and the fields with which it is accepted. Pure."""

import logging
from collections.abc import Iterable

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import parse_subprotocol
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from changeover.workers.channel.limits import Limits
from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.exchange import RawHeaders

VERSION = b"13"
OWN = frozenset(
    {
        b"connection",
        b"content-length",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields of the answer that are said by nobody else."""
DEFLATE = ServerPerMessageDeflateFactory(
    server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
)
"""Windows of 4 KiB: 32 KiB for each connection to compress, and as much at most to decompress."""

logger = logging.getLogger("changeover.websocket")


class BadHandshake(ChangeoverError):
    """A request for a WebSocket cannot be accepted, whatever the application says.

    Attributes:
        fact: What is wrong.
        outdated: Whether it asks for another version of the protocol.
    """

    def __init__(self, fact: str, *, outdated: bool = False) -> None:
        self.fact = fact
        self.outdated = outdated
        super().__init__(fact)


class Handshake:
    """One request for a WebSocket.

    Args:
        fields: Of the request, lower-case names.
        limits: Bounds on messages.

    Attributes:
        subprotocols: What the client offers to speak, in its order.
        protocol: The state of the WebSocket, ready for its first frame.

    Raises:
        BadHandshake: It cannot be accepted.
    """

    __slots__ = ("_accept", "_extensions", "protocol", "subprotocols")

    def __init__(self, fields: RawHeaders, limits: Limits) -> None:
        asked = _websocket_fields(fields)
        if asked.get_all("Sec-WebSocket-Version") != [VERSION.decode()]:
            raise BadHandshake("version 13 of the WebSocket protocol is served", outdated=True)
        self.protocol = ServerProtocol(
            extensions=[DEFLATE] if limits.deflate else None, state=State.OPEN, max_size=limits.message, logger=logger
        )
        try:
            self._accept, self._extensions, _ = self.protocol.process_request(Request("/", asked))
            offered = [parse_subprotocol(value) for value in asked.get_all("Sec-WebSocket-Protocol")]
        except InvalidHandshake as error:
            raise BadHandshake(_whole(error)) from None
        self.subprotocols = tuple(str(name) for names in offered for name in names)

    def answer(self, fields: RawHeaders) -> list[tuple[bytes, bytes]]:
        """The fields of the response that accepts it, beside Connection.

        Args:
            fields: What the application adds; what is not its to say is left out.
        """
        own = [(b"upgrade", b"websocket"), (b"sec-websocket-accept", self._accept.encode())]
        if self._extensions is not None:
            own.append((b"sec-websocket-extensions", self._extensions.encode()))
        return own + [(name, value) for name, value in fields if name.lower() not in OWN]


def _websocket_fields(fields: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the handshake is judged by; `upgrade` and `connection` were read already."""
    found = Headers(Connection="Upgrade", Upgrade="websocket")
    for name, value in fields:
        if name.startswith(b"sec-websocket-"):
            found[name.decode("latin-1")] = value.decode("latin-1")
    return found


def _whole(error: BaseException) -> str:
    """What is wrong, with its cause: the outer error names the field only."""
    cause = error.__cause__
    return f"{error}; {cause}" if cause is not None else str(error)
