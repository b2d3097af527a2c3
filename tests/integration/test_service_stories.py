"""A service's life in real processes: boot, signals, deaths, disks, and the end."""

import asyncio
import fcntl
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from changeover.server import Committed, Refused, Server, ServerFailed, StatusView
from changeover.supervisor.api.bodies import CutoverBody
from changeover.supervisor.api.client import SOCKET_NAME, Client, NoAnswer
from changeover.supervisor.control import JournalState, SlotState, ZygoteState
from tests.service import Connection, Story, gone, kill, logged, status_when
from tests.waits import until


def family(pid: int) -> list[int]:
    """The process and everything below it."""
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def serving(status: StatusView) -> int:
    return sum(slot.state is SlotState.SERVING for slot in status.slots)


def title(pid: int) -> str:
    """What `ps` shows."""
    return Path(f"/proc/{pid}/cmdline").read_text()


def sockets(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_socket()]


async def test_term_finishes_what_is_in_flight_and_leaves_nothing_behind(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=2) as server:
        await until(lambda: len(family(server.pid)) == 4, "the rehearsal of the start to be gone")
        processes = family(server.pid)
        busy = await story.connect(server)
        await busy.ask("/shop/slow")
        status = await status_when(server, lambda status: any(slot.leases for slot in status.slots))
        holder = next(slot.pid for slot in status.slots if slot.leases)
        server.signal(signal.SIGTERM)
        await until(lambda: "leaving" in title(holder), "the busy worker to leave")
        story.open_gate()
        answer = await busy.answer()
        assert answer.words[0] == "1.0"
        assert answer.headers["connection"] == "close"
        assert await busy.at_end()
        for pid in processes[1:]:
            await gone(pid)
    assert sockets(story.folder) == []


