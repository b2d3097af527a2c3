"""WebSockets of each framework that has them, with a client that others wrote."""

from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.frameworks.shops import Claim, Site, of_shops


@pytest.fixture
def echo(site: Site) -> Iterator[ClientConnection]:
    """A WebSocket that answers with what it is told."""
    with connect(f"{site.socket}/ws", open_timeout=5) as connection:
        yield connection


@of_shops(Claim.WEBSOCKET)
def test_messages_come_back_in_their_order(echo: ClientConnection) -> None:
    sent = ["tea", "", "käse", "x" * 300_000]
    for message in sent:
        echo.send(message)
    assert [echo.recv(timeout=5) for _ in sent] == sent


@of_shops(Claim.WEBSOCKET)
def test_a_subprotocol_is_agreed_on(site: Site) -> None:
    with connect(f"{site.socket}/ws", subprotocols=["other", "echo"], open_timeout=5) as connection:  # type: ignore[list-item]
        assert connection.subprotocol == "echo"


@of_shops(Claim.WEBSOCKET)
def test_the_application_closes_with_its_own_code_and_reason(echo: ClientConnection) -> None:
    echo.send("bye")
    with pytest.raises(ConnectionClosed) as closed:
        echo.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "bye then")


@of_shops(Claim.WEBSOCKET)
def test_the_application_hears_that_its_client_has_closed(site: Site, echo: ClientConnection) -> None:
    echo.close()
    site.noted("closed-1000")


@of_shops(Claim.WEBSOCKET)
def test_what_the_application_refuses_is_a_403(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{site.socket}/refused", open_timeout=5)
    assert refused.value.response.status_code == 403
