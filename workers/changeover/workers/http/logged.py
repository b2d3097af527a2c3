"""An exchange that tells of itself once it is over."""

import time
from typing import Protocol

from changeover.workers.http.exchange import Stage, Wire, WireExchange
from changeover.workers.http.head import Head
from changeover.workers.http.incoming import Incoming
from changeover.workers.protocol.snapshot import UnitKind
from changeover.workers.serving.access import UNKNOWN, Access
from changeover.workers.serving.exchange import RawHeaders
from changeover.workers.serving.lease import Lease, current_lease

LEFT = 499
"""Status of a request whose client left before there was a response."""
REQUEST_ID = b"x-request-id"


class AccessSink(Protocol):
    """Who is told of requests."""

    def put(self, access: Access) -> None:
        """Of one; returns at once."""


class LoggedExchange(WireExchange):
    """See `WireExchange`.

    Args:
        access: Told of it, once.
        worker: The slot.
        wire: The connection.
        head: The request's head.
        incoming: The request's body; None when there is none.
    """

    __slots__ = ("_access", "_begun", "_bytes", "_lease", "_request_id", "_status", "_told", "_worker")

    def __init__(self, access: AccessSink, worker: int, wire: Wire, head: Head, incoming: Incoming | None) -> None:
        super().__init__(wire, head, incoming)
        self._access = access
        self._worker = worker
        self._begun = time.monotonic_ns()
        self._bytes = 0
        self._lease: Lease | None = None
        self._request_id = b""
        self._status = LEFT
        self._told = False

    def start(self, status: int, headers: RawHeaders) -> None:
        """See `WireExchange`."""
        super().start(status, headers)
        self._lease = current_lease.get()
        if self.stage is not Stage.LOST:
            self._status = status
            self._request_id = next((value for name, value in headers if name.lower() == REQUEST_ID), b"")

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """See `WireExchange`."""
        self._answer_by_steps(status, headers, body)

    def write(self, data: bytes) -> None:
        """See `WireExchange`."""
        super().write(data)
        if self.head.method != "HEAD":
            self._bytes += len(data)

    def end(self) -> None:
        """See `WireExchange`."""
        super().end()
        self._tell(complete=self.stage is Stage.OVER)

    def end_after(self, data: bytes) -> None:
        """See `WireExchange`."""
        if data:
            self.write(data)
        self.end()

    def end_with(self, trailers: RawHeaders) -> None:
        """See `WireExchange`."""
        super().end_with(trailers)
        self._tell(complete=self.stage is Stage.OVER)

    def abort(self) -> None:
        """See `WireExchange`."""
        super().abort()
        self._tell(complete=False)

    def lose(self, status: int = 0) -> None:
        """See `WireExchange`."""
        super().lose(status)
        if status:
            self._status = status
        self._tell(complete=bool(status))

    def _break(self, fact: str) -> None:
        if self.stage is Stage.STARTED:
            self._status, self._bytes = 500, 0
            self._tell(complete=True)
        super()._break(fact)

    def _tell(self, *, complete: bool) -> None:
        if self._told:
            return
        self._told = True
        request, lease = self.request, self._lease
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
                status=self._status,
                size=self._bytes,
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
