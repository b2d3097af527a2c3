"""What became of handshakes is counted, and told now and then."""

import logging

import pytest

from changeover.workers.channel.handshake import HandshakeEnd
from changeover.workers.runtime.handshakes import PAUSE, Handshakes
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind

ADDRESS = "0.0.0.0:443"


class Heard:
    """An observer who remembers."""

    def __init__(self) -> None:
        self.events: list[PipelineEvent] = []

    def note(self, event: PipelineEvent) -> None:
        self.events.append(event)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def test_what_nobody_matched_is_told_with_the_rest_of_what_is_known(caplog: pytest.LogCaptureFixture) -> None:
    Handshakes(Clock(), Counters()).ended(ADDRESS, HandshakeEnd.UNMATCHED, "sni nowhere.example")
    (record,) = caplog.records
    assert record.getMessage() == "a connection at 0.0.0.0:443: no rule matched (sni nowhere.example)"
    assert record.levelno == logging.WARNING
    assert {name: record.__dict__[name] for name in ("channel", "handshake", "detail", "unsaid")} == {
        "channel": ADDRESS,
        "handshake": "unmatched",
        "detail": "sni nowhere.example",
        "unsaid": 0,
    }


def test_a_thousand_of_them_are_told_once_a_second_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    handshakes = Handshakes(clock, Counters())
    for _ in range(1000):
        handshakes.ended(ADDRESS, HandshakeEnd.FAILED, "")
    assert told(caplog) == ["a connection at 0.0.0.0:443: TLS failed"]
    clock.now += PAUSE
    handshakes.ended(ADDRESS, HandshakeEnd.FAILED, "")
    handshakes.ended("unix:/run/shop", HandshakeEnd.FAILED, "")
    handshakes.ended(ADDRESS, HandshakeEnd.SAFE, "")
    assert told(caplog) == [
        "a connection at 0.0.0.0:443: TLS failed; 999 more since this was told last",
        "a connection at unix:/run/shop: TLS failed",
        "a connection at 0.0.0.0:443: no rule matched; the safe initializer took it",
    ]
    assert handshakes.counts[ADDRESS, HandshakeEnd.FAILED] == 1001


def test_what_is_well_and_clients_that_changed_their_mind_are_counted_only(caplog: pytest.LogCaptureFixture) -> None:
    handshakes = Handshakes(Clock(), Counters())
    for end in (HandshakeEnd.DONE, HandshakeEnd.PLAIN, HandshakeEnd.GONE):
        handshakes.ended(ADDRESS, end, "")
        assert handshakes.counts[ADDRESS, end] == 1
    assert told(caplog) == []


def test_each_is_counted_by_its_outcome_and_an_event_where_it_did_not_go_well() -> None:
    heard = Heard()
    counters = Counters(heard)
    handshakes = Handshakes(Clock(), counters)
    for end in (HandshakeEnd.DONE, HandshakeEnd.FAILED, HandshakeEnd.FAILED, HandshakeEnd.UNMATCHED):
        handshakes.ended(ADDRESS, end, "alpn odd" if end is HandshakeEnd.UNMATCHED else "")
    assert heard.events == [
        *[PipelineEvent(PipelineEventKind.HANDSHAKE_REFUSED, "", "TLS failed", ADDRESS)] * 2,
        PipelineEvent(PipelineEventKind.INITIALIZER_UNMATCHED, "", "no rule matched", f"{ADDRESS}: alpn odd"),
    ]
    assert counters.counts().handshakes == {"done": 1, "TLS failed": 2, "no rule matched": 1}
