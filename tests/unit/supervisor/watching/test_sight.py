"""What is looked at, and which folders can tell of changes: links on the way included, foreign folders not."""

import os
import shutil
from pathlib import Path

import pytest

from changeover.supervisor.watching.places import Places
from changeover.supervisor.watching.sight import Sight, look, wants


class Tree:
    """A folder of plugins, an application beside it, and a configuration."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places(
            str(root / "plugins"), str(root / "changeover.toml"), str(root), ("**/*.py",), (str(root / "plugins"),)
        )

    def write(self, name: str, text: str = "1") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def link(self, name: str, target: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def swap(self, name: str, target: str) -> None:
        """Put another link into the place of one, as Kubernetes does it."""
        (self.root / f"{name}_tmp").symlink_to(target)
        os.rename(self.root / f"{name}_tmp", self.root / name)

    def look(self) -> Sight:
        return look(self.places)

    def names(self, paths: set[str] | dict[str, object]) -> list[str]:
        return sorted(os.path.relpath(path, self.root) for path in paths)

    def concerns(self, name: str) -> bool:
        return self.look().concerns(str(self.root / name), wants(self.places))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path.resolve() / "srv")
    tree.write("plugins/prices/prices.py")
    tree.write("plugins/prices/rules/a.toml")
    tree.write("plugins/geo.py")
    tree.write("shop/views.py")
    tree.write("shop/data/orders.sqlite3")
    tree.write("changeover.toml")
    return tree


def test_plugins_are_looked_at_whole_and_the_application_as_it_says(tree: Tree) -> None:
    files: dict[str, object] = {**tree.look().files}
    assert tree.names(files) == [
        "changeover.toml",
        "plugins/geo.py",
        "plugins/prices/prices.py",
        "plugins/prices/rules/a.toml",
        "shop/views.py",
    ]


@pytest.mark.parametrize(
    "foreign",
    [
        "plugins/prices/__pycache__/prices.pyc",
        "plugins/.git/index",
        "plugins/.prices.py.swp",
        "plugins/prices.py~",
        ".venv/lib/x.py",
        "venv/lib/x.py",
        "node_modules/x.py",
    ],
)
def test_what_is_no_content_is_neither_looked_at_nor_watched(tree: Tree, foreign: str) -> None:
    tree.write("venv/pyvenv.cfg")
    before = tree.look()
    tree.write(foreign)
    after = tree.look()
    assert (after.files, after.watched) == (before.files, before.watched)
    assert not tree.concerns(foreign)


def test_every_folder_that_may_get_content_is_watched(tree: Tree) -> None:
    tree.write("plugins/empty/later/x")
    assert tree.names(tree.look().folders) == [
        ".",
        "plugins",
        "plugins/empty",
        "plugins/empty/later",
        "plugins/prices",
        "plugins/prices/rules",
        "shop",
        "shop/data",
    ]


def test_whoever_writes_leaves_a_mark_also_when_size_and_time_are_put_back(tree: Tree) -> None:
    file = tree.root / "plugins" / "geo.py"
    before, times = tree.look().files, file.stat()
    file.write_text("2")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert tree.look().files != before


@pytest.mark.parametrize(
    ("name", "concerns"),
    [
        ("plugins/geo.py", True),
        ("plugins/new.py", True),
        ("plugins/prices/rules/b.toml", True),
        ("shop/new.py", True),
        ("changeover.toml", True),
        ("shop/data/orders.sqlite3", False),
        ("shop/data/orders.sqlite3-journal", False),
        ("README.md", False),
        ("plugins/prices/__pycache__", False),
        ("plugins/.prices.py.abc123", False),
        ("plugins/gone", True),
    ],
)
def test_only_what_may_matter_is_worth_a_look(tree: Tree, name: str, concerns: bool) -> None:
    assert tree.concerns(name) is concerns


def test_a_new_folder_is_worth_a_look_also_where_only_some_files_are_content(tree: Tree) -> None:
    (tree.root / "shop" / "new").mkdir()
    assert tree.concerns("shop/new")


def test_a_volume_of_kubernetes_is_seen_to_change_by_its_link(tree: Tree) -> None:
    tree.write("plugins/..1/rates.py")
    tree.link("plugins/..data", "..1")
    tree.link("plugins/rates.py", "..data/rates.py")
    before = tree.look()
    assert tree.concerns("plugins/..data")
    assert str(tree.root / "plugins" / "..1") in before.watched
    tree.write("plugins/..2/rates.py", "2")
    tree.swap("plugins/..data", "..2")
    after = tree.look()
    assert tree.names({path for path in after.files if after.files[path] != before.files.get(path)}) == [
        "plugins/rates.py"
    ]


def test_a_configuration_that_is_such_a_link_is_seen_too(tree: Tree) -> None:
    (tree.root / "changeover.toml").unlink()
    tree.write("..1/changeover.toml")
    tree.link("..data", "..1")
    tree.link("changeover.toml", "..data/changeover.toml")
    before = tree.look()
    assert tree.concerns("..data")
    assert tree.concerns("..1/changeover.toml")
    tree.write("..2/changeover.toml", "2")
    tree.swap("..data", "..2")
    assert tree.look().files[tree.places.config] != before.files[tree.places.config]


def test_a_link_on_the_way_to_a_place_is_watched_where_it_stands(tree: Tree) -> None:
    outside = tree.root.parent
    (outside / "current").symlink_to("srv")
    places = Places(plugins=str(outside / "current" / "plugins"))
    sight = look(places)
    assert str(outside) in sight.watched
    assert sight.moved(str(outside / "current"))
    assert not sight.concerns(str(outside / "something else"), wants(places))


def test_a_place_that_is_not_there_is_watched_for_by_what_is(tree: Tree) -> None:
    shutil.rmtree(tree.root / "plugins")
    places = Places(plugins=str(tree.root / "plugins"))
    assert look(places).watched == {str(tree.root)}
    assert look(places).moved(str(tree.root / "plugins"))
    shutil.rmtree(tree.root)
    assert look(places).watched == {str(tree.root.parent)}


def test_links_that_go_round_in_circles_are_looked_at_once(tree: Tree) -> None:
    tree.link("plugins/prices/again", "..")
    tree.link("plugins/a", "b")
    tree.link("plugins/b", "a")
    assert len(tree.look().files) == 5


def test_a_certificate_is_looked_at_wherever_its_links_lead(tree: Tree) -> None:
    """A renewal may replace the file, or the link to it: only the folders that hold them can tell."""
    tree.write("archive/shop1.pem")
    tree.link("live/shop.pem", "../archive/shop1.pem")
    places = Places(tls=(str(tree.root / "live/shop.pem"),))
    before = look(places)
    assert tree.names(before.watched) == ["archive", "live"]
    tree.write("archive/shop2.pem", "22")
    tree.swap("live/shop.pem", "../archive/shop2.pem")
    assert look(places).files != before.files
    assert before.concerns(str(tree.root / "live/shop.pem"), wants(places))
    assert not before.concerns(str(tree.root / "live/other.pem"), wants(places))
