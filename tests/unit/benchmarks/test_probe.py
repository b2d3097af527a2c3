"""The probe plugin answers as the load expects, and its census finds what outlives a swap."""

import gc
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from benchmarks.contents import Contents
from benchmarks.load.answer import Answer
from benchmarks.load.judgement import Expected, Identity, judge
from benchmarks.load.traffic import STREAMED
from benchmarks.memory import Census
from benchmarks.wide_plugin import MODULES, widen

from changeover.testing import SimulatedWorker


class Lazy:
    """Stands for something that its first use makes, as frameworks have it."""

    def __init__(self) -> None:
        self.made = None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ReferenceError("used")


class Kept(threading.Thread):
    """Stands for a thread of a kind that the plugin defines, held by something else."""

    __module__ = "probe.content"

    def run(self) -> None:
        """Never started."""


def made(worker: SimulatedWorker, path: str, expected: Expected) -> Identity:
    response = worker.post(path, content=expected.echo) if expected.echo else worker.get(path)
    found = judge(Answer(response.status, {b"x-changeover-epoch": b"%d" % worker.epoch}, response.content), expected)
    assert isinstance(found, Identity), found
    return found


def alive(worker: SimulatedWorker) -> dict[str, int]:
    return msgspec.json.decode(worker.get("/census").content, type=Census).alive


def test_every_service_answers_as_the_load_expects(tmp_path: Path) -> None:
    contents = Contents(tmp_path)
    with SimulatedWorker(tmp_path / "probe") as worker:
        for path, expected in {
            "/fast": Expected(),
            "/stream": Expected(lines=STREAMED),
            "/echo": Expected(lines=2, echo=b"a\nb"),
        }.items():
            assert made(worker, path, expected).marker == contents.marker
        marker = contents.renew()
        assert worker.swap(tmp_path / "probe") == made(worker, "/fast", Expected()).epoch
        assert made(worker, "/fast", Expected()).marker == marker


def test_the_census_counts_one_content_unless_something_holds_another(tmp_path: Path) -> None:
    contents = Contents(tmp_path)
    with SimulatedWorker(tmp_path / "probe") as worker:
        before = alive(worker)
        assert before["instance of Probe"] == before["module probe"] == 1
        held = [thing for thing in gc.get_objects() if type(thing).__qualname__ == "Probe"]
        contents.renew()
        worker.swap(tmp_path / "probe")
        assert worker.leaks()
        assert alive(worker)["instance of Probe"] == 2
        held.clear()
        assert alive(worker) == before


def test_the_census_counts_threads_of_a_kind_that_the_plugin_defines(tmp_path: Path) -> None:
    kept = Kept()
    Contents(tmp_path)
    with SimulatedWorker(tmp_path / "probe") as worker:
        assert alive(worker)["instance of Kept"] == 1
    assert not kept.is_alive()


def test_the_census_uses_nothing_of_what_it_counts(tmp_path: Path) -> None:
    lazy = Lazy()
    Contents(tmp_path)
    with SimulatedWorker(tmp_path / "probe") as worker:
        assert alive(worker)["instance of Probe"] == 1
    assert gc.is_tracked(lazy), "counted like everything else"


def test_a_wide_plugin_has_all_its_modules_anew_with_every_content(tmp_path: Path) -> None:
    contents = Contents(tmp_path)
    widen(contents)
    with SimulatedWorker(tmp_path / "probe") as worker:
        before = alive(worker)
        assert sum(count for what, count in before.items() if what.startswith("module ")) == MODULES
        assert (before["task wide"], before["thread wide"]) == (1, 1)
        for _ in range(3):
            contents.renew()
            worker.swap(tmp_path / "probe")
        marker = contents.marker
        assert made(worker, "/fast", Expected()).marker == marker
        assert f'MARKER = "{marker}"' in (tmp_path / "probe/probe/part_17.py").read_text()
        assert worker.leaks() == []
        assert alive(worker) == before


OUTLIVES_TASK = """    while not threading.ended.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue
"""


@pytest.mark.parametrize("kind", ["task", "thread"])
def test_the_census_sees_a_task_or_a_thread_that_outlives_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(threading, "ended", ended, raising=False)
    contents = Contents(tmp_path)
    widen(contents)
    text = contents.text("probe/__init__.py")
    broken = {
        "task": text.replace("    await asyncio.sleep(3600)\n", OUTLIVES_TASK),
        "thread": text.replace("    ended.wait()\n", "    threading.ended.wait()\n").replace(
            "self.thread.join()", "pass"
        ),
    }
    assert broken[kind] != text
    contents.put({"probe/__init__.py": broken[kind]})
    with SimulatedWorker(tmp_path / "probe") as worker:
        before = alive(worker)
        contents.renew()
        worker.swap(tmp_path / "probe")
        assert alive(worker)[f"{kind} wide"] == before[f"{kind} wide"] + 1
        ended.set()
