"""A snapshot says itself whether it is sound, and a registry is derived from it alone."""

from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import (
    EMPTY,
    HandlerRef,
    PipelineSpec,
    PluginSpec,
    Route,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
)

PRICING = UnitRef(UnitKind.PLUGIN, "pricing")
SHOP = UnitRef(UnitKind.PIPELINE, "shop")


def plugin(since: int = 1) -> PluginSpec:
    return PluginSpec(UnitKey(PRICING, "aa", since), "1.0", "artifact")


def pipeline(since: int = 1) -> PipelineSpec:
    handlers = (HandlerRef("pricing", "discount"), HandlerRef("pricing", "stamp"))
    return PipelineSpec(UnitKey(SHOP, "bb", since), handlers, requires=(PRICING,))


def test_a_sound_snapshot_has_nothing_to_say() -> None:
    snapshot = Snapshot(2, "d", (plugin(), pipeline(2)), (Route("shop"),))
    assert list(snapshot.inconsistencies()) == []
    assert list(EMPTY.inconsistencies()) == []


def test_every_contradiction_is_named() -> None:
    snapshot = Snapshot(2, "d", (pipeline(3), plugin(), plugin(0)), (Route("shop"), Route("attic", "/up", "a.example")))
    assert list(snapshot.inconsistencies()) == [
        "pipeline shop comes before plugin pricing, which it requires",
        "pipeline shop is of epoch 3, outside 1 to 2",
        "plugin pricing occurs twice",
        "plugin pricing is of epoch 0, outside 1 to 2",
        "route a.example/up leads to pipeline attic, which does not exist",
    ]


def test_the_registry_names_units_handlers_and_routes_of_one_epoch() -> None:
    snapshot = Snapshot(2, "d", (plugin(), pipeline(2)), (Route("shop"),))
    registry = Registry.of(snapshot)
    assert registry.epoch == 2
    assert registry.units == (plugin().key, pipeline(2).key)
    assert registry.handlers == {"shop": ("pricing:discount", "pricing:stamp")}
    assert registry.routes == (Route("shop"),)
    assert Registry.of(EMPTY) == Registry(epoch=0)
