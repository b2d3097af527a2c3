"""The application behind the control socket, made from the route table."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from changeover.supervisor.api import problems
from changeover.supervisor.api.problems import BodyTooLong, MalformedBody
from changeover.supervisor.api.routes import ENDPOINTS, Endpoint
from changeover.supervisor.operations import Control

LONGEST_BODY = 64 * 1024
"""Bytes; the longest sensible body is a label and a list of names."""


def application(control: Control) -> Starlette:
    """Make the application for one supervisor."""
    return Starlette(
        routes=[Route(row.path, _answering(row, control), methods=[row.method]) for row in ENDPOINTS],
        exception_handlers={HTTPException: problems.answer},
    )


def _answering(endpoint: Endpoint, control: Control) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            body = None if endpoint.body is None else decode(await _read(request), endpoint.body)
            return await endpoint.handler(control, request, body)
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:  # noqa: BLE001 - every error becomes a problem, unknown ones with a logged traceback
            return await problems.answer(request, error)

    return answer


async def _read(request: Request) -> bytes:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > LONGEST_BODY:
            raise BodyTooLong(f"the body is longer than {LONGEST_BODY} bytes")
    return bytes(content)


def decode(content: bytes, type: type[Any]) -> Any:
    """Read a body; none at all is an empty one.

    Raises:
        MalformedBody: It is not JSON, or not of that type; the message names the field.
    """
    try:
        return msgspec.json.decode(content.strip() or b"{}", type=type)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"{error}; see docs/http-api.md for the fields of {type.__name__}") from error
