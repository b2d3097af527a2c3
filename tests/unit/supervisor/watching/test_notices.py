"""The kernel tells of changes in every way in which files are replaced, and when it cannot, looking goes on."""

import itertools
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from watchfiles._rust_notify import RustNotify

from changeover.supervisor.watching import notices, settling
from changeover.supervisor.watching.notices import Notices
from changeover.supervisor.watching.places import Places
from changeover.supervisor.watching.sight import Sight
from tests.waits import until_sync

NEVER = 3600.0
WHOLE_DAY = 24 * 3600 * 1000
"""Milliseconds that nobody waits for, however busy the machine is."""

T = TypeVar("T")


class Watched:
    """A folder of plugins that is watched, and what was told of it."""

    def __init__(self, root: Path, rescan: float = NEVER) -> None:
        self.plugins = root / "plugins"
        self.sights: list[Sight] = []
        self.reasons: list[str] = []
        self.notices = Notices(
            Places(plugins=str(self.plugins)),
            rescan,
            lambda _, sight: self.sights.append(sight),
            lambda _, reason: self.reasons.append(reason),
        )

    def write(self, name: str, text: str) -> None:
        path = self.plugins / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def begin(self) -> None:
        """Watch, and wait until the kernel was asked about everything that is there."""
        self.notices.start()
        until_sync(lambda: self.reasons and self.sights, "the first sight")

    def see(self, what: str, *names: str) -> None:
        """Wait until just these files are seen."""
        wanted = {str(self.plugins / name) for name in names}
        until_sync(lambda: self.sights and self.sights[-1].files.keys() == wanted, what)

    def see_change(self, change: Callable[[], object], name: str) -> None:
        """Let something happen, and wait until a file is seen in another state than before."""
        path = str(self.plugins / name)
        before = self.sights[-1].files.get(path)
        change()
        until_sync(lambda: self.sights[-1].files.get(path) != before, f"a change of {name}")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path.resolve())
    watched.write("geo.py", "1")
    yield watched
    watched.notices.close()
    watched.notices.join(5.0)


def test_a_file_that_is_written_is_seen_and_so_are_one_that_comes_and_one_that_goes(watched: Watched) -> None:
    watched.begin()
    watched.see_change(lambda: watched.write("geo.py", "2"), "geo.py")
    watched.write("new.py", "1")
    watched.see("the new file", "geo.py", "new.py")
    (watched.plugins / "geo.py").unlink()
    watched.see("the removal", "new.py")


def test_an_editor_that_replaces_the_file_is_seen(watched: Watched) -> None:
    watched.begin()
    watched.write(".geo.py.swap", "2")
    watched.see_change(lambda: os.replace(watched.plugins / ".geo.py.swap", watched.plugins / "geo.py"), "geo.py")


def test_folders_that_come_are_watched_however_deep_they_are(watched: Watched) -> None:
    watched.begin()
    watched.write("prices/rules/deep/a.toml", "1")
    watched.see("the folder", "geo.py", "prices/rules/deep/a.toml")
    watched.see_change(lambda: watched.write("prices/rules/deep/a.toml", "2"), "prices/rules/deep/a.toml")


def test_a_folder_that_is_removed_and_made_again_is_watched_again(watched: Watched) -> None:
    watched.begin()
    for text in ("2", "3"):
        shutil.rmtree(watched.plugins)
        watched.see("nothing")
        watched.write("geo.py", text)
        watched.see("the folder again", "geo.py")
    watched.see_change(lambda: watched.write("geo.py", "4"), "geo.py")


def test_a_folder_that_is_replaced_in_one_go_is_watched_again(watched: Watched, tmp_path: Path) -> None:
    watched.begin()
    for text in ("22", "333"):
        aside = tmp_path / "aside"
        aside.mkdir()
        (aside / "geo.py").write_text(text)
        os.rename(watched.plugins, tmp_path / f"before {text}")
        watched.see_change(lambda: os.rename(tmp_path / "aside", watched.plugins), "geo.py")
    watched.see_change(lambda: watched.write("geo.py", "4"), "geo.py")


def test_a_volume_of_kubernetes_is_seen_to_change_again_and_again(watched: Watched) -> None:
    watched.write("..1/rates.py", "1")
    os.symlink("..1", watched.plugins / "..data")
    os.symlink("..data/rates.py", watched.plugins / "rates.py")
    watched.begin()
    for number in (2, 3, 4):
        watched.write(f"..{number}/rates.py", str(number))
        os.symlink(f"..{number}", watched.plugins / "..data_tmp")
        watched.see_change(lambda: os.replace(watched.plugins / "..data_tmp", watched.plugins / "..data"), "rates.py")
        shutil.rmtree(watched.plugins / f"..{number - 1}")


