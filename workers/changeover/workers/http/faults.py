"""What goes wrong on the wire, by whose fault."""

from http import HTTPStatus

from changeover.workers.errors import ChangeoverError


def worded(fact: str) -> bytes:
    """The body of a short answer of the server's own."""
    return f"{fact}\n".encode("latin-1", "replace")


class BadMessage(ChangeoverError):
    """The client sent something that cannot be served; it is told why, then the connection is closed.

    Attributes:
        status: What to answer, 400 to 505.
        fact: What is wrong, for the client.
        bodiless: Whether only the head of an answer was asked for.
    """

    def __init__(self, status: int, fact: str) -> None:
        self.status = status
        self.fact = fact
        self.bodiless = False
        super().__init__(f"{status}: {fact}")

    @property
    def body(self) -> bytes:
        """What the client is sent."""
        return worded(self.fact)


class PriorKnowledge(BadMessage):
    """The client begins with HTTP/2; where that is not spoken it is told so."""

    def __init__(self) -> None:
        super().__init__(505, "HTTP/1.1 and HTTP/1.0 are served")


LATE = BadMessage(408, "the request did not come in time")
UNSERVED = BadMessage(503, "the request could not be served in time")
LEAVING = BadMessage(503, "the server is being replaced; ask again")
"""What somebody is told who asked on a connection that nobody goes on with."""


def unfinished(status: int) -> BadMessage:
    """What the client gets in place of a response that could not be completed."""
    return BadMessage(status, HTTPStatus(status).phrase)


class BadResponse(ChangeoverError):
    """The application answered something that would break the response's framing.

    Raised to the application. When none of the response has left yet, the client gets a 500.

    Attributes:
        fact: What is wrong.
    """

    def __init__(self, fact: str) -> None:
        self.fact = fact
        super().__init__(f"this response cannot be sent: {fact}")
