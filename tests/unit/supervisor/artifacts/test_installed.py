"""Plugins that installed distributions announce: taken with what is installed, changed by rolls, told apart by name."""

import shutil

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from changeover.supervisor.artifacts.scanner import Past, Scanner
from changeover.supervisor.artifacts.survey import DiskState, DiskView
from changeover.supervisor.config.load import check
from changeover.supervisor.config.sources import Source
from changeover.supervisor.core.edits import RemovePlugin
from changeover.supervisor.core.outcome import Action, NothingChanged, RollNeeded
from changeover.supervisor.interpreters.answer import Answer
from changeover.workers.plugins import bytecode
from changeover.workers.plugins.artifact import get
from changeover.workers.protocol.reload import ON_CHANGE, Reload, read_reload
from changeover.workers.protocol.snapshot import Interpreter, Snapshot
from tests.site_packages import SitePackages
from tests.unit.supervisor.artifacts.test_scanner import SWAP, Place, asking, place, plugin
from tests.unit.supervisor.artifacts.test_scanner_interpreter import Machine
from tests.unit.supervisor.artifacts.test_trust import KEY, sign

__all__ = ["place"]


@pytest.fixture
def site(place: Place, monkeypatch: pytest.MonkeyPatch) -> SitePackages:
    """A folder on the import path with geo 1.2, beside a folder of plugins and no application."""
    made = SitePackages(place.root / "site")
    monkeypatch.setenv("PYTHONPATH", str(made.path))
    made.plugin("geo", "1.2", '[services]\nwhere = "/where"\n', where="X = 1")
    place.configure('[plugins]\ndir = "plugins"\n')
    return made


@pytest.fixture
def serving(place: Place, site: SitePackages) -> Snapshot:
    return place.candidate(None).snapshot


def test_it_is_taken_with_its_content_and_its_distribution(place: Place, serving: Snapshot) -> None:
    spec = plugin(serving, "geo")
    assert (spec.version, spec.distribution) == ("1.2", "geo-plugin==1.2")
    assert sorted(get(place.store, spec.artifact)) == ["__init__.py", "plugin.toml", "where.py"]
    assert bytecode.read(place.store, spec.artifact) == {}
    assert [route.path for route in serving.routes if route.pipeline.startswith("geo")] == ["/where"]
    assert place.scan(serving) == NothingChanged()


def test_an_application_without_a_folder_of_plugins_has_it_too(place: Place, site: SitePackages) -> None:
    place.configure('[app]\ntarget = "shop:app"\n')
    assert place.candidate(None).summary == ("+ geo 1.2", "+2 routes", "+ app shop:app")


def test_another_version_is_a_roll_that_a_swap_leaves(place: Place, site: SitePackages, serving: Snapshot) -> None:
    site.plugin("geo", "1.3", '[services]\nwhere = "/where"\n', where="X = 2")
    left = "geo (needs a roll: installed by geo-plugin==1.3)"
    assert place.scan(serving, SWAP) == RollNeeded((left,))
    place.plugins.single("hello", "1.1")
    swapped = place.candidate(serving, SWAP)
    assert swapped.summary == ("hello 1.0 -> 1.1 (1 file)", f"not taken: {left}")
    rolled = place.candidate(swapped.snapshot)
    assert rolled.summary == ("geo 1.2 -> 1.3 (2 files; rolls: installed by geo-plugin==1.3)",)
    assert rolled.snapshot.is_roll


def test_another_version_with_the_same_files_is_a_roll(place: Place, site: SitePackages, serving: Snapshot) -> None:
    site.install("geo_plugin", "1.2.post1", "[changeover.plugins]\ngeo = geo_plugin\n")
    found = place.candidate(serving).snapshot
    assert (found.is_roll, plugin(found, "geo").distribution) == (True, "geo-plugin==1.2.post1")


def test_what_is_uninstalled_goes_by_a_roll(place: Place, site: SitePackages, serving: Snapshot) -> None:
    site.uninstall("geo_plugin")
    found = place.candidate(serving)
    assert found.summary == ("- geo 1.2 (rolls: installed by geo-plugin==1.2)", "-1 route")
    assert found.snapshot.is_roll


@pytest.mark.parametrize("policy", [ON_CHANGE, read_reload("every 60s")])
def test_what_is_being_replaced_stays_until_somebody_asks(
    place: Place, site: SitePackages, serving: Snapshot, policy: Reload
) -> None:
    """While pip replaces a distribution its record is gone for a moment: nobody means that the plugin is to go."""
    place.configure(f'[plugins]\ndir = "plugins"\nreload = "{policy}"\n')
    site.uninstall("geo_plugin")
    gone = (
        "not taken: geo (removed, geo-plugin==1.2 is not installed now, which is taken only when somebody asks: "
        "`changeover reload`)"
    )
    assert place.scan(serving, asking(policy=policy)) == NothingChanged((gone,))
    place.plugins.single("hello", "1.1")
    assert place.candidate(serving, asking(policy=policy)).summary == ("hello 1.0 -> 1.1 (1 file)", gone)
    assert "- geo 1.2 (rolls: installed by geo-plugin==1.2)" in place.candidate(serving).summary


