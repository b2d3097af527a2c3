"""The messages of one WebSocket, given one after the other to a handler that may be replaced between two of them."""

import logging

import msgspec

from changeover.workers.serving import failure
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.message import Response
from changeover.workers.serving.moving import Move, Whereto
from changeover.workers.serving.router import Target
from changeover.workers.serving.session import Session, WebSocketClosed
from changeover.workers.serving.websocket import MessageHandler, MessageService, WebSocket

log = logging.getLogger("changeover.request")


class Conversation:
    """One WebSocket with a message handler.

    Args:
        service: Makes the first handler.
        socket: The WebSocket.
        call: Its call context; after a move it tells of the generation that was moved to.
        whereto: Says what serves now.
    """

    __slots__ = ("_call", "_handler", "_seen", "_service", "_socket", "_whereto")

    _handler: MessageHandler

    def __init__(self, service: MessageService, socket: WebSocket, call: CallContext, whereto: Whereto) -> None:
        self._service = service
        self._socket = socket
        self._call = call
        self._whereto = whereto
        self._seen = call.epoch

    async def run(self) -> Response | None:
        """Give the handler what comes; a Response rejects."""
        self._handler = self._made(self._service)
        rejection = await self._handler.on_open()
        session = self._socket.session
        if session is None:
            return rejection
        try:
            await self._converse(session)
        except WebSocketClosed:
            closed = session.closed
            if closed is None:
                raise
            await self._handler.on_close(closed.code, closed.reason)
        return None

    async def _converse(self, session: Session) -> None:
        while True:
            self._move_on()
            if session.at_hand:
                await self._handler.on_message(session.pop())
            else:
                await session.stir()

    def _made(self, service: MessageService) -> MessageHandler:
        handler = service.make()
        handler.socket, handler.call = self._socket, self._call
        return handler

    def _move_on(self) -> None:
        """Go on in what serves now, where that is something else; a handler that cannot stays where it is."""
        found = self._whereto(self._seen)
        if found is None:
            return
        self._seen, target = found
        if isinstance(target, Target) and target.unit_set is not self._call.lease.units:
            service = target.pipeline.target
            if isinstance(service, MessageService):
                self._move(service, Move(self._call, self._seen, target))

    def _move(self, service: MessageService, move: Move) -> None:
        try:
            state = msgspec.msgpack.encode(self._handler.export_state())
            successor = self._made(service)
            successor.import_state(state)
        except BaseException as error:
            move.drop()
            if failure.is_ending(error):
                raise
            log.warning(
                "the WebSocket %s stays on epoch %d: its state did not go over to epoch %d",
                self._call.lease.path,
                self._call.epoch,
                self._seen,
                exc_info=error,
            )
        else:
            move.keep()
            self._handler = successor
