"""Every message survives the wire; nothing else does."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.protocol import codec, plugin_messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import (
    Abort,
    Activated,
    AskLeases,
    AskRegistry,
    Beat,
    Commit,
    Degraded,
    Drained,
    Farewell,
    FarewellsSaid,
    Hello,
    LeasesEnded,
    LeaseView,
    Phase,
    Prepare,
    Prepared,
    Pulse,
    Refused,
    Retire,
    Retired,
    SupervisorMessage,
    TellLeases,
    TellRegistry,
    Welcome,
    WorkerMessage,
)
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

STAMP = Stamp("journal", 2, 7)
WORKER = WorkerId(1, 3, 2_000_017)
KEY = UnitKey(UnitRef(UnitKind.PLUGIN, "pricing"), "9c41ab", 6)
SNAPSHOT = Snapshot(7, "d", (PluginSpec(KEY, "1.5", "artifact"),))
LEAK = plugin_messages.LeakView("plugin pricing", "module pricing.rules", ("module shop", "dict", "function quote"))
REFUSAL = Refusal(Stage.LOAD, Fault.CRASH, "boom", "plugin pricing", "on_load", "pricing.py:4", "boom()", "Traceback")

SUPERVISOR_MESSAGES: list[SupervisorMessage] = [
    Welcome(STAMP, 4, Phase.PREPARING, SNAPSHOT, None),
    Pulse(STAMP, 4, Phase.IDLE),
    Prepare(STAMP, 5, SNAPSHOT, 30.0),
    Commit(STAMP, 6),
    Abort(STAMP, 6, "refused"),
    Retire(STAMP, 7, (KEY,)),
    AskRegistry(STAMP, 7, 1),
    AskLeases(STAMP, 7, 1),
    plugin_messages.AskPlugins(STAMP, 7, 1),
    plugin_messages.Migrate(STAMP, 7),
    plugin_messages.Unmigrate(STAMP, 7),
]
WORKER_MESSAGES: list[WorkerMessage] = [
    Hello(STAMP, WORKER, 1, "nonce", 4711, 8, (KEY,)),
    Prepared(STAMP, WORKER, 0.2, ("pricing",)),
    FarewellsSaid(STAMP, WORKER, "stream", Farewell.OVERDUE, 40, 612.0),
    LeasesEnded(STAMP, WORKER, 8, (LeaseView("http", 6, "/prices", 12.0),), (LeaseView("task", 6, "/prices", 12.0),)),
    Refused(STAMP, WORKER, REFUSAL),
    Activated(STAMP, WORKER, 123, (KEY,)),
    Drained(STAMP, WORKER, (KEY,)),
    Retired(STAMP, WORKER, (KEY,)),
    Degraded(STAMP, WORKER, REFUSAL),
    Beat(STAMP, WORKER, 9, None, {7: 2}, 3, 4, 5, leaked=1, leads=True, migrates=("pricing",)),
    TellRegistry(STAMP, WORKER, 1, Registry.of(SNAPSHOT)),
    TellLeases(STAMP, WORKER, 1, (LeaseView("http", 7, "/", 0.5),)),
    plugin_messages.Migrated(STAMP, WORKER, 0.2),
    plugin_messages.Unmigrated(STAMP, WORKER),
    plugin_messages.Proved(STAMP, WORKER, (KEY,), 0.046, (LEAK,)),
    plugin_messages.HookStalled(STAMP, WORKER, "plugin pricing", "on_activate", 0.07),
    plugin_messages.StateNotTaken(STAMP, WORKER, "pricing", "2.0", "1.0", "it has no import_state"),
    plugin_messages.PluginsMoved(STAMP, WORKER, (plugin_messages.PluginMove(KEY, "Active"),)),
    plugin_messages.TellLeaks(STAMP, WORKER, 1, (LEAK,), {"plugin pricing": 2}),
    plugin_messages.TellPlugins(STAMP, WORKER, 1, (plugin_messages.PluginEntry(KEY, "Active", 1.8e9, True),)),
]


@pytest.mark.parametrize("message", SUPERVISOR_MESSAGES, ids=lambda message: type(message).__name__)
def test_what_the_supervisor_says_survives_the_wire(message: SupervisorMessage) -> None:
    assert codec.decode_from_supervisor(codec.encode(message)) == message


@pytest.mark.parametrize("message", WORKER_MESSAGES, ids=lambda message: type(message).__name__)
def test_what_a_worker_says_survives_the_wire(message: WorkerMessage) -> None:
    assert codec.decode_from_worker(codec.encode(message)) == message


@pytest.mark.parametrize("message", WORKER_MESSAGES, ids=lambda message: type(message).__name__)
def test_a_worker_cannot_speak_as_the_supervisor(message: WorkerMessage) -> None:
    with pytest.raises(codec.MalformedFrame):
        codec.decode_from_supervisor(codec.encode(message))


def test_what_a_worker_of_before_says_is_understood_without_what_it_does_not_know() -> None:
    said = msgspec.msgpack.decode(codec.encode(Beat(STAMP, WORKER, 9)))
    for unknown in ("leaked", "leads", "migrates"):
        del said[unknown]
    assert codec.decode_from_worker(msgspec.msgpack.encode(said)) == Beat(STAMP, WORKER, 9)


def test_a_frame_above_the_limit_is_not_decoded() -> None:
    with pytest.raises(codec.MalformedFrame, match="longer than"):
        codec.decode_from_worker(bytes(codec.MAX_FRAME + 1))


def test_a_deeply_nested_frame_is_refused_and_not_a_crash() -> None:
    with pytest.raises(codec.MalformedFrame):
        codec.decode_from_worker(b"\x91" * 100_000)


@given(st.binary(max_size=200))
def test_random_bytes_are_malformed_frames_and_never_another_error(frame: bytes) -> None:
    with pytest.raises(codec.MalformedFrame):
        codec.decode_from_worker(frame)


@given(st.integers(0, len(codec.encode(SUPERVISOR_MESSAGES[2])) - 1), st.integers(0, 255))
def test_a_damaged_frame_is_malformed_or_still_a_message(place: int, value: int) -> None:
    frame = bytearray(codec.encode(SUPERVISOR_MESSAGES[2]))
    frame[place] = value
    try:
        decoded = codec.decode_from_supervisor(bytes(frame))
    except codec.MalformedFrame:
        return
    assert isinstance(decoded, msgspec.Struct)
