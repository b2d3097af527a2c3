"""Bodies that clients send to a WSGI application, and one that answers with what has come."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from tests.wsgi import OK, PLAIN


def received(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers with what the body was."""
    start_response(OK, PLAIN)
    file = environ["wsgi.input"]
    parts = file.read(10), file.readline(), file.read()
    told = environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING")
    return [f"{len(b''.join(parts))} {sha256(b''.join(parts)).hexdigest()} {told}".encode()]


def received_of(body: bytes, told: int | None) -> bytes:
    """What that is, of a body without a coding."""
    return f"{len(body)} {sha256(body).hexdigest()} {(told and str(told), None)}".encode()


def length(body: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a client that tells it."""
    return [(b"content-length", b"%d" % len(body))]


def body_of(size: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(size // 6))
