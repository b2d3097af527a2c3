"""What a scan takes when nobody asked: what is to be taken so, and nothing that was refused."""

from pathlib import Path

import pytest

from changeover.supervisor.artifacts.scanner import Past, Scanner
from changeover.supervisor.config.load import check
from changeover.supervisor.config.sources import Source
from changeover.supervisor.core.entries import Origin, Quarantined, SlotRefusal, Trigger
from changeover.supervisor.core.outcome import (
    Candidate,
    CutoverRequest,
    NothingChanged,
    ScanRefused,
    ScanResult,
)
from changeover.supervisor.core.quarantine import after_abort
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.reload import ON_CHANGE, read_reload
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot
from tests.plugin_folder import PluginFolder

WATCH = CutoverRequest(Origin(Trigger.WATCH), policy=ON_CHANGE)
SCHEDULE = CutoverRequest(Origin(Trigger.SCHEDULE), policy=read_reload("every 60s"))
HUP = CutoverRequest(Origin(Trigger.HUP))
CONFIG = """
[app]
target = "shop:app"
[plugins]
dir = "plugins"
reload = "on-change"
[plugins.slow]
reload = "every 60s"
"""


class Place:
    """A service's folder, what it serves, and what was refused."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plugins = PluginFolder(root / "plugins")
        self.write("eager", "1")
        self.write("slow", "1")
        (root / "shop.py").write_text("app = None")
        self.configure(CONFIG)
        source = Source(folder=root)
        self.scanner = Scanner(check(source).required(), lambda: check(source), root / "store", [root / "state"])
        self.quarantine: tuple[Quarantined, ...] = ()
        self.serving: Snapshot | None = None
        self.serving = self.found(CutoverRequest(Origin(Trigger.BOOT)))

    def configure(self, text: str) -> None:
        (self.root / "changeover.toml").write_text(text)

    def write(self, plugin: str, version: str) -> None:
        self.plugins.single(plugin, version, code=f"# {version}")

    def scan(self, request: CutoverRequest) -> ScanResult:
        epoch = self.serving.epoch + 1 if self.serving else 1
        return self.scanner.scan(request, epoch, self.serving, Past(quarantine=self.quarantine))

    def found(self, request: CutoverRequest) -> Snapshot:
        result = self.scan(request)
        assert isinstance(result, Candidate), result
        return result.snapshot

    def refuse(self, candidate: Snapshot, unit: str = "", requires: str = "") -> None:
        refusal = Refusal(Stage.LOAD, Fault.CRASH, "no", unit=unit, requires=requires)
        self.quarantine = after_abort(self.quarantine, candidate, [SlotRefusal(0, 1, refusal)])


def versions(snapshot: Snapshot) -> dict[str, str]:
    return {unit.key.ref.name: unit.version for unit in snapshot.units if isinstance(unit, PluginSpec)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_each_trigger_takes_the_plugins_that_are_its_own(place: Place) -> None:
    place.write("eager", "2")
    place.write("slow", "2")
    assert versions(place.found(WATCH)) == {"eager": "2", "slow": "1"}
    assert versions(place.found(SCHEDULE)) == {"eager": "1", "slow": "2"}
    assert versions(place.found(HUP)) == {"eager": "2", "slow": "2"}


def test_a_resource_that_says_so_is_taken_from_a_plugin_that_waits_to_be_asked_for(place: Place) -> None:
    place.configure(CONFIG + '[plugins.table]\nreload = "on-signal"\n')
    more = '[resources]\nrules = { path = "*.txt", reload = "on-change" }\n'
    folder = place.plugins.folder("table", "1", more, table="x = 1")
    (folder / "a.txt").write_text("1")
    place.serving = place.found(HUP)
    (folder / "a.txt").write_text("2")
    assert [unit.key.ref.name for unit in place.found(WATCH).units if unit.key.since == 3] == ["table"]
    (folder / "table.py").write_text("x = 2")
    assert place.scan(WATCH) == NothingChanged()
    assert isinstance(place.scan(HUP), Candidate)


def test_a_plugin_that_comes_or_goes_is_taken_as_all_are(place: Place) -> None:
    place.write("new", "1")
    (place.plugins.path / "eager.py").unlink()
    assert versions(place.found(WATCH)) == {"new": "1", "slow": "1"}
    assert place.scan(SCHEDULE) == NothingChanged()


def test_a_folder_that_is_gone_or_empty_for_a_moment_takes_nothing_away(place: Place) -> None:
    aside = place.plugins.path.rename(place.root / "aside")
    for trigger in (WATCH, SCHEDULE):
        assert isinstance(place.scan(trigger), ScanRefused)
    place.plugins.path.mkdir()
    for trigger in (WATCH, SCHEDULE):
        refused = place.scan(trigger)
        assert isinstance(refused, ScanRefused)
        assert "no plugin is left in it" in refused.refusals[0].refusal.summary
    assert versions(place.found(HUP)) == {}
    place.plugins.path.rmdir()
    aside.rename(place.plugins.path)
    assert place.scan(WATCH) == NothingChanged()


def test_a_broken_plugin_of_another_trigger_hinders_nobody(place: Place) -> None:
    (place.plugins.path / "slow.py").write_text('# /// script\n# [tool.changeover]\n# id = "slow"\n# ///\n')
    place.write("eager", "2")
    assert versions(place.found(WATCH)) == {"eager": "2", "slow": "1"}


def test_a_changed_configuration_is_taken_as_all_are(place: Place) -> None:
    place.configure(CONFIG + "config = { rate = 2 }\n[plugins.eager]\nconfig = { rate = 3 }\n")
    watched = place.found(WATCH)
    assert [unit.key.ref.name for unit in watched.units if unit.key.since == 2] == ["eager"]
    place.configure(CONFIG + '[[pipelines]]\nmatch = { path = "/api" }\nservice = "app"\n')
    assert place.scan(SCHEDULE) == NothingChanged()
    assert "/api" in [route.path for route in place.found(WATCH).routes]


def test_changed_application_code_is_of_interest_only_to_who_takes_it(place: Place) -> None:
    (place.root / "shop.py").write_text("app = 1")
    assert place.scan(WATCH) == NothingChanged()
    place.configure(CONFIG.replace('target = "shop:app"', 'target = "shop:app"\nreload = "on-change"'))
    assert place.found(WATCH).is_roll
    assert place.found(HUP).is_roll


def test_when_application_code_is_taken_is_no_change_of_the_application(place: Place) -> None:
    place.configure(CONFIG.replace('target = "shop:app"', 'target = "shop:app"\nreload = "on-change"'))
    assert place.scan(HUP) == NothingChanged()


def test_refused_content_stays_out_while_other_content_is_taken(place: Place) -> None:
    place.write("eager", "2")
    place.refuse(place.found(WATCH), "plugin eager")
    why = "not taken: eager 2 (refused as epoch 2; not tried again by itself until it changes)"
    assert place.scan(WATCH) == NothingChanged((why,))
    place.write("other", "1")
    result = place.scan(WATCH)
    assert isinstance(result, Candidate)
    assert versions(result.snapshot) == {"eager": "1", "other": "1", "slow": "1"}
    assert why in result.summary


def test_refused_content_is_tried_by_who_asks_and_once_it_changed(place: Place) -> None:
    place.write("eager", "2")
    place.refuse(place.found(WATCH))
    assert versions(place.found(HUP))["eager"] == "2"
    place.write("eager", "3")
    assert versions(place.found(WATCH))["eager"] == "3"


def test_content_that_was_refused_for_what_it_requires_is_taken_once_that_is_exempt(place: Place) -> None:
    place.write("eager", "2")
    place.refuse(place.found(WATCH), "plugin eager", "plugin slow")
    why = "refused as epoch 2 for slow 1, which it requires; not tried again by itself until one of them changes"
    assert place.scan(WATCH) == NothingChanged((f"not taken: eager 2 ({why})",))
    place.configure(CONFIG + "preflight = false\n")
    assert versions(place.found(WATCH))["eager"] == "2"


def test_a_new_plugin_that_was_refused_stays_out(place: Place) -> None:
    place.write("new", "1")
    place.refuse(place.found(WATCH))
    assert isinstance(place.scan(WATCH), NothingChanged)
