"""Files are read whole: when they have rested, or were read twice alike with nobody writing between."""

import stat
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from changeover.supervisor.artifacts.settled import QUIET, latest_change, settled
from changeover.workers.plugins.artifact import UnreadableArtifact
from tests.waits import until_sync


class File:
    """An empty file whose writer does the next step as soon as a reading has seen what is there.

    Args:
        steps: What the writer does, one for each reading.
        changed: When it was changed last, seconds since 1970.
    """

    def __init__(self, *steps: Callable[["File"], object], changed: float) -> None:
        self.steps = [*steps]
        self.changed = changed
        self.content = b""
        self.readings = 0

    def write(self, content: bytes) -> None:
        self.content = content
        self.changed += 1

    def read(self) -> dict[str, bytes]:
        self.readings += 1
        found = {"a.py": self.content}
        if self.steps:
            self.steps.pop(0)(self)
        return found

    def settled(self) -> bytes:
        return settled(Path("a.py"), self.read, lambda: self.changed)["a.py"]


def never_at_rest() -> float:
    return time.time() + 3600


def test_what_rested_is_read_once() -> None:
    file = File(changed=time.time() - 10)
    assert (file.settled(), file.readings) == (b"", 1)


def test_two_readings_alike_do_when_the_clock_does_not_say_that_it_rested() -> None:
    file = File(changed=never_at_rest())
    assert (file.settled(), file.readings) == (b"", 2)


def test_two_readings_of_a_truncated_file_are_not_alike_when_it_was_written_between() -> None:
    def write_and_truncate(file: File) -> None:
        file.write(b"half")
        file.write(b"")

    file = File(write_and_truncate, changed=never_at_rest())
    file.settled()
    assert file.readings == 3


def test_what_is_written_during_a_long_reading_is_read_again_however_coarse_the_clock_of_the_disk() -> None:
    def write_in_the_same_tick(file: File) -> None:
        file.content = b"whole"
        until_sync(lambda: time.time() - file.changed > 2 * QUIET)

    assert File(write_in_the_same_tick, changed=time.time()).settled() == b"whole"


class Looked:
    """A file of which somebody else says what it is.

    Args:
        size: Bytes.
        blocks: Blocks on the disk.
        times: When its content was changed, and when anything of it was.
    """

    def __init__(self, size: int, blocks: int, times: tuple[float, float]) -> None:
        self._found = SimpleNamespace(st_mode=stat.S_IFREG | 0o644, st_size=size, st_blocks=blocks)
        self._found.st_mtime, self._found.st_ctime = times

    def stat(self) -> SimpleNamespace:
        return self._found


@pytest.mark.parametrize(
    ("looked", "changed"),
    [
        (Looked(5, 8, (1.0, 1.0)), 1.0),
        (Looked(5, 8, (1.0, 7.0)), 7.0),
        (Looked(5, 8, (9.0, 7.0)), 9.0),
        (Looked(0, 0, (1.0, 1.0)), 1.0),
    ],
    ids=["long ago", "with the time of another", "ahead of the clock", "empty"],
)
def test_a_file_was_changed_when_anything_of_it_was(looked: Looked, changed: float) -> None:
    assert latest_change([looked, Looked(5, 8, (0.5, 0.5))]) == changed  # type: ignore[list-item]


def test_a_file_that_is_being_emptied_is_changed_in_the_future_and_hides_no_other_change() -> None:
    emptied = Looked(0, 8, (1.0, 1.0))
    changes = [latest_change([emptied, Looked(5, 8, (when, when))]) for when in (0.5, 2.0)]  # type: ignore[list-item]
    assert time.time() + 1e9 < changes[0] < changes[1]


def test_what_is_being_truncated_is_read_again_and_what_only_looks_so_is_taken() -> None:
    def truncate(file: File) -> None:
        file.changed = time.time() + 1e10

    file = File(truncate, changed=time.time() - 10)
    assert (file.settled(), file.readings) == (b"", 3)


def test_what_never_rests_is_refused() -> None:
    file = File(*[lambda file: file.write(b"again")] * 100, changed=never_at_rest())
    with pytest.raises(UnreadableArtifact, match="still changes after 20 readings"):
        file.settled()
