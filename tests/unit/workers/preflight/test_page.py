"""What a rehearsal wrote down is legible on the other side of a fork, and whatever else is on the page harms nobody."""

import os

import msgspec
import pytest

from changeover.workers.preflight.page import SIZE, Page, Part, Standing


def test_what_a_child_wrote_is_there_when_it_died() -> None:
    page, standing = Page(), Standing(Part.CANDIDATE, "plugin geo", "on_load", ("limits (why)",))
    assert page.read() == Standing()
    child = os.fork()
    if child == 0:
        page.write(standing)
        os._exit(0)
    os.waitpid(child, 0)
    assert page.read() == standing


def test_what_is_too_long_for_the_page_is_left_out() -> None:
    page = Page()
    page.write(Standing(Part.CANDIDATE, "x" * SIZE, "on_load"))
    assert page.read() == Standing(Part.CANDIDATE)


@pytest.mark.parametrize(
    "scrawl",
    [b"\xff" * SIZE, b"\0" * SIZE, (9).to_bytes(4, "little") + b"\xc1" * 9, b"\x02\0\0\0\x92\x92"],
    ids=["ones", "zeros", "nonsense", "cut"],
)
def test_nonsense_on_the_page_is_nothing(scrawl: bytes) -> None:
    page = Page()
    page._map[: len(scrawl)] = scrawl
    assert page.read() == Standing()


def test_another_struct_on_the_page_is_nothing() -> None:
    page = Page()
    body = msgspec.msgpack.encode({"part": "never", "unit": 3})
    page._map[: 4 + len(body)] = len(body).to_bytes(4, "little") + body
    assert page.read() == Standing()
