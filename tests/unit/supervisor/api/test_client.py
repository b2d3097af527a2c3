import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.api.bodies import CutoverBody
from changeover.supervisor.api.client import SOCKET_NAME, Client, NoAnswer, ProblemAnswered, WaitEnded
from changeover.supervisor.control import Explanation, StatusView
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.records.request import NothingChanged
from changeover.supervisor.core.records.staffing import SlotWaits
from changeover.supervisor.telemetry.stream import Told
from tests.fake_control import FakeControl, serving


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def client(control: FakeControl, tmp_path: Path) -> Iterator[Client]:
    with serving(control, tmp_path) as path:
        yield Client(path)


def test_what_the_server_says_arrives_as_it_was_meant(client: Client, control: FakeControl) -> None:
    assert client.get("/v1/status", StatusView) == control.status()
    assert client.get("/v1/epochs/6", Explanation).refusals[0].slot == 2


def test_a_problem_is_an_error_with_its_name(client: Client) -> None:
    with pytest.raises(ProblemAnswered, match="does not know epoch 99") as raised:
        client.raw("GET", "/v1/epochs/99")
    assert (raised.value.status, raised.value.type) == (404, "unknown-epoch")


def test_nobody_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="No such file"):
        Client(tmp_path / SOCKET_NAME).raw("GET", "/v1/status")


def test_a_deadline_ends_the_wait_and_not_the_cutover(client: Client, control: FakeControl) -> None:
    control.gate.clear()
    with pytest.raises(WaitEnded):
        list(client.stream("POST", "/v1/cutovers", CutoverBody(), seconds=0.3))
    control.gate.set()
    assert [told.type for told in _until(client, "CutoverCompleted", 0)][-1] == "CutoverCompleted"


def test_events_resume_after_a_number(client: Client, control: FakeControl) -> None:
    for slot in range(5):
        control.teller.tell(SlotWaits(slot, 1.0, 1))
    control.teller.tell(NothingChanged(Origin(Trigger.HUP), 7))
    assert [told.sequence for told in _until(client, "NothingChanged", 3)] == [4, 5, 6]


def _until(client: Client, type: str, after: int) -> list[Told]:
    seen = []
    for event in client.stream("GET", "/v1/events", headers={"last-event-id": str(after)}, seconds=10):
        seen.append(msgspec.json.decode(event.data, type=Told))
        if seen[-1].type == type:
            return seen
    raise AssertionError("the stream ended")


def test_a_folder_too_deep_for_a_socket_is_reached_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(deep, os.O_PATH)
    listener.bind(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
    os.close(folder)
    try:
        with pytest.raises(NoAnswer, match="refused"):
            Client(deep / SOCKET_NAME).raw("GET", "/v1/status")
    finally:
        listener.close()
