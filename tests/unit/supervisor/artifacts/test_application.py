"""What belongs to an application's content, and what changes it."""

import itertools
import os
from pathlib import Path

import pytest

from changeover.supervisor.artifacts import application
from changeover.supervisor.artifacts.application import differing, read_application
from changeover.supervisor.config.settings import App
from changeover.workers.plugins import artifact
from changeover.workers.plugins.artifact import UnreadableArtifact, get, read_named


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("main.py", "shop/api.py", "shop/deep/er.py", "templates/a.html", "plugins/p.py", ".hidden/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "env" / "lib").mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "env" / "lib" / "z.py").write_text("")
    return tmp_path


def test_the_selected_files_are_the_content_without_environments_and_plugins(root: Path) -> None:
    found = read_application(App("main:app", str(root)), [root / "plugins"])
    assert list(found.files) == ["main.py", "shop/api.py", "shop/deep/er.py"]


@pytest.mark.parametrize(
    ("include", "names"),
    [
        (("*.py",), ["main.py"]),
        (("shop/**/*.py",), ["shop/api.py", "shop/deep/er.py"]),
        (("templates/**", "main.p?"), ["main.py", "templates/a.html"]),
        ((), []),
    ],
)
def test_include_selects_by_globs(root: Path, include: tuple[str, ...], names: list[str]) -> None:
    assert list(read_application(App("main:app", str(root), include)).files) == names


def test_what_differs_is_told_by_name(root: Path) -> None:
    app = App("main:app", str(root))
    before = read_application(app)
    (root / "main.py").write_text("other")
    (root / "new.py").write_text("")
    (root / "shop" / "api.py").unlink()
    after = read_application(app)
    assert differing(before.files, after.files) == ("main.py", "new.py", "shop/api.py")
    assert before.artifact != after.artifact


def test_touching_a_file_changes_nothing(root: Path) -> None:
    app = App("main:app", str(root))
    before = read_application(app)
    (root / "main.py").touch()
    assert read_application(app) == before


def names(root: Path, *include: str) -> list[str]:
    return list(read_application(App("main:app", str(root), include or ("**/*.py",)), [root / "plugins"]).files)


def test_hidden_files_bytecode_leftovers_and_what_is_installed_are_no_content(root: Path) -> None:
    for name in (".env.py", "main.pyc", "main.py~", "shop/__pycache__/api.pyc", "lib/site-packages/x.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    assert names(root, "**") == ["main.py", "shop/api.py", "shop/deep/er.py", "templates/a.html"]


def test_links_are_followed_as_an_import_follows_them(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "more.py").write_text("more")
    (root / "linked").symlink_to(elsewhere)
    (root / "again").symlink_to(elsewhere)
    (root / "one.py").symlink_to(elsewhere / "more.py")
    (root / "gone.py").symlink_to(elsewhere / "gone.py")
    (root / "shop" / "round").symlink_to(root)
    (root / "self.py").symlink_to(root / "self.py")
    assert names(root) == [
        "again/more.py", "linked/more.py", "main.py", "one.py", "shop/api.py", "shop/deep/er.py"
    ]  # fmt: skip


def test_what_is_neither_file_nor_folder_is_no_content(root: Path) -> None:
    os.mkfifo(root / "pipe.py")
    assert "pipe.py" not in names(root)


def test_a_folder_that_is_not_there_has_no_content(tmp_path: Path) -> None:
    assert names(tmp_path / "none") == []
    (tmp_path / "file").touch()
    assert names(tmp_path / "file") == []


def test_what_was_read_is_what_is_stored(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = tmp_path_factory.mktemp("store")
    found = read_application(App("main:app", str(root)))
    (root / "main.py").write_text("other")
    found.put(store)
    assert get(store, found.artifact) == found.files
    assert found.files["main.py"] == b"main.py"
    assert "changeover" in found.distributions.versions


def test_a_file_that_somebody_is_writing_is_read_when_it_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(("", "half", "", "whole"))

    def read(path: Path, found: dict[str, Path]) -> dict[str, bytes]:
        files = read_named(path, found)
        for step in itertools.islice(left, 1):
            (root / "main.py").write_text(step)
        return files

    monkeypatch.setattr(application, "read_named", read)
    found = read_application(App("main:app", str(root)))
    assert found.files["main.py"] == b"whole"


def test_more_than_the_store_takes_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "MAX_BYTES", 10)
    with pytest.raises(UnreadableArtifact, match="holds more than 10 bytes"):
        names(root)


def test_the_distributions_of_another_interpreter_are_looked_for_where_it_has_them(root: Path) -> None:
    (root / ".other" / "demo-1.0.dist-info").mkdir(parents=True)
    found = read_application(App("main:app", str(root)), search=[str(root / ".other")])
    assert found.distributions.versions == {"demo": "1.0"}
