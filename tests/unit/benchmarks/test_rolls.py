"""What the verdicts on rolls rest on."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from benchmarks import peers
from benchmarks.application import main as application
from benchmarks.burner import Burn, burning
from benchmarks.contents import APPLICATION, FIRST, Contents
from benchmarks.household import below, descriptors, proportional, spent, surplus, watching
from benchmarks.load.answer import Answer
from benchmarks.load.judgement import Expected, Identity, judge
from benchmarks.load.process import LoadBroken
from benchmarks.load.record import Kind
from benchmarks.load.traffic import STREAMED
from benchmarks.roll import Roll
from benchmarks.roll_latency import Turns, separate
from benchmarks.samples import Sample
from benchmarks.wrk import Busy, read

from tests.waits import until

SECOND = 1_000_000_000
Message = MutableMapping[str, Any]

SLEEPER = "import sys; held = b'x' * (64 << 20); print('there', flush=True); sys.stdin.read()"
"""Takes more than what shared pages of other processes may take away from ours meanwhile."""


def sample(started: float, epoch: int, lasted: float = 0.0) -> Sample:
    at = int(started * SECOND)
    return Sample(Kind.BUSY, at, at + int(lasted * SECOND), at, epoch, 0)


async def called(path: str, body: bytes, **scope: object) -> tuple[dict[bytes, bytes], bytes]:
    """Call the application; header fields and body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    await application.app({"type": "http", "path": path, **scope}, receive, send)
    return dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/fast", Expected()), ("/stream", Expected(lines=STREAMED)), ("/echo", Expected(lines=2, echo=b"a\nb"))],
)
async def test_the_application_answers_as_the_load_expects(path: str, expected: Expected) -> None:
    fields, body = await called(path, expected.echo)
    made = judge(Answer(200, fields, body), expected)
    assert isinstance(made, Identity), made
    assert (made.epoch, made.slot, made.marker) == (FIRST, os.getpid() % 2**16, f"v{FIRST}")
    assert 0 <= time.monotonic_ns() - made.started < 30 * SECOND


async def test_the_application_passes_on_what_the_worker_stamped() -> None:
    extensions = {"changeover": {"stamp": (7, 3, 11)}}
    fields, body = await called("/fast", b"", extensions=extensions)
    assert b"x-changeover-epoch" not in fields
    made = judge(Answer(200, {b"x-changeover-epoch": b"7"}, body), Expected())
    assert isinstance(made, Identity)
    assert (made.epoch, made.slot, made.started, made.marker) == (7, 3, 11, f"v{FIRST}")


def imported(folder: Path) -> ModuleType:
    """Import a version of the application in the place of its original."""
    text = (
        (folder / "application" / "main.py").read_text().replace("from .content", "from benchmarks.application.content")
    )
    module = ModuleType("version")
    exec(text, module.__dict__)
    return module


def test_code_for_one_process_starts_in_the_first_and_fails_in_the_next(tmp_path: Path) -> None:
    contents = Contents(tmp_path, APPLICATION)
    contents.append("main.py", peers.ONLY_FIRST.format(first=str(tmp_path / "first")))
    module = imported(tmp_path)
    types = [asyncio.run(module._startup())["type"] for _ in range(3)]
    assert types == ["lifespan.startup.complete", "lifespan.startup.failed", "lifespan.startup.failed"]


def test_broken_code_raises_until_it_is_renewed(tmp_path: Path) -> None:
    contents = Contents(tmp_path, APPLICATION)
    contents.append("content.py", peers.RAISES)
    file = tmp_path / "application" / "content.py"
    with pytest.raises(RuntimeError, match="broken on import"):
        exec(file.read_text(), {})
    assert contents.renew() == f"v{FIRST + 1}"
    exec(file.read_text(), {})


def test_both_versions_are_begun_with_between_the_first_start_of_the_new_and_the_last_of_the_old() -> None:
    answers = [sample(1, 1), sample(11, 1), sample(12, 2), sample(13.5, 1, lasted=9), sample(14, 2), sample(15, 3)]
    assert peers._span(answers, 10 * SECOND, 1) == (1.5, 3.5)
    assert peers._span(answers, 14 * SECOND, 2) == (0.0, 0.0)
    assert peers._span(answers[:2], 10 * SECOND, 1) == (0.0, 1.0)


def test_requests_are_told_apart_by_what_they_touch() -> None:
    roll = Roll(2, "m", 10 * SECOND, 11 * SECOND, 12 * SECOND, 0.0, 0.0, 0.0, 0.0)
    burns = [Burn(start * SECOND, (start + 1) * SECOND) for start in (20, 30)]
    across, handed, burnt = sample(9.9, 1, 0.2), sample(12.2, 2), sample(21.2, 2)
    crowded, steady = sample(30.5, 2), sample(35, 2)
    groups = separate([across, handed, burnt, crowded, steady], Turns([roll], burns[:1], burns[1:]))
    assert list(groups.values()) == [[across, handed], [burnt], [crowded], [steady]]


def test_what_wrk_prints_is_read() -> None:
    told = "Running 1h test @ http://127.0.0.1:1/fast\n  7 requests in 2.00s, 1.20MB read\n"
    errors = "  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 2\n"
    assert read(told) == Busy("wrk", 7, {})
    assert read(told + errors) == Busy("wrk", 7, {"read": 3, "timeout": 1, "status": 2})
    with pytest.raises(LoadBroken, match="unable to connect"):
        read("unable to connect to 127.0.0.1:1")


def test_descriptors_that_are_held_in_addition_are_counted_by_kind() -> None:
    before = descriptors(os.getpid())
    pipe = os.pipe()
    try:
        assert surplus(before, descriptors(os.getpid())) == {"pipe": 2}
    finally:
        for descriptor in pipe:
            os.close(descriptor)
    assert surplus(before, descriptors(os.getpid())) == {}


async def test_processes_below_are_seen_and_their_memory_is_added_up() -> None:
    before = proportional([os.getpid()])
    with watching(os.getpid()) as watch:
        command = [sys.executable, "-c", SLEEPER]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            [child] = [each for each in below(os.getpid()) if each.pid == process.pid]
            looks = len(watch.looks)
            await until(lambda: len(watch.looks) > looks + 1, "the memory to be looked at")
            child.kill()
            assert process.wait(10) == -signal.SIGKILL
            assert not child.alive
    assert watch.peak > before


@pytest.mark.parametrize("count", [1, 2])
def test_neighbours_burn_together_what_they_are_told_to_and_their_time_is_counted(count: int) -> None:
    with burning(count) as burner:
        before = spent(os.getpid())
        burn = burner.burn(0.3)
        assert spent(os.getpid()) - before >= 0.25
        assert burn.ended - burn.asked >= 0.3 / count * SECOND


def test_a_neighbour_is_to_the_scheduler_what_a_worker_is() -> None:
    before = {process.pid for process in below(os.getpid())}
    with burning(2):
        neighbours = {process.pid for process in below(os.getpid())} - before
        assert len(neighbours) == 2
        assert {os.getsid(pid) for pid in neighbours} == neighbours
