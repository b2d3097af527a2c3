"""The state of a plugin goes to one successor, whole, and whoever gave it knows what became of it."""

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from changeover.workers.handover import messages, receiver
from changeover.workers.handover.errors import NotTaken
from changeover.workers.handover.giver import Giver
from changeover.workers.handover.link import Link
from changeover.workers.handover.messages import MAX_PACKET, State, StateRefused, encode
from changeover.workers.handover.sealed import NotSealed, seal, unseal
from changeover.workers.protocol.plugin_messages import MOST_STATE
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.handover import Side, Sides, descriptors, sides
from tests.waits import DEADLINE, until
from tests.wire import serving

REFUSAL = Refusal(Stage.INITIALISE, Fault.CRASH, "ValueError: what is this?", "plugin pricing", "import_state")


def pricing(imported: bytes, latest: bytes, id: int = 1) -> State:
    return State(id, "pricing", "1.0", "d" * 64, len(imported), len(latest))


async def give(old: Side, new: Side, imported: bytes, latest: bytes, deadline: float = DEADLINE) -> Refusal | None:
    """Give the state of `pricing`."""
    state = pricing(imported, latest)
    return await old.departure.giver.deliver(new.worker, state, imported, latest, deadline, lambda: None)


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Sides]:
    async with serving() as server, sides(tmp_path, server) as them:
        yield them


async def pair(workers: Sides) -> tuple[Side, Side]:
    """Two workers that are connected."""
    old, new = workers.first(), workers.add()
    await old.departure.connect([new.worker], DEADLINE)
    return old, new


async def test_state_goes_over_whole_and_needs_no_credit(workers: Sides) -> None:
    old, new = workers.first(), workers.add()
    new.room = 0
    await old.departure.connect([new.worker], DEADLINE)
    before = descriptors()
    imported, latest = b"before", os.urandom(3 << 20)
    assert await give(old, new, imported, latest) is None
    assert new.taken == [(pricing(imported, latest), imported, latest)]
    assert await give(old, new, b"", b"") is None
    assert new.taken[1][1:] == (b"", b"")
    assert descriptors() == before


async def test_a_refusal_comes_back_with_its_traceback_however_long_it_is(workers: Sides) -> None:
    old, new = await pair(workers)
    new.refusal = REFUSAL
    assert await give(old, new, b"", b"x") == REFUSAL
    long = "\N{SNOWMAN}" * 40_000
    new.refusal = Refusal(Stage.LOAD, Fault.CRASH, long, long, long, long, long, f"{long}the end")
    told = await give(old, new, b"", b"x")
    assert told is not None
    assert told.traceback.endswith("the end")
    assert len(encode(StateRefused(1, told))) < MAX_PACKET


async def test_who_does_not_answer_in_time_owes_an_answer_until_it_comes(workers: Sides) -> None:
    old, new = await pair(workers)
    giver, late = old.departure.giver, list[str]()
    new.gate.clear()
    with pytest.raises(NotTaken, match=r"did not answer within 0.05 s"):
        await giver.deliver(new.worker, pricing(b"", b"x"), b"", b"x", 0.05, lambda: late.append("x"))
    assert (giver.owes(1), late) == (True, [])
    new.gate.set()
    state = pricing(b"", b"y", 2)
    assert await giver.deliver(new.worker, state, b"", b"y", DEADLINE, lambda: late.append("y")) is None
    assert (giver.owes(1), giver.owes(2), late) == (False, False, ["x"])
    assert old.departure.sender.strays == 0


@pytest.mark.parametrize("ending", ["refusal", "death"])
async def test_who_refuses_late_or_goes_owes_nothing_any_more(workers: Sides, ending: str) -> None:
    old, new = await pair(workers)
    giver, late = old.departure.giver, list[str]()
    new.gate.clear()
    new.refusal = REFUSAL
    with pytest.raises(NotTaken, match=r"did not answer within 0.05 s"):
        await giver.deliver(new.worker, pricing(b"", b"x"), b"", b"x", 0.05, lambda: late.append("x"))
    if ending == "death":
        new.reception.close()
    new.gate.set()
    await until(lambda: not giver.owes(1), "the answer, or the end of the link")
    assert late == []


async def test_who_goes_before_it_answers_has_not_taken_it(workers: Sides) -> None:
    old, new = await pair(workers)
    new.gate.clear()
    giving = asyncio.create_task(give(old, new, b"", b"x"))
    await until(lambda: len(new.taken) == 1, "it to be read")
    new.reception.close()
    with pytest.raises(NotTaken, match="its link ended"):
        await giving
    new.gate.set()


async def test_who_goes_before_it_reads_has_not_taken_it(workers: Sides) -> None:
    old, new = await pair(workers)
    for link in new.reception._links.values():
        new.reception._loop.remove_reader(link._sock)
    giving = asyncio.create_task(give(old, new, b"", b"x"))
    await asyncio.sleep(0)
    new.reception.close()
    with pytest.raises(NotTaken, match="its link ended"):
        await giving
    assert new.taken == []


