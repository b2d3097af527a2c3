"""What is typed at -k, by fingers of gunicorn's and uvicorn's users too."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from changeover.supervisor.cli import main
from changeover.supervisor.cli.interface_names import ELSEWHERE


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.py").touch()
    monkeypatch.chdir(tmp_path)


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["run", "--print-config", *arguments, "shop:app"])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("name", "interface", "threads"),
    [
        ("auto", "auto", 4),
        ("asgi", "asgi", 4),
        ("wsgi", "wsgi", 4),
        ("sync", "wsgi", 1),
        ("gthread", "wsgi", 4),
        ("uvicorn.workers.UvicornWorker", "asgi", 4),
        ("uvicorn_worker.UvicornWorker", "asgi", 4),
    ],
)
@pytest.mark.parametrize("flag", ["-k", "--interface", "--worker-class"])
def test_a_name_stands_for_an_interface(flag: str, name: str, interface: str, threads: int) -> None:
    text = printed(flag, name)
    assert f'interface = "{interface}"' in text
    assert f"threads = {threads}\n" in text


def test_threads_that_are_typed_win() -> None:
    assert "threads = 8\n" in printed("-k", "sync", "--threads", "8")


@pytest.mark.parametrize("name", [*ELSEWHERE, "egg:gunicorn#gevent", "mine.Worker"])
def test_other_names_are_refused_with_what_to_do(name: str) -> None:
    result = CliRunner().invoke(main, ["run", "-k", name, "shop:app"])
    hint = ELSEWHERE.get(name.removeprefix("egg:gunicorn#"), "it is auto, asgi or wsgi")
    assert result.exit_code == 2
    assert f"{name} is no interface here: {hint}" in " ".join(result.output.split())


def test_a_worker_needs_a_thread() -> None:
    result = CliRunner().invoke(main, ["run", "--check-config", "--threads", "0", "shop:app"])
    assert result.exit_code == 2
    assert "must be at least 1" in result.output
