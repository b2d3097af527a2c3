"""What is told of one request once it is over, whatever it came over."""

import time
from typing import Protocol

from changeover.workers.protocol.snapshot import UnitKind
from changeover.workers.serving.access import UNKNOWN, Access
from changeover.workers.serving.exchange import RawHeaders
from changeover.workers.serving.lease import Lease, current_lease
from changeover.workers.serving.message import Request

LEFT = 499
"""Status of a request whose client left before there was a response."""
REQUEST_ID = b"x-request-id"


class AccessSink(Protocol):
    """Who is told of requests."""

    def put(self, access: Access) -> None:
        """Of one; returns at once."""


class Entry:
    """One line of the access log as it comes about; it is told once.

    Args:
        access: Told of it.
        worker: The slot.
        request: What was asked.

    Attributes:
        status: Of the response, as far as there is one.
        size: Bytes of the response's body.
    """

    __slots__ = ("_access", "_begun", "_lease", "_request", "_request_id", "_told", "_worker", "size", "status")

    def __init__(self, access: AccessSink, worker: int, request: Request) -> None:
        self.status = LEFT
        self.size = 0
        self._access = access
        self._worker = worker
        self._request = request
        self._begun = time.monotonic_ns()
        self._lease: Lease | None = None
        self._request_id = b""
        self._told = False

    def begin(self, status: int, headers: RawHeaders) -> None:
        """The response has begun, by whom the running code is leased to."""
        self._lease = current_lease.get()
        self.status = status
        self._request_id = next((value for name, value in headers if name.lower() == REQUEST_ID), b"")

    def tell(self, *, complete: bool) -> None:
        """It is over; `complete` when the response was sent to its end. What is said later is not heard."""
        if self._told:
            return
        self._told = True
        request, lease = self._request, self._lease
        query = b"?" + request.query if request.query else b""
        identity = self._request_id.decode("latin-1") or request.headers.get("x-request-id", "")
        spent = (time.monotonic_ns() - self._begun) / 1e6
        self._access.put(
            Access(
                at=time.time() - spent / 1e3,
                client=request.client[0] if request.client else "",
                method=request.method,
                target=(request.raw_path + query).decode("latin-1"),
                version=request.http_version,
                status=self.status,
                size=self.size,
                ms=round(spent, 3),
                complete=complete,
                epoch=UNKNOWN if lease is None else lease.epoch,
                worker=self._worker,
                route="" if lease is None else _route_of(lease),
                request_id=identity,
                referer=request.headers.get("referer", ""),
                agent=request.headers.get("user-agent", ""),
            )
        )


def _route_of(lease: Lease) -> str:
    named = (key.ref.name for key in lease.units.keys if key.ref.kind is UnitKind.PIPELINE)
    return next(named, "")
