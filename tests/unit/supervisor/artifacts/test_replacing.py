"""A plugin that cannot be replaced in a living process makes the candidate a roll, with the reason, or is not taken."""

from pathlib import Path

import pytest

from changeover.supervisor.artifacts.scanner import Past
from changeover.supervisor.core.outcome import Action, NothingChanged, RollNeeded, ScanRefused, Strategy
from changeover.workers.protocol.snapshot import PluginBefore, Snapshot
from tests.unit.supervisor.artifacts.test_scanner import SWAP, Place, asking, place, plugin

__all__ = ["place"]

ROLL = 'strategy = "roll"\n'


def native(place: Place, version: str = "1.0", code: str = "x = 1") -> Path:
    folder = place.plugins.folder("geo", version, geo=code)
    (folder / "_geo.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
    return folder


@pytest.mark.parametrize(("more", "why"), [(ROLL, 'strategy = "roll"'), ("", "native module _geo")])
def test_its_beginning_its_change_and_its_end_are_rolls(place: Place, more: str, why: str) -> None:
    def write(version: str) -> None:
        place.plugins.folder("geo", version, more, geo="x = 1")
        if not more:
            native(place, version)

    serving = place.candidate(None).snapshot
    write("1.0")
    first = place.candidate(serving)
    assert first.summary == (f"+ geo 1.0 (rolls: {why})", "app unchanged")
    write("1.1")
    second = place.candidate(first.snapshot)
    assert second.summary == (f"geo 1.0 -> 1.1 (1 file; rolls: {why})", "app unchanged")
    before = plugin(first.snapshot, "geo")
    assert PluginBefore("geo", "1.0", before.key.digest, before.artifact) in second.snapshot.before
    for file in (place.plugins.path / "geo").iterdir():
        file.unlink()
    (place.plugins.path / "geo").rmdir()
    third = place.candidate(second.snapshot)
    assert third.summary == (f"- geo 1.1 (rolls: {why})", "app unchanged")
    assert all(each.snapshot.is_roll for each in (first, second, third))


@pytest.fixture
def serving(place: Place) -> Snapshot:
    native(place)
    return place.candidate(None).snapshot


def test_where_it_stays_as_it_is_others_are_swapped(place: Place, serving: Snapshot) -> None:
    place.plugins.single("hello", "1.1")
    found = place.candidate(serving)
    assert (found.snapshot.is_roll, found.snapshot.before) == (False, ())
    assert plugin(found.snapshot, "geo").key == plugin(serving, "geo").key


def test_content_that_could_be_swapped_cannot_where_it_replaces_some_that_cannot(
    place: Place, serving: Snapshot
) -> None:
    (native(place, "1.1") / "_geo.cpython-311-x86_64-linux-gnu.so").unlink()
    assert place.candidate(serving).snapshot.is_roll


def test_other_configuration_is_another_instance_and_so_a_roll(place: Place, serving: Snapshot) -> None:
    place.configure('[app]\ntarget = "shop:app"\n[plugins]\ndir = "plugins"\n[plugins.geo]\nconfig = { x = 1 }\n')
    found = place.candidate(serving)
    assert found.summary[0] == "geo 1.0 (configuration; rolls: native module _geo)"
    assert found.snapshot.is_roll


def test_a_swap_leaves_it_and_takes_the_others(place: Place, serving: Snapshot) -> None:
    native(place, "1.1")
    left = "geo (needs a roll: native module _geo)"
    assert place.scan(serving, SWAP) == RollNeeded((left,))
    place.plugins.single("hello", "1.1")
    found = place.candidate(serving, SWAP)
    assert not found.snapshot.is_roll
    assert found.summary == ("hello 1.0 -> 1.1 (1 file)", "app unchanged", f"not taken: {left}")
    assert place.scan(found.snapshot, asking(only=("hello",), strategy=Strategy.SWAP)) == NothingChanged()


def test_a_swap_leaves_what_it_requires_too(place: Place) -> None:
    place.plugins.folder("rates", "1.0", rates="x = 1")
    place.plugins.folder("geo", "1.0", f'{ROLL}requires = {{ hello = ">=1" }}\n', geo="x = 1")
    place.plugins.folder("maps", "1.0", 'requires = { geo = "" }\n', maps="x = 1")
    serving = place.candidate(None).snapshot
    place.plugins.single("hello", "1.1")
    rolled = place.candidate(serving)
    assert rolled.summary[0] == 'geo 1.0 (requires hello; rolls: strategy = "roll")'
    left = 'hello (needs a roll: geo requires it: strategy = "roll")'
    assert place.scan(serving, SWAP) == RollNeeded((left,))
    place.plugins.folder("rates", "1.1", rates="x = 2")
    place.plugins.folder("maps", "1.1", 'requires = { geo = "" }\n', maps="x = 2")
    swapped = place.candidate(serving, SWAP)
    assert not swapped.snapshot.is_roll
    assert swapped.summary[-1] == f"not taken: {left}"
    assert [plugin(swapped.snapshot, name).version for name in ("hello", "geo", "maps", "rates")] == [
        "1.0",
        "1.0",
        "1.1",
        "1.1",
    ]


def test_a_swap_leaves_what_is_required_by_something_that_is_required(place: Place) -> None:
    place.plugins.folder("geo", "1.0", 'requires = { hello = "" }\n', geo="x = 1")
    place.plugins.folder("maps", "1.0", f'{ROLL}requires = {{ geo = "" }}\n', maps="x = 1")
    serving = place.candidate(None).snapshot
    place.plugins.single("hello", "1.1")
    assert place.scan(serving, SWAP) == RollNeeded(('hello (needs a roll: maps requires it: strategy = "roll")',))


def test_going_back_over_it_is_a_roll(place: Place, serving: Snapshot) -> None:
    native(place, "1.1")
    second = place.candidate(serving).snapshot

    def back(strategy: Strategy) -> object:
        request = asking(action=Action.ROLLBACK, to=serving.epoch, strategy=strategy)
        return place.scanner.scan(request, 3, second, Past((serving, second), (serving, second)))

    found = back(Strategy.AUTO)
    assert found.snapshot.is_roll  # type: ignore[attr-defined]
    assert found.summary[0] == "geo 1.1 -> 1.0 (1 file; rolls: native module _geo)"  # type: ignore[attr-defined]
    assert isinstance(back(Strategy.SWAP), ScanRefused)
