"""What was refused and is not tried again by itself, who is to blame for it, and what lifts it."""

from msgspec.structs import replace

from changeover.supervisor.core.entries import Quarantined, SlotRefusal
from changeover.supervisor.core.quarantine import (
    MOST,
    after_abort,
    after_commit,
    leaves_rest,
    passing,
    plugins,
    refused_as,
    skipped,
)
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    PluginSpec,
    ServiceSpec,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
    UnitSpec,
)

REQUIRES = {"prices": ("catalog",)}
"""What the story's plugins require."""


def generation(epoch: int, since: dict[str, int] | None = None, **versions: str) -> Snapshot:
    """Plugins with their versions; those that `since` does not name are as old as epoch 1."""
    units: list[UnitSpec] = []
    for name, version in versions.items():
        began = (since or {}).get(name, 1)
        ref = UnitRef(UnitKind.PLUGIN, name)
        requires = tuple(UnitRef(UnitKind.PLUGIN, each) for each in REQUIRES.get(name, ()))
        units.append(PluginSpec(UnitKey(ref, f"{name} {version}", began), version, version, requires))
    return Snapshot(epoch, repr(versions), tuple(units))


def no(unit: str = "", fault: Fault = Fault.CRASH, requires: str = "") -> SlotRefusal:
    return SlotRefusal(0, 100, Refusal(Stage.LOAD, fault, "no", unit=unit, requires=requires))


SERVING = generation(1, catalog="1", geo="1", prices="1")
BAD = generation(2, {"prices": 2}, catalog="1", geo="1", prices="2")
REFUSED = after_abort((), BAD, [no("plugin prices")])


def left_out(
    quarantine: tuple[Quarantined, ...], wanted: Snapshot, serving: Snapshot = SERVING, exempt: tuple[str, ...] = ()
) -> list[str]:
    return sorted(skipped(quarantine, plugins(serving), plugins(wanted), exempt))


def test_refused_content_is_left_out_also_when_something_else_changed() -> None:
    assert [str(each) for each in REFUSED] == ["prices 2"]
    assert left_out(REFUSED, BAD) == ["prices"]
    assert left_out(REFUSED, generation(3, catalog="1", geo="2", prices="2")) == ["prices"]
    assert refused_as(REFUSED, BAD) == REFUSED[0]


def test_other_content_of_it_is_taken_and_so_is_the_same_beside_another_plugin_that_it_requires() -> None:
    assert left_out(REFUSED, generation(3, catalog="1", geo="1", prices="3")) == []
    assert left_out(REFUSED, generation(3, catalog="2", geo="1", prices="2")) == []


def test_a_reason_that_passes_quarantines_nothing() -> None:
    assert after_abort((), BAD, [no("plugin prices", Fault.TIMEOUT), no("plugin prices", Fault.RESOURCE)]) == ()
    assert passing([no(fault=Fault.TIMEOUT)])
    assert not passing([no(fault=Fault.TIMEOUT), no()])


def test_one_reason_that_lasts_among_those_that_pass_quarantines() -> None:
    assert left_out(after_abort((), BAD, [no(fault=Fault.TIMEOUT), no("plugin prices")]), BAD) == ["prices"]


def test_what_nobody_refused_is_not_quarantined() -> None:
    assert after_abort((), BAD, []) == ()
    assert after_abort((), None, [no()]) == ()


def test_a_plugin_that_refuses_because_of_one_that_it_requires_has_that_one_left_out() -> None:
    changed = generation(2, {"catalog": 2, "prices": 2}, catalog="2", geo="1", prices="1")
    refused = after_abort((), changed, [no("plugin prices")])
    assert left_out(refused, changed) == ["catalog"]
    assert left_out(refused, generation(3, catalog="2", geo="1", prices="2")) == []


def test_of_two_that_changed_only_the_one_that_refused_is_left_out() -> None:
    both = generation(2, {"geo": 2, "prices": 2}, catalog="1", geo="2", prices="2")
    assert left_out(after_abort((), both, [no("plugin geo")]), both) == ["geo"]


def test_when_nobody_says_who_all_that_is_new_is_left_out_until_one_of_it_changes() -> None:
    both = generation(2, {"geo": 2, "prices": 2}, catalog="1", geo="2", prices="2")
    refused = after_abort((), both, [no()])
    assert left_out(refused, both) == ["geo", "prices"]
    assert left_out(refused, generation(3, catalog="1", geo="3", prices="2")) == []


def test_content_that_was_refused_beside_what_is_left_out_now_is_another_combination() -> None:
    older = after_abort((), generation(2, {"geo": 2, "rates": 2}, geo="2", rates="2", shop="1"), [no()])
    both = after_abort(older, generation(3, {"geo": 3, "shop": 3}, geo="2", rates="1", shop="2"), [no()])
    everything = generation(4, geo="2", rates="2", shop="2")
    assert left_out(both, everything, generation(1, geo="1", rates="1", shop="1")) == ["geo", "shop"]


def test_what_changed_beside_it_and_needs_nothing_of_it_is_a_rest() -> None:
    both = generation(2, {"geo": 2, "prices": 2}, catalog="1", geo="2", prices="2")
    assert leaves_rest(after_abort((), both, [no("plugin prices")]), SERVING, both)
    gone = generation(2, {"prices": 2}, catalog="1", prices="2")
    assert leaves_rest(after_abort((), gone, [no("plugin prices")]), SERVING, gone)


