"""What a rehearsal is told and reports survives the wire; what it reports is taken for nothing that it is not."""

from typing import Any

import msgspec
import pytest

from changeover.workers.protocol.forking import Preload
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import Confinement, RehearsalOrder, RehearsalReport, with_other_resources
from changeover.workers.protocol.snapshot import EMPTY, PluginBefore, PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

KEY = UnitKey(UnitRef(UnitKind.PLUGIN, "pricing"), "9c41ab", 2)
CANDIDATE = Snapshot(
    2,
    "d",
    (PluginSpec(KEY, "1.5", "artifact", code="code", granted=("net",), distribution="shop-pricing==1.5"),),
    before=(PluginBefore("pricing", "1.4", "77fe01"),),
)


@pytest.mark.parametrize("current", [None, Snapshot(1, "c")], ids=["first", "later"])
def test_an_order_survives_the_wire(current: Snapshot | None) -> None:
    order = RehearsalOrder(current, CANDIDATE, Confinement(memory=1 << 28), "/store", Preload("shop:app", "/app"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(order), type=RehearsalOrder) == order


def test_what_is_not_loaded_bars_no_way_to_the_candidate() -> None:
    order = RehearsalOrder(CANDIDATE, CANDIDATE, Confinement(), "/store")
    assert order.may_be_barred()
    assert not msgspec.structs.replace(order, exempt=(KEY.ref,)).may_be_barred()
    assert not msgspec.structs.replace(order, left_out=(KEY.ref,)).may_be_barred()
    assert msgspec.structs.replace(order, current=EMPTY, after_fork="shop:reseed").may_be_barred()


def plugin(name: str, digest: str, **further: Any) -> PluginSpec:
    return PluginSpec(UnitKey(UnitRef(UnitKind.PLUGIN, name), digest, 1), "1.0", **{"artifact": digest, **further})


LOG, OTHER_LOG = plugin("log", "1"), plugin("log", "2")
GEO = plugin("geo", "old", requires=(LOG.key.ref,))


@pytest.mark.parametrize(
    ("log", "geo", "alike"),
    [
        (LOG, plugin("geo", "new", code="old", requires=(LOG.key.ref,)), True),
        (LOG, plugin("geo", "new", code="other", requires=(LOG.key.ref,)), False),
        (LOG, plugin("geo", "new", code="old", requires=(LOG.key.ref,), config=b"\x81"), False),
        (LOG, plugin("geo", "new", code="old", requires=(LOG.key.ref,), granted=("net",)), False),
        (OTHER_LOG, plugin("geo", "new", code="old", requires=(LOG.key.ref,)), False),
        (LOG, GEO, False),
    ],
    ids=["resources", "code", "configuration", "grants", "what it requires", "nothing"],
)
def test_only_resources_differ_where_all_else_is_as_it_served(log: PluginSpec, geo: PluginSpec, alike: bool) -> None:
    served, changed = Snapshot(1, "c", (LOG, GEO)), Snapshot(2, "d", (log, geo))
    assert with_other_resources(changed, served) == ((GEO.key.ref,) if alike else ())
    assert with_other_resources(served, changed) == ((GEO.key.ref,) if alike else ())


def test_a_report_survives_the_wire_and_nothing_else_is_one() -> None:
    report = RehearsalReport(Refusal(Stage.PREFLIGHT, Fault.CRASH, "ended by SIGSEGV"), 3, 1, 2, 0.4, "last words")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=RehearsalReport) == report
    for hostile in ({"modules": "many"}, {"refusal": {"stage": "preflight"}}, [1]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(hostile), type=RehearsalReport)
