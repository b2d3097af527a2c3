import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.records.cutover import CutoverAborted
from changeover.supervisor.core.records.retirement import EpochRetired
from changeover.supervisor.telemetry import log
from changeover.supervisor.telemetry.log import LogFormat
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.teller import Teller
from tests.fake_control import REFUSAL

ABORTED = CutoverAborted(9, "slot 2 refused", (REFUSAL,), Origin(Trigger.HUP), 8)


class Line(msgspec.Struct):
    """What the test wants of a JSON line."""

    level: str
    type: str
    record: CutoverAborted


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Put back what `install` changes."""
    names = (log.ROOT, *log.LIBRARIES)
    before = {name: (logging.getLogger(name).handlers[:], logging.getLogger(name).level) for name in names}
    yield
    for name, (handlers, level) in before.items():
        logger = logging.getLogger(name)
        for handler in logger.handlers:
            handler.close()
        logger.handlers[:], logger.propagate = handlers, True
        logger.setLevel(level)


def test_a_json_line_has_the_record_with_all_its_fields(tmp_path: Path) -> None:
    log.install(Level.INFO, LogFormat.JSON, tmp_path / "log")
    Teller().tell(ABORTED)
    log.flush()
    line = msgspec.json.decode((tmp_path / "log").read_bytes(), type=Line)
    assert (line.level, line.type, line.record) == ("error", "CutoverAborted", ABORTED)


def test_text_shows_the_traceback_below_the_line(tmp_path: Path) -> None:
    log.install(Level.INFO, LogFormat.TEXT, tmp_path / "log")
    Teller().tell(ABORTED)
    log.flush()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0][9:].startswith("error    epoch 9 refused: slot 2 refused")
    assert lines[-1] == "    TimeoutError: no connection to db:5432 within 5 s"


def test_a_log_that_is_no_terminal_is_json_by_itself(tmp_path: Path) -> None:
    log.install(Level.INFO, file=tmp_path / "log")
    Teller().tell(EpochRetired(6))
    log.flush()
    assert (tmp_path / "log").read_text().startswith('{"at":')


def test_below_the_level_nothing_is_written_and_the_stream_has_it_all_the_same(tmp_path: Path) -> None:
    log.install(Level.WARNING, LogFormat.TEXT, tmp_path / "log")
    teller = Teller()
    teller.tell(EpochRetired(6))
    logging.getLogger("uvicorn.error").info("Started server process")
    log.flush()
    assert (tmp_path / "log").read_text() == ""
    assert teller.stream.since(0)[0].line.startswith("epoch 6 is retired")


def test_reopening_writes_to_a_new_file_of_the_same_name(tmp_path: Path) -> None:
    file, moved = tmp_path / "log", tmp_path / "log.1"
    log.install(Level.INFO, LogFormat.TEXT, file)
    teller = Teller()
    teller.tell(EpochRetired(6))
    log.flush()
    file.rename(moved)
    log.reopen()
    teller.tell(EpochRetired(7))
    log.flush()
    assert ("epoch 6" in moved.read_text(), "epoch 7" in moved.read_text()) == (True, False)
    assert "epoch 7" in file.read_text()


def test_a_file_that_cannot_be_reopened_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log.install(Level.INFO, LogFormat.TEXT, folder / "log")
    folder.rename(tmp_path / "moved")
    log.reopen()
    log.flush()
    assert "cannot be reopened" in (tmp_path / "moved" / "log").read_text()
