"""The read path: stamp, admit, match, lease, answer."""

import asyncio
import contextvars
from time import monotonic_ns
from typing import Protocol

from changeover.workers.serving import unrouted
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.exchange import Exchange, RawHeaders
from changeover.workers.serving.lease import Lease, LeaseKind, current_lease
from changeover.workers.serving.message import Headers, Request
from changeover.workers.serving.moving import Whereto
from changeover.workers.serving.reply import Reply
from changeover.workers.serving.router import ApplicationRouter, Mismatch, Target
from changeover.workers.serving.session import Upgrade
from changeover.workers.serving.upgrading import SPEAKING, Upgrading


class Generation(Protocol):
    """What the dispatcher needs of a generation."""

    @property
    def epoch(self) -> int:
        """The number it goes by."""

    @property
    def router(self) -> ApplicationRouter:
        """Leads requests to pipelines."""


class Admission(Protocol):
    """Says which generation a request that is dispatched now belongs to."""

    def admit(self) -> Generation | None:
        """The generation, or None: nothing may be dispatched now. Reads the commit cell."""


_HTTP = LeaseKind.HTTP  # looking a member up costs at every request


class LiveDispatcher:
    """Leads exchanges to the pipelines of the generation that is authoritative at that moment.

    Each request runs in a copy of the context in which the dispatcher was made: the request before it on the
    connection, inside whose task a pipelined one may be dispatched, leaves nothing to it.

    Args:
        admission: The switch.
        worker: The slot, for `CallContext.worker` and the header.
        epoch_header: Whether responses carry `x-changeover-epoch` and `x-changeover-worker`.
        counters: Count the requests that no route takes; those that one takes are counted by the route.
    """

    __slots__ = ("_admission", "_context", "_counters", "_epoch_header", "_stamp", "_stamped", "_worker")

    def __init__(
        self, admission: Admission, *, worker: int, epoch_header: bool = False, counters: Counters | None = None
    ) -> None:
        self._counters = counters or Counters()
        self._admission = admission
        self._context = contextvars.copy_context()
        self._worker = worker
        self._epoch_header = epoch_header
        self._stamped = -1
        self._stamp: RawHeaders = ()

    def dispatch(self, exchange: Exchange) -> bool:
        """Take the exchange, or answer False: nothing may be dispatched now, hold it."""
        started = monotonic_ns()
        generation = self._admission.admit()
        if generation is None:
            return False
        epoch, router = generation.epoch, generation.router
        stamp = self._stamp_of(epoch) if self._epoch_header else ()
        target = router.sole
        if target is None:
            found = router.match(exchange.request, exchange)
            if type(found) is Mismatch:
                self._miss(exchange, found, stamp)
                return True
            target = found
        target.counter.hits += 1
        request = exchange.made
        path = exchange.head.target.path if request is None else request.path
        lease = Lease(target.unit_set, _HTTP, epoch, path, started)
        target.unit_set.leases.add(lease)
        if request is not None and request.held_body is None:
            request.time_body(lease.waiting)
        if target.mount:
            target.strip(exchange.request)
        call = CallContext(epoch, target.route.pipeline, self._worker, started, lease, exchange)
        lease.holder = target.pipeline.serve(exchange, call, self._context.copy(), stamp)
        return True

    def _miss(self, exchange: Exchange, mismatch: Mismatch, stamp: RawHeaders) -> None:
        """Answer it in a turn of its own, as all that a route takes: a client may ask for thousands at a time."""
        self._counters.note_miss(mismatch.outcome.name.lower())
        send, answer = Reply(exchange, stamp).send_problem, unrouted.response(mismatch)
        asyncio.get_running_loop().call_soon(send, answer, context=self._context.copy())

    def dispatch_upgrade(self, upgrade: Upgrade) -> bool:
        """Take a request for a WebSocket, or answer False; where none is spoken it is a request like any other."""
        started = monotonic_ns()
        generation = self._admission.admit()
        if generation is None:
            return False
        epoch, request = generation.epoch, upgrade.request
        target = generation.router.match(request, upgrade)
        if isinstance(target, Mismatch) or not isinstance(target.pipeline.target, SPEAKING):
            return self.dispatch(upgrade)
        target.counter.hits += 1
        whereto = self._whereto_of(upgrade)
        lease = target.unit_set.lease(LeaseKind.WEBSOCKET, epoch, request.path, started)
        target.strip(request)
        call = CallContext(epoch, target.route.pipeline, self._worker, started, lease, upgrade)
        context = self._context.copy()
        context.run(current_lease.set, lease)
        stamp = self._stamp_of(epoch) if self._epoch_header else ()
        lease.holder = Upgrading(target.pipeline, upgrade, call, stamp, whereto).serve(context)
        return True

    def _whereto_of(self, upgrade: Upgrade) -> Whereto:
        request = upgrade.request
        asked = Request(request.method, request.path, headers=Headers(list(request.headers.raw)))

        def whereto(seen: int) -> tuple[int, Target | Mismatch] | None:
            generation = self._admission.admit()
            if generation is None or generation.epoch == seen:
                return None
            return generation.epoch, generation.router.match(asked, upgrade)

        return whereto

    def _stamp_of(self, epoch: int) -> RawHeaders:
        if epoch != self._stamped:
            self._stamped = epoch
            self._stamp = ((b"x-changeover-epoch", b"%d" % epoch), (b"x-changeover-worker", b"%d" % self._worker))
        return self._stamp
