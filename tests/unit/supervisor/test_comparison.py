"""What differs between two generations, and between the one that serves and what is on disk."""

from functools import partial

import msgspec
import pytest

from changeover.supervisor.artifacts.difference import file_changes
from changeover.supervisor.comparison import DiffView, Version, compare, compare_disk
from changeover.supervisor.core.outcome import Committed, NeedsRoll, Planned, Refused, Unchanged, Undecided
from changeover.workers.protocol.assembly import TlsSpec
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    ChannelSpec,
    HandlerRef,
    Interpreter,
    PipelineSpec,
    PluginSpec,
    Route,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
    UnitSpec,
)

STORE = {
    "files 1": {"pricing.py": b"1", "gone.py": b"", "same.py": b""},
    "files 2": {"pricing.py": b"2", "new.py": b"", "same.py": b""},
    "app 1": {"shop.py": b"1"},
    "app 2": {"shop.py": b"2"},
}
PRICING = UnitRef(UnitKind.PLUGIN, "pricing")
APP = UnitRef(UnitKind.APPLICATION, "app")


def key(ref: UnitRef, epoch: int) -> UnitKey:
    return UnitKey(ref, f"{ref} {epoch}", epoch)


def plugin(epoch: int, **config: str) -> PluginSpec:
    return PluginSpec(key(PRICING, epoch), f"1.{epoch}", f"files {epoch}", config=msgspec.msgpack.encode(config))


def shop(epoch: int, *handlers: str) -> PipelineSpec:
    ref = UnitRef(UnitKind.PIPELINE, "shop")
    return PipelineSpec(key(ref, epoch), tuple(HandlerRef("pricing", name) for name in handlers), APP, (PRICING,))


def generation(epoch: int, *units: UnitSpec, routes: tuple[str, ...] = (), listen: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(epoch, f"content {epoch}", units, tuple(Route("shop", path) for path in routes), listen=listen)


def compared(before: Snapshot, after: Snapshot) -> DiffView:
    return compare(before, after, partial(file_changes, read=STORE.__getitem__))


def test_a_plugin_differs_by_its_files_and_by_the_names_of_its_configuration() -> None:
    one, other = plugin(1, currency="EUR", key="secret"), plugin(2, currency="EUR", key="other secret", rounding="up")
    view = compared(generation(1, one), generation(2, other))
    [difference] = view.units
    assert (difference.unit, difference.before, difference.after) == (
        "plugin pricing",
        Version("1.1", "plugin pricing 1", 1),
        Version("1.2", "plugin pricing 2", 2),
    )
    assert difference.files == ("- gone.py", "+ new.py", "pricing.py")
    assert difference.changes == ("configuration: key, rounding",)
    assert "secret" not in str(view)


def test_what_only_one_of_them_has_is_named_with_its_version() -> None:
    view = compared(generation(1), generation(2, plugin(2)))
    assert [(each.before, each.after) for each in view.units] == [(None, Version("1.2", "plugin pricing 2", 2))]
    back = compared(generation(2, plugin(2)), generation(1))
    assert [(each.before, each.after) for each in back.units] == [(Version("1.2", "plugin pricing 2", 2), None)]


def test_a_pipeline_differs_by_its_handlers_or_by_what_it_requires() -> None:
    view = compared(generation(1, plugin(1), shop(1, "discount")), generation(2, plugin(2), shop(2, "discount", "log")))
    assert [(each.unit, each.changes) for each in view.units] == [
        ("pipeline shop", ("handlers: +pricing:log", "requires plugin pricing, which differs")),
        ("plugin pricing", ()),
    ]


def test_an_application_differs_by_its_settings_files_and_packages() -> None:
    one = ApplicationSpec(key(APP, 1), "shop:app", "/srv", artifact="app 1", distributions="installed 1")
    other = ApplicationSpec(key(APP, 2), "shop:api", "/srv", artifact="app 2", distributions="installed 2", threads=8)
    [difference] = compared(generation(1, one), generation(2, other)).units
    assert difference.changes == ("target: shop:app -> shop:api", "threads: 4 -> 8", "installed packages")
    assert difference.files == ("shop.py",)


def test_certificates_differ_and_none_of_their_files_is_named() -> None:
    ref = UnitRef(UnitKind.CHANNEL, ":443")
    one, other = (ChannelSpec(key(ref, epoch), TlsSpec(f"pem {epoch}", 1)) for epoch in (1, 2))
    [difference] = compared(generation(1, one), generation(2, other)).units
    assert (difference.changes, difference.files) == (("other certificates",), ())


def test_routes_addresses_and_interpreter_differ_beside_units_that_are_the_same() -> None:
    before = generation(1, plugin(1), routes=("/", "/old"), listen=(":80",))
    after = generation(2, plugin(1), routes=("/", "/new"), listen=(":80", ":81"))
    before = msgspec.structs.replace(before, interpreter=Interpreter("/usr/bin/python", "3.11.7"))
    after = msgspec.structs.replace(after, interpreter=Interpreter("/srv/venv/bin/python", "3.12.1"))
    view = compared(before, after)
    assert (view.units, view.same) == ((), 1)
    assert [str(route) for route in view.routes_added] == ["/new"]
    assert [str(route) for route in view.routes_removed] == ["/old"]
    assert view.settings == ("python: 3.11.7 (/usr/bin/python) -> 3.12.1 (/srv/venv/bin/python)", "address: + :81")
    assert not view.is_empty
    assert compared(after, after).is_empty


def test_what_is_only_on_disk_has_no_number_and_what_is_not_taken_is_said() -> None:
    candidate, summary = generation(2, plugin(2)), ("pricing 1.1 -> 1.2 (3 files)", "not taken: geo (disabled)")
    planned = Planned(1, candidate=candidate, summary=summary, files={"plugin pricing": ("pricing.py",)})
    view = compare_disk(generation(1, plugin(1)), planned)
    [difference] = view.units
    assert (view.before, view.after, view.notes) == (1, None, ("not taken: geo (disabled)",))
    assert (difference.after, difference.files) == (Version("1.2", "plugin pricing 2", 0), ("pricing.py",))


def test_what_would_not_be_taken_differs_in_nothing_and_says_why() -> None:
    serving = generation(1, plugin(1))
    assert compare_disk(serving, Unchanged(1)) == DiffView(1, None, same=1)
    assert compare_disk(serving, NeedsRoll(1, changed=("app: 3 files",))).notes == ("app: 3 files",)
    assert compare_disk(serving, Refused(1, reason="held", summary=("not taken: app",))).refused == "held"
    assert compare_disk(serving, Undecided(1, reason="the journal is in doubt")).refused == "the journal is in doubt"
    with pytest.raises(ValueError, match="changes nothing"):
        compare_disk(serving, Committed(2))
