"""What belongs to an application's content, and what changes it."""

from pathlib import Path

import pytest

from changeover.supervisor.artifacts.application import differing, read_application
from changeover.supervisor.config.settings import App


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
