"""A generation without a unit is without all that needs it, and consistent."""

import msgspec

from changeover.workers.preflight.reduced import required, without
from changeover.workers.protocol.snapshot import EMPTY, HandlerRef, PipelineSpec, UnitKey, UnitKind, UnitRef
from tests.rehearsing import HEAD, MANIFEST, Orders

SERVICE = MANIFEST + '[services]\n{id} = {{ mount = "/{id}" }}\n'
CODE = HEAD + "class Own(Plugin[None]):\n    @service\n    async def {id}(self, request, call): ...\n"


def test_what_is_left_out_takes_along_whoever_requires_it(orders: Orders) -> None:
    geo = orders.plugin(CODE.format(id="geo"), manifest=SERVICE)
    shop = orders.plugin(CODE.format(id="shop"), id="shop", manifest='requires = {{ geo = ">=1" }}\n' + SERVICE)
    tax = orders.plugin(CODE.format(id="tax"), id="tax", manifest=SERVICE)
    whole = orders.snapshot(1, EMPTY, geo, shop, tax)
    assert len(whole.routes) == 3
    rest = without(whole, {UnitRef(UnitKind.PLUGIN, "geo")})
    assert {unit.key.ref.name.partition(":")[0] for unit in rest.units} == {"tax"}
    assert [route.pipeline for route in rest.routes] == ["tax:tax"]
    assert list(rest.inconsistencies()) == []
    assert without(whole, ()) == whole


def test_a_pipeline_has_what_is_left_of_it(orders: Orders) -> None:
    geo = orders.plugin(CODE.format(id="geo"), manifest=SERVICE)
    shop = orders.plugin(CODE.format(id="shop"), id="shop", manifest=SERVICE)
    whole = orders.snapshot(1, EMPTY, geo, shop)
    plugins = tuple(unit.key.ref for unit in whole.units if unit.key.ref.kind is UnitKind.PLUGIN)
    line, target = UnitRef(UnitKind.PIPELINE, "line"), UnitRef(UnitKind.SERVICE, "shop:shop")
    handlers = (HandlerRef("geo", "near"), HandlerRef("shop", "tax"), HandlerRef("", "gzip"))
    both = PipelineSpec(UnitKey(line, "1f", 1), handlers, target, (*plugins, target))
    whole = msgspec.structs.replace(whole, units=(*whole.units, both))
    *_, rest = without(whole, {UnitRef(UnitKind.PLUGIN, "shop")}).units
    assert isinstance(rest, PipelineSpec)
    assert (rest.key, rest.handlers, rest.target) == (both.key, (handlers[0], handlers[2]), None)
    assert list(without(whole, {UnitRef(UnitKind.PLUGIN, "shop")}).inconsistencies()) == []
    assert line not in {unit.key.ref for unit in without(whole, plugins).units}


def test_who_is_in_the_way_is_known_at_whatever_hand(orders: Orders) -> None:
    requiring = 'requires = {{ geo = ">=1" }}\n' + SERVICE
    geo = orders.plugin(CODE.format(id="geo"), manifest=SERVICE)
    shop = orders.plugin(CODE.format(id="shop"), id="shop", manifest=requiring)
    whole, root = orders.snapshot(1, EMPTY, geo, shop), UnitRef(UnitKind.PLUGIN, "geo")
    for ref in (root, UnitRef(UnitKind.PLUGIN, "shop"), UnitRef(UnitKind.SERVICE, "shop:shop")):
        assert required(whole, ref, {root}) == root
