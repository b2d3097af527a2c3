"""What supervisor and zygote say to each other survives the wire, and nothing else does."""

import msgspec
import pytest

from changeover.workers.protocol import forking
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.forking import ZygoteOrder, ZygoteReport
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage

WORKER = WorkerId(1, 2, 3)

ORDERS: list[ZygoteOrder] = [
    forking.Setup(1, "shop", 5.0, ("/app",), forking.Preload("shop:app", "/app", True), "a:b", ("numpy",)),
    forking.Fork(WORKER, b"birth"),
    forking.Held(WORKER),
    forking.AskForked(WORKER),
    forking.End(WORKER),
    forking.ExitedSeen(WORKER),
    forking.Rehearse(3),
    forking.EndRehearsal(3),
    forking.Leave(),
]
REPORTS: list[ZygoteReport] = [
    forking.Ready(1, 4711, (WORKER,), ("numpy",), rehearses=True, imported="record"),
    forking.PreloadFailed(Refusal(Stage.LOAD, Fault.CRASH, "KeyError: 'x'")),
    forking.Forked(WORKER, 4712),
    forking.ForkFailed(WORKER, 24, "Too many open files"),
    forking.Exited(WORKER, -9),
    forking.Rehearsing(3, 4713),
    forking.RehearsalFailed(3, 11, "Resource temporarily unavailable"),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_an_order_survives_the_wire(order: ZygoteOrder) -> None:
    assert forking.decode_order(forking.encode(order)) == order


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_survives_the_wire(report: ZygoteReport) -> None:
    assert forking.decode_report(forking.encode(report)) == report


def test_a_zygote_of_before_does_not_rehearse() -> None:
    said = msgspec.msgpack.decode(forking.encode(forking.Ready(1, 4711)))
    del said["rehearses"]
    assert forking.decode_report(msgspec.msgpack.encode(said)) == forking.Ready(1, 4711, rehearses=False)


def test_what_imports_after_the_fork_has_imported_with_nothing() -> None:
    preload = forking.Preload("shop:app", "/srv/shop", distributions="record")
    assert forking.Setup(1, "shop", preload=preload).imported == "record"
    assert forking.Setup(1, "shop", preload=preload, threads=("numpy",)).imported == ""
    assert forking.Setup(1, "shop").imported == ""


@pytest.mark.parametrize("packet", [b"", b"\xc1", b"\x80", b"\x81\xa4type\xa4Nope", b"\x81\xa4type\xa4Fork", b"x" * 99])
def test_what_is_no_message_is_malformed_on_both_ends(packet: bytes) -> None:
    with pytest.raises(MalformedFrame):
        forking.decode_order(packet)
    with pytest.raises(MalformedFrame):
        forking.decode_report(packet)


def test_neither_end_takes_its_own_words_for_the_others() -> None:
    with pytest.raises(MalformedFrame):
        forking.decode_report(forking.encode(ORDERS[0]))
    with pytest.raises(MalformedFrame):
        forking.decode_order(forking.encode(REPORTS[0]))
