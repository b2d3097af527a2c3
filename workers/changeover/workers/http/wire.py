"""What one request and its answer need of the connection that they came over."""

from typing import Protocol

from changeover.workers.channel.outlet import Outlet
from changeover.workers.http.head import Head
from changeover.workers.http.site import Site
from changeover.workers.serving.handshake import HandshakeOutcome


class Wire(Protocol):
    """What an exchange needs of its connection."""

    site: Site
    outlet: Outlet
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    scheme: str
    outcome: HandshakeOutcome | None

    def persists(self, head: Head, *, wanted: bool) -> bool:
        """Decide whether the connection goes on after this answer, and remember it; `wanted` by the answer."""

    def answer(self, head: bytes, body: bytes) -> bool:
        """Give a whole answer behind a request that is all there, unless the connection is to end; whether it did."""

    def finished(self) -> None:
        """The answer is complete."""

    def fail(self, status: int, fact: str, *, bodiless: bool = False) -> None:
        """Answer in the application's place, `bodiless` where only the head was asked for, then close."""

    def cut(self, *, reset: bool) -> None:
        """Close in the middle of an answer; `reset` when the client could not tell otherwise."""
