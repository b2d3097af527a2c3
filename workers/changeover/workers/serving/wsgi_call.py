"""One request to a WSGI application, on the loop: between its thread and the exchange.

One hop per request: the body is there before a thread is taken, and what the thread says comes back
as mail, which is taken in bunches. No thread waits for a client as long as there is room for what the
client is behind with.
"""

import contextvars
import io
from functools import partial
from queue import SimpleQueue

from changeover.workers.serving import failure
from changeover.workers.serving.asgi_call import Outbound, Phase
from changeover.workers.serving.backlog import Backlog
from changeover.workers.serving.backpressure import drained
from changeover.workers.serving.contract import CallContext, Headers, NotReady, Response
from changeover.workers.serving.event_stream import AT_REST, following, may_end
from changeover.workers.serving.exchange import Exchange, RawHeaders
from changeover.workers.serving.gauge import ReadinessGauge
from changeover.workers.serving.lease import Lease, LeaseKind, current_lease
from changeover.workers.serving.mailbox import Mailbox
from changeover.workers.serving.reply import Reply
from changeover.workers.serving.spool import Spool
from changeover.workers.serving.wsgi import WsgiApplication
from changeover.workers.serving.wsgi_head import WsgiHead
from changeover.workers.serving.wsgi_input import body_at_hand, give_whole, is_told, keep, streamed
from changeover.workers.serving.wsgi_run import Failed, Mail, Sign, WsgiRun

_OPEN, _STARTED, _DONE = Phase.OPEN, Phase.STARTED, Phase.DONE
_WANTED, _ASIDE, _ASKS, _END, _LEFT = Sign
_STREAM, _TASK = LeaseKind.STREAM, LeaseKind.TASK


