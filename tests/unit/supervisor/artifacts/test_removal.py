"""What serves without one of its plugins, and what it stays away for."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from changeover.supervisor.artifacts.scanner import Past, Scanner
from changeover.supervisor.config.load import check
from changeover.supervisor.config.sources import Source
from changeover.supervisor.core.edits import RemovePlugin
from changeover.supervisor.core.entries import Held, Origin, Trigger
from changeover.supervisor.core.holding import after_reload, after_removal, after_rollback
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    CutoverRequest,
    HeldBack,
    NothingChanged,
    ScanRefused,
    ScanResult,
)
from changeover.workers.protocol.snapshot import PipelineSpec, PluginSpec, Snapshot
from tests.plugin_folder import PluginFolder

RELOAD = CutoverRequest(Origin(Trigger.COMMAND))
CONFIG = '[plugins]\ndir = "plugins"\n'
USED = '[[pipelines]]\nname = "shop"\nmatch = { path = "/shop" }\nhandlers = ["geo:near"]\nservice = "prices:quote"\n'
NEAR = '[handlers]\nnear = "inbound"\n[services]\nplace = "/place"\n'
QUOTE = '[requires]\ngeo = ">=1"\n[services]\nquote = "/quote"\n'


class Place:
    """A service's folder: prices requires geo."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.plugins = PluginFolder(root / "plugins")
        self.plugins.folder("geo", "1.2", NEAR, geo="near = 1")
        self.plugins.folder("prices", "1.4.0", QUOTE, prices="price = 1")
        self.configure(CONFIG)
        source = Source(folder=root)
        self._scanner = Scanner(check(source).required(), lambda: check(source), root / "artifacts")
        self.held: frozenset[Held] = frozenset()
        self.serving = self.taken(self.scan(RELOAD, None))
        self._committed = [self.serving]

    def configure(self, text: str) -> None:
        (self._root / "changeover.toml").write_text(text)

    def scan(self, request: CutoverRequest, current: Snapshot | None) -> ScanResult:
        epoch = current.epoch + 1 if current else 1
        committed = () if current is None else tuple(self._committed)
        return self._scanner.scan(request, epoch, current, Past(committed, committed, held=self.held))

    def taken(self, result: ScanResult) -> Snapshot:
        assert isinstance(result, Candidate), result
        assert list(result.snapshot.inconsistencies()) == []
        return result.snapshot

    def remove(self, plugin: str) -> ScanResult:
        request = CutoverRequest(Origin(Trigger.COMMAND), Action.EDIT, edit=RemovePlugin(plugin))
        return self.scan(request, self.serving)

    def removed(self, plugin: str) -> None:
        """Serve without it, as the supervisor would."""
        self._serve(self.taken(self.remove(plugin)), after_removal)

    def reloaded(self) -> None:
        """Serve what lies on disk."""
        self._serve(self.taken(self.scan(RELOAD, self.serving)), after_reload)

    def rolled_back(self) -> int | None:
        """Serve what a rollback finds; the epoch that it brings back."""
        result = self.scan(CutoverRequest(Origin(Trigger.COMMAND), Action.ROLLBACK), self.serving)
        self._serve(self.taken(result), after_rollback)
        return result.restores if isinstance(result, Candidate) else None

    def _serve(
        self,
        made: Snapshot,
        then_held: Callable[[Iterable[Held], Snapshot | None, Snapshot], frozenset[Held]],
    ) -> None:
        self.held = then_held(self.held, self.serving, made)
        self.serving = made
        self._committed.append(made)

    def refused(self, plugin: str) -> list[str]:
        result = self.remove(plugin)
        assert isinstance(result, ScanRefused), result
        return [each.refusal.summary for each in result.refusals]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def names(snapshot: Snapshot) -> list[str]:
    return [str(unit.key.ref) for unit in snapshot.units if isinstance(unit, PluginSpec | PipelineSpec)]


def test_a_plugin_goes_with_its_mounts_and_the_others_keep_their_instances(place: Place) -> None:
    before = place.serving
    place.removed("prices")
    assert names(place.serving) == ["plugin geo", "pipeline geo:place"]
    assert [route.path for route in place.serving.routes] == ["/place"]
    assert place.serving.units[0].key == before.units[0].key


def test_what_a_plugin_requires_stays_until_it_is_gone_itself(place: Place) -> None:
    assert place.refused("geo") == ["prices 1.4.0 requires geo >=1: remove prices first"]
    place.removed("prices")
    place.removed("geo")
    assert place.serving.units == ()


def test_a_pipeline_that_names_it_keeps_it(place: Place) -> None:
    place.configure(CONFIG + USED)
    place.serving = place.taken(place.scan(RELOAD, place.serving))
    assert place.refused("prices") == ["pipeline shop has prices:quote in it: take it out, and reload"]
    assert "pipeline shop has geo:near in it: take it out, and reload" in place.refused("geo")


def test_an_unknown_plugin_is_answered_with_those_that_there_are(place: Place) -> None:
    assert place.refused("gio") == ["no plugin gio serves; did you mean `geo`?; there are: geo, prices"]


def test_a_reload_leaves_it_out_until_it_changes_or_is_forced(place: Place) -> None:
    place.removed("prices")
    assert place.scan(RELOAD, place.serving) == HeldBack(("not taken: prices 1.4.0 (held; change it, or --force)",))
    forced = CutoverRequest(Origin(Trigger.COMMAND), force=True)
    assert "plugin prices" in names(place.taken(place.scan(forced, place.serving)))
    place.plugins.folder("prices", "1.4.1", QUOTE, prices="price = 2")
    assert "pipeline prices:quote" in names(place.taken(place.scan(RELOAD, place.serving)))


def test_a_rollback_undoes_a_removal_and_nothing_that_was_done_before_it(place: Place) -> None:
    place.plugins.folder("geo", "1.3", NEAR, geo="near = 2")
    place.reloaded()
    before = place.serving
    place.removed("prices")
    assert place.rolled_back() == 2
    assert place.serving.digest == before.digest
    assert place.rolled_back() == 1


def test_a_removal_is_undone_also_once_what_followed_it_was(place: Place) -> None:
    place.removed("prices")
    place.plugins.folder("geo", "1.3", NEAR, geo="near = 2")
    place.reloaded()
    assert place.rolled_back() == 2
    assert place.rolled_back() == 1
    assert "plugin prices" in names(place.serving)


def test_its_files_may_go_afterwards_and_nothing_is_left_to_take(place: Place) -> None:
    place.removed("prices")
    for file in (place.plugins.path / "prices").iterdir():
        file.unlink()
    (place.plugins.path / "prices").rmdir()
    assert place.scan(RELOAD, place.serving) == NothingChanged()


def test_taking_out_what_no_living_process_can_lose_is_a_roll(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.plugins.folder("prices", "1.4.0", 'strategy = "roll"\n' + QUOTE, prices="price = 1")
    place.serving = place.taken(place.scan(RELOAD, place.serving))
    result = place.remove("prices")
    assert isinstance(result, Candidate)
    assert result.snapshot.is_roll
    assert '- prices 1.4.0 (rolls: strategy = "roll")' in result.summary
