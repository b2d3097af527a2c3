"""The probe plugin answers as the load expects, and its census finds what outlives a swap."""

import gc
from pathlib import Path

import msgspec
from benchmarks.contents import Contents
from benchmarks.load.answer import Answer
from benchmarks.load.judgement import Expected, Identity, judge
from benchmarks.load.traffic import STREAMED
from benchmarks.memory import Census

from changeover.testing import SimulatedWorker


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
        assert alive(worker)["instance of Probe"] == 2
        held.clear()
        assert alive(worker) == before
