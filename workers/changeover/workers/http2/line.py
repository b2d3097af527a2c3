"""What one stream needs of the connection that it is on."""

from typing import Protocol, TypeVar

from changeover.workers.serving.handshake import HandshakeOutcome

StreamT = TypeVar("StreamT", contravariant=True)


class Line(Protocol[StreamT]):
    """What a stream needs of its connection."""

    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    scheme: str
    outcome: HandshakeOutcome | None

    @property
    def share(self) -> int:
        """How many bytes an answer may have waiting before its application waits."""

    @property
    def is_full(self) -> bool:
        """Whether no request begins before the client takes some of what waits for it."""

    def waits_for_window(self, stream: StreamT) -> bool:
        """Whether the client has yet to let it go on."""

    def want(self, stream: StreamT) -> None:
        """There is something to send."""

    def ask_for_body(self, stream: StreamT) -> None:
        """The client waits to be asked."""

    def acknowledge(self, number: int, size: int) -> None:
        """Bytes of a stream's body were taken, or dropped."""

    def reset(self, stream: StreamT, code: int) -> None:
        """The stream ends at once."""

    def released(self, stream: StreamT) -> None:
        """An application has noticed that its client gave up."""
