"""An application is looked for by its files, and never imported."""

import sys
from pathlib import Path

import pytest

from changeover.supervisor.config.locating import mistakes
from changeover.supervisor.config.settings import App

BOOM = 'raise SystemExit("imported")\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("shop.py", "sold/__init__.py", "sold/main.py", "sold/deep/er/app.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(BOOM)
    return tmp_path


def found(folder: Path, module: str) -> bool:
    wrong = mistakes(App(f"{module}:app", str(folder)))
    assert all(mistake.path == "$.app.target" and repr(module) in mistake.message for mistake in wrong)
    return not wrong


@pytest.mark.parametrize("module", ["shop", "sold", "sold.main", "sold.deep.er.app", "starlette.applications"])
def test_what_lies_there_or_is_installed_is_found_and_not_imported(folder: Path, module: str) -> None:
    before = set(sys.modules)
    assert found(folder, module)
    assert set(sys.modules) - before == set()


@pytest.mark.parametrize("module", ["nomod", "nomod.app", "sold.nomod", "shop.main", "starlette.nomod", "__main__"])
def test_what_lies_nowhere_is_missed(folder: Path, module: str) -> None:
    assert not found(folder, module)


def test_what_another_interpreter_has_installed_is_not_known_and_not_missed(folder: Path) -> None:
    assert mistakes(App("nomod:app", str(folder)), "/other/bin/python") == []
    assert mistakes(App("nomod:app", str(folder / "nope")), "/other/bin/python") != []


def test_a_folder_that_is_not_there_is_named(folder: Path) -> None:
    [mistake] = mistakes(App("shop:app", str(folder / "nope")))
    assert (mistake.path, mistake.message) == ("$.app.dir", f"there is no folder {folder}/nope")


def test_without_an_application_there_is_none_to_miss() -> None:
    assert mistakes(None) == []
