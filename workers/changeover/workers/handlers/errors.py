"""`errors`: words errors alike, as `application/problem+json` (RFC 9457), or as a page for browsers."""

import html
from http import HTTPStatus
from typing import Any

import msgspec

from changeover.plugin import CallContext, CallNext, Extension, Request, Response, around, outbound
from changeover.workers.handlers.negotiation import add_vary, prefers_html
from changeover.workers.handlers.settings import Errors

PROBLEM = "application/problem+json"
LONGEST_DETAIL = 1024
"""Bytes of plain text that are taken for a detail; longer text is no sentence about an error."""
REQUEST_ID = Extension("request_id", str)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{status} {title}</title>
<h1>{title}</h1>
<p>{detail}</p>
<p><small>{status}{request}</small></p>
</html>
"""


class ProblemErrors:
    """Makes problems of errors in plain text, and gives all problems what they have in common.

    JSON that an application answers an error with is its own and stays as it is.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: Errors) -> None:
        self._html = settings.html
        self._type = settings.type

    @around
    async def reword(self, request: Request, call_next: CallNext, call: CallContext) -> Response:
        """Make a problem of a page, or a line, that a client which wants JSON can do nothing with.

        It is completed here already: what stands before may encode it, and then nobody can any more.
        """
        response = await call_next(request)
        if response.status < 400 or request.method == "HEAD" or "content-encoding" in response.headers:
            return response
        kind = _kind(response)
        if kind == "text/html" and self._html:
            add_vary(response, "Accept")
        if kind in ("", "text/plain") or (kind == "text/html" and not self._wants_page(request)):
            await _close(response)
            response = _problem_of(response, kind)
        self.complete(request, response, call)
        return response

    @outbound
    def complete(self, request: Request, response: Response, call: CallContext) -> None:
        """Say in a problem which request it is about, and show it to people as a page."""
        if response.status < 400 or _kind(response) != PROBLEM or "content-encoding" in response.headers:
            return
        if not isinstance(response.body, bytes):
            return
        problem = _members(response.body)
        if problem is None:
            return
        own = {"type": f"{self._type}{response.status}"} if self._type else {}
        named = {"request_id": REQUEST_ID.get(call)} if REQUEST_ID.get(call) else {}
        problem = own | problem | {"instance": request.raw_path.decode("latin-1")} | named
        if self._html:
            add_vary(response, "Accept")
        if self._wants_page(request):
            response.headers["content-type"] = "text/html; charset=utf-8"
            response.body = _page(problem)
        else:
            response.body = msgspec.json.encode(problem)
        response.headers.pop("content-length", None)

    def _wants_page(self, request: Request) -> bool:
        return self._html and prefers_html(",".join(request.headers.all("accept")))


def _kind(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _close(response: Response) -> None:
    """Close a body that nobody reads."""
    close = getattr(response.body, "aclose", None)
    if close is not None:
        await close()


def _problem_of(response: Response, kind: str) -> Response:
    """A problem that says what the response said; what failed inside stays inside."""
    try:
        title = HTTPStatus(response.status).phrase
    except ValueError:
        title = f"Error {response.status}"
    detail = ""
    said = response.body if isinstance(response.body, bytes) and kind != "text/html" else b""
    if response.status < 500 and len(said) <= LONGEST_DETAIL:
        detail = said.decode("utf-8", "replace").strip()
    problem = Response.problem(response.status, title, detail if detail != title else "")
    kept = [pair for pair in response.headers.raw if pair[0] not in (b"content-type", b"content-length", b"etag")]
    problem.headers.raw.extend(kept)
    return problem


def _members(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return None


def _page(problem: dict[str, Any]) -> bytes:
    told = {key: html.escape(str(problem.get(key, ""))) for key in ("status", "title", "detail")}
    request = html.escape(f", request {problem['request_id']}" if "request_id" in problem else "")
    return _PAGE.format(**told, request=request).encode()
