"""What is seen is told once it rests, at the latest after a while, and looking costs little until then."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover.supervisor.watching import settling
from changeover.supervisor.watching.places import Places
from changeover.supervisor.watching.settling import LONGEST, STEP, settled
from changeover.supervisor.watching.sight import Sight, look

MANY = 200


class Tree:
    """Many files, which somebody changes while others wait; time is what was waited for.

    Attributes:
        path: The folder.
        step: What is changed during each wait, until there is nothing left to do.
        now: Seconds that were waited for.
        looks: How often everything was looked at.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        for number in range(MANY):
            (path / f"{number}.py").write_text("x")
        self.places = Places(plugins=str(path))
        self.step: Iterator[object] = iter(())
        self.now = 0.0
        self.looks = 0
        self.told = look(self.places)

    def look(self, places: Places) -> Sight:
        self.looks += 1
        return look(places)

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        next(self.step, None)
        return False

    def settled(self, wait: Callable[[float], bool] | None = None) -> Sight:
        return settled(self.places, self.told, wait or self.wait, lambda: self.now)

    def size(self, sight: Sight, name: str) -> int:
        return sight.files[str(self.path / name)][1]

    def grows(self, name: str, most: int | None = None) -> Iterator[int]:
        """Write one file again and again, each time a byte more."""
        size = 1
        while most is None or size < most:
            size += 1
            yield (self.path / name).write_text("x" * size)

    def gets_more(self) -> Iterator[int]:
        """Write another file each time."""
        number = MANY
        while True:
            number += 1
            yield (self.path / f"{number}.py").write_text("x")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    tree = Tree(tmp_path.resolve() / "plugins")
    monkeypatch.setattr(settling, "look", tree.look)
    return tree


def test_what_is_as_it_was_told_is_looked_at_once(tree: Tree) -> None:
    assert tree.settled().files == tree.told.files
    assert (tree.looks, tree.now) == (1, 0.0)


def test_what_is_new_and_rests_is_told_after_a_step(tree: Tree) -> None:
    (tree.path / "0.py").write_text("xx")
    assert tree.size(tree.settled(), "0.py") == 2
    assert (tree.looks, tree.now) == (2, STEP / 1000)


def test_a_file_that_is_being_written_is_told_when_it_is_whole_and_looked_at_alone_until_then(tree: Tree) -> None:
    tree.step = tree.grows("0.py", most=20)
    next(tree.step)
    assert tree.size(tree.settled(), "0.py") == 20
    assert tree.looks == 2


def test_a_file_that_goes_and_comes_back_is_no_other_matter(tree: Tree) -> None:
    def replaced() -> Iterator[None]:
        for size in range(2, 6):
            (tree.path / "0.py").unlink()
            yield
            (tree.path / "0.py").write_text("x" * size)
            yield

    tree.step = replaced()
    next(tree.step)
    assert tree.size(tree.settled(), "0.py") == 5


def test_a_file_that_is_written_without_end_is_told_as_it_is_after_a_while(tree: Tree) -> None:
    tree.step = tree.grows("0.py")
    next(tree.step)
    size = tree.size(tree.settled(), "0.py")
    assert size > LONGEST / STEP / 2
    assert tree.now == pytest.approx(LONGEST / 1000, abs=2 * STEP / 1000)
    assert tree.looks == 1


def test_where_something_else_is_new_each_time_everything_is_looked_at_less_and_less_often(tree: Tree) -> None:
    tree.step = tree.gets_more()
    next(tree.step)
    assert len(tree.settled().files) > MANY
    assert LONGEST / 1000 <= tree.now < 2 * LONGEST / 1000
    assert tree.looks < 10


def test_who_gives_up_is_not_kept(tree: Tree) -> None:
    (tree.path / "0.py").write_text("xx")
    tree.settled(lambda seconds: True)
    assert tree.looks == 1
