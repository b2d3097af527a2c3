"""New processes rehearse plugins where something about them has not served before."""

import msgspec
import pytest

from changeover.supervisor.core.unrehearsed import is_unrehearsed, served_as_it_is, served_with_other_resources
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    ChannelSpec,
    Interpreter,
    PipelineSpec,
    ServiceSpec,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
    UnitSpec,
)
from tests.machines import resourced, snapshot, unit

SERVING = snapshot(1, unit("geo", 1), unit("pricing", 1))
OURS, OTHER = Interpreter("/usr/bin/python3.11", "3.11.7"), Interpreter("/usr/bin/python3.12", "3.12.1")


def with_application(serving: Snapshot, digest: str, distributions: str = "installed") -> Snapshot:
    key = UnitKey(UnitRef(UnitKind.APPLICATION, "app"), digest, 1)
    application = ApplicationSpec(key, "app:app", "/app", distributions=distributions)
    return msgspec.structs.replace(serving, units=(*serving.units, application))


@pytest.mark.parametrize(
    ("candidate", "unrehearsed"),
    [
        (SERVING, False),
        (snapshot(2, unit("geo", 1), unit("pricing", 2)), True),
        (snapshot(2, unit("geo", 1), unit("pricing", 1), unit("tax", 2)), True),
        (msgspec.structs.replace(SERVING, units=()), False),
    ],
)
def test_plugins_that_are_new_or_other_are(candidate: Snapshot, unrehearsed: bool) -> None:
    assert is_unrehearsed(candidate, SERVING) is unrehearsed


def test_fewer_of_those_that_served_together_are_for_what_is_gone_may_be_asked_for() -> None:
    assert is_unrehearsed(snapshot(2, unit("geo", 1)), SERVING)


GEO = UnitRef(UnitKind.PLUGIN, "geo")


def key(kind: UnitKind, name: str) -> UnitKey:
    return UnitKey(UnitRef(kind, name), "1f", 2)


@pytest.mark.parametrize(
    ("named", "unrehearsed"),
    [
        (ServiceSpec(key(UnitKind.SERVICE, "geo:near"), "geo", "near", (GEO,)), True),
        (ChannelSpec(key(UnitKind.CHANNEL, "shop:2"), safe="geo:lines", requires=(GEO,)), True),
        (ChannelSpec(key(UnitKind.CHANNEL, "shop:2"), proxies=("10.0.0.0/8",)), False),
        (PipelineSpec(key(UnitKind.PIPELINE, "near"), requires=(GEO,)), False),
    ],
)
def test_what_a_plugin_that_served_is_asked_for_the_first_time_is_where_that_runs_code_of_it(
    named: UnitSpec, unrehearsed: bool
) -> None:
    assert is_unrehearsed(msgspec.structs.replace(SERVING, units=(*SERVING.units, named)), SERVING) is unrehearsed


def test_before_the_first_commit_everything_is_but_where_there_is_no_plugin() -> None:
    assert is_unrehearsed(SERVING, None)
    assert not is_unrehearsed(with_application(msgspec.structs.replace(SERVING, units=()), "1f"), None)


def test_another_application_is_not_but_what_is_installed_with_it_is() -> None:
    serving = with_application(SERVING, "1f")
    assert not is_unrehearsed(with_application(SERVING, "2f"), serving)
    assert is_unrehearsed(with_application(SERVING, "2f", "others"), serving)


def test_another_interpreter_is_where_both_are_known() -> None:
    serving, other = (msgspec.structs.replace(SERVING, interpreter=each) for each in (OURS, OTHER))
    assert is_unrehearsed(other, serving)
    assert not is_unrehearsed(other, SERVING)


def test_of_a_roll_what_is_unchanged_served_as_it_is() -> None:
    candidate = snapshot(2, unit("geo", 1), unit("pricing", 2), unit("tax", 2))
    assert served_as_it_is(candidate, SERVING, False) == (GEO,)
    assert served_as_it_is(candidate, None, False) == ()


def test_where_something_is_gone_or_all_runs_elsewhere_nothing_served_so_but_what_goes_back() -> None:
    fewer = snapshot(2, unit("geo", 1))
    serving = with_application(SERVING, "1f")
    others = with_application(SERVING, "2f", "others")
    known, other = (msgspec.structs.replace(SERVING, interpreter=each) for each in (OURS, OTHER))
    for candidate, committed in ((fewer, SERVING), (others, serving), (other, known)):
        assert served_as_it_is(candidate, committed, False) == ()
        assert GEO in served_as_it_is(candidate, committed, True)


def test_code_that_runs_elsewhere_has_not_served_with_other_resources() -> None:
    known, other = (msgspec.structs.replace(SERVING, interpreter=each) for each in (OURS, OTHER))
    changed = resourced(snapshot(2, unit("geo", 2)), "geo1")
    assert served_with_other_resources(changed, SERVING) == (GEO,)
    assert served_with_other_resources(changed, None) == ()
    assert served_with_other_resources(snapshot(2, unit("geo", 2)), SERVING) == ()
    elsewhere = msgspec.structs.replace(changed, interpreter=other.interpreter)
    assert served_with_other_resources(elsewhere, known) == ()


def test_what_nobody_rehearses_counts_for_nothing_where_it_is_alone() -> None:
    assert not is_unrehearsed(snapshot(2, unit("geo", 2)), SERVING, ("geo",))
    assert is_unrehearsed(snapshot(2, unit("geo", 2), unit("pricing", 1)), SERVING, ("geo",))
