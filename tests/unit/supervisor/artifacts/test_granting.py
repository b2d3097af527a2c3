"""What plugins ask for is granted by the configuration, or keeps them from being taken at all."""

from pathlib import Path

import pytest

from changeover.supervisor.artifacts.survey import DiskState
from changeover.supervisor.core.outcome import ScanRefused
from changeover.workers.protocol.refusal import Fault
from tests.unit.supervisor.artifacts.test_scanner import CONFIG, HUP, Place, asking, plugin

NET = 'capabilities = ["net"]'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def grant(place: Place, *names: str) -> None:
    listed = ", ".join(f'"{name}"' for name in names)
    place.configure(f"{CONFIG}[plugins.hello]\ngrant = [{listed}]\n")


def test_what_is_not_granted_is_refused_before_anything_is_stored(place: Place) -> None:
    place.plugins.single("hello", "1.1", 'capabilities = ["net", "exec"]')
    assert place.refused(None) == [
        "plugins/hello.py: $.capabilities: hello 1.1 asks for exec and net, which is not granted; "
        'write `grant = ["exec", "net"]` in [plugins.hello]'
    ]
    result = place.scan(None)
    assert isinstance(result, ScanRefused)
    [told] = result.refusals
    assert (told.refusal.fault, told.refusal.unit) == (Fault.CAPABILITY, "plugin hello")
    assert not list(place.store.glob("*"))


def test_a_part_of_it_is_not_enough(place: Place) -> None:
    place.plugins.single("hello", more='capabilities = ["net", "exec"]')
    grant(place, "net")
    assert "asks for exec, which is not granted; write `grant = [" in place.refused(None)[0]
    grant(place, "net", "exec", "write")
    assert plugin(place.candidate(None).snapshot, "hello").granted == ("exec", "net")


def test_what_is_granted_goes_with_the_unit_that_asked_and_with_no_other(place: Place) -> None:
    plain = place.candidate(None).snapshot
    grant(place, "net", "exec")
    assert place.candidate(None).snapshot.digest == plain.digest
    place.plugins.single("hello", more=NET)
    asked = place.candidate(None).snapshot
    assert plugin(asked, "hello").granted == ("net",)
    assert plugin(asked, "pricing") == plugin(plain, "pricing")


def test_a_grant_that_is_taken_back_refuses_and_leaves_what_serves_alone(place: Place) -> None:
    place.plugins.single("hello", more=NET)
    grant(place, "net")
    serving = place.candidate(None).snapshot
    place.configure(CONFIG)
    assert "asks for net, which is not granted" in place.refused(serving, HUP)[0]
    place.plugins.folder("pricing", "1.5.0", pricing="price = 2")
    found = place.candidate(serving, asking(only=("pricing",))).snapshot
    assert plugin(found, "hello") == plugin(serving, "hello")


def test_the_list_of_plugins_says_what_is_not_granted(place: Place) -> None:
    serving = place.candidate(None).snapshot
    place.plugins.single("hello", "1.1", NET)
    view = place.scanner.survey(serving, (), ()).plugins["hello"]
    assert (view.state, view.version) == (DiskState.BROKEN, "1.1")
    assert "hello 1.1 asks for net, which is not granted" in view.note
    grant(place, "net")
    assert place.scanner.survey(serving, (), ()).plugins["hello"].state is DiskState.CHANGED


def test_a_name_that_is_no_capability_lists_the_known_ones(place: Place) -> None:
    place.plugins.single("hello", more='capabilities = ["network"]')
    [said] = place.refused(None)
    assert "$.tool.changeover.capabilities[0]: 'network' is none of exec, native, net, write" in said
    grant(place, "nett")
    [said] = place.refused(None)
    assert said == (
        "changeover.toml: $.plugins.hello.grant[0]: 'nett' is none of exec, native, net, write; did you mean `net`?"
    )
