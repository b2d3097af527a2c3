import asyncio
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette

from changeover.supervisor.api.server import ControlSocket, ControlSocketUnserved

IMPORTED_LATE = """
import sys
from pathlib import Path
from changeover.supervisor.api.bodies import CutoverBody
from changeover.supervisor.api.client import Client
from tests.fake_control import FakeControl, serving

with serving(FakeControl(), Path(sys.argv[1])) as path:
    before = set(sys.modules)
    *_, end = Client(path).stream("POST", "/v1/cutovers", CutoverBody(), seconds=20)
    print(end.event, *sys.modules.keys() - before)
"""


async def test_a_stale_socket_is_replaced_and_ours_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    alarms: list[ControlSocketUnserved] = []
    control = ControlSocket(Starlette(), path, alarms.append)
    await control.start()
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await writer.wait_closed()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    await control.stop()
    assert (alarms, path.exists()) == ([], False)


@pytest.mark.parametrize("name", ["missing/control.sock", "x" * 120])
async def test_a_socket_that_cannot_be_bound_is_an_alarm_and_no_exit(tmp_path: Path, name: str) -> None:
    alarms: list[ControlSocketUnserved] = []
    control = ControlSocket(Starlette(), tmp_path / name, alarms.append)
    await control.start()
    await control.stop()
    [alarm] = alarms
    assert "kill -HUP" in str(alarm)


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("precious")
    alarms: list[ControlSocketUnserved] = []
    await ControlSocket(Starlette(), path, alarms.append).start()
    assert (len(alarms), path.read_text()) == (1, "precious")


@pytest.mark.parametrize("failure", [SystemExit(3), RuntimeError("broken")])
async def test_a_server_that_gives_up_takes_nobody_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    async def give_up(*_: object) -> None:
        raise failure

    monkeypatch.setattr("uvicorn.Server.startup", give_up)
    alarms: list[ControlSocketUnserved] = []
    control = ControlSocket(Starlette(), tmp_path / "control.sock", alarms.append)
    await control.start()
    await control.stop()
    assert len(alarms) == 1


def test_the_first_stream_imports_nothing_while_the_loop_waits_for_it(tmp_path: Path) -> None:
    line = [sys.executable, "-c", IMPORTED_LATE, str(tmp_path)]
    assert subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout.split() == ["end"]