class WsgiCall:
    """Drives one application call; `run` belongs into a task of its own.

    Args:
        gauge: Follows whether there is room among the threads.
        application: What answers.
        request: What is asked.
        exchange: The way back to the client.
        call: The request's context.
        stamp: Fields added to the response's own.
        outbound: Sees the response's head before it is sent; None when no handler wants to.
    """

    __slots__ = (
        "_application",
        "_call",
        "_exchange",
        "_fields",
        "_gauge",
        "_mail",
        "_outbound",
        "_phase",
        "_reads",
        "_request",
        "_run",
        "_stamp",
        "_tail",
        "_thread_is_free",
        "_thread_left",
        "_written",
    )

    def __init__(
        self,
        gauge: ReadinessGauge,
        application: WsgiApplication,
        exchange: Exchange,
        call: CallContext,
        stamp: RawHeaders = (),
        outbound: Outbound | None = None,
    ) -> None:
        self._application = application
        self._request = exchange.request
        self._exchange = exchange
        self._call = call
        self._stamp = stamp
        self._outbound = outbound
        self._gauge = gauge
        self._phase = _OPEN
        self._thread_left = self._thread_is_free = True
        self._reads = False
        self._tail = AT_REST
        self._written = 0

    async def run(self) -> None:
        """Call the application; whatever comes of it, the exchange is settled and the lease released."""
        current_lease.set(self._call.lease)
        try:
            if self._thread_left:
                await self._begin()
            try:
                while not self._thread_left:
                    await self._deliver(await self._mail.take())
            finally:
                self._let_go()
            self._conclude()
        except BaseException as error:
            if failure.is_ending(error):
                self._cancelled()
                raise
            await self._fail(error)
        finally:
            if not self._thread_left:
                self._leave_thread()
            self._settle()

    def go_on(self, run: WsgiRun, phase: Phase) -> Mailbox[Mail]:
        """Have a call go on that a thread has had until now without a task; what the thread says goes there."""
        run.tell(self._call.lease.waiting)
        self._run, self._phase, self._mail = run, phase, Mailbox[Mail]()
        self._thread_left = self._thread_is_free = False
        return self._mail

    async def _begin(self) -> None:
        """Have what is small of the body, then take a thread; nothing is read for which there is no room.

        Raises:
            NotReady: Too many wait for a thread, there is no room for a body that has to be kept, or no thread that may
                read one comes free in time.
            BodyTooLarge: So has one that is longer than what is kept.
        """
        try:
            self._application.pool.admit()
            await self._submit()
        except NotReady as error:
            self._gauge.refused(error)
            raise
        if self._gauge.counter.unready:
            self._gauge.ready()

    async def _submit(self) -> None:
        application, request = self._application, self._request
        run = self._prepare(contextvars.copy_context())
        run.tell(self._call.lease.waiting)
        run.environ = environ = application.environs.make(request, self._call)
        begun, whole = await body_at_hand(request)
        if whole:
            give_whole(environ, io.BytesIO(begun), len(begun))
            self._take_thread()
            return
        run.body = kept = Spool(application.room)
        try:
            rest = await keep(kept, begun, request, application.disk, told=is_told(environ))
            if rest is None:
                give_whole(environ, kept.reader(), kept.size)
                self._take_thread()
            else:
                run.pieces = SimpleQueue()
                environ["wsgi.input"] = streamed(kept, rest, run.more)
                await self._take_reader()
        except BaseException:
            self._close(kept)
            raise

    def _prepare(self, context: contextvars.Context) -> WsgiRun:
        if self._application.courier.loop is None:
            self._application.courier.attend()
        self._mail = Mailbox[Mail]()
        self._run = WsgiRun(self._application, self._request, self._call, self._mail, context)
        return self._run

    async def _take_reader(self) -> None:
        """Take a thread that will wait for a client, once enough are left for others."""
        readers = self._application.readers
        await readers.acquire(self._call.lease.waiting)
        try:
            self._take_thread()
        except BaseException:
            readers.release()
            raise
        self._reads = True
        self._run.when_left = self._has_read

    def _take_thread(self) -> None:
        self._application.pool.submit(self._run)
        self._thread_left = self._thread_is_free = False

    async def _deliver(self, mail: list[Mail]) -> None:
        if mail[-1] is _LEFT:
            self._thread_left = True
            self._thread_gone()
        head = mail[0]
        if type(head) is WsgiHead and len(mail) > 2 and mail[2] is _END and self._outbound is None:
            self._send_whole(head, mail[1])
            mail = mail[3:]
        for item in mail:
            if type(item) is bytes:
                self._write(item)
            elif type(item) is WsgiHead:
                await self._start(item)
            elif item is _END:
                self._end()
            elif item is _WANTED or item is _ASIDE or item is _ASKS:
                await self._bring(item)
            elif type(item) is Failed:
                await self._fail(item.error)
        if self._phase is _STARTED and not self._thread_left:
            await self._drained()

    async def _start(self, head: WsgiHead) -> None:
        status = head.status
        fields: RawHeaders = head.fields
        if self._outbound is not None:
            response = Response(b"", status, Headers(list(fields)))
            await self._outbound(self._request, response, self._call)
            status, fields = response.status, response.headers.raw
        self._exchange.start(status, [*fields, *self._stamp] if self._stamp else fields)
        self._fields = fields
        self._started(status)

    def _started(self, status: int) -> None:
        self._phase = _STARTED
        self._call.lease.units.counters.responses[status // 100] += 1

    def _write(self, piece: bytes) -> None:
        if self._phase is not _STARTED:
            return
        if self._written:
            self._call.lease.kind = _STREAM
            if not self._exchange.connected:
                self._run.give_up()
                return
        self._written += len(piece)
        self._exchange.write(piece)
        self._tail = following(self._tail, piece)

    async def _drained(self) -> None:
        """Wait until the client has taken enough; a thread that leaves meanwhile is free for others."""
        self._mail.glimpse(self._glimpsed)
        try:
            await drained(self._exchange, self._call)
        finally:
            self._mail.glimpse(None)
        self._run.credit(self._written)

    def _glimpsed(self, latest: Mail) -> None:
        if latest is _LEFT:
            self._thread_gone()
        elif latest is _ASKS:
            self._run.measure(self._acknowledged)

    def _acknowledged(self) -> int:
        """How much of the response the client has."""
        return self._written - self._exchange.untaken

    async def _bring_aside(self) -> None:
        """Send what the thread has put aside, as the client takes it."""
        backlog = self._run.backlog
        if backlog is None:
            raise AssertionError("bug: a thread told of what it has not put aside")
        while self._phase is _STARTED and (piece := await backlog.take(self._application.disk)):
            self._write(piece)
            await self._drained()
            if not self._exchange.connected:
                self._run.give_up()
                return
        self._run.credit(self._written)

    def _end(self) -> None:
        if self._phase is _STARTED:
            self._exchange.end()
            self._phase = _DONE
            self._ended()

    def _send_whole(self, head: WsgiHead, body: Mail) -> None:
        if type(body) is not bytes:
            raise AssertionError("bug: a response that is told as one has no body")
        self._exchange.answer(head.status, [*head.fields, *self._stamp] if self._stamp else head.fields, body)
        self._started(head.status)
        self._phase = _DONE
        self._ended()

    def _ended(self) -> None:
        """The response is complete."""
        self._call.lease.kind = _TASK

    async def _bring(self, wish: Sign) -> None:
        """Do what a thread cannot."""
        if wish is _WANTED:
            await self._bring_body()
        elif wish is _ASIDE:
            await self._bring_aside()
        else:
            self._run.measure(self._acknowledged)

    async def _bring_body(self) -> None:
        """Give the thread what it waits for: the next piece of the body, or why there is none."""
        arrivals = self._run.pieces
        if arrivals is None:
            raise AssertionError("bug: a body that was at hand is read from the loop")
        piece: bytes | None = b""
        try:
            while piece == b"":
                piece = await self._request.receive()
        except Exception as error:  # noqa: BLE001 - raised where the application reads
            arrivals.put(error)
        else:
            arrivals.put(piece or b"")
        if not piece:
            self._has_read()

    def _conclude(self) -> None:
        """The thread has left: a response that is not complete by now has nobody who takes it."""
        if self._phase is not _DONE:
            self._phase = _DONE
            self._abort()

    def _leave_thread(self) -> None:
        """A thread cannot be stopped: it holds the units for itself until it has left the application."""
        self._run.end_turn()
        held = self._call.lease.share(_TASK)
        held.holder = self._run.thread
        self._run.give_up()
        self._mail.divert(partial(self._left_behind, held))

    def _left_behind(self, held: Lease, mail: list[Mail]) -> None:
        for item in mail:
            if type(item) is Failed:
                failure.report(item.error, self._request, self._call)
        if mail and mail[-1] is _LEFT:
            self._mail.divert(None)  # the two would keep each other, and what the application left in its context
            self._thread_left = True
            self._thread_gone()
            self._let_go()
            held.release()

    def _thread_gone(self) -> None:
        if not self._thread_is_free:
            self._thread_is_free = True
            self._application.pool.done(self._run)
            self._has_read()

    def _has_read(self) -> None:
        """The thread waits for no more of the request's body: another may."""
        if self._reads:
            self._reads, self._run.when_left = False, None
            self._application.readers.release()

    def _let_go(self) -> None:
        """Nothing that was put aside is needed any more, unless a thread may still put something there."""
        if self._thread_left and self._run.backlog is not None:
            self._close(self._run.backlog)

    def _close(self, file: Spool | Backlog) -> None:
        """Close beside the loop: it may take a disk some time to forget."""
        self._application.disk.do(file.close)

    async def _fail(self, error: BaseException) -> None:
        phase, self._phase = self._phase, _DONE
        if phase is _OPEN:
            try:
                response = await failure.shown(error, self._request, self._call, self._outbound)
            except BaseException:  # the server ends the request meanwhile
                self._reply(failure.ended())
                raise
            self._reply(response)
            return
        failure.report(error, self._request, self._call)
        self._abort()

    def _cancelled(self) -> None:
        phase, self._phase = self._phase, _DONE
        if phase is _OPEN:
            self._reply(failure.ended())
        elif phase is _STARTED and may_end(self._fields, self._tail):
            self._exchange.end()
        elif phase is _STARTED:
            self._abort(503)

    def _abort(self, status: int = 500) -> None:
        self._call.break_off(status)

    def _reply(self, response: Response) -> None:
        Reply(self._exchange, self._stamp, self._call).send_problem(response)

    def _settle(self) -> None:
        self._call.lease.release()


class TellingWsgiCall(WsgiCall):
    """A call behind handlers: its context hears of the response's last byte, whatever the thread does then."""

    __slots__ = ()

    def _ended(self) -> None:
        super()._ended()
        self._call.answered()
