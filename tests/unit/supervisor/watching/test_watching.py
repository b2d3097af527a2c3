"""From what is seen to requests and back, with a real folder and an answering machine in the place of the core."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from watchfiles._rust_notify import RustNotify

from changeover.supervisor.core.entries import Origin, SlotRefusal, Trigger
from changeover.supervisor.core.outcome import Committed, CutoverRequest, Outcome, Refused, Unchanged
from changeover.supervisor.core.records.cutover import CutoverAborted
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import NothingChanged
from changeover.supervisor.telemetry.shell import WatchingBegan, WatchingBlind
from changeover.supervisor.unanswerable import Stopping
from changeover.supervisor.watching import lookout, notices
from changeover.supervisor.watching.places import Places, Plan
from changeover.supervisor.watching.watching import Watching, begin
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.reload import ON_CHANGE, Reload, When
from tests.waits import until

TIMEOUT = SlotRefusal(0, 1, Refusal(Stage.LOAD, Fault.TIMEOUT, "not done"))
ABORTED = CutoverAborted(2, "no", (TIMEOUT,), Origin(Trigger.HUP), 1)


class Service:
    """What watching is part of.

    Attributes:
        plan: What the settings want.
        asked: Every cutover that was asked for.
        told: Every record.
        endings: How the next cutovers end; the last one stays.
        gate: Cutovers end while it is open.
    """

    def __init__(self, root: Path) -> None:
        self.plugins = root.resolve() / "plugins"
        self.plugins.mkdir()
        self.write("geo.py")
        self.write("rates.py")
        self.plan: Plan | None = Plan(Places(str(self.plugins)), frozenset({ON_CHANGE}), 3600.0)
        self.asked: list[CutoverRequest] = []
        self.told: list[Record] = []
        self.endings: list[Outcome | Exception] = [Committed(2)]
        self.gate = asyncio.Event()
        self.gate.set()
        self.look()

    def write(self, name: str, text: str = "1") -> None:
        (self.plugins / name).write_text(text)

    async def request(self, request: CutoverRequest) -> Outcome:
        self.asked.append(request)
        await self.gate.wait()
        ending = self.endings.pop(0) if len(self.endings) > 1 else self.endings[0]
        if isinstance(ending, Exception):
            raise ending
        return ending

    def look(self) -> None:
        """Look at what is there, as the settings want it."""
        self.watching = Watching(asyncio.get_running_loop(), begin(lambda: self.plan), self.request, self.told.append)

    async def begin(self) -> None:
        """Look, and watch from then on."""
        self.look()
        self.watching.start()

    async def ask_for(self, number: int) -> None:
        await until(lambda: len(self.asked) >= number, f"request {number}")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path)
    yield service
    service.watching.close()


async def test_a_change_is_asked_for_once_and_named(service: Service) -> None:
    await service.begin()
    assert service.told == [WatchingBegan(("on-change",))]
    service.write("geo.py", "22")
    await service.ask_for(1)
    [asked] = service.asked
    [path] = asked.seen
    origin, seen = Origin(Trigger.WATCH, label="plugins/geo.py"), {path: "plugins/geo.py"}
    assert asked == CutoverRequest(origin, policy=ON_CHANGE, seen=seen)
    assert path.endswith("/plugins/geo.py")


async def test_what_changed_after_the_first_look_is_asked_for_however_late_the_kernel_is(service: Service) -> None:
    service.write("geo.py", "22")
    service.watching.start()
    await service.ask_for(1)
    assert service.asked[0].origin.label == "plugins/geo.py"


async def test_a_storm_of_saves_is_asked_for_one_by_one_and_the_last_one_is_not_forgotten(service: Service) -> None:
    await service.begin()
    service.gate.clear()
    service.write("geo.py", "first")
    await service.ask_for(1)
    for number in range(300):
        service.write("geo.py", "x" * number)
        service.write(f"{number % 7}.py", str(number))
    assert len(service.asked) == 1
    service.gate.set()
    await until(lambda: service.asked[-1].origin.label.startswith("plugins/0.py, plugins/1.py, plugins/2.py and"))
    assert len(service.asked) < 10


async def test_a_refusal_that_may_pass_is_asked_for_again_and_one_that_lasts_is_not(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "FIRST", 0.01)
    broken = SlotRefusal(0, 1, Refusal(Stage.LOAD, Fault.CONTRACT, "no"))
    passing, lasting = Refused(1, refusals=(TIMEOUT,)), Refused(1, refusals=(broken,))
    service.endings = [passing, passing, passing, lasting]
    await service.begin()
    service.write("geo.py", "22")
    await service.ask_for(4)
    assert {request.origin.label for request in service.asked} == {"plugins/geo.py"}
    service.write("geo.py", "333")
    await service.ask_for(5)
    assert len(service.asked) == 5


async def test_what_somebody_asked_for_and_timed_out_is_asked_for_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "FIRST", 0.01)
    await service.begin()
    service.watching.hear(ABORTED)
    await service.ask_for(1)


async def test_a_schedule_asks_for_what_it_finds_changed_and_for_nothing_else(service: Service) -> None:
    every = Reload(When.EVERY, 0.02)
    service.plan = Plan(Places(str(service.plugins)), frozenset({every}), 3600.0)
    await service.begin()
    service.write("geo.py", "22")
    await service.ask_for(1)
    assert (service.asked[0].origin.trigger, service.asked[0].policy) == (Trigger.SCHEDULE, every)
    service.write("geo.py", "333")
    await service.ask_for(2)
    assert len(service.asked) == 2


async def test_when_a_schedule_looks_next_is_known_and_where_the_kernel_tells_nothing_is_due(service: Service) -> None:
    every = Reload(When.EVERY, 60.0)
    service.plan = Plan(Places(str(service.plugins)), frozenset({every, ON_CHANGE}), 3600.0)
    await service.begin()
    due = service.watching.due()
    assert due.keys() == {"every 60s"}
    assert 50 < due["every 60s"] <= 60
    service.watching.close()
    assert service.watching.due() == {}


async def test_settings_that_want_something_else_are_followed_once_they_were_read(service: Service) -> None:
    assert service.plan is not None
    watched, service.plan = service.plan, Plan()
    await service.begin()
    assert service.told == []
    service.plan = watched
    service.watching.hear(NothingChanged(Origin(Trigger.HUP), 1))
    await service.ask_for(1)
    assert service.asked[0].origin.trigger is Trigger.WATCH
    service.plan = Plan()
    service.watching.hear(NothingChanged(Origin(Trigger.HUP), 1))
    await until(lambda: service.told == [WatchingBegan(("on-change",)), WatchingBegan(())])


async def test_settings_that_are_wrong_leave_it_as_it_was(service: Service) -> None:
    await service.begin()
    plan, service.plan = service.plan, None
    service.watching.hear(NothingChanged(Origin(Trigger.HUP), 1))
    service.write("geo.py", "22")
    await service.ask_for(1)
    service.plan = plan


async def test_a_retry_survives_other_settings(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "FIRST", 0.2)
    await service.begin()
    service.watching.hear(ABORTED)
    assert service.plan is not None
    service.plan = msgspec.structs.replace(service.plan, rescan=1800.0)
    service.watching.hear(NothingChanged(Origin(Trigger.HUP), 1))
    await service.ask_for(1)


async def test_a_kernel_that_tells_nothing_is_told_of(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_its_limit(*arguments: object) -> object:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr(notices, "RustNotify", at_its_limit)
    assert service.plan is not None
    service.plan = msgspec.structs.replace(service.plan, rescan=0.02)
    await service.begin()
    await until(lambda: WatchingBlind("OS file watch limit reached.", 0.02) in service.told)
    service.write("geo.py", "22")
    await service.ask_for(1)
    monkeypatch.setattr(notices, "RustNotify", RustNotify)
    await until(lambda: service.told[-1] == WatchingBegan(("on-change",)))
    assert len(service.told) == 3


async def test_a_service_that_stops_is_asked_for_nothing_more(service: Service) -> None:
    service.endings = [Stopping(), Unchanged(1)]
    await service.begin()
    service.write("geo.py", "22")
    await service.ask_for(1)
    service.watching.close()
    service.write("geo.py", "333")
    service.watching.hear(ABORTED)
    await asyncio.sleep(0)
    assert len(service.asked) == 1
