"""What channels select: there, or refused with the path of the mistake; it changes and goes back with its plugins."""

import shutil
from pathlib import Path

import pytest

from changeover.supervisor.artifacts.candidate import linked
from changeover.supervisor.artifacts.scanner import Past, Scanner
from changeover.supervisor.config.load import check
from changeover.supervisor.config.sources import Source
from changeover.supervisor.core.entries import Held, Origin, Trigger
from changeover.supervisor.core.holding import after_rollback
from changeover.supervisor.core.outcome import Action, Candidate, CutoverRequest, ScanRefused, ScanResult
from changeover.workers.protocol.assembly import Rule
from changeover.workers.protocol.snapshot import ChannelSpec, Snapshot, UnitKey, UnitKind, UnitRef
from tests.plugin_folder import PluginFolder

RELOAD = CutoverRequest(Origin(Trigger.HUP))
BARE = 'bind = ["127.0.0.1:8011"]\n[plugins]\ndir = "plugins"\n'
SELECTING = BARE + '[[channels]]\nbind = "127.0.0.1:8011"\nselect = [{ initializer = "feed:lines" }]\n'
LINES = '[initializers]\nlines = "feed:Lines"\n'


class Place:
    """A service's folder, with what changes in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.held: frozenset[Held] = frozenset()
        self.plugins = PluginFolder(root / "plugins")
        self.plugins.folder("feed", "1.0.0", LINES, feed="version = 1")
        self.configure(SELECTING)
        source = Source(folder=root)
        self.scanner = Scanner(check(source).required(), lambda: check(source), root / "store", [root / "state"])

    def configure(self, text: str) -> None:
        (self.root / "changeover.toml").write_text(text)

    def scan(self, current: Snapshot | None, request: CutoverRequest = RELOAD, *committed: Snapshot) -> ScanResult:
        epoch = current.epoch + 1 if current else 1
        return self.scanner.scan(request, epoch, current, Past(committed, committed, held=self.held))

    def scanned(self, current: Snapshot | None, request: CutoverRequest = RELOAD, *committed: Snapshot) -> Candidate:
        result = self.scan(current, request, *committed)
        assert isinstance(result, Candidate), result
        assert list(result.snapshot.inconsistencies()) == []
        return result

    def refused(self, current: Snapshot | None) -> str:
        result = self.scan(current)
        assert isinstance(result, ScanRefused), result
        return "\n".join(each.refusal.summary for each in result.refusals)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def channel(of: Snapshot) -> ChannelSpec:
    (found,) = of.channels
    return found


def test_a_channel_requires_the_plugins_that_it_names(place: Place) -> None:
    made = place.scanned(None).snapshot
    assert channel(made).initializers == ("feed:lines",)
    assert [str(ref) for ref in channel(made).requires] == ["plugin feed"]


def test_a_changed_plugin_changes_its_channel_and_another_one_does_not(place: Place) -> None:
    first = place.scanned(None).snapshot
    place.plugins.folder("hello", "1.0.0")
    second = place.scanned(first).snapshot
    assert channel(second).key == channel(first).key
    place.plugins.folder("feed", "1.1.0", LINES, feed="version = 2")
    third = place.scanned(second)
    assert channel(third.snapshot).key.since == 3
    assert [line for line in third.summary if line.startswith("channel")] == []
    only = CutoverRequest(Origin(Trigger.HUP), only=("feed",))
    place.plugins.folder("feed", "1.2.0", LINES, feed="version = 3")
    assert channel(place.scanned(third.snapshot, only).snapshot).key.since == 4


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("feed:line", "$.channels[0].select[0].initializer: feed 1.0.0 has no initializer line; did you mean `lines`?"),
        ("fed:lines", "$.channels[0].select[0].initializer: there is no plugin fed; did you mean `feed`?"),
        ("htp", "$.channels[0].select[0].initializer: 'htp' is neither `http` nor like `plugin:initializer`; did you"),
    ],
)
def test_an_initializer_that_is_not_there_is_refused_with_the_path(place: Place, written: str, told: str) -> None:
    first = place.scanned(None).snapshot
    place.configure(SELECTING.replace("feed:lines", written))
    assert told in place.refused(first)


def test_the_safe_initializer_has_to_be_there_too(place: Place) -> None:
    place.configure(f'{SELECTING}safe = "feed:frames"\n')
    assert "$.channels[0].safe: feed 1.0.0 has no initializer frames" in place.refused(None)


def test_a_plugin_that_loses_its_initializer_is_refused_while_a_channel_selects_it(place: Place) -> None:
    first = place.scanned(None).snapshot
    place.plugins.folder("feed", "1.1.0", "", feed="version = 2")
    assert "feed 1.1.0 has no initializer lines" in place.refused(first)


def test_a_rollback_brings_back_what_was_selected(place: Place) -> None:
    first = place.scanned(None).snapshot
    place.configure(BARE)
    second = place.scanned(first).snapshot
    assert second.channels == ()
    back = place.scanned(second, CutoverRequest(Origin(Trigger.API), Action.ROLLBACK), first, second).snapshot
    assert channel(back).rules == (Rule("feed:lines"),)
    assert channel(back).key.digest == channel(first).key.digest


def test_a_rollback_to_before_a_plugin_takes_back_what_selects_it_and_a_reload_leaves_it_so(place: Place) -> None:
    place.configure(BARE)
    shutil.rmtree(place.plugins.path / "feed")
    place.plugins.folder("hello", "1.0.0")
    first = place.scanned(None).snapshot
    place.plugins.folder("feed", "1.0.0", LINES, feed="version = 1")
    place.configure(SELECTING)
    second = place.scanned(first).snapshot
    assert channel(second).initializers == ("feed:lines",)
    back = place.scanned(second, CutoverRequest(Origin(Trigger.API), Action.ROLLBACK), first, second).snapshot
    assert back.channels == ()
    place.held = frozenset(after_rollback(frozenset(), second, back))
    place.plugins.folder("hello", "1.1.0")
    again = place.scanned(back)
    assert again.snapshot.channels == ()
    assert "not taken: selection at 127.0.0.1:8011 (plugin feed is not taken)" in again.summary


ASKING = BARE + '[[channels]]\nbind = "127.0.0.1:8011"\nselect = [{ use = "feed:old" }]\n'


def test_a_channel_requires_the_plugins_that_its_rules_ask(place: Place) -> None:
    place.plugins.folder("feed", "1.0.0", 'selectors = ["old"]\n', feed="version = 1")
    place.configure(ASKING)
    first = place.scanned(None).snapshot
    assert channel(first).selectors == ("feed:old",)
    assert [str(ref) for ref in channel(first).requires] == ["plugin feed"]
    place.plugins.folder("feed", "1.1.0", 'selectors = ["old"]\n', feed="version = 2")
    assert channel(place.scanned(first).snapshot).key.since == 2


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("feed:od", "$.channels[0].select[0].use: feed 1.0.0 has no selector od; did you mean `old`?"),
        ("fed:old", "$.channels[0].select[0].use: there is no plugin fed; did you mean `feed`?"),
        ("old", "$.channels[0].select[0].use: 'old' is not like `plugin:selector`"),
    ],
)
def test_a_selector_that_no_plugin_has_is_refused_with_its_path(place: Place, written: str, told: str) -> None:
    place.plugins.folder("feed", "1.0.0", 'selectors = ["old"]\n', feed="version = 1")
    place.configure(ASKING.replace("feed:old", written))
    assert told in place.refused(None)


def test_a_rule_that_asks_nobody_has_the_digest_that_it_always_had() -> None:
    bare = ChannelSpec(UnitKey(UnitRef(UnitKind.CHANNEL, "a:1"), "", 1), rules=(Rule(client=("10.0.0.0/8",)),))
    assert linked(bare, {}, 1).key.digest == "46f9010149c678145e3b5b90b1f8bf0cec82bd620d6a3b0c17186cbf73a49f0c"