def test_new_processes_are_not_begun_while_it_is_being_replaced(place: Place, site: SitePackages) -> None:
    reload = 'reload = "on-change"\n'
    place.configure(f'[app]\ntarget = "shop:app"\n{reload}[plugins]\ndir = "plugins"\n{reload}')
    serving = place.candidate(None).snapshot
    site.uninstall("geo_plugin")
    (place.root / "shop.py").write_text("app = 1")
    [refused] = place.refused(serving, asking(policy=ON_CHANGE))
    assert "geo 1.2 was installed by geo-plugin==1.2, and nothing that is installed announces it now" in refused
    site.plugin("geo", "1.2", '[services]\nwhere = "/where"\n', where="X = 1")
    assert place.candidate(serving, asking(policy=ON_CHANGE)).snapshot.is_roll


def test_another_configuration_is_a_roll(place: Place, site: SitePackages, serving: Snapshot) -> None:
    place.configure('[plugins]\ndir = "plugins"\n[plugins.geo]\nconfig = { x = 1 }\n')
    assert place.candidate(serving).summary == ("geo 1.2 (configuration; rolls: installed by geo-plugin==1.2)",)


def test_an_id_that_a_plugin_in_the_folder_has_is_refused_naming_both(
    place: Place, site: SitePackages, serving: Snapshot
) -> None:
    place.plugins.folder("geo", "2.0", geo="x = 1")
    [refused] = place.refused(serving)
    assert refused == (
        "site/geo_plugin/plugin.toml: $.id: installed geo-plugin==1.2 announces plugin geo in geo_plugin "
        "(site/geo_plugin), and geo is the id of plugins/geo already: leave one of them out"
    )
    place.plugins.single("hello", "1.1")
    assert place.candidate(serving, asking(only=("hello",))).summary == ("hello 1.0 -> 1.1 (1 file)",)


def test_an_id_that_two_distributions_announce_is_refused_naming_both(place: Place, site: SitePackages) -> None:
    site.install("other", "3.0", "[changeover.plugins]\ngeo = geo_plugin\n")
    [refused] = place.refused(None)
    assert "installed other==3.0 announces plugin geo" in refused
    assert "geo is the id of installed geo-plugin==1.2 already" in refused


@pytest.mark.parametrize(
    ("entry_points", "why"),
    [
        ("geo = nowhere", "installed geo-plugin==1.2 announces plugin geo in nowhere, which is no plugin: the entry"),
        ("maps = geo_plugin", "announces plugin maps in geo_plugin, which is plugin geo: the entry point has the name"),
        ("geo = geo_plugin:Geo", "in geo_plugin:Geo, which is no plugin: the entry point names the package that has"),
    ],
)
def test_an_entry_point_that_leads_to_no_such_plugin_is_refused(
    place: Place, site: SitePackages, entry_points: str, why: str
) -> None:
    site.install("geo_plugin", "1.2", f"[changeover.plugins]\n{entry_points}\n")
    [refused] = place.refused(None)
    assert why in refused


def test_a_manifest_that_is_wrong_is_told_as_anywhere(place: Place, site: SitePackages, serving: Snapshot) -> None:
    site.plugin("geo", "one")
    [refused] = place.refused(serving)
    assert refused.startswith("site/geo_plugin/plugin.toml: $.version: 'one' is no version")
    site.plugin("geo", "1.3", 'packages = "vendor"\n')
    (site.path / "geo_plugin" / "vendor").mkdir()
    (site.path / "geo_plugin" / "vendor" / "six.py").touch()
    [refused] = place.refused(serving)
    assert "an installed plugin has no packages of its own" in refused


def test_where_keys_are_configured_it_has_to_be_signed_like_any_other(place: Place, site: SitePackages) -> None:
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (place.root / "public.pem").write_bytes(public)
    place.configure('[app]\ntarget = "shop:app"\n[plugins]\nkeys = ["public.pem"]\n')
    [refused] = place.refused(None)
    assert "geo 1.2: is not signed" in refused
    sign(site.path / "geo_plugin")
    assert place.candidate(None).summary[0] == "+ geo 1.2"


