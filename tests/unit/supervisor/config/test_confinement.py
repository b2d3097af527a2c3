from pathlib import Path

from changeover.supervisor.config.confinement import mistakes
from changeover.supervisor.config.settings import Settings


def test_nothing_is_asked_of_the_system_where_workers_are_not_confined() -> None:
    assert mistakes(Settings(writable=("/nowhere",)), abi=lambda: 0) == []


def test_a_kernel_without_it_is_a_mistake_of_the_setting() -> None:
    [mistake] = mistakes(Settings(landlock=True), abi=lambda: 0)
    assert mistake.path == "$.landlock"
    assert "Linux 6.2" in mistake.message


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = Settings(landlock=True, writable=(str(tmp_path), str(tmp_path / "uploads")))
    [mistake] = mistakes(settings, abi=lambda: 7)
    assert (mistake.path, mistake.message) == ("$.writable[1]", f"{tmp_path / 'uploads'} is no folder: make it first")
