"""What a rollback holds of each plugin and pipeline, and what lifts it."""

from changeover.supervisor.core.entries import Held
from changeover.supervisor.core.holding import after_reload, after_rollback, brought_back
from changeover.workers.protocol.snapshot import (
    HandlerRef,
    PipelineSpec,
    PluginSpec,
    Route,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
)


def serving(epoch: int, shop: str = "", **plugins: str) -> Snapshot:
    """A generation of plugins, each with its version; `shop` is a pipeline of one handler."""
    units: list[PluginSpec | PipelineSpec] = [
        PluginSpec(UnitKey(UnitRef(UnitKind.PLUGIN, name), f"{name} {epoch}", epoch), version, artifact=version)
        for name, version in plugins.items()
    ]
    routes: tuple[Route, ...] = ()
    if shop:
        key = UnitKey(UnitRef(UnitKind.PIPELINE, "shop"), f"{shop} {epoch}", epoch)
        plugin, _, handler = shop.partition(":")
        units.append(PipelineSpec(key, (HandlerRef(plugin, handler),)))
        routes = (Route("shop"),)
    return Snapshot(epoch, repr((shop, plugins)), tuple(units), routes)


def named(held: frozenset[Held] | tuple[Held, ...]) -> list[str]:
    return sorted(map(str, held))


BEFORE = serving(1, prices="1", geo="1")
LEFT = serving(2, prices="2", geo="1")
BACK = serving(3, prices="1", geo="1")
HELD = after_rollback((), LEFT, BACK)


def test_only_what_the_rollback_changed_is_held() -> None:
    assert named(HELD) == ["prices 2"]


def test_a_change_elsewhere_neither_brings_it_back_nor_lifts_it() -> None:
    elsewhere = serving(4, prices="1", geo="2")
    assert brought_back(HELD, BACK, elsewhere) == ()
    assert after_reload(HELD, BACK, elsewhere) == HELD
    assert named(brought_back(HELD, BACK, serving(4, prices="2", geo="2"))) == ["prices 2"]


def test_another_content_of_it_is_no_return_and_lifts_it() -> None:
    changed = serving(4, prices="3", geo="1")
    assert brought_back(HELD, BACK, changed) == ()
    assert after_reload(HELD, BACK, changed) == frozenset()


def test_whoever_takes_it_all_the_same_lifts_it() -> None:
    assert after_reload(HELD, BACK, serving(4, prices="2", geo="1")) == frozenset()
    assert named(after_rollback(HELD, BACK, serving(4, prices="2", geo="1"))) == ["prices 1"]


def test_a_second_rollback_holds_both() -> None:
    third = serving(4, prices="1", geo="2")
    assert named(after_rollback(HELD, third, serving(5, prices="1", geo="1"))) == ["geo 2", "prices 2"]


def test_a_plugin_whose_removal_was_rolled_back_is_not_removed_again() -> None:
    held = after_rollback((), serving(2, prices="1"), BACK)
    assert named(held) == ["plugin geo removed"]
    assert named(brought_back(held, BACK, serving(4, prices="2"))) == ["plugin geo removed"]


def test_a_pipeline_is_held_by_itself_when_nothing_that_it_uses_was_set_aside() -> None:
    before, after = serving(1, "geo:find", geo="1"), serving(2, "geo:guess", geo="1")
    held = after_rollback((), after, before)
    assert named(held) == ["pipeline shop"]
    assert named(brought_back(held, before, serving(4, "geo:guess", geo="2"))) == ["pipeline shop"]


def test_a_pipeline_that_was_set_aside_with_its_plugin_is_free_once_that_changed() -> None:
    before, after = serving(1, "prices:old", prices="1"), serving(2, "prices:new", prices="2")
    held = after_rollback((), after, before)
    assert named(held) == ["pipeline shop", "prices 2"]
    assert brought_back(held, before, serving(4, "prices:new", prices="3")) == ()
    assert named(brought_back(held, before, serving(4, "prices:new", prices="1"))) == ["pipeline shop"]
    assert after_reload(held, before, serving(4, "prices:old", prices="3")) == frozenset()