def test_going_back_needs_what_was_installed_then(place: Place, site: SitePackages, serving: Snapshot) -> None:
    site.plugin("geo", "1.3", '[services]\nwhere = "/where"\n', where="X = 2")
    second = place.candidate(serving).snapshot
    back = asking(action=Action.ROLLBACK, to=serving.epoch)
    result = place.scanner.scan(back, 3, second, Past((serving, second), (serving, second)))
    [refused] = [each.refusal.summary for each in result.refusals]  # type: ignore[union-attr]
    assert refused == (
        "geo 1.2 was installed by geo-plugin==1.2, and geo-plugin==1.3 is installed now; "
        "`pip install geo-plugin==1.2` brings it back"
    )
    site.plugin("geo", "1.2", '[services]\nwhere = "/where"\n', where="X = 1")
    found = place.candidate(second, back, serving, second)
    assert found.summary == ("geo 1.3 -> 1.2 (2 files; rolls: installed by geo-plugin==1.2)",)


def test_it_can_be_removed_and_is_held_then(place: Place, site: SitePackages, serving: Snapshot) -> None:
    found = place.candidate(serving, asking(edit=RemovePlugin("geo")))
    assert found.summary == ("- geo 1.2 (rolls: installed by geo-plugin==1.2)", "-1 route")
    assert found.snapshot.is_roll


def test_a_folder_that_is_being_replaced_is_noticed_beside_it(
    place: Place, site: SitePackages, serving: Snapshot
) -> None:
    place.configure('[plugins]\ndir = "plugins"\nreload = "on-change"\n')
    shutil.rmtree(place.plugins.path)
    place.plugins.path.mkdir()
    [refused] = place.refused(serving, asking(policy=ON_CHANGE))
    assert "no plugin is left in it" in refused


def test_a_swap_beside_another_interpreter_leaves_it_and_a_roll_takes_what_is_announced_there(
    place: Place, site: SitePackages, serving: Snapshot
) -> None:
    new = str(place.root / "new")
    place.configure(f'python = "{new}"\n[plugins]\ndir = "plugins"\n')
    machine = Machine(there={new: Answer("CPython", "3.12.1", (3, 12), protocol=1)})
    source = Source(folder=place.root)
    place.scanner = Scanner(check(source).required(), lambda: check(source), place.store, interpreters=machine)
    place.plugins.single("hello", "1.1")
    swapped = place.candidate(serving, SWAP).snapshot
    assert plugin(swapped, "geo") == plugin(serving, "geo")
    assert "- geo 1.2 (rolls: installed by geo-plugin==1.2)" in place.candidate(swapped).summary


def test_settings_of_what_may_be_installed_for_another_interpreter_are_not_called_useless_by_a_swap_beside_it(
    place: Place, site: SitePackages
) -> None:
    site.uninstall("geo_plugin")
    serving = place.candidate(None).snapshot
    new = str(place.root / "new")
    place.configure(f'python = "{new}"\n[plugins]\ndir = "plugins"\n[plugins.geo]\nreload = "on-signal"\n')
    machine = Machine(there={new: Answer("CPython", "3.12.1", (3, 12), protocol=1)})
    source = Source(folder=place.root)
    place.scanner = Scanner(check(source).required(), lambda: check(source), place.store, interpreters=machine)
    place.plugins.single("hello", "1.1")
    stray = "unused: [plugins.geo] names no plugin"
    assert stray not in place.candidate(serving, SWAP).summary
    assert stray in place.candidate(serving).summary


class TestSurvey:
    """What `changeover plugin list` says of it."""

    def disk(self, place: Place, serving: Snapshot) -> DiskView:
        return place.scanner.survey(serving, frozenset(), ()).plugins["geo"]

    def test_it_is_the_same_until_another_version_is_installed(
        self, place: Place, site: SitePackages, serving: Snapshot
    ) -> None:
        same = self.disk(place, serving)
        assert (same.state, same.path) == (DiskState.SAME, str(site.path / "geo_plugin"))
        site.plugin("geo", "1.3")
        changed = self.disk(place, serving)
        assert (changed.state, changed.version) == (DiskState.CHANGED, "1.3")
        assert changed.note == "geo needs a roll: installed by geo-plugin==1.3"

    def test_one_that_is_uninstalled_is_gone(self, place: Place, site: SitePackages, serving: Snapshot) -> None:
        site.uninstall("geo_plugin")
        assert "geo" not in place.scanner.survey(serving, frozenset(), ()).plugins

    def test_without_its_interpreter_nothing_can_be_said(self, place: Place, serving: Snapshot) -> None:
        gone = msgspec.structs.replace(serving, interpreter=Interpreter("/nowhere/python"))
        assert place.scanner.survey(gone, frozenset(), ()).problem.startswith("python /nowhere/python cannot be")