async def test_a_second_term_does_not_wait_for_what_is_in_flight(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        [worker] = [slot.pid for slot in (await server.status()).slots]
        busy = await story.connect(server)
        await busy.ask("/shop/slow")
        await status_when(server, lambda status: any(slot.leases for slot in status.slots))
        server.signal(signal.SIGTERM)
        await until(lambda: "leaving, graceful" in title(worker), "the worker to leave")
        server.signal(signal.SIGTERM)
        await gone(worker)
        await logged(server, "finished")
        assert "is killed" not in server.logs


@pytest.mark.parametrize("unwanted", ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTOU", "SIGCHLD"])
async def test_no_signal_but_those_that_stop_ends_the_service(story: Story, unwanted: str) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        server.signal(signal.Signals[unwanted])
        story.write("2.0")
        assert not isinstance(await server.reload(), Refused)
        assert (await story.get(server, "/shop")).words[0] == "2.0"


async def test_hup_during_boot_is_deferred_and_never_kills(story: Story) -> None:
    story.write("1.0")
    command = [
        sys.executable,
        "-m",
        "changeover.supervisor",
        "run",
        f"--plugins={story.plugins}",
        "--bind=127.0.0.1:0",
    ]
    folders = [f"--runtime-dir={story.folder / 'run'}", f"--state-dir={story.folder / 'state'}", "--log-format=text"]
    log = story.folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([*command, *folders], stderr=stderr)
    try:
        caught = Path(f"/proc/{process.pid}/status")
        await until(lambda: _catches(caught, signal.SIGHUP), "the inbox to be open")
        for _ in range(5):
            process.send_signal(signal.SIGHUP)
        await until(lambda: "SIGHUP" in log.read_text() and "serves epoch 1" in log.read_text(), "it to serve")
        assert process.poll() is None
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0


def _catches(status: Path, signum: int) -> bool:
    line = next((line for line in status.read_text().splitlines() if line.startswith("SigCgt")), "SigCgt: 0")
    return bool(int(line.split()[1], 16) >> (signum - 1) & 1)


async def test_a_boot_that_fails_half_way_leaves_no_process_and_no_socket(story: Story) -> None:
    story.write("1.0", top='raise RuntimeError("never")')
    with pytest.raises(ServerFailed, match="RuntimeError: never") as failed:
        async with story.server(workers=2):
            pass
    assert failed.value.status == 4
    assert sockets(story.folder) == []
    mine = [p for p in psutil.process_iter(["cmdline"]) if str(story.folder) in " ".join(p.info["cmdline"] or [])]
    assert mine == []


async def test_an_app_that_cannot_be_imported_ends_the_start_with_status_4(story: Story) -> None:
    story.write("1.0")
    (story.folder / "main.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(ServerFailed, match="nothing_of_that_name") as failed:
        async with story.server(workers=1, app="main:app"):
            pass
    assert failed.value.status == 4
    said = [line[9:].split(maxsplit=1) for line in failed.value.logs.splitlines() if line[:2].isdigit()]
    refused = next(line for level, line in said if level == "error")
    assert refused.startswith("epoch 1 refused: application main:app: ModuleNotFoundError")
    assert failed.value.logs.count('File "main.py", line 1') == 1
    assert said[-1][1].startswith("finished with status 4")
    assert not any("serve on" in line for _, line in said)


async def test_an_ordered_end_is_told_in_order_and_warns_of_nothing(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        server.signal(signal.SIGTERM)
        await logged(server, "finished")
        logs = server.logs
    said = [line[9:].split(maxsplit=1) for line in logs.splitlines()]
    assert {level for level, _ in said} <= {"debug", "info"}
    assert [line for _, line in said][-2:] == [
        "the zygote of cohort 1 left: it was told to leave",
        "finished: asked to stop",
    ]


async def test_two_terms_at_once_are_quick_and_not_a_kill(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        [worker] = [slot.pid for slot in (await server.status()).slots]
        busy = await story.connect(server)
        await busy.ask("/shop/slow")
        await status_when(server, lambda status: any(slot.leases for slot in status.slots))
        server.signal(signal.SIGTERM)
        await logged(server, "SIGTERM: stop gracefully")
        server.signal(signal.SIGTERM)
        await gone(worker)
        await logged(server, "finished")
        assert "stopping (kill" not in server.logs


async def test_a_supervisor_that_finds_a_bug_leaves_its_workers_and_their_sockets_alone(story: Story) -> None:
    story.write("1.0")
    bug = (
        "from changeover.supervisor.core.machine import _Handlers\n"
        "from changeover.supervisor.cli import main\n"
        "def broken(self, event): raise RuntimeError('on purpose')\n"
        "_Handlers._scale = broken\n"
        "main(prog_name='changeover')\n"
    )
    runtime, log = story.folder / "runtime", story.folder / "log"
    arguments = ["--plugins", str(story.plugins), "--workers=1", "--bind=127.0.0.1:0", "--orphan-timeout=60"]
    places = [f"--runtime-dir={runtime}", f"--state-dir={story.folder / 'state'}", "--log-format=text"]
    with (
        log.open("wb") as out,
        subprocess.Popen([sys.executable, "-c", bug, "run", *arguments, *places], stderr=out) as process,
    ):
        try:
            await until(lambda: "serves in its worker" in log.read_text(), "it to serve")
            await until(lambda: len(family(process.pid)) == 3, "the rehearsal of the start to be gone")
            _, zygote, worker = family(process.pid)
            process.send_signal(signal.SIGTTIN)
            assert await asyncio.to_thread(process.wait, 20) == 70
            assert "RuntimeError: on purpose" in log.read_text()
            assert {path.name for path in runtime.glob("*.sock")} >= {"zygote-1.sock", "reports.sock", "snapshots.sock"}
            os.kill(worker, 0)
            os.kill(zygote, signal.SIGTERM)
            await gone(worker)
        finally:
            process.kill()


async def test_a_disk_that_hangs_does_not_hold_up_the_end_for_ever(story: Story) -> None:
    story.write("1.0")
    hanging = (
        "import threading\n"
        "from changeover.supervisor import lifetime\n"
        "from changeover.supervisor.artifacts.scanner import Scanner\n"
        "from changeover.supervisor.cli import main\n"
        "from changeover.supervisor.core.entries import Trigger\n"
        "scan = Scanner.scan\n"
        "def hang(self, request, *rest):\n"
        "    if request.origin.trigger is Trigger.BOOT: return scan(self, request, *rest)\n"
        "    threading.Event().wait()\n"
        "Scanner.scan, lifetime.LEAVE = hang, 0.5\n"
        "main(prog_name='changeover')\n"
    )
    log = story.folder / "log"
    arguments = ["--plugins", str(story.plugins), "--workers=1", "--bind=127.0.0.1:0", "--log-format=text"]
    places = [f"--runtime-dir={story.folder / 'runtime'}", f"--state-dir={story.folder / 'state'}"]
    with (
        log.open("wb") as out,
        subprocess.Popen([sys.executable, "-c", hanging, "run", *arguments, *places], stderr=out) as process,
    ):
        try:
            await until(lambda: "serves in its worker" in log.read_text(), "it to serve")
            process.send_signal(signal.SIGHUP)
            await until(lambda: "SIGHUP: reload" in log.read_text(), "the reload to begin")
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
            assert "the disk holds up the end" in log.read_text()
        finally:
            process.kill()


async def test_a_log_that_nobody_reads_holds_up_neither_reloads_nor_the_end(story: Story) -> None:
    story.write("1.0")
    reading, writing = os.pipe()
    runtime = story.folder / "runtime"
    arguments = ["--plugins", str(story.plugins), "--workers=1", "--bind=127.0.0.1:0", "--log-level=debug"]
    places = [f"--runtime-dir={runtime}", f"--state-dir={story.folder / 'state'}"]
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(
        [sys.executable, "-m", "changeover.supervisor", "run", *arguments, *places], stderr=writing
    ) as process:
        try:
            os.close(writing)
            client = Client(runtime / SOCKET_NAME)
            await until(lambda: _epoch(client) == 1, "it to serve")
            for number in range(5):
                story.write(f"1.{number + 1}")
                told = await asyncio.to_thread(_reload, client)
                assert told[-1] == "end"
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        finally:
            process.kill()
            os.close(reading)


def _epoch(client: Client) -> int:
    try:
        return client.get("/v1/status", StatusView).epoch
    except NoAnswer:
        return 0


def _reload(client: Client) -> list[str]:
    return [event.event for event in client.stream("POST", "/v1/cutovers", CutoverBody(), seconds=20)]


async def test_a_killed_zygote_is_replaced_while_its_workers_serve_on(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=2) as server:
        connection = await story.connect(server)
        await connection.get("/shop")
        before = {slot.pid for slot in (await server.status()).slots}
        [zygote] = [child.pid for child in psutil.Process(server.pid).children()]
        kill(zygote)
        assert (await connection.get("/shop")).status == 200
        story.write("2.0")
        await status_when(server, lambda s: [(z.cohort, z.state) for z in s.zygotes] == [(2, ZygoteState.READY)])
        assert isinstance(await server.reload(), Committed)
        assert {slot.pid for slot in (await server.status()).slots} == before
        kill(before.pop())
        await status_when(
            server,
            lambda status: all(slot.state is SlotState.SERVING and slot.epoch == 2 for slot in status.slots),
        )


async def test_workers_serve_on_without_their_supervisor_and_leave_after_the_orphan_timeout(story: Story) -> None:
    story.write("1.0")
    with pytest.raises(ServerFailed):
        async with story.server(workers=2, env={"CHANGEOVER_DEADLINES_ORPHAN": "4"}) as server:
            processes = family(server.pid)
            connection = await story.connect(server)
            await connection.get("/shop")
            kill(server.pid)
            await gone_or_zombie(server.pid)
            assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]
            assert (await story.get(server, "/shop")).words[:2] == ["1.0", "1"]
            await until(lambda: not any(map(psutil.pid_exists, processes[1:])), "orphans to leave", deadline=30)


async def gone_or_zombie(pid: int) -> None:
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


async def run_again(story: Story, server: Server) -> "subprocess.CompletedProcess[str]":
    command = run_command(story, server.addresses[0])
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20, check=False)


def run_command(story: Story, bind: str, *arguments: str) -> list[str]:
    folders = [f"--{kind}-dir={story.folder / kind}" for kind in ("runtime", "state")]
    serve = [sys.executable, "-m", "changeover.supervisor", "run", f"--plugins={story.plugins}", f"--bind={bind}"]
    return [*serve, *folders, *arguments]


async def test_what_a_second_supervisor_on_the_same_state_is_told_to_type_ends_the_first(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        command = run_command(story, "127.0.0.1:0", f"--runtime-dir={story.folder / 'other'}")
        second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)
        assert second.returncode == 1
        assert f"is held by pid {server.pid} (changeover: story supervisor" in second.stderr
        [typed] = re.findall(r"`(changeover stop [^`]*)` ends it", second.stderr)
        stop = [sys.executable, "-m", "changeover.supervisor", *shlex.split(typed)[1:]]
        assert (await asyncio.to_thread(subprocess.run, stop, timeout=30)).returncode == 0
        await gone_or_zombie(server.pid)


async def test_a_second_supervisor_on_the_same_directories_is_told_who_holds_them(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        second = await run_again(story, server)
        assert second.returncode != 0
        assert str(server.pid) in second.stderr
        assert "changeover stop" in second.stderr
        assert (await story.get(server, "/shop")).status == 200


@pytest.mark.parametrize("shared", ["runtime", "state"])
async def test_one_directory_in_common_is_enough_to_be_refused(story: Story, shared: str) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        other = {"runtime": "state", "state": "runtime"}[shared]
        command = run_command(story, "127.0.0.1:0", f"--{other}-dir={story.folder / 'other'}")
        second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)
        assert second.returncode == 1
        assert f"{story.folder / shared}" in second.stderr
        assert str(server.pid) in second.stderr
        assert "Traceback" not in second.stderr
        assert (await story.get(server, "/shop")).status == 200


async def test_a_full_disk_refuses_cutovers_with_the_reason_and_stops_nothing_else(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=2) as server:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        story.write("2.0")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert "journal" in outcome.reason or "write" in outcome.reason or "File too large" in outcome.reason
        assert (await story.get(server, "/shop")).words[0] == "1.0"
        victim = (await server.status()).slots[0].pid
        kill(victim)
        await status_when(server, lambda s: s.slots[0].pid not in (0, victim) and s.slots[0].state is SlotState.SERVING)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await status_when(server, lambda status: status.journal is JournalState.SOUND)
        assert isinstance(await server.reload(), Committed)


async def test_a_worker_that_cannot_boot_again_and_again_is_parked_with_the_reason(story: Story) -> None:
    marker = story.folder / "broken"
    story.write("1.0", top=f"import os\nif os.path.exists({str(marker)!r}): os._exit(3)")
    async with story.server(workers=2) as server:
        marker.touch()
        kill((await server.status()).slots[0].pid)
        status = await status_when(server, lambda s: s.slots[0].state is SlotState.PARKED, deadline=60)
        assert "status 3" in status.slots[0].note
        assert any("1 of 2 slots serve" in alarm for alarm in status.alarms)
        assert (await story.get(server, "/shop")).status == 200


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "unix"])
async def test_every_kind_of_address_serves_and_is_taken_down(story: Story, address: str) -> None:
    story.write("1.0")
    path = story.folder / "web.sock"
    if address == "unix":
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        address = f"unix:{path}"
    async with story.server(workers=2, bind=address) as server:
        assert (await story.get(server, "/shop")).status == 200
    assert not path.exists()


async def test_an_inherited_socket_serves(story: Story) -> None:
    story.write("1.0")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        os.set_inheritable(listening.fileno(), True)
        port = listening.getsockname()[1]
        fd = listening.fileno()
        process = subprocess.Popen(run_command(story, f"fd://{fd}"), pass_fds=[fd], stderr=subprocess.PIPE)
        try:
            async with asyncio.timeout(30):
                connection = await Connection.open(f"127.0.0.1:{port}")  # the kernel lets it in before anybody serves
                assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]
                connection.close()
        finally:
            process.terminate()
            await asyncio.to_thread(process.communicate)
        assert process.returncode == 0


