"""What a rollback makes of earlier content: code of then, and in new processes what is installed now."""

import shutil
from pathlib import Path

import pytest

from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import Action, Candidate, CutoverRequest, NothingChanged, ScanRefused, Strategy
from changeover.workers.pinned.distributions import Distributions
from changeover.workers.plugins.artifact import get
from changeover.workers.protocol.snapshot import Snapshot
from tests.unit.supervisor.artifacts.test_scanner_interpreter import PLUGIN, RELOAD, Place, asking

BACK = asking(action=Action.ROLLBACK)
RESCUE = CutoverRequest(Origin(Trigger.RESCUE), Action.ROLLBACK, to=1, strategy=Strategy.ROLL)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A service that another interpreter executes than the supervisor's."""
    (tmp_path / "plugins").mkdir()
    place = Place(tmp_path)
    place.configure(python=place.new)
    return place


@pytest.fixture
def serving(place: Place) -> Snapshot:
    return place.candidate(None, RELOAD).snapshot


def install(place: Place, version: str) -> None:
    """Have another django."""
    [there] = (place.root / "lib" / "new").iterdir()
    there.rename(there.with_name(f"django-{version}.dist-info"))


def upgraded(place: Place, serving: Snapshot, code: str = "app = None", *kept: Snapshot) -> Snapshot:
    """What a reload takes once django 5.3 is installed."""
    install(place, "5.3")
    (place.root / "shop.py").write_text(code)
    return place.candidate(serving, RELOAD, *kept).snapshot


def code_and_django(place: Place, snapshot: Snapshot) -> tuple[bytes, str]:
    app, store = snapshot.application, place.root / "state" / "store"
    assert app is not None
    record = Distributions.of_files(get(store, app.distributions))
    return get(store, app.artifact)["shop.py"], record.versions["django"]


def test_it_has_the_code_of_then_and_the_record_of_what_is_installed_now(place: Place, serving: Snapshot) -> None:
    second = upgraded(place, serving, "app = 2")
    back = place.candidate(second, BACK, serving, second)
    assert back.snapshot.is_roll
    assert back.restores == 1
    assert code_and_django(place, back.snapshot) == (b"app = None", "5.3")
    assert "packages as installed now, and not as epoch 1 had them: django 5.2 -> 5.3" in back.summary


def test_a_reload_after_that_finds_the_same_and_what_was_rolled_back_is_held(place: Place, serving: Snapshot) -> None:
    second = upgraded(place, serving, "app = 2")
    back = place.roll_back(second, serving)
    assert "held" in str(place.scan(back, RELOAD))
    (place.root / "shop.py").write_text("app = None")
    assert isinstance(place.scan(back, RELOAD), NothingChanged)


def test_where_only_packages_differ_nothing_comes_back_and_that_is_said(place: Place, serving: Snapshot) -> None:
    second = upgraded(place, serving)
    for wish in (BACK, asking(action=Action.ROLLBACK, to=1)):
        found = place.scan(second, wish, serving, second)
        assert isinstance(found, NothingChanged), found
        assert "packages as installed now, and not as epoch 1 had them: django 5.2 -> 5.3" in found.notes


def test_without_an_epoch_it_goes_on_to_the_latest_that_differs_still(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 2")
    second = place.candidate(serving, RELOAD).snapshot
    third = upgraded(place, second, "app = 2", serving, second)
    back = place.candidate(third, BACK, serving, second, third)
    assert back.restores == 1
    assert code_and_django(place, back.snapshot) == (b"app = None", "5.3")


def test_what_was_installed_then_and_is_again_comes_back(place: Place, serving: Snapshot) -> None:
    second = upgraded(place, serving)
    install(place, "5.2")
    back = place.candidate(second, BACK, serving, second)
    assert back.snapshot.digest == serving.digest


def test_a_swap_goes_back_whatever_was_installed_since(place: Place, serving: Snapshot) -> None:
    (place.root / "plugins" / "hello.py").write_text(PLUGIN)
    second = place.candidate(serving, RELOAD).snapshot
    install(place, "5.3")
    back = place.candidate(second, BACK, serving, second).snapshot
    assert not back.is_roll
    assert code_and_django(place, back) == (b"app = None", "5.2")


def test_a_rescue_says_what_becomes_of_what_is_imported_already(place: Place, serving: Snapshot) -> None:
    second = upgraded(place, serving)
    back = place.candidate(second, RESCUE, serving, second)
    assert code_and_django(place, back.snapshot) == (b"app = None", "5.3")
    assert any("what the kept process has imported stays as it was" in line for line in back.summary)


def test_a_rescue_goes_on_where_a_plugin_needs_what_is_not_installed_any_more(place: Place) -> None:
    needing = PLUGIN.replace('# version = "1.0"', '# version = "1.0"\n# dependencies = ["django<5.3"]')
    (place.root / "plugins" / "hello.py").write_text(needing)
    first = place.candidate(None, RELOAD).snapshot
    (place.root / "plugins" / "hello.py").write_text(PLUGIN)
    second = upgraded(place, first, "app = 2")
    refused = place.scan(second, asking(action=Action.ROLLBACK, to=1), first, second)
    assert isinstance(refused, ScanRefused)
    back = place.scan(second, RESCUE, first, second)
    assert isinstance(back, Candidate)
    assert any(line.startswith("missing: hello 1.0 needs django<5.3") for line in back.summary)


def rolled_to_other_code(place: Place, serving: Snapshot) -> Snapshot:
    (place.root / "shop.py").write_text("app = 2")
    return place.candidate(serving, RELOAD).snapshot


def test_a_rescue_needs_no_interpreter_that_is_as_it_was(place: Place, serving: Snapshot) -> None:
    place.install("new", "3.12.2")
    second = rolled_to_other_code(place, serving)
    back = place.candidate(second, RESCUE, serving, second)
    assert (back.restores, back.snapshot.interpreter.version) == (1, "3.12.1")
    assert code_and_django(place, back.snapshot) == (b"app = None", "5.2")
    said = f"python {place.new} is Python 3.12.2 now and was 3.12.1"
    assert any(line.startswith(said) and "none can follow it" in line for line in back.summary)
    asked = place.scan(second, asking(action=Action.ROLLBACK, to=1), serving, second)
    assert isinstance(asked, ScanRefused)


def test_nor_one_that_is_there_and_has_the_record_of_what_its_workers_find(place: Place, serving: Snapshot) -> None:
    second = rolled_to_other_code(place, serving)
    del place.machine.there[place.new]
    shutil.rmtree(place.root / "lib" / "new")
    back = place.candidate(second, RESCUE, serving, second)
    app, store = back.snapshot.application, place.root / "state" / "store"
    assert app is not None
    Distributions.of_files(get(store, app.distributions)).require_unchanged()
    assert any("django 5.2" in line and line.startswith("packages as installed now") for line in back.summary)


def test_nor_is_one_asked_what_plugins_need(place: Place) -> None:
    place.configure(python=place.new, app="")
    needing = PLUGIN.replace('# version = "1.0"', '# version = "1.0"\n# dependencies = ["django"]')
    (place.root / "plugins" / "hello.py").write_text(needing)
    first = place.candidate(None, RELOAD).snapshot
    second = place.candidate(first, asking(strategy=Strategy.ROLL)).snapshot
    del place.machine.there[place.new]
    assert place.candidate(second, RESCUE, first, second).snapshot.digest == first.digest