def test_a_release_that_a_link_leads_to_is_followed_to_the_next_one(tmp_path: Path) -> None:
    for release in ("1", "2"):
        (tmp_path / release / "plugins").mkdir(parents=True)
        (tmp_path / release / "plugins" / "geo.py").write_text(release)
    os.symlink("1", tmp_path / "current")
    watched = Watched(tmp_path.resolve() / "current")
    watched.begin()
    os.symlink("2", tmp_path / "next")
    watched.see_change(lambda: os.replace(tmp_path / "next", tmp_path / "current"), "geo.py")
    watched.see_change(lambda: (tmp_path / "2" / "plugins" / "geo.py").write_text("3"), "geo.py")
    watched.notices.close()


def test_a_checkout_of_five_hundred_files_is_seen_whole_in_a_few_looks(watched: Watched) -> None:
    names = [f"{number % 20}/{number}.py" for number in range(500)]
    for name in names:
        watched.write(name, "1")
    watched.begin()
    before = {**watched.sights[-1].files}
    looks = len(watched.sights)
    for name in names:
        watched.write(name, "22")
    paths = [str(watched.plugins / name) for name in names]
    until_sync(lambda: all(watched.sights[-1].files[path] != before[path] for path in paths), "all of it")
    assert len(watched.sights) - looks < 50


def test_a_file_that_is_written_in_pieces_is_seen_once_it_is_whole(watched: Watched) -> None:
    watched.begin()
    path = str(watched.plugins / "geo.py")
    with open(path, "w") as file:
        for _ in range(100):
            file.write("x" * 1000)
            file.flush()
    until_sync(lambda: watched.sights[-1].files[path][1] == 100_000, "the last piece")


class Silent:
    """A kernel that tells of what it is given, when it is given it, and of nothing by itself.

    Attributes:
        asked: With what it was asked to tell, each time.
        changes: Paths that it is to tell of.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self.changes: queue.Queue[str] = queue.Queue()

    def __call__(self, paths: list[str], *flags: bool) -> "Silent":
        return self

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def watch(self, longest: int, step: int, rescan: int, stop: threading.Event) -> "set[tuple[int, str]] | str":
        self.asked.append((longest, step, rescan))
        while not stop.is_set():
            with suppress(queue.Empty):
                return {(1, self.changes.get(timeout=0.01))}
        return "stop"


def test_nobody_looks_while_the_kernel_waits_for_files_that_are_still_being_written(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Silent()
    monkeypatch.setattr(notices, "RustNotify", kernel)
    watched.begin()
    until_sync(lambda: kernel.asked, "the kernel to be asked")
    assert kernel.asked == [(settling.LONGEST, settling.STEP, int(NEVER * 1000))]
    monkeypatch.setattr(settling, "LONGEST", WHOLE_DAY)
    looks = len(watched.sights)
    names = [f"{number}.py" for number in range(30)]
    for name in names:
        watched.write(name, "1")
    kernel.changes.put(str(watched.plugins / names[0]))
    until_sync(lambda: len(kernel.asked) == 2, "the kernel to be asked again")
    [sight] = watched.sights[looks:]
    assert len(sight.files) == len(names) + 1


class Writer:
    """Writes a file a step further each time that somebody has looked.

    Args:
        file: What it writes.
        steps: What is in it then, one after the other.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, file: Path, steps: Iterable[str]) -> None:
        self._file = file
        self._left = iter(steps)
        for name in ("look", "look_again"):
            monkeypatch.setattr(settling, name, partial(self._looked, getattr(settling, name)))

    def begin(self) -> None:
        """Write the first step."""
        for step in itertools.islice(self._left, 1):
            self._file.write_text(step)

    def _looked(self, look: Callable[..., T], *arguments: object) -> T:
        seen = look(*arguments)
        self.begin()
        return seen


