"""What a client does that HTTP/2 does not allow."""

from changeover.workers.errors import ChangeoverError


class Violation(ChangeoverError):
    """The connection cannot go on: it ends with GOAWAY.

    Attributes:
        code: The error code of RFC 9113, 7.
        fact: What is wrong, for the client.
        said: Whether the client was told already.
    """

    def __init__(self, code: int, fact: str, *, said: bool = False) -> None:
        self.code = code
        self.fact = fact
        self.said = said
        super().__init__(f"{code}: {fact}")


class Malformed(ChangeoverError):
    """A request that is none: its stream is reset, and the others go on.

    Attributes:
        fact: What is wrong.
    """

    def __init__(self, fact: str) -> None:
        self.fact = fact
        super().__init__(f"this is no HTTP/2 request: {fact}")
