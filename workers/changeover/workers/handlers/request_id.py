"""`request-id`: gives each request an id, which goes with it and comes back with its response."""

import re
import secrets

from changeover.plugin import CallContext, Extension, Request, Response, inbound, outbound
from changeover.workers.handlers.settings import RequestId

REQUEST_ID = Extension("request_id", str)
"""The id, for whatever is behind; logs name it too."""

_SANE = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class RequestIds:
    """Takes the id that the client sends, or makes one.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: RequestId) -> None:
        self._header = settings.header
        self._accept = settings.accept

    @inbound
    def take(self, request: Request, call: CallContext) -> None:
        """Give the request its id."""
        given = request.headers.get(self._header, "") if self._accept else ""
        own = given if _SANE.fullmatch(given) else secrets.token_hex(16)
        request.headers[self._header] = own
        REQUEST_ID.set(call, own)

    @outbound
    def give_back(self, request: Request, response: Response, call: CallContext) -> None:
        """Put the id on the response."""
        own = REQUEST_ID.get(call)
        if own is not None:
            response.headers[self._header] = own