FACTORY = """
def make():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"made"})

    return app
"""


async def test_an_application_is_made_by_a_factory_where_the_command_line_says_so(story: Story) -> None:
    (story.folder / "main.py").write_text(FACTORY)
    with pytest.raises(ServerFailed, match="add --factory"):
        async with story.server(1, app="main:make"):
            raise AssertionError("a function that makes applications was served as one")
    async with story.server(1, "--factory", app="main:make") as server:
        assert (await story.get(server, "/")).body == "made"


async def test_scaling_up_and_down_moves_no_request(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        for signum, slots in ((signal.SIGTTIN, 2), (signal.SIGTTIN, 3), (signal.SIGTTOU, 2)):
            server.signal(signum)
            await status_when(server, lambda status: serving(status) == slots == len(status.slots))  # noqa: B023
            assert (await story.get(server, "/shop")).status == 200


async def test_a_stop_waits_for_the_task_that_a_request_left_behind(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        await story.get(server, "/shop/task")
        server.signal(signal.SIGTERM)
        await until(lambda: any("leaving" in title(pid) for pid in family(server.pid)), "the worker to leave")
        assert not story.finished.exists()
        story.open_gate()
        await until(story.finished.exists, "the task to end by itself")


async def test_a_request_past_its_drain_deadline_holds_up_no_stop(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1, env={"CHANGEOVER_DRAIN_HTTP": "200ms"}) as server:
        busy = await story.connect(server)
        await busy.ask("/shop/slow")
        await status_when(server, lambda status: any(slot.leases for slot in status.slots))
        server.signal(signal.SIGTERM)
        assert (await busy.answer()).status == 503
        await logged(server, "finished")


async def test_who_asks_what_was_told_right_after_a_change_hears_of_it(story: Story) -> None:
    """Both questions arrive at once: nothing is worded between them."""
    story.write("1.0")
    async with story.server(workers=1):
        control = await Connection.open(f"unix:{story.folder / 'runtime' / SOCKET_NAME}")
        body = b'{"slots": 2}'
        change = b"PUT /v1/scale HTTP/1.1\r\nhost: story\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        await control.send(change + b"GET /v1/events?follow=false HTTP/1.1\r\nhost: story\r\n\r\n")
        assert (await control.answer()).status == 202
        assert "1 -> 2 workers" in (await control.answer()).body
        control.close()
