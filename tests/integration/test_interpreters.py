"""Real interpreters, and what is none, asked whether they can execute what serves."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.interpreters.answer import InterpreterUnfit
from changeover.supervisor.interpreters.asking import Interpreters
from changeover.supervisor.interpreters.paths import OURS
from changeover.workers.pinned.distributions import own_path
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.snapshot import Interpreter
from tests.environments import HERE, Environment, claims, script
from tests.namespaces import needs_root, open_folder
from tests.waits import until_sync

INTERPRETERS = Interpreters(deadline=30.0)
VERSION = ".".join(map(str, sys.version_info[:3]))


@pytest.fixture
def other(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "other")


def refused(python: Path, interpreters: Interpreters = INTERPRETERS) -> InterpreterUnfit:
    with pytest.raises(InterpreterUnfit) as raised:
        interpreters.ask(str(python))
    assert raised.value.python == str(python)
    refusal = raised.value.refusal(Stage.SCAN)
    assert refusal.summary == f"python {python} {raised.value.reason}"
    assert refusal.fault is raised.value.fault
    return raised.value


def test_another_environment_says_who_it_is_and_where_its_distributions_are(other: Environment) -> None:
    answer = INTERPRETERS.ask(str(other.python))
    assert (answer.implementation, answer.version, answer.missing) == ("CPython", VERSION, {})
    assert str(other.packages) in answer.search
    assert str(other.packages) in answer.folders


def test_our_own_is_not_executed_and_looks_where_we_look() -> None:
    answer = Interpreters(directory="/nowhere").ask(OURS)
    assert (answer.version, answer.search) == (VERSION, tuple(map(os.path.realpath, own_path())))


def test_what_it_prints_as_it_starts_is_no_part_of_its_answer(other: Environment) -> None:
    other.at_start("import sys; print('{}'); print('{}', file=sys.stderr)")
    assert INTERPRETERS.ask(str(other.python)).version == VERSION


def test_it_does_not_import_what_lies_in_the_folder_where_it_is_asked(other: Environment, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported')")
    assert Interpreters(directory=str(tmp_path), deadline=30.0).ask(str(other.python)).missing == {}


def test_an_environment_without_changeover_is_told_how_to_install_it(tmp_path: Path) -> None:
    bare = Environment(tmp_path / "bare", ())
    error = refused(bare.python)
    assert error.fault is Fault.CONFIG
    assert "cannot import changeover.workers (ModuleNotFoundError: " in error.reason
    assert f"`{bare.python} -m pip install changeover==" in error.reason


def test_a_package_that_workers_need_and_that_is_broken_there_is_named(other: Environment) -> None:
    other.at_start("import sys; sys.modules['setproctitle'] = None")
    assert "cannot import setproctitle (ModuleNotFoundError: " in refused(other.python).reason


def test_a_changeover_that_speaks_another_protocol_is_named(other: Environment) -> None:
    other.at_start("import changeover.workers.protocol.messages as messages; messages.PROTOCOL_VERSION = 99")
    assert "speaks protocol 99 with its supervisor, and this one speaks 1" in refused(other.python).reason


def test_one_that_lacks_what_this_version_asks_for_is_told_its_protocol_first(tmp_path: Path) -> None:
    early = tmp_path / "early" / "changeover" / "workers"
    (early / "protocol").mkdir(parents=True)
    (early / "__init__.py").touch()
    (early / "protocol" / "__init__.py").touch()
    (early / "protocol" / "messages.py").write_text("PROTOCOL_VERSION = 7")
    environment = Environment(tmp_path / "environment", (str(tmp_path / "early"), HERE[0]))
    assert "speaks protocol 7" in refused(environment.python).reason
    (early / "protocol" / "messages.py").write_text("PROTOCOL_VERSION = 1")
    assert "cannot import changeover.workers.pinned.content" in refused(environment.python).reason


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda folder: folder / "nothing", "cannot be executed: No such file or directory"),
        (lambda folder: folder, "cannot be executed: Permission denied"),
        (lambda folder: Path("/bin/true"), "ended with status 0 and did not say who it is"),
        (lambda folder: script(folder / "loud", "echo broken >&2; exit 3"), "ended with status 3"),
        (lambda folder: script(folder / "loud", "echo broken >&2; exit 3"), "who it is: broken; name a Python"),
        (lambda folder: claims(folder / "old", "CPython", "3.9.2"), "is Python 3.9.2, and workers need 3.11 or later"),
        (
            lambda folder: claims(folder / "new", "CPython", "3.12.1"),
            "does not say which protocol its changeover speaks",
        ),
        (lambda folder: claims(folder / "pypy", "PyPy", "3.11.1"), "is PyPy 3.11.1, and workers need CPython 3.11"),
    ],
)
def test_what_is_no_interpreter_for_us_is_named_with_what_it_is(
    tmp_path: Path, make: Callable[[Path], Path], why: str
) -> None:
    error = refused(make(tmp_path))
    assert why in error.reason
    assert error.fault is Fault.CONFIG


def test_a_file_that_may_not_be_executed_is_named(tmp_path: Path) -> None:
    python = script(tmp_path / "python", "exit 0")
    python.chmod(0o644)
    assert "Permission denied" in refused(python).reason


def test_one_that_does_not_answer_is_ended_with_what_it_started_and_may_answer_later(tmp_path: Path) -> None:
    started = tmp_path / "started"
    hanging = script(tmp_path / "python", f"sleep 600 & echo $! > {started}; wait")
    error = refused(hanging, Interpreters(deadline=3.0))
    assert "did not say within 3 s who it is" in error.reason
    assert error.fault is Fault.TIMEOUT
    assert error.refusal(Stage.SCAN).fault.transient
    pid = int(started.read_text())
    until_sync(lambda: not Path(f"/proc/{pid}").exists(), "what it started to be gone")


def test_asking_leaves_no_descriptor_and_no_child(other: Environment, tmp_path: Path) -> None:
    before, children = len(os.listdir("/proc/self/fd")), psutil.Process().children()
    INTERPRETERS.ask(str(other.python))
    refused(tmp_path / "nothing")
    refused(script(tmp_path / "python", "sleep 600"), Interpreters(deadline=0.2))
    assert len(os.listdir("/proc/self/fd")) == before
    assert psutil.Process().children() == children


def test_it_is_asked_as_the_user_that_workers_run_as() -> None:
    needs_root()
    nobody = Account(65534, 65534, (65534,), "nobody", "/nonexistent")
    with open_folder() as folder:
        python = script(folder / "python", 'echo "user $(id -u) with the groups $(id -G)" >&2; exit 1')
        with pytest.raises(InterpreterUnfit, match="user 65534 with the groups 65534;"):
            Interpreters(account=nobody, deadline=30.0).ask(str(python))


def test_the_interpreter_of_a_generation_must_be_what_it_was(other: Environment) -> None:
    INTERPRETERS.require(Interpreter(str(other.python), VERSION))
    with pytest.raises(
        InterpreterUnfit, match=f"is Python {VERSION} now and was 3.11.0 when what it is to serve was taken"
    ):
        INTERPRETERS.require(Interpreter(str(other.python), "3.11.0"))
