"""Server hooks under gunicorn's names."""

from pathlib import Path

import pytest

from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.hook_names import OTHER, SAME
from changeover.supervisor.config.load import check
from changeover.supervisor.config.settings import Hooks
from changeover.supervisor.config.sources import Source


def checked(folder: Path, hooks: str) -> Checked:
    (folder / "changeover.toml").write_text(f'[app]\ntarget = "a:b"\n[hooks]\n{hooks}\n')
    return check(Source(folder=folder))


def errors(folder: Path, hooks: str) -> list[tuple[str, str]]:
    return [(error.path, error.message) for error in checked(folder, hooks).errors]


@pytest.mark.parametrize("name", SAME)
def test_a_hook_that_is_there_is_taken_and_its_name_told(tmp_path: Path, name: str) -> None:
    result = checked(tmp_path, f'{name} = "echo hello"')
    assert getattr(result.required().hooks, SAME[name]) == "echo hello"
    [warning] = result.warnings
    assert warning.path == f"$.hooks.{name}"
    assert f"is called `{SAME[name]}` here" in warning.message


@pytest.mark.parametrize("name", OTHER)
def test_a_hook_that_is_not_there_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    assert errors(tmp_path, f'{name} = "a:b"') == [(f"$.hooks.{name}", f"gunicorn's hook is not there: {OTHER[name]}")]


@pytest.mark.parametrize("name", [each for each in Hooks.__struct_fields__ if each != "deadline"])
@pytest.mark.parametrize("written", ["shop.server:function", "shop --check"])
def test_each_hook_is_a_function_or_a_command(tmp_path: Path, name: str, written: str) -> None:
    assert getattr(checked(tmp_path, f'{name} = "{written}"').required().hooks, name) == written


def test_both_names_of_one_hook_are_one_too_many(tmp_path: Path) -> None:
    [(path, message)] = errors(tmp_path, 'post_fork = "a:b"\nafter_fork = "c:d"')
    assert (path, message) == ("$.hooks.post_fork", "is called `after_fork` here, which stands beside it")


@pytest.mark.parametrize(
    ("hooks", "path", "message"),
    [
        ('before_boot = "echo \'"', "$.hooks.before_boot", "cannot be split into words: No closing quotation"),
        ('worker_exit = "echo \'"', "$.hooks.worker_exit", "cannot be split into words: No closing quotation"),
        ('worker_ready = " "', "$.hooks.worker_ready", "names no program"),
        ("deadline = 0", "$.hooks.deadline", "must be above 0"),
        ('worker_redy = "a:b"', "$.hooks.worker_redy", "did you mean `worker_ready`?"),
    ],
)
def test_what_cannot_be_run_is_refused(tmp_path: Path, hooks: str, path: str, message: str) -> None:
    [(at, said)] = errors(tmp_path, hooks)
    assert at == path
    assert message in said
