"""The interpreter is part of what a scan finds: taken, kept, rolled back, or refused."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from changeover.supervisor.artifacts.scanner import Past, Scanner
from changeover.supervisor.config.load import check
from changeover.supervisor.config.sources import Source
from changeover.supervisor.core.entries import Held, Origin, Trigger
from changeover.supervisor.core.holding import after_rollback
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    CutoverRequest,
    HeldBack,
    NothingChanged,
    RollNeeded,
    ScanRefused,
    ScanResult,
    Strategy,
)
from changeover.supervisor.interpreters.answer import Answer, InterpreterUnfit
from changeover.supervisor.interpreters.asking import Interpreters, own
from changeover.workers.pinned.distributions import Distributions
from changeover.workers.plugins.artifact import get
from changeover.workers.protocol.reload import ON_CHANGE
from changeover.workers.protocol.snapshot import OWN, Interpreter, Snapshot

OURS = own().version
APP = '[app]\ntarget = "shop:app"\ninclude = ["*.py"]\n'
PLUGIN = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "hello"
# version = "1.0"
# ///
"""


@dataclass(frozen=True)
class Machine(Interpreters):
    """Interpreters that are there as a test says.

    Attributes:
        there: Path -> what it answers.
    """

    there: dict[str, Answer] = field(default_factory=dict)

    def ask(self, python: str) -> Answer:
        if python == sys.executable:
            return own()
        if python not in self.there:
            raise InterpreterUnfit(python, "is not there")
        return self.there[python]


