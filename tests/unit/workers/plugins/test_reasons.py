"""An error that says nothing of itself is judged by what it was raised for, and not by what was there by chance."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import NoReturn

import httpx2
import pytest

from changeover.workers.plugins.api import ConfigUnusable
from changeover.workers.plugins.reasons import DEEPEST
from changeover.workers.plugins.refused import fault_of
from changeover.workers.protocol.refusal import Fault

NO_NETWORK = ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")


class StoreError(Exception):
    """As libraries derive theirs: of no built-in kind."""


class DocumentInvalid(ValueError):
    """As libraries derive theirs for what is written wrongly."""


def raised_from(error: BaseException, reason: BaseException | None) -> BaseException:
    error.__cause__ = reason
    return error


def raised_while_handling(error: BaseException, handled: BaseException) -> BaseException:
    try:
        try:
            raise handled
        except type(handled):
            raise error  # noqa: B904 - the point
    except type(error) as raised:
        return raised


def unlucky(address: str) -> NoReturn:
    raise ConnectionRefusedError(errno.ECONNREFUSED, f"{address}: connection refused")


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        (NO_NETWORK, Fault.RESOURCE),
        (MemoryError(), Fault.RESOURCE),
        (socket.gaierror(-3, "temporary failure in name resolution"), Fault.RESOURCE),
        (OSError(errno.ENETDOWN, "network is down"), Fault.RESOURCE),
        (OSError(errno.EADDRNOTAVAIL, "cannot assign requested address"), Fault.RESOURCE),
        (TimeoutError(), Fault.TIMEOUT),
        (KeyError("x"), Fault.CRASH),
        (FileNotFoundError(errno.ENOENT, "x"), Fault.CRASH),
        (ImportError("x"), Fault.CRASH),
        (None, Fault.CRASH),
    ],
)
@pytest.mark.parametrize("between", [0, 1, 3])
def test_a_librarys_error_is_judged_by_what_it_was_raised_from_however_often_it_was_wrapped(
    reason: BaseException | None, fault: Fault, between: int
) -> None:
    error = reason
    for _ in range(between + 1):
        error = raised_from(StoreError("the store does not answer"), error)
    assert error is not None
    assert fault_of(error) is fault


def test_a_timeout_behind_anything_else_that_may_pass_is_a_timeout() -> None:
    gone = raised_from(ConnectionResetError(), TimeoutError())
    assert fault_of(raised_from(StoreError(), gone)) is Fault.TIMEOUT
    assert fault_of(raised_from(TimeoutError(), NO_NETWORK)) is Fault.TIMEOUT


@pytest.mark.parametrize("error", [StoreError(), FileNotFoundError(errno.ENOENT, "no copy of the rules")])
def test_a_librarys_error_or_the_systems_while_a_lost_connection_is_handled_is_about_the_connection(
    error: Exception,
) -> None:
    assert fault_of(raised_while_handling(error, ConnectionRefusedError())) is Fault.RESOURCE


@pytest.mark.parametrize(
    "mistake", [KeyError("price"), RuntimeError("x"), AssertionError("x"), DocumentInvalid("x"), SystemExit(1)]
)
def test_a_mistake_while_a_lost_connection_is_handled_is_a_mistake(mistake: BaseException) -> None:
    error = raised_while_handling(mistake, ConnectionRefusedError())
    assert fault_of(error) is Fault.CRASH
    assert fault_of(raised_from(StoreError(), error)) is Fault.CRASH


@pytest.mark.parametrize("error", [StoreError(), OSError("x")])
def test_from_none_says_that_nothing_is_the_reason(error: Exception) -> None:
    error = raised_while_handling(error, ConnectionRefusedError())  # type: ignore[assignment]
    error.__suppress_context__ = True
    assert fault_of(error) is Fault.CRASH


def test_an_error_that_was_made_of_another_is_about_that_one_also_from_none() -> None:
    error = raised_while_handling(StoreError(NO_NETWORK), ConnectionRefusedError())
    error.__suppress_context__ = True
    assert fault_of(error) is Fault.RESOURCE
    assert fault_of(StoreError(KeyError("x"))) is Fault.CRASH


def test_what_says_whose_fault_it_is_is_excused_by_nothing_but_the_authors_word() -> None:
    assert fault_of(raised_from(ImportError("the rules are not there"), NO_NETWORK)) is Fault.RESOURCE
    assert fault_of(raised_while_handling(ImportError("x"), ConnectionRefusedError())) is Fault.CONTRACT
    assert fault_of(raised_from(ImportError("x"), KeyError("x"))) is Fault.CONTRACT
    assert fault_of(raised_from(ConfigUnusable("no such host"), NO_NETWORK)) is Fault.CONFIG


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ([NO_NETWORK, OSError(errno.ENETUNREACH, "x")], Fault.RESOURCE),
        ([NO_NETWORK, TimeoutError()], Fault.TIMEOUT),
        ([NO_NETWORK, NO_NETWORK], Fault.RESOURCE),
        ([NO_NETWORK, raised_from(StoreError(), NO_NETWORK)], Fault.RESOURCE),
        ([ExceptionGroup("y", [NO_NETWORK]), NO_NETWORK], Fault.RESOURCE),
        ([NO_NETWORK, KeyError("x")], Fault.CRASH),
        ([ExceptionGroup("y", [NO_NETWORK, KeyError("x")]), TimeoutError()], Fault.CRASH),
        ([TimeoutError(), PermissionError(errno.EACCES, "x")], Fault.CRASH),
    ],
)
def test_a_group_may_pass_only_if_everything_in_it_may(members: list[Exception], fault: Fault) -> None:
    assert fault_of(ExceptionGroup("tasks", members)) is fault
    assert fault_of(raised_from(OSError("all connection attempts failed"), ExceptionGroup("x", members))) is fault


async def test_a_group_of_tasks_that_lost_their_connections_may_pass() -> None:
    async def connect(address: str) -> None:
        unlucky(address)

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(connect("one"))
            tasks.create_task(connect("other"))
    assert fault_of(raised.value) is Fault.RESOURCE


def test_errors_in_a_circle_and_without_end_are_not_followed() -> None:
    one, other = StoreError(), StoreError()
    one.__cause__, other.__cause__ = other, one
    assert fault_of(one) is Fault.CRASH
    member = StoreError()
    member.__cause__ = group = ExceptionGroup("x", [member, NO_NETWORK])
    assert fault_of(group) is Fault.CRASH
    error: BaseException = NO_NETWORK
    for _ in range(20 * DEEPEST):
        error = raised_from(StoreError(), error)
    assert fault_of(error) is Fault.CRASH


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that is ours and on which nobody listens."""
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        yield ours.getsockname()[1]


async def test_a_name_none_of_whose_addresses_can_be_connected_to_may_pass(
    closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two(*_args: object, **_settings: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, closed)) for host in ("127.0.0.1", "127.0.0.2")]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(type(loop), "getaddrinfo", two)
    with pytest.raises(OSError, match="Multiple exceptions: ") as raised:
        await loop.create_connection(asyncio.Protocol, "shop.example", closed)
    assert raised.value.errno is None
    assert fault_of(raised.value) is Fault.RESOURCE
    assert fault_of(OSError("multiple words")) is Fault.CRASH


async def test_an_http_client_that_reaches_nobody_may_pass(closed: int) -> None:
    async with httpx2.AsyncClient() as client:
        with pytest.raises(httpx2.ConnectError) as raised:
            await client.get(f"http://127.0.0.1:{closed}")
    assert fault_of(raised.value) is Fault.RESOURCE