def test_a_file_that_is_written_slowly_is_told_once_it_is_whole(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.begin()
    monkeypatch.setattr(settling, "LONGEST", WHOLE_DAY)
    looks, path = len(watched.sights), watched.plugins / "geo.py"
    Writer(monkeypatch, path, ("1" * number for number in range(2, 20))).begin()
    until_sync(lambda: watched.sights[-1].files[str(path)][1] == 19, "all of it")
    assert {sight.files[str(path)][1] for sight in watched.sights[looks:]} == {19}


@pytest.mark.parametrize("name", ["geo.py", "{}.py"])
def test_what_is_written_without_end_is_told_all_the_same(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(settling, "STEP", 200)
    monkeypatch.setattr(settling, "LONGEST", 400)
    watched.begin()
    looks, numbers = len(watched.sights), itertools.count()

    def write_and_see() -> bool:
        number = next(numbers)
        watched.write(name.format(number), "1" * number)
        return len(watched.sights) > looks

    until_sync(write_and_see, "a sight between two of many writes")


def test_what_is_no_content_is_worth_no_look(watched: Watched) -> None:
    watched.begin()
    looks = len(watched.sights)
    watched.write("__pycache__/geo.pyc", "x")
    watched.write(".geo.py.swp", "x")
    watched.see_change(lambda: watched.write("geo.py", "2"), "geo.py")
    assert len(watched.sights) == looks + 1


def test_a_name_that_is_no_text_does_not_end_the_watching(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "AGAIN", 0.01)
    watched.begin()
    os.mkdir(os.fsencode(watched.plugins) + b"/pri\xffces")
    watched.see_change(lambda: watched.write("geo.py", "2"), "geo.py")
    watched.see_change(lambda: watched.write("geo.py", "3"), "geo.py")


def test_everything_is_looked_at_every_now_and_then_whatever_the_kernel_tells(tmp_path: Path) -> None:
    watched = Watched(tmp_path.resolve(), rescan=0.1)
    watched.write("geo.py", "1")
    watched.begin()
    looks = len(watched.sights)
    until_sync(lambda: len(watched.sights) > looks + 2, "looks without a change")
    watched.notices.close()


def test_a_file_of_no_concern_that_is_written_without_end_puts_no_look_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path.resolve(), rescan=0.2)

    class Noisy(Silent):
        def watch(self, longest: int, step: int, rescan: int, stop: threading.Event) -> "set[tuple[int, str]] | str":
            if rescan <= step:
                return "timeout"
            return {(1, str(watched.plugins / ".noise"))} if not stop.wait(step / 1000) else "stop"

    monkeypatch.setattr(notices, "RustNotify", Noisy())
    watched.write("geo.py", "1")
    watched.begin()
    watched.see_change(lambda: watched.write("geo.py", "22"), "geo.py")
    watched.notices.close()
    watched.notices.join(5.0)


def test_a_kernel_at_its_limit_is_told_once_and_looking_goes_on_until_it_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def at_its_limit(paths: list[str], *flags: object) -> RustNotify:
        asked.append(1)
        if flags[-1]:
            return RustNotify([], False, False, 0, False, True)  # as the library does: it watches what it can
        raise OSError('OS file watch limit reached. about ["/srv/plugins"] (Error { kind: MaxFilesWatch })')

    monkeypatch.setattr(notices, "RustNotify", at_its_limit)
    watched = Watched(tmp_path.resolve(), rescan=0.02)
    watched.write("geo.py", "1")
    watched.begin()
    watched.see_change(lambda: watched.write("geo.py", "22"), "geo.py")
    until_sync(lambda: len(asked) > 3, "further tries")
    assert watched.reasons == ["OS file watch limit reached."]
    monkeypatch.setattr(notices, "RustNotify", RustNotify)
    until_sync(lambda: watched.reasons[-1] == "", "the kernel to be asked again")
    watched.see_change(lambda: watched.write("geo.py", "333"), "geo.py")
    watched.notices.close()


def test_a_file_that_is_written_slowly_is_told_once_it_is_whole_also_where_the_kernel_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_its_limit(paths: list[str], *flags: object) -> RustNotify:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr(notices, "RustNotify", at_its_limit)
    monkeypatch.setattr(settling, "LONGEST", WHOLE_DAY)
    watched = Watched(tmp_path.resolve(), rescan=0.02)
    watched.write("geo.py", "")
    watched.begin()
    path = watched.plugins / "geo.py"
    Writer(monkeypatch, path, ("1" * number for number in range(1, 20))).begin()
    until_sync(lambda: watched.sights[-1].files[str(path)][1] == 19, "all of it")
    watched.notices.close()
    assert {sight.files[str(path)][1] for sight in watched.sights} == {0, 19}


def test_a_folder_that_goes_before_the_kernel_is_asked_about_it_is_no_trouble(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def too_late(paths: list[str], *flags: bool) -> RustNotify:
        asked.append(paths)
        if len(asked) < 3:
            raise FileNotFoundError(2, "No such file or directory")
        return RustNotify(paths, False, False, 0, False, False)

    monkeypatch.setattr(notices, "RustNotify", too_late)
    watched.begin()
    watched.see_change(lambda: watched.write("geo.py", "22"), "geo.py")
    assert watched.reasons == [""]
