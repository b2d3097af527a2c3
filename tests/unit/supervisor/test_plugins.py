"""Every plugin that anybody knows: what serves, what lies on disk, what the workers have."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from changeover.supervisor.artifacts.scanner import Scanner
from changeover.supervisor.artifacts.survey import DiskState, DiskView, Survey
from changeover.supervisor.config.load import check
from changeover.supervisor.config.sources import Source
from changeover.supervisor.control import PluginView, SlotState
from changeover.supervisor.core.entries import Held, Origin, Quarantined, Trigger
from changeover.supervisor.core.holding import plugin_content
from changeover.supervisor.core.outcome import Candidate, CutoverRequest
from changeover.supervisor.plugins import Told, listed
from changeover.workers.protocol.plugin_messages import PluginEntry
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef
from tests.plugin_folder import PluginFolder
from tests.unit.supervisor.artifacts.test_trust import KEY, sign

CONFIG = '[plugins]\ndir = "plugins"\nreload = "on-change"\n[plugins.geo]\nreload = "every 60s"\n'


class Place:
    """A service's folder with two plugins that serve."""

    def __init__(self, root: Path) -> None:
        self.plugins = PluginFolder(root / "plugins")
        self.plugins.single("geo")
        self.plugins.folder("prices", "1.4.0", prices="price = 1")
        self.config = root / "changeover.toml"
        self.config.write_text(CONFIG)
        source = Source(folder=root)
        self._scanner = Scanner(check(source).required(), lambda: check(source), root / "artifacts")
        found = self._scanner.scan(CutoverRequest(Origin(Trigger.BOOT)), 1, None)
        assert isinstance(found, Candidate)
        self.serving = found.snapshot

    def trust(self, key: Ed25519PrivateKey) -> Path:
        """Ask for its signature; the file that it is read from."""
        file = self.config.parent / "public.pem"
        file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        self.config.write_text(CONFIG.replace("[plugins]\n", '[plugins]\nkeys = ["public.pem"]\n'))
        return file

    def survey(self, held: Iterable[Held] = (), quarantine: tuple[Quarantined, ...] = ()) -> Survey:
        return self._scanner.survey(self.serving, frozenset(held), quarantine)

    def disk(self, plugin: str) -> DiskView:
        return self.survey().plugins[plugin]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def spec(serving: Snapshot, plugin: str) -> PluginSpec:
    [found] = [unit for unit in serving.units if isinstance(unit, PluginSpec) and unit.key.ref.name == plugin]
    return found


def test_what_lies_there_is_the_same_until_a_byte_of_it_changes(place: Place) -> None:
    same = place.disk("prices")
    assert (same.state, same.version, same.digest) == (
        DiskState.SAME,
        "1.4.0",
        spec(place.serving, "prices").artifact,
    )
    assert same.path == str(place.plugins.path / "prices")
    place.plugins.folder("prices", "1.5.0", prices="price = 2")
    changed = place.disk("prices")
    assert (changed.state, changed.version) == (DiskState.CHANGED, "1.5.0")
    assert changed.digest != same.digest


def test_another_configuration_is_a_change_too(place: Place) -> None:
    place.config.write_text(f"{CONFIG}config = {{ depth = 3 }}\n")
    assert place.disk("geo").state is DiskState.CHANGED
    assert place.disk("prices").state is DiskState.SAME


def test_what_does_not_serve_is_new_and_what_is_deleted_is_not_there(place: Place) -> None:
    place.plugins.single("tax")
    (place.plugins.path / "geo.py").unlink()
    assert place.disk("tax").state is DiskState.NEW
    assert "geo" not in place.survey().plugins


def test_what_cannot_be_read_says_why_and_hides_no_other(place: Place) -> None:
    (place.plugins.path / "prices" / "plugin.toml").write_text("id = 3")
    broken = place.disk("prices")
    assert (broken.state, broken.version) == (DiskState.BROKEN, "")
    assert "plugin.toml: $" in broken.note
    assert place.disk("geo").state is DiskState.SAME


