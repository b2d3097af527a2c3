"""A generation without a unit is without all that needs it, and consistent."""

from changeover.workers.preflight.reduced import without
from changeover.workers.protocol.snapshot import EMPTY, UnitKind, UnitRef
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
