import time
from pathlib import Path

import pytest

from changeover.supervisor.cli.diagnosis.alone import examine
from changeover.workers.protocol.examination import Examination, Examine, Kind
from changeover.workers.protocol.forking import Preload
from tests.waits import until_sync

APP = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the examination writes; the application lies beside it."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def seen(folder: Path, text: str, deadline: float = 30.0, factory: bool = False) -> Examination:
    (folder.parent / "shop.py").write_text(text)
    return examine(Examine(Preload("shop:app", str(folder.parent), factory)), folder, deadline)


def test_a_plain_application_leaves_nothing(folder: Path) -> None:
    alone = seen(folder, APP)
    assert (alone.failure, alone.threads, alone.left) == ("", (), ())
    assert [module.name for module in alone.modules] == ["shop"]


def test_what_is_closed_before_the_end_is_not_left(folder: Path) -> None:
    (folder.parent / "rules.py").write_text("")
    alone = seen(folder, f"file = open(__file__)\nimport rules\nfile.close()\nlog = open('/dev/null')\n{APP}")
    assert [(each.module, each.kind) for each in alone.left] == [("shop", Kind.DEVICE)]


def test_startup_is_timed_apart_from_the_import(folder: Path) -> None:
    slow_start = APP.replace("await receive()\n", "await receive(); import time; time.sleep(0.3)\n", 1)
    alone = seen(folder, slow_start)
    assert alone.started >= 0.3 > alone.imported


def test_a_factory_is_called_for_the_instance_and_not_by_the_import(folder: Path) -> None:
    alone = seen(
        folder,
        APP.replace("app(", "made(") + "def app():\n    import time; time.sleep(0.3)\n    return made\n",
        factory=True,
    )
    assert alone.started >= 0.3 > alone.imported


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("import sys; sys.exit('no')", "SystemExit: no"),
        ("import os; print('last words', flush=True); os._exit(7)", "it ended with status 7: last words"),
        ("async def app(scope, receive, send):\n    await receive()\n    raise OSError('no db')", "OSError('no db')"),
    ],
)
def test_what_keeps_it_from_being_imported_or_started_is_told(folder: Path, text: str, failure: str) -> None:
    assert failure in seen(folder, text).failure


def test_one_that_hangs_is_killed_with_all_that_it_started(folder: Path) -> None:
    began = time.monotonic()
    pid = folder / "pid"
    hangs = f"""
import pathlib, subprocess, time
child = subprocess.Popen(["sleep", "900"])
pathlib.Path({str(pid)!r}).write_text(str(child.pid))
time.sleep(900)
"""
    assert seen(folder, hangs, deadline=5.0).failure == "not imported and started within 5 s"
    assert time.monotonic() - began < 20
    until_sync(lambda: not alive(int(pid.read_text())), "the child to be gone")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
