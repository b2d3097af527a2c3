"""Header fields of a response that cannot be sent: a 500, and words for who gave them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from changeover.workers.serving.contract import CallContext, Headers, Request, Response
from changeover.workers.serving.message import TO_GIVE
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import Served
from tests.over_wires import asked


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"x": "secret"}, "as a dict"),
        ([(b"x", b"secret")], "as a list"),
        (Headers([("x", "secret")]), "with 'x', which is no pair of bytes"),  # type: ignore[list-item]
        (Headers([(b"a", b"b"), (b"x", 7)]), "with b'x', which is no pair of bytes"),  # type: ignore[list-item]
    ],
)
async def test_headers_that_are_none_are_an_error_that_says_what_to_give(
    headers: Any, told: str, pieces: bool, http2: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"piece"

    async def given(request: Request, call: CallContext) -> Response:
        return Response(body() if pieces else b"whole", headers=headers)

    async def set_later(request: Request, call: CallContext) -> Response:
        response = Response(body() if pieces else b"whole")
        response.headers = headers
        return response

    for wrong in (given, set_later):
        assert (await asked(Served(Pipeline("shop", (), wrong)), http2=http2))[0] == 500
        assert caplog.records[-1].exc_info
        assert str(caplog.records[-1].exc_info[1]) == f"headers are given {told}; {TO_GIVE}"
    if "as a" in told:
        assert "in given\n" in caplog.text, "the line that gave them is named"


@pytest.mark.parametrize("given", [{"x": "secret"}, "x: secret", ((b"x", b"secret"),)], ids=["dict", "str", "tuple"])
def test_fields_that_are_no_list_are_refused_where_they_are_given(given: Any) -> None:
    with pytest.raises(TypeError) as refused:
        Headers(given)
    assert str(refused.value) == f"headers are given as a {type(given).__name__}; {TO_GIVE}"
