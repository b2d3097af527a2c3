import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from changeover.supervisor.cli import find
from changeover.supervisor.cli.exits import Exit, Failure
from changeover.supervisor.cli.find import server
from tests.fake_control import FakeControl, serving


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose sockets have names that the kernel takes, however deep the test's own folder is."""
    with TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def home(short_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = short_path
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    monkeypatch.setattr(find, "homes", lambda environment, uid: (home / "changeover",))
    for name in ("CHANGEOVER_NAME", "CHANGEOVER_RUNTIME_DIR", "CHANGEOVER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    return home / "changeover"


@pytest.fixture
def start(home: Path) -> Iterator["Starter"]:
    with ExitStack() as stack:
        yield Starter(home, stack)


class Starter:
    """Starts servers by name."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home = home
        self._stack = stack

    def __call__(self, name: str) -> Path:
        runtime = self.home / name
        runtime.mkdir(parents=True)
        return self._stack.enter_context(serving(FakeControl(), runtime))


def test_the_only_living_server_is_used_and_named(start: Starter, capsys: pytest.CaptureFixture[str]) -> None:
    path = start("shop")
    (start.home / "dead").mkdir()
    assert server("", "").path == path
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "asking shop, the only server that lives: nothing here names one\n")


def test_one_that_is_called_like_the_folder_needs_no_word(start: Starter, capsys: pytest.CaptureFixture[str]) -> None:
    path = start("empty")
    assert server("", "").path == path
    assert server("empty", "").path == path
    assert capsys.readouterr().err == ""


def test_one_that_is_called_like_the_folder_is_meant_also_where_others_live(
    start: Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    start("blog")
    path = start("empty")
    assert server("", "").path == path
    assert capsys.readouterr().err == ""


def test_several_living_servers_are_listed(start: Starter) -> None:
    start("shop")
    start("blog")
    with pytest.raises(Failure, match=r"blog, shop; name one") as raised:
        server("", "")
    assert raised.value.exit_code == Exit.USAGE


def test_no_living_server_is_exit_5(home: Path) -> None:
    with pytest.raises(Failure, match="changeover run") as raised:
        server("", "")
    assert raised.value.exit_code == Exit.NO_SERVER


def test_workers_that_serve_on_without_a_server_are_told_of_with_what_adopts_them(home: Path) -> None:
    runtime = home / "shop"
    runtime.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as worker:
        worker.bind(str(runtime / "worker-1000001.sock"))
        for name in ("", "shop"):
            with pytest.raises(Failure, match="workers of shop serve on without one: start it again") as raised:
                server(name, "")
            assert raised.value.exit_code == Exit.NO_SERVER
    with pytest.raises(Failure, match="; start one with"):
        server("shop", "")


def test_what_is_said_wins_over_the_environment_and_this_over_the_file(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {name: start(name) for name in ("said", "environment", "file")}
    Path("changeover.toml").write_text('name = "file"\n')
    assert server("", "").path == paths["file"]
    monkeypatch.setenv("CHANGEOVER_NAME", "environment")
    assert server("", "").path == paths["environment"]
    assert server("said", "").path == paths["said"]
    assert server("", str(start.home / "file")).path == paths["file"]


def test_a_file_under_edit_still_leads_to_its_server(start: Starter) -> None:
    path = start("empty")
    Path("changeover.toml").write_text("workers = = 3")
    assert server("", "").path == path


def test_a_named_server_that_is_gone_names_those_that_live(start: Starter) -> None:
    start("shop")
    with pytest.raises(Failure, match=r"named by the command line.*these live: shop") as raised:
        server("blog", "")
    assert raised.value.exit_code == Exit.NO_SERVER
