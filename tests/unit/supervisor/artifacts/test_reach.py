"""How far a request reaches: what somebody asks for, and what a trigger takes by itself."""

import msgspec
import pytest

from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.config.settings import App, Plugin, Plugins, Settings
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import CutoverRequest
from changeover.workers.plugins.manifest import Manifest, Resource
from changeover.workers.protocol.reload import ON_CHANGE, Reload, When
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

NAMES = ("geo", "pricing", "rates", "shop")
SETTINGS = Settings(
    plugins=Plugins(
        reload="on-change",
        entries={
            "geo": Plugin(reload="disabled"),
            "pricing": Plugin(reload="on-signal"),
            "rates": Plugin(reload="every 60s"),
        },
    )
)
SERVING = Snapshot(
    1, "", tuple(PluginSpec(UnitKey(UnitRef(UnitKind.PLUGIN, name), name, 1), "1", name) for name in NAMES)
)
WATCH = CutoverRequest(Origin(Trigger.WATCH), policy=ON_CHANGE)
EVERY_MINUTE = CutoverRequest(Origin(Trigger.SCHEDULE), policy=Reload(When.EVERY, 60.0))
COMMAND = CutoverRequest(Origin(Trigger.COMMAND))


def reached(request: CutoverRequest, current: Snapshot | None = SERVING, settings: Settings = SETTINGS) -> list[str]:
    reach = Reach(request, settings, current)
    return [name for name in NAMES if reach.plugin(name)]


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (COMMAND, ["pricing", "rates", "shop"]),
        (msgspec.structs.replace(COMMAND, only=("rates", "geo")), ["rates"]),
        (WATCH, ["shop"]),
        (EVERY_MINUTE, ["rates"]),
    ],
)
def test_who_asks_gets_what_is_not_disabled_and_a_trigger_what_is_taken_so(
    request_: CutoverRequest, names: list[str]
) -> None:
    assert reached(request_) == names


def test_where_nothing_serves_everything_is_taken() -> None:
    assert reached(COMMAND, current=None) == list(NAMES)


def test_mounts_go_with_their_plugin_and_configured_pipelines_with_the_policy_for_all() -> None:
    watch, schedule = Reach(WATCH, SETTINGS, SERVING), Reach(EVERY_MINUTE, SETTINGS, SERVING)
    pipelines = [("shop:front", "shop"), ("rates:list", "rates"), ("/api", "")]
    assert [watch.pipeline(*each) for each in pipelines] == [True, False, True]
    assert [schedule.pipeline(*each) for each in pipelines] == [False, True, False]
    assert (watch.configuration, schedule.configuration) == (True, False)


def test_the_application_has_a_policy_of_its_own() -> None:
    watched = msgspec.structs.replace(SETTINGS, app=App("shop:app", reload="on-change"))
    unwatched = msgspec.structs.replace(SETTINGS, app=App("shop:app"))
    assert [Reach(WATCH, each, SERVING).application for each in (watched, unwatched, SETTINGS)] == [True, False, False]
    assert Reach(COMMAND, unwatched, SERVING).application


OLD = {"code.py": b"1", "rules/a.toml": b"1", "rules/deep/b.toml": b"1", "notes.txt": b"1"}


@pytest.mark.parametrize(
    ("plugin", "resource", "changed", "taken"),
    [
        ("pricing", "on-change", ["rules/a.toml"], True),
        ("pricing", "on-change", ["rules/deep/b.toml"], True),
        ("pricing", "on-change", ["rules/a.toml", "code.py"], False),
        ("pricing", "on-change", ["notes.txt"], False),
        ("pricing", "", ["rules/a.toml"], False),
        ("shop", "on-signal", ["rules/a.toml"], False),
        ("shop", "on-signal", ["rules/a.toml", "code.py"], False),
        ("shop", "", ["rules/a.toml", "code.py"], True),
        ("geo", "on-change", ["rules/a.toml"], False),
    ],
)
def test_a_changed_resource_is_taken_as_it_says_and_only_with_files_that_say_the_same(
    plugin: str, resource: str, changed: list[str], taken: bool
) -> None:
    manifest = Manifest(plugin, "1", resources={"rules": Resource("rules/**/*.toml", resource)})
    new = OLD | dict.fromkeys(changed, b"2")
    assert Reach(WATCH, SETTINGS, SERVING).by_files(manifest, OLD, new) is taken


def test_a_resource_that_went_away_or_came_counts_like_one_that_changed() -> None:
    manifest = Manifest("pricing", "1", resources={"rules": Resource("rules/*.toml", "on-change")})
    reach = Reach(WATCH, SETTINGS, SERVING)
    without = {name: content for name, content in OLD.items() if name != "rules/a.toml"}
    assert reach.by_files(manifest, OLD, without)
    assert reach.by_files(manifest, without, OLD)


def test_nothing_but_another_configuration_is_taken_as_the_plugin_says() -> None:
    manifest = Manifest("pricing", "1", resources={"rules": Resource("rules/*.toml", "on-change")})
    assert not Reach(WATCH, SETTINGS, SERVING).by_files(manifest, OLD, OLD)
