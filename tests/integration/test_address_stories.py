"""Addresses come and go while a service serves: with `bind` in its configuration, a HUP, and nothing closed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from changeover.server import Committed, Planned, Refused, Server, ServerFailed, Strategy
from changeover.supervisor.control import SlotState, StatusView, ZygoteState
from tests.ports import unused
from tests.service import Answer, Connection, Story, gone, logged, status_when
from tests.waits import until

LINGER, WHILE, LONG = 0.3, 4.0, 30.0
READY = ZygoteState.READY


class Place:
    """A service that is configured by a file."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.config = story.folder / "changeover.toml"
        story.write("1")

    def bind(self, *addresses: str, more: str = "", linger: float = LINGER) -> None:
        """Edit where it is to listen."""
        written = ", ".join(f'"{address}"' for address in addresses)
        self.config.write_text(f"bind = [{written}]\n{more}\n[drain]\naddress = {linger}\n")

    def server(self, workers: int = 2) -> Server:
        return Server(
            bind=(),
            workers=workers,
            plugins=self.story.plugins,
            config=self.config,
            name="story",
            runtime_dir=self.story.folder / "runtime",
            state_dir=self.story.folder / "state",
            arguments=["--log-level=debug", "--log-format=text"],
        )


@pytest.fixture
def place(story: Story) -> Place:
    return Place(story)


@pytest.fixture
def free() -> str:
    return unused()


async def answer(address: str) -> Answer:
    connection = await Connection.open(address)
    try:
        return await connection.get("/shop")
    finally:
        connection.close()


async def refuses(address: str) -> None:
    """Wait until nobody listens there any more."""
    for _ in range(200):
        try:
            (await Connection.open(address)).close()
        except (ConnectionRefusedError, FileNotFoundError):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{address} is still listened on")


async def at_rest(server: Server) -> StatusView:
    """Wait until those that were replaced have left."""
    return await status_when(server, lambda status: all(slot.state is SlotState.SERVING for slot in status.slots))


