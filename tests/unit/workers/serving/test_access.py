"""Lines of the access log: what tools read, and nothing that a client could write between them."""

import re

import msgspec
import pytest

from changeover.workers.serving.access import FORMATS, Access, as_json, combined, common

ACCESS = Access(
    at=1_700_000_000.0,
    client="192.0.2.1",
    method="GET",
    target="/a?b=c",
    version="1.1",
    status=200,
    size=512,
    ms=1.234,
    complete=True,
    epoch=7,
    worker=2,
    route="shop",
    request_id="r-1",
    referer="http://x/",
    agent="curl/8",
)
COMMON = r'192\.0\.2\.1 - - \[\d\d/[A-Z][a-z]{2}/2023:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\?b=c HTTP/1\.1" 200 512'
OURS = r"epoch=7 worker=2 route=shop request=r-1 ms=1\.2\n"


def test_common() -> None:
    assert re.fullmatch(f"{COMMON} {OURS}", common(ACCESS).decode())


def test_combined() -> None:
    assert re.fullmatch(f'{COMMON} "http://x/" "curl/8" {OURS}', combined(ACCESS).decode())


def test_json_has_a_name_for_each() -> None:
    assert msgspec.json.decode(as_json(ACCESS), type=Access) == ACCESS


def test_what_is_not_known_is_a_dash() -> None:
    unread = Access(0.0, "", "", "", "", 400, 0, 0.0, True, 0, 1)
    assert combined(unread).decode().endswith('"-" 400 - "-" "-" epoch=- worker=1 route=- request=- ms=0.0\n')
    assert combined(unread).startswith(b"- - - [")


def test_a_response_that_was_cut_is_told_as_such() -> None:
    assert common(msgspec.structs.replace(ACCESS, complete=False)).endswith(b" ms=1.2 cut\n")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("field", ["target", "referer", "agent", "request_id", "client", "method"])
def test_a_client_cannot_write_a_line_or_end_a_field(name: str, field: str) -> None:
    line = FORMATS[name](msgspec.structs.replace(ACCESS, **{field: 'a" b\r\n\x00\x1b[31m\\\u20ac\xe9'}))
    assert line.count(b"\n") == 1
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", line)
    if name != "json":
        assert line.isascii()
        assert b'a" b' not in line
