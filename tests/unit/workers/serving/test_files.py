"""Files as responses: what is asked for, what is known already, and bytes in pieces."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest

from changeover.workers.serving import files
from changeover.workers.serving.contract import Headers, Request, Response
from tests.taken_threads import loop_threads_taken

CONTENT = bytes(range(250)) * 4
CHANGED = 1_700_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_bytes(CONTENT)
    os.utime(path, (CHANGED, CHANGED))
    return path


def answer(path: Path, method: str = "GET", **fields: str) -> Response:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return Response.file(path, Request(method, "/", headers=Headers(raw)))


async def content(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([piece async for piece in response.body])


async def test_code_that_blocks_in_threads_of_the_loop_holds_up_no_file(file: Path) -> None:
    with loop_threads_taken():
        assert await asyncio.wait_for(content(answer(file)), 10) == CONTENT


async def test_a_disk_that_hangs_holds_up_nothing_else_in_threads(file: Path, tmp_path: Path) -> None:
    hanging = tmp_path / "hanging"
    os.mkfifo(hanging)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    reading = asyncio.ensure_future(content(Response(files.FilePiece(str(hanging), 0, 1).stream())))
    try:
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(os.getpid) == os.getpid()
            assert await content(answer(file)) == CONTENT
    finally:
        writer = os.open(hanging, os.O_RDWR)
        with pytest.raises(OSError, match="Illegal seek"):
            await reading
        os.close(writer)


async def test_all_of_it(file: Path) -> None:
    response = answer(file)
    assert response.status == 200
    assert await content(response) == CONTENT
    assert dict(response.headers) | {"etag": ""} == {
        "etag": "",
        "last-modified": formatdate(CHANGED, usegmt=True),
        "accept-ranges": "bytes",
        "content-type": "text/html",
        "content-length": "1000",
    }


async def test_without_a_request_all_of_it_is_sent(file: Path) -> None:
    assert await content(Response.file(file)) == CONTENT


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("0-0", 0, 1),
        ("0-99", 0, 100),
        ("990-", 990, 1000),
        ("990-5000", 990, 1000),
        ("-10", 990, 1000),
        ("-5000", 0, 1000),
    ],
)
async def test_a_part_of_it(file: Path, wanted: str, start: int, end: int) -> None:
    response = answer(file, range=f"bytes={wanted}")
    assert response.status == 206
    assert await content(response) == CONTENT[start:end]
    assert response.headers["content-length"] == str(end - start)
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/1000"


@pytest.mark.parametrize("wanted", ["1000-", "5000-6000", "-0"])
async def test_a_part_that_it_does_not_have(file: Path, wanted: str) -> None:
    response = answer(file, range=f"bytes={wanted}")
    assert (response.status, await content(response)) == (416, b"")
    assert response.headers["content-range"] == "bytes */1000"


@pytest.mark.parametrize("wanted", ["bytes=5-1", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "0-1"])
async def test_what_is_no_single_range_is_ignored(file: Path, wanted: str) -> None:
    response = answer(file, range=wanted)
    assert (response.status, await content(response)) == (200, CONTENT)


async def test_a_range_of_another_version_is_ignored(file: Path) -> None:
    tag = answer(file).headers["etag"]
    assert answer(file, range="bytes=0-1", if_range=tag).status == 206
    assert answer(file, range="bytes=0-1", if_range='"older"').status == 200


@pytest.mark.parametrize(("seconds", "status"), [(0, 304), (1, 304), (-1, 200)])
async def test_what_has_not_changed_since_is_not_sent(file: Path, seconds: int, status: int) -> None:
    response = answer(file, if_modified_since=formatdate(CHANGED + seconds, usegmt=True))
    assert response.status == status
    assert await content(response) == (CONTENT if status == 200 else b"")


async def test_a_tag_overrules_a_date(file: Path) -> None:
    tag, now = answer(file).headers["etag"], formatdate(CHANGED, usegmt=True)
    assert answer(file, if_none_match=f'"x", W/{tag}').status == 304
    assert answer(file, if_none_match="*").status == 304
    assert answer(file, if_none_match='"x"', if_modified_since=now).status == 200
    assert answer(file, if_modified_since="yesterday").status == 200


async def test_a_head_reads_nothing(file: Path) -> None:
    response = answer(file, "HEAD", range="bytes=0-1")
    assert (response.status, response.body, response.headers["content-length"]) == (200, b"", "1000")


async def test_pieces_are_bounded_and_the_file_is_closed_early(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIECE", 300)
    before = set(os.listdir("/proc/self/fd"))
    pieces = files.whole(str(file)).stream()
    assert [len(await anext(pieces)), len(await anext(pieces))] == [300, 300]
    await pieces.aclose()
    assert set(os.listdir("/proc/self/fd")) == before


async def test_a_file_that_becomes_shorter_is_an_error_and_no_short_answer(file: Path) -> None:
    response = answer(file)
    os.truncate(file, 10)
    with pytest.raises(OSError, match="990 bytes shorter"):
        await content(response)


def test_what_is_no_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Response.file(tmp_path / "nowhere")
    with pytest.raises(OSError, match="no regular file"):
        Response.file(tmp_path)