async def test_when_the_sender_gives_up_what_was_begun_there_ends_and_nobody_is_told(workers: Sides) -> None:
    old, new = await pair(workers)
    new.gate.clear()
    giving = asyncio.create_task(give(old, new, b"", b"x"))
    await until(lambda: len(new.taken) == 1, "it to be read")
    old.departure.close()
    with pytest.raises(NotTaken, match="its link ended"):
        await giving
    new.gate.set()
    await until(lambda: not new.reception._takings, "what was begun to end")
    await until(lambda: not new.reception._links, "the link to be gone")


async def test_what_is_sent_by_one_that_dies_then_is_taken_all_the_same(workers: Sides) -> None:
    old, new = await pair(workers)
    fd = seal("state", b"x")
    link = old.departure._links[new.worker]
    link.send(encode(pricing(b"", b"x")), [fd])
    os.close(fd)
    link.close()
    await until(lambda: len(new.taken) == 1, "it to be taken")


async def test_what_the_system_does_not_take_is_sent_again(workers: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = await pair(workers)
    refused = [OSError(errno.ETOOMANYREFS, "not now")] * 3
    send = Link.send

    def sometimes(link: Link, data: bytes, fds: Sequence[int] = ()) -> None:
        if fds and refused:
            raise refused.pop()
        send(link, data, fds)

    monkeypatch.setattr(Link, "send", sometimes)
    assert await give(old, new, b"", b"x") is None
    assert [latest for _, _, latest in new.taken] == [b"x"]
    assert refused == []


async def test_what_was_sent_is_not_sent_again_though_the_link_is_there_again_at_once(
    workers: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = await pair(workers)
    new.gate.clear()
    monkeypatch.setattr(Giver, "reaches", lambda giver, receiver: True)
    giving = asyncio.create_task(give(old, new, b"", b"x"))
    await until(lambda: len(new.taken) == 1, "it to be read")
    for link in new.reception._links.values():
        link.close()
    with pytest.raises(NotTaken):
        await giving
    new.gate.set()
    assert len(new.taken) == 1


async def test_a_worker_of_an_older_program_is_given_none(workers: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "STATE_VERSION", 0)
    old, new = await pair(workers)
    giver = old.departure.giver
    assert (giver.reaches(new.worker), giver.lacks(new.worker)) == (False, True)
    with pytest.raises(NotTaken):
        await give(old, new, b"", b"x")
    assert new.taken == []


def test_older_programs_understand_how_they_are_welcomed() -> None:
    class Welcomed(msgspec.Struct, frozen=True, tag=True):
        """As it was before there was state."""

    assert msgspec.msgpack.decode(encode(messages.Welcomed(messages.STATE_VERSION)), type=Welcomed) == Welcomed()


async def test_nobody_is_given_any_who_was_not_reached(workers: Sides) -> None:
    old, new = workers.first(), workers.add()
    giver = old.departure.giver
    assert (giver.reaches(new.worker), giver.lacks(new.worker)) == (False, False)
    with pytest.raises(NotTaken):
        await give(old, new, b"", b"x")


def memory(content: bytes, seals: int) -> int:
    """A memory file with other seals."""
    fd = os.memfd_create("state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


@pytest.mark.parametrize(
    ("fd", "sizes", "why"),
    [
        (lambda: seal("state", b"abc"), (1, 1), "holds 3 bytes, and not 2"),
        (lambda: seal("state", b"abc"), (1, 3), "holds 3 bytes, and not 4"),
        (lambda: seal("state", b"abc"), (4, -1), "at most 64 MiB"),
        (lambda: seal("state", b"abc"), (0, MOST_STATE + 1), "at most 64 MiB"),
        (lambda: memory(b"abc", fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW), (0, 3), "can be changed"),
        (lambda: os.open("/dev/null", os.O_RDWR), (0, 0), "no memory file"),
    ],
)  # fmt: skip
def test_what_is_not_sealed_or_not_as_long_as_announced_is_not_read(
    fd: "object", sizes: tuple[int, int], why: str
) -> None:
    assert callable(fd)
    opened = fd()
    try:
        with pytest.raises(NotSealed, match=why):
            unseal(opened, *sizes)
    finally:
        os.close(opened)


def test_what_is_sealed_cannot_be_changed_by_whoever_made_it() -> None:
    fd = seal("state", b"ab", b"c")
    try:
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        assert unseal(fd, 2, 1) == [b"ab", b"c"]
    finally:
        os.close(fd)


async def test_taken_is_said_once_it_is(workers: Sides) -> None:
    old, new = await pair(workers)
    new.gate.clear()
    giving = asyncio.create_task(give(old, new, b"", b"x"))
    await until(lambda: len(new.taken) == 1, "it to be read")
    assert not giving.done()
    new.gate.set()
    assert await asyncio.wait_for(giving, DEADLINE) is None
