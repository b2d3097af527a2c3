"""`body-limit`: bounds the request's body, announced or not."""

from changeover.plugin import BodyTooLarge, CallContext, CallNext, Request, Response, around
from changeover.workers.handlers.settings import BodyLimit


class _Measure:
    """Adds up the pieces of one body.

    Attributes:
        exceeded: Whether it is too long.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self.exceeded = False

    def see(self, piece: bytes) -> None:
        """One more piece.

        Raises:
            BodyTooLarge: It is one too many.
        """
        self._size += len(piece)
        if self._size > self._limit:
            self.exceeded = True
            raise BodyTooLarge(self._limit)


class BodyLimits:
    """Answers with 413 where a body is too long, whatever an application makes of it.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: BodyLimit) -> None:
        self._limit = settings.limit

    @around
    async def bound(self, request: Request, call_next: CallNext, call: CallContext) -> Response:
        """Refuse what announces too much, and watch the rest arrive.

        Raises:
            BodyTooLarge: The body is too long.
        """
        held = request.held_body
        if held is not None and len(held) > self._limit:
            raise BodyTooLarge(self._limit)
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            raise BodyTooLarge(self._limit)
        if held is not None:
            return await call_next(request)
        measure = _Measure(self._limit)
        request.watch_body(measure.see)
        try:
            response = await call_next(request)
        except Exception:
            if measure.exceeded:
                raise BodyTooLarge(self._limit) from None
            raise
        if measure.exceeded:
            raise BodyTooLarge(self._limit)
        return response