def test_what_nobody_trusted_has_signed_is_broken_with_the_reason_and_what_is_held_needs_no_signature(
    place: Place,
) -> None:
    place.trust(KEY)
    unsigned = place.disk("prices")
    assert (unsigned.state, unsigned.version) == (DiskState.BROKEN, "1.4.0")
    assert "prices 1.4.0: is not signed" in unsigned.note
    sign(place.plugins.path / "prices", KEY)
    assert (place.disk("prices").state, place.disk("prices").note) == (DiskState.SAME, "")
    place.plugins.folder("prices", "1.5.0", prices="price = 2")
    digest, ref = place.disk("prices").digest, UnitRef(UnitKind.PLUGIN, "prices")
    content = plugin_content(digest, spec(place.serving, "prices").config)
    held = place.survey([Held(ref, content, "1.5.0")]).plugins["prices"]
    assert (held.state, held.note) == (DiskState.HELD, "")


def test_a_key_that_cannot_be_read_is_the_reason_why_nothing_is_known_of_the_disk(place: Place) -> None:
    place.trust(KEY).unlink()
    assert "public.pem: $.plugins.keys: cannot be read" in place.survey().problem


def test_what_was_set_aside_or_refused_is_told_apart_from_what_is_only_new(place: Place) -> None:
    place.plugins.folder("prices", "1.5.0", prices="price = 2")
    digest, ref = place.disk("prices").digest, UnitRef(UnitKind.PLUGIN, "prices")
    content = plugin_content(digest, spec(place.serving, "prices").config)
    assert place.survey([Held(ref, content, "1.5.0")]).plugins["prices"].state is DiskState.HELD
    refused = Quarantined(2, "", {"prices": "1.5.0"}, {"prices": content})
    assert place.survey(quarantine=(refused,)).plugins["prices"].state is DiskState.QUARANTINED


def test_a_policy_is_told_as_it_is_written(place: Place) -> None:
    assert place.survey().policies == {"geo": "every 60s", "prices": "on-change"}


def test_a_configuration_that_is_wrong_is_the_reason_why_nothing_is_known_of_the_disk(place: Place) -> None:
    place.config.write_text("[plugins\n")
    found = place.survey()
    assert found.problem.startswith("the configuration cannot be used: ")
    [geo, _] = listed(place.serving, (), found, (), {})
    assert (geo.id, geo.version, geo.disk, geo.policy) == ("geo", "1.0", None, "")


def test_a_plugin_has_what_every_worker_has_of_it_old_copies_first(place: Place) -> None:
    now = spec(place.serving, "geo").key
    before = msgspec.structs.replace(now, since=0)
    told = [
        Told(1, 41, SlotState.YIELDING, (PluginEntry(now, "Active", 20.0), PluginEntry(before, "Draining", 10.0))),
        Told(0, 40, SlotState.SERVING, (PluginEntry(now, "Active", 21.0),)),
    ]
    view = PluginView("geo", "1.0", 1)
    geo, prices = listed(place.serving, (view,), place.survey(), told, {"every 60s": 99.0})
    assert [(copy.slot, copy.since, copy.state, copy.worker) for copy in geo.copies] == [
        (0, 1, "Active", SlotState.SERVING),
        (1, 0, "Draining", SlotState.YIELDING),
        (1, 1, "Active", SlotState.YIELDING),
    ]
    assert (geo.since, geo.serving, geo.next_check) == (1, view, 99.0)
    assert (prices.copies, prices.next_check) == ((), None)


def test_what_only_workers_still_have_is_listed_until_it_is_gone(place: Place) -> None:
    gone = UnitKey(UnitRef(UnitKind.PLUGIN, "ads"), "d", 1)
    told = [Told(0, 40, SlotState.SERVING, (PluginEntry(gone, "Draining", 1.0),))]
    [ads, *_] = listed(place.serving, (), place.survey(), told, {})
    assert (ads.id, ads.version, ads.serving) == ("ads", "", None)
    assert ads.disk == DiskView(DiskState.GONE)