async def test_an_added_address_is_served_after_a_hup_and_nothing_is_closed(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server() as server:
        connection = await Connection.open(first)
        assert (await connection.get("/shop")).words[:2] == ["1", "1"]
        place.bind(first, free)
        os.kill(server.pid, signal.SIGHUP)
        status = await status_when(server, lambda status: status.serving and status.serving.epoch == 2)
        assert status.listen == (first, free)
        assert status.serving is not None
        assert status.serving.summary == (f"addresses -> roll: +{free}",)
        assert (await answer(free)).words[1] == "2"
        assert (await connection.get("/shop")).words[1] == "2"
        connection.close()
        await at_rest(server)
        await logged(server, f"listening on {first}, {free}")


async def test_a_dry_run_says_that_addresses_take_a_roll_and_binds_nothing(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server(1) as server:
        place.bind(free)
        planned = await server.reload(dry_run=True)
        assert isinstance(planned, Planned)
        assert planned.candidate is not None
        assert planned.candidate.is_roll
        assert f"addresses -> roll: +{free}, -{first}" in planned.summary
        with pytest.raises(ConnectionRefusedError):
            await Connection.open(free)


async def test_connections_that_wait_at_a_removed_address_are_answered_and_then_it_is_closed(
    place: Place, free: str
) -> None:
    first = unused()
    place.bind(first, free)
    async with place.server(1) as server:
        [slot] = (await server.status()).slots
        os.kill(slot.pid, signal.SIGSTOP)
        waiting = [await Connection.open(first) for _ in range(20)]
        for connection in waiting:
            await connection.ask("/shop")
        place.bind(free)
        rolling = asyncio.create_task(server.reload())
        await status_when(server, lambda status: len(status.slots) == 2)
        os.kill(slot.pid, signal.SIGCONT)
        outcome = await rolling
        assert isinstance(outcome, Committed), outcome
        status = await server.status()
        assert status.listen == (free,)
        for connection in waiting:
            assert (await connection.answer()).status == 200
            connection.close()
        await refuses(first)
        assert (await answer(free)).words[1] == "2"
        await logged(server, f"{first} is closed")
        assert (await server.status()).leaving == ()


async def test_clients_of_a_removed_address_are_served_for_the_linger(place: Place, free: str) -> None:
    first = unused()
    place.bind(first, free, linger=WHILE)
    async with place.server() as server:
        kept = await Connection.open(first)
        assert (await kept.get("/shop")).words[1] == "1"
        place.bind(free, linger=WHILE)
        assert isinstance(await server.reload(), Committed)
        assert (await server.status()).leaving == (first,)
        assert (await answer(first)).words[1] == "2"
        await refuses(first)
        assert (await kept.get("/shop")).words[1] == "2"
        kept.close()


async def test_the_file_of_a_removed_unix_socket_is_removed_last(place: Place, free: str) -> None:
    path = place.story.folder / "web.sock"
    place.bind(free, f"unix:{path}", linger=WHILE)
    async with place.server() as server:
        place.bind(free, linger=WHILE)
        assert isinstance(await server.reload(), Committed)
        assert (await answer(f"unix:{path}")).words[1] == "2"
        await until(lambda: not path.exists(), "the socket's file to be removed")
        place.bind(free, f"unix:{path}?mode=600")
        assert isinstance(await server.reload(), Committed)
        assert (await answer(f"unix:{path}")).words[1] == "3"
        assert path.stat().st_mode & 0o777 == 0o600
        place.bind(free, f"unix:{path}?mode=660")
        assert isinstance(await server.reload(), Committed)
        assert path.stat().st_mode & 0o777 == 0o660


async def test_an_address_in_use_refuses_everything_and_says_who_has_it(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server() as server:
        before = [slot.pid for slot in (await server.status()).slots]
        taken = unused()
        with socket.create_server(("127.0.0.1", int(taken.rpartition(":")[2]))):
            place.story.write("2")
            place.bind(first, free, taken)
            outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert f"cannot listen on {taken}: in use, held by" in outcome.reason
        assert str(os.getpid()) in outcome.reason
        assert (await answer(first)).words[:2] == ["1", "1"]
        assert [slot.pid for slot in (await at_rest(server)).slots] == before
        with pytest.raises(ConnectionRefusedError):
            await Connection.open(free)
        assert isinstance(await server.reload(), Committed)
        assert (await answer(taken)).words[:2] == ["2", "3"]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("no-such-host.invalid:8000", "write a name that this host resolves"),
        ("unix:/nowhere/web.sock", "there is no folder /nowhere: make it"),
        ("192.0.2.1:8000", "cannot listen on 192.0.2.1:8000"),
        ("fd://77", "was not passed to us when we started; restart the server"),
    ],
)
async def test_what_cannot_be_bound_refuses_with_the_reason(place: Place, free: str, address: str, why: str) -> None:
    place.bind(free)
    async with place.server(1) as server:
        place.bind(free, address)
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert why in outcome.reason
        assert (await answer(free)).words[1] == "1"


async def test_an_aborted_cutover_closes_what_it_bound(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server() as server:
        place.story.write("2", top="raise RuntimeError('broken')")
        place.bind(first, free)
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert "broken" in outcome.reason
        await refuses(free)
        assert (await server.status()).listen == (first,)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", int(free.rpartition(":")[2])))
            other.listen()


async def test_a_rollback_brings_addresses_back_and_a_hup_does_not_undo_that(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server() as server:
        place.bind(free)
        assert isinstance(await server.reload(), Committed)
        outcome = await server.rollback()
        assert isinstance(outcome, Committed)
        assert outcome.summary == (f"addresses -> roll: +{first}, -{free}",)
        assert (await answer(first)).words[1] == "3"
        await refuses(free)
        held = await server.reload()
        assert isinstance(held, Refused)
        assert "not taken: addresses (held; change it, or --force)" in held.summary
        forced = await server.reload(force=True)
        assert isinstance(forced, Committed)
        assert (await server.status()).listen == (free,)


async def test_an_address_that_comes_back_before_it_was_closed_was_never_away(place: Place, free: str) -> None:
    first = unused()
    place.bind(first, free, linger=LONG)
    async with place.server() as server:
        for number in range(2, 8):
            place.bind(free, *([first] if number % 2 else []), linger=LONG)
            assert isinstance(await server.reload(), Committed)
            assert (await answer(first)).words[1] == str(number)
        assert (await server.status()).listen == (free, first)


async def test_a_start_after_a_rollback_listens_on_what_serves(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server() as server:
        place.bind(free)
        assert isinstance(await server.reload(), Committed)
        assert isinstance(await server.rollback(), Committed)
    async with place.server() as server:
        assert server.addresses == (first,)
        assert (await server.status()).epoch == 3


async def test_a_start_that_falls_back_listens_where_the_configuration_says(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server():
        pass
    place.story.write("2", top="raise RuntimeError('broken')")
    place.bind(free)
    async with place.server() as server:
        assert (await answer(free)).words[:2] == ["1", "1"]
        place.story.write("3")
        assert isinstance(await server.reload(), Committed)
        assert (await server.status()).listen == (free,)
        assert (await answer(free)).words[0] == "3"


async def test_a_swap_leaves_addresses_as_they_are_and_says_so(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server(1) as server:
        place.story.write("2")
        place.bind(first, free)
        outcome = await server.reload(strategy=Strategy.SWAP)
        assert isinstance(outcome, Committed)
        assert f"not taken: addresses: +{free} (needs a roll)" in outcome.summary
        assert (await server.status()).listen == (first,)


async def test_no_descriptor_of_removed_addresses_is_left_in_the_supervisor(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)

    def sockets(pid: int) -> int:
        found = 0
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found += os.readlink(each).startswith("socket:")
        return found

    async with place.server(1) as server:
        held = []
        for _ in range(3):
            old = (await server.status()).slots[0].pid
            place.bind(first, free)
            assert isinstance(await server.reload(), Committed)
            await gone(old)
            place.bind(first)
            assert isinstance(await server.reload(), Committed)
            await refuses(free)
            await at_rest(server)
            held.append(sockets(server.pid))
        # After each roll the zygote before is kept for a while: that is as many every time.
        await until(lambda: sockets(server.pid) <= held[0], f"the supervisor to hold no socket more than {held}")


def listening(address: str) -> str:
    """The socket that listens at an address, as links to it read."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    table = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    [inode] = {fields[9] for fields in table if fields[1].endswith(port) and fields[3] == "0A"}
    return f"socket:[{inode}]"


def holds(pid: int, link: str) -> bool:
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            if os.readlink(each) == link:
                return True
    return False


async def test_a_supervisor_that_adopted_an_address_holds_nothing_of_it_once_it_is_removed(
    place: Place, free: str
) -> None:
    first = unused()
    place.bind(first, free)
    with pytest.raises(ServerFailed):
        async with place.server(1) as server:
            await killed(server)
    async with place.server(1) as server:
        link = listening(free)
        assert holds(server.pid, link)
        place.bind(first)
        assert isinstance(await server.reload(), Committed)
        await refuses(free)
        await at_rest(server)
        await until(lambda: not holds(server.pid, link), "the supervisor to let go of it")


async def test_slots_that_are_filled_again_listen_where_the_others_do(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server() as server:
        place.bind(first, free)
        assert isinstance(await server.reload(), Committed)
        place.bind(free)
        assert isinstance(await server.reload(), Committed)
        await refuses(first)
        before = {slot.pid for slot in (await at_rest(server)).slots}
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await status_when(
            server,
            lambda status: (
                len([slot for slot in status.slots if slot.state is SlotState.SERVING]) == 2
                and not before & {slot.pid for slot in status.slots}
            ),
        )
        for _ in range(10):
            assert (await answer(free)).words[1] == "3"


async def test_a_stop_while_a_removed_address_lingers_answers_who_waits_there(place: Place, free: str) -> None:
    first = unused()
    place.bind(first, free, linger=LONG)
    async with place.server(1) as server:
        place.bind(free, linger=LONG)
        assert isinstance(await server.reload(), Committed)
        connection = await Connection.open(first)
        await connection.ask("/shop")
        assert (await connection.answer()).status == 200
        connection.close()
    assert "Traceback" not in server.logs


async def killed(server: Server) -> None:
    """The supervisor dies, and its workers serve on."""
    os.kill(server.pid, signal.SIGKILL)
    await gone(server.pid)


async def test_a_supervisor_that_starts_again_goes_on_where_what_serves_is_and_closes_what_was_removed(
    place: Place, free: str
) -> None:
    first, third = unused(), unused()
    place.bind(first)
    with pytest.raises(ServerFailed):
        async with place.server() as server:
            place.bind(free)
            assert isinstance(await server.reload(), Committed)
            await killed(server)
    place.bind(third)
    async with place.server() as server:
        assert (await server.status()).listen == (free,)
        assert (await answer(free)).words[1] == "2"
        await refuses(first)
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        assert (await answer(third)).words[1] == "3"
        await refuses(free)


UNTIL_THE_GATE_OPENS = """
import time

while not GATE.exists():
    time.sleep(0.01)
"""


async def dies_before_the_commit(place: Place, server: Server, *addresses: str, linger: float = LINGER) -> None:
    """The supervisor dies when the zygote of a candidate holds what was bound for it."""
    place.story.write("2", top=UNTIL_THE_GATE_OPENS)
    place.bind(*addresses, linger=linger)
    os.kill(server.pid, signal.SIGHUP)
    await status_when(
        server, lambda status: [each.state for each in status.zygotes if each.epoch == status.candidate] == [READY]
    )
    await killed(server)


async def turned_away(waiting: Connection) -> None:
    """It was let in by the kernel, and hears that nobody answers."""
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(waiting.answer(), 10.0)
    waiting.close()


@pytest.mark.parametrize("kind", ["port", "file"])
async def test_an_address_that_only_a_candidate_had_is_closed_at_once_by_a_supervisor_that_starts_again(
    place: Place, free: str, kind: str
) -> None:
    first = unused()
    free = free if kind == "port" else f"unix:{place.story.folder / 'web.sock'}"
    place.bind(first)
    with pytest.raises(ServerFailed):
        async with place.server() as server:
            await dies_before_the_commit(place, server, first, free)
    waiting = await Connection.open(free)
    await waiting.ask("/shop")
    async with place.server() as server:
        await turned_away(waiting)
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            await Connection.open(free)
        await logged(server, f"{free} is closed; connections still waited there")
        status = await server.status()
        assert (status.listen, status.leaving) == ((first,), ())
        assert (await answer(first)).words[:2] == ["1", "1"]
        place.story.open_gate()
        assert isinstance(await server.reload(), Committed)
        assert (await answer(free)).words[0] == "2"


async def test_a_removed_address_that_a_candidate_wanted_back_is_still_served_when_a_supervisor_starts_again(
    place: Place, free: str
) -> None:
    first = unused()
    place.bind(first, free, linger=LONG)
    with pytest.raises(ServerFailed):
        async with place.server() as server:
            place.bind(first, linger=LONG)
            assert isinstance(await server.reload(), Committed)
            await dies_before_the_commit(place, server, first, free, linger=LONG)
    async with place.server() as server:
        assert (await server.status()).leaving == (free,)
        assert (await answer(free)).words[:2] == ["1", "2"]
        place.story.open_gate()


async def test_a_supervisor_that_starts_again_takes_the_later_of_two_sockets_at_one_path(
    place: Place, free: str, tmp_path: Path
) -> None:
    unix, third = f"unix:{tmp_path / 'web.sock'}", unused()
    place.bind(unix)
    with pytest.raises(ServerFailed):
        async with place.server() as server:
            place.bind(free)
            assert isinstance(await server.reload(), Committed)
            await refuses(unix)
            place.bind(free, unix)
            assert isinstance(await server.reload(), Committed)
            await killed(server)
    async with place.server() as server:
        place.bind(free, unix, third)
        assert isinstance(await server.reload(), Committed)
        await at_rest(server)
        assert (await asyncio.wait_for(answer(unix), 10.0)).words[1] == "4"


async def test_what_was_removed_and_closed_stays_so_when_a_supervisor_starts_again(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    with pytest.raises(ServerFailed):
        async with place.server() as server:
            place.bind(free)
            assert isinstance(await server.reload(), Committed)
            await refuses(first)
            await killed(server)
    async with place.server() as server:
        status = await server.status()
        assert (status.listen, status.leaving) == ((free,), ())
        with pytest.raises(ConnectionRefusedError):
            await Connection.open(first)
        assert (await answer(free)).words[1] == "2"


async def test_an_upgrade_keeps_the_addresses(place: Place, free: str) -> None:
    first = unused()
    place.bind(first)
    async with place.server() as server:
        place.bind(free)
        assert isinstance(await server.reload(), Committed)
        await refuses(first)
        command = [sys.executable, "-m", "changeover", "upgrade", f"--runtime-dir={place.story.folder / 'runtime'}"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        status = await server.status()
        assert (status.term, status.listen) == (2, (free,))
        place.bind(free, first)
        assert isinstance(await server.reload(), Committed)
        assert (await answer(first)).words[1] == "3"