class Place:
    """A service's folder, on a machine with other interpreters."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.machine = Machine()
        self.held: frozenset[Held] = frozenset()
        self.new, self.other = (self.install(name, "3.12.1") for name in ("new", "other"))
        (root / "shop.py").write_text("app = None")
        self.configure()
        source = Source(folder=root)
        self.scanner = Scanner(
            check(source).required(), lambda: check(source), root / "state" / "store", [root / "state"], self.machine
        )

    def install(self, name: str, version: str) -> str:
        packages = self.root / "lib" / name
        (packages / "django-5.2.dist-info").mkdir(parents=True, exist_ok=True)
        python = str(self.root / name)
        self.machine.there[python] = Answer("CPython", version, (3, 12), protocol=1, search=(str(packages),))
        return python

    def configure(self, python: str = "", app: str = APP, plugins: str = "on-signal") -> None:
        named = f'python = "{python}"\n' if python else ""
        (self.root / "changeover.toml").write_text(f'{named}{app}[plugins]\ndir = "plugins"\nreload = "{plugins}"\n')

    def scan(self, current: Snapshot | None, request: CutoverRequest, *committed: Snapshot) -> ScanResult:
        epoch = current.epoch + 1 if current else 1
        return self.scanner.scan(request, epoch, current, Past(committed, committed, held=self.held))

    def candidate(self, current: Snapshot | None, request: CutoverRequest, *committed: Snapshot) -> Candidate:
        result = self.scan(current, request, *committed)
        assert isinstance(result, Candidate), result
        return result

    def roll_back(self, left: Snapshot, to: Snapshot) -> Snapshot:
        found = self.candidate(left, asking(action=Action.ROLLBACK, to=to.epoch), to, left).snapshot
        self.held = after_rollback(self.held, left, found)
        return found


def asking(**wishes: object) -> CutoverRequest:
    return CutoverRequest(Origin(Trigger.COMMAND, uid=os.geteuid()), **wishes)  # type: ignore[arg-type]


RELOAD = asking()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "plugins").mkdir()
    return Place(tmp_path)


@pytest.fixture
def serving(place: Place) -> Snapshot:
    return place.candidate(None, RELOAD).snapshot


def test_where_nothing_is_said_ours_serves(serving: Snapshot) -> None:
    assert serving.interpreter == Interpreter(sys.executable, OURS, sys.executable)


def test_another_one_takes_a_roll_and_is_said_with_both_versions_and_paths(place: Place, serving: Snapshot) -> None:
    found = place.candidate(serving, asking(python=place.new))
    assert found.snapshot.is_roll
    assert found.snapshot.interpreter == Interpreter(place.new, "3.12.1", sys.executable)
    assert found.summary[:2] == (
        f"python {OURS} ({sys.executable}) -> 3.12.1 ({place.new})",
        "app shop:app (installed packages)",
    )
    assert f"not taken: python {sys.executable} ({place.new} was asked for" in found.summary[2]


def test_distributions_of_that_interpreter_are_recorded_and_not_ours(place: Place, serving: Snapshot) -> None:
    application = place.candidate(serving, asking(python=place.new)).snapshot.application
    assert application is not None
    record = Distributions.of_files(get(place.root / "state" / "store", application.distributions))
    assert record.versions == {"django": "5.2"}


def test_another_version_at_the_same_path_is_another_interpreter(place: Place) -> None:
    place.configure(place.new)
    serving = place.candidate(None, RELOAD).snapshot
    place.install("new", "3.12.2")
    found = place.candidate(serving, RELOAD)
    assert found.snapshot.is_roll
    assert found.snapshot.application == serving.application
    assert found.summary == (f"python 3.12.1 ({place.new}) -> 3.12.2 ({place.new})", "app unchanged")


def test_plugins_alone_roll_to_another_one_too(place: Place) -> None:
    place.configure(app="")
    serving = place.candidate(None, RELOAD).snapshot
    place.configure(place.new, app="")
    found = place.candidate(serving, RELOAD)
    assert found.snapshot.is_roll
    assert found.snapshot.interpreter.python == place.new


def test_one_that_cannot_execute_what_serves_is_no_candidate(place: Place, serving: Snapshot) -> None:
    result = place.scan(serving, asking(python="/nothing"))
    assert isinstance(result, ScanRefused)
    assert [each.refusal.summary for each in result.refusals] == ["python /nothing is not there"]


def test_the_living_workers_keep_theirs_where_a_swap_is_asked_for(place: Place, serving: Snapshot) -> None:
    result = place.scan(serving, asking(python=place.new, strategy=Strategy.SWAP))
    assert isinstance(result, RollNeeded)
    assert result.changed[0] == f"python {OURS} ({sys.executable}) -> 3.12.1 ({place.new}) (needs a roll)"
    assert result.changed[1].startswith("app: installed: ")


def test_one_that_was_asked_for_holds_until_the_configuration_names_another(place: Place, serving: Snapshot) -> None:
    asked = place.candidate(serving, asking(python=place.new)).snapshot
    unchanged = place.scan(asked, RELOAD)
    assert isinstance(unchanged, NothingChanged)
    assert "holds until the configuration's `python` changes" in unchanged.notes[0]
    place.configure(place.other)
    assert place.candidate(asked, RELOAD).snapshot.interpreter == Interpreter(place.other, "3.12.1", place.other)


def test_it_holds_through_a_cold_start(place: Place, serving: Snapshot) -> None:
    asked = place.candidate(serving, asking(python=place.new)).snapshot
    assert isinstance(place.scan(asked, CutoverRequest(Origin(Trigger.BOOT))), NothingChanged)


def test_one_that_holds_and_is_gone_is_no_obstacle_to_a_start_and_a_reload_says_the_way_on(
    place: Place, serving: Snapshot
) -> None:
    asked = place.candidate(serving, asking(python=place.new)).snapshot
    del place.machine.there[place.new]
    result = place.scan(asked, RELOAD)
    assert isinstance(result, ScanRefused)
    [reason] = [each.refusal.summary for each in result.refusals]
    assert reason.startswith(f"python {place.new} is not there; it was asked for or rolled back to; ")
    assert reason.endswith(f"`changeover reload --force` takes {sys.executable} instead")
    for request in (CutoverRequest(Origin(Trigger.BOOT)), asking(force=True)):
        found = place.candidate(asked, request)
        assert found.snapshot.is_roll
        assert found.snapshot.interpreter == serving.interpreter
        assert found.summary[0].endswith(f"-> {serving.interpreter}")


def test_a_configuration_that_names_what_serves_already_makes_an_epoch_without_a_roll(
    place: Place, serving: Snapshot
) -> None:
    asked = place.candidate(serving, asking(python=place.new)).snapshot
    place.configure(place.new)
    named = place.candidate(asked, RELOAD)
    assert not named.snapshot.is_roll
    assert named.summary == (f"python 3.12.1 ({place.new}), the configuration's now", "app unchanged")
    place.configure()
    assert place.candidate(named.snapshot, RELOAD).snapshot.interpreter.python == sys.executable


def test_a_rollback_goes_back_to_the_interpreter_too_and_a_reload_leaves_it_so(place: Place, serving: Snapshot) -> None:
    place.configure(place.new)
    rolled = place.candidate(serving, RELOAD).snapshot
    restoring = place.candidate(rolled, asking(action=Action.ROLLBACK, to=serving.epoch), serving, rolled)
    assert restoring.summary[-1].startswith(f"not taken: python {place.new} ({sys.executable} was asked for or rolled")
    back = place.roll_back(rolled, serving)
    assert back.is_roll
    assert back.interpreter == Interpreter(sys.executable, OURS, place.new)
    assert back.application is not None
    assert serving.application is not None
    assert back.application.key.digest == serving.application.key.digest
    result = place.scan(back, RELOAD, serving, rolled)
    assert isinstance(result, NothingChanged)
    assert "rolled back to" in result.notes[0]
    forced = place.candidate(back, asking(force=True)).snapshot
    assert forced.interpreter.python == place.new


def test_held_content_does_not_come_back_by_asking_for_its_interpreter(place: Place, serving: Snapshot) -> None:
    asked = place.candidate(serving, asking(python=place.new)).snapshot
    back = place.roll_back(asked, serving)
    assert isinstance(place.scan(back, asking(python=place.new)), HeldBack)
    forced = place.candidate(back, asking(python=place.new, force=True)).snapshot
    assert forced.interpreter.python == place.new


def test_a_rollback_to_an_interpreter_that_is_gone_or_another_is_refused(place: Place, serving: Snapshot) -> None:
    asked = place.candidate(serving, asking(python=place.new)).snapshot
    back = place.roll_back(asked, serving)
    again = asking(action=Action.ROLLBACK, to=asked.epoch)
    place.install("new", "3.13.0")
    result = place.scan(back, again, asked, back)
    assert isinstance(result, ScanRefused)
    assert "is Python 3.13.0 now and was 3.12.1" in result.refusals[0].refusal.summary
    del place.machine.there[place.new]
    result = place.scan(back, again, asked, back)
    assert isinstance(result, ScanRefused)
    assert "is not there" in result.refusals[0].refusal.summary


def test_who_asks_for_one_plugin_takes_no_other_interpreter_and_hears_of_it(place: Place, serving: Snapshot) -> None:
    place.configure(place.new)
    (place.root / "plugins" / "hello.py").write_text(PLUGIN)
    found = place.candidate(serving, asking(only=("hello",)))
    assert found.snapshot.interpreter == serving.interpreter
    assert any(line.startswith("not taken: python ") and line.endswith("(needs a roll)") for line in found.summary)


@pytest.mark.parametrize(("watched", "taken"), [(True, True), (False, False)], ids=["watched", "not watched"])
@pytest.mark.parametrize("app", [True, False], ids=["with an application", "plugins alone"])
def test_a_policy_takes_another_interpreter_where_it_takes_what_that_executes(
    place: Place, *, app: bool, watched: bool, taken: bool
) -> None:
    reload = "on-change" if watched else "on-signal"
    text = f'[app]\ntarget = "shop:app"\nreload = "{reload}"\n' if app else ""
    place.configure(app=text, plugins=reload)
    serving = place.candidate(None, RELOAD).snapshot
    place.configure(place.new, app=text, plugins=reload)
    found = place.scan(serving, asking(policy=ON_CHANGE))
    assert (isinstance(found, Candidate) and found.snapshot.is_roll) is taken


def test_what_an_older_journal_did_not_know_takes_no_roll_to_be_known(place: Place, serving: Snapshot) -> None:
    unknown = place.candidate(None, RELOAD).snapshot
    unknown = Snapshot(unknown.epoch, "older", unknown.units, unknown.routes, rolled=unknown.rolled, interpreter=OWN)
    found = place.candidate(unknown, RELOAD).snapshot
    assert not found.is_roll
    assert found.interpreter == serving.interpreter
