"""`access-log`: one line for each response, once it is complete or broken off."""

import logging
import time
from functools import partial

import msgspec

from changeover.plugin import CallContext, Extension, Request, Response, inbound, outbound
from changeover.workers.handlers.settings import AccessLog

REQUEST_ID = Extension("request_id", str)
NOTHING_SENT = 499
"""Told where the client left, or the server ended the request, before there was a response."""


class Access(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        client: Address; empty on a Unix socket.
        method: Of the request.
        target: Of the request, as it came.
        status: Of the response; of the short one that the client got in its place, where nothing of it had left.
        ms: From dispatch to the last byte.
        left: Whether the client left before.
        complete: Whether the response was sent to its end.
        epoch: The generation that served it.
        worker: The slot.
        route: The pipeline.
        request: Its id; empty for none.
    """

    client: str
    method: str
    target: str
    status: int
    ms: float
    left: bool
    complete: bool
    epoch: int
    worker: int
    route: str
    request: str

    def __str__(self) -> str:
        early = " left" if self.left else "" if self.complete else " cut"
        named = f" request={self.request}" if self.request else ""
        line = f'{self.client or "-"} "{self.method} {self.target}" {self.status} {self.ms:.1f}ms{early}'
        return f"{line} epoch={self.epoch} worker={self.worker} route={self.route}{named}"


class AccessLogs:
    """Tells a logger of each response, also of those that handlers answer with and of errors.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: AccessLog) -> None:
        self._log = _audible(settings.logger)
        self._json = settings.format == "json"
        self._skip = tuple(path.rstrip("/") for path in settings.skip)
        self._under_way: dict[CallContext, Response | None] = {}

    @inbound
    def begin(self, request: Request, call: CallContext) -> None:
        """Wait for the end of the request, unless nobody wants to hear of it."""
        if self._log.isEnabledFor(logging.INFO) and not self._is_skipped(request):
            self._under_way[call] = None
            call.when_answered(partial(self._tell, request, call))

    @outbound
    def answer(self, request: Request, response: Response, call: CallContext) -> None:
        """Note what is answered."""
        if call in self._under_way:
            self._under_way[call] = response

    def _is_skipped(self, request: Request) -> bool:
        path = request.root_path + request.path
        return any(path == skipped or path.startswith(f"{skipped}/") for skipped in self._skip)

    def _tell(self, request: Request, call: CallContext) -> None:
        response, instead = self._under_way.pop(call), call.answered_instead
        line = Access(
            client=request.client[0] if request.client else "",
            method=request.method,
            target=_target(request),
            status=instead or (NOTHING_SENT if response is None else response.status),
            ms=(time.monotonic_ns() - call.started) / 1e6,
            left=not call.connected and not call.broken_off,
            complete=instead > 0 or (call.connected and not call.broken_off),
            epoch=call.epoch,
            worker=call.worker,
            route=call.route,
            request=REQUEST_ID.get(call) or "",
        )
        self._log.info("%s", msgspec.json.encode(line).decode() if self._json else line)


def _audible(name: str) -> logging.Logger:
    """The logger; where nobody configured one, its lines go to the worker's standard error, where its log goes."""
    log = logging.getLogger(name)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    if not log.hasHandlers():
        plain = logging.StreamHandler()
        plain.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(plain)
    return log


def _target(request: Request) -> str:
    """The target in one line of ASCII, whatever came."""
    target = request.raw_path + (b"?" + request.query if request.query else b"")
    return repr(target)[2:-1]