def test_what_is_refused_alone_or_with_all_that_changed_leaves_no_rest() -> None:
    assert not leaves_rest(REFUSED, SERVING, BAD)
    assert not leaves_rest((), SERVING, BAD)
    assert not leaves_rest(REFUSED, None, BAD)
    both = generation(2, {"geo": 2, "prices": 2}, catalog="1", geo="2", prices="2")
    assert not leaves_rest(after_abort((), both, [no()]), SERVING, both)


def test_what_requires_what_is_left_out_is_no_rest_whether_it_is_new_or_gone() -> None:
    requiring = generation(2, {"catalog": 2, "prices": 2}, catalog="2", geo="1", prices="2")
    assert not leaves_rest(after_abort((), requiring, [no("plugin catalog")]), SERVING, requiring)
    plugin = UnitRef(UnitKind.PLUGIN, "prices")
    service = ServiceSpec(UnitKey(UnitRef(UnitKind.SERVICE, "prices:quote"), "s", 1), "prices", "quote", (plugin,))
    served = Snapshot(1, "with a service", (*SERVING.units, service))
    assert not leaves_rest(REFUSED, served, BAD)


def test_other_addresses_are_a_rest() -> None:
    assert leaves_rest(REFUSED, replace(SERVING, listen=("a:1",)), replace(BAD, listen=("a:2",)))


def test_a_service_is_its_plugins() -> None:
    plugin = UnitRef(UnitKind.PLUGIN, "prices")
    service = ServiceSpec(UnitKey(UnitRef(UnitKind.SERVICE, "prices:quote"), "s", 2), "prices", "quote", (plugin,))
    both = generation(2, {"geo": 2, "prices": 2}, catalog="1", geo="2", prices="2")
    candidate = Snapshot(2, "with a service", (*both.units, service))
    assert left_out(after_abort((), candidate, [no("service prices:quote")]), both) == ["prices"]


def test_an_application_that_refuses_blames_no_plugin_and_is_known_as_a_whole() -> None:
    app = ApplicationSpec(UnitKey(UnitRef(UnitKind.APPLICATION, "app"), "a", 2), "shop:app", "/srv")
    candidate = Snapshot(2, "with an application", (*BAD.units, app))
    refused = after_abort((), candidate, [no("application app")])
    assert left_out(refused, BAD) == []
    assert [str(each) for each in refused] == ["what changed"]
    assert refused_as(refused, candidate) is not None
    assert refused_as(refused, BAD) is None


def test_when_nobody_says_who_and_the_application_is_new_too_no_plugin_is_blamed() -> None:
    app = ApplicationSpec(UnitKey(UnitRef(UnitKind.APPLICATION, "app"), "a", 2), "shop:app", "/srv")
    refused = after_abort((), Snapshot(2, "with an application", (*BAD.units, app)), [no()])
    assert [str(each) for each in refused] == ["what changed"]
    kept = ApplicationSpec(UnitKey(UnitRef(UnitKind.APPLICATION, "app"), "a", 1), "shop:app", "/srv")
    assert left_out(after_abort((), Snapshot(2, "", (*BAD.units, kept)), [no()]), BAD) == ["prices"]


def test_what_is_refused_for_what_it_requires_waits_until_that_changes_or_is_not_rehearsed() -> None:
    refused = after_abort((), BAD, [no("plugin prices", requires="plugin catalog")])
    assert [(str(each), each.required) for each in refused] == [("prices 2", "catalog 1")]
    assert left_out(refused, BAD) == left_out(refused, BAD, exempt=("geo",)) == ["prices"]
    assert left_out(refused, generation(3, catalog="2", geo="1", prices="2")) == []
    assert left_out(refused, BAD, exempt=("catalog",)) == []
    assert refused_as(refused, BAD) is not None
    assert refused_as(refused, BAD, ("catalog",)) is None


def test_what_is_refused_for_a_service_that_it_requires_waits_for_the_plugin_of_that() -> None:
    quote = ServiceSpec(UnitKey(UnitRef(UnitKind.SERVICE, "catalog:quote"), "s", 1), "catalog", "quote")
    candidate = Snapshot(2, "with a service", (*BAD.units, quote))
    [refused] = after_abort((), candidate, [no("plugin prices", requires="service catalog:quote")])
    assert refused.requires == {"catalog": "1"}


def test_where_something_was_refused_for_itself_too_that_what_is_required_is_exempt_changes_nothing() -> None:
    both = [no("plugin prices", requires="plugin catalog"), no("plugin prices")]
    assert left_out(after_abort((), BAD, both), BAD, exempt=("catalog",)) == ["prices"]


def test_new_content_that_serves_lifts_it_and_the_content_of_another_does_not() -> None:
    assert after_commit(REFUSED, generation(3, {"geo": 3}, catalog="1", geo="2", prices="1")) == REFUSED
    assert after_commit(REFUSED, generation(3, {"prices": 3}, catalog="1", geo="1", prices="3")) == ()


def test_a_later_commit_lifts_what_an_earlier_one_did_that_is_forgotten() -> None:
    later = generation(9, {"geo": 9, "prices": 3}, catalog="1", geo="2", prices="3")
    assert after_commit(REFUSED, later) == ()


def test_the_same_content_refused_twice_is_known_once_and_only_so_many_are_known() -> None:
    again = after_abort(REFUSED, Snapshot(3, BAD.digest, BAD.units), [no("plugin prices")])
    assert [each.epoch for each in again] == [3]
    known: tuple[Quarantined, ...] = ()
    for epoch in range(2, MOST + 12):
        known = after_abort(known, generation(epoch, {"geo": epoch}, geo=str(epoch)), [no()])
    assert [known[0].epoch, known[-1].epoch, len(known)] == [12, MOST + 11, MOST]
