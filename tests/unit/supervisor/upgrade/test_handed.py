"""What one program hands to the next survives the way there, and no other process takes it for its own."""

import os

import pytest

from changeover.supervisor.upgrade import handed as handing
from changeover.supervisor.upgrade.handed import READY, REASON, VARIABLE, Handed
from changeover.workers.protocol.belongings import Belongings, Listener


@pytest.fixture
def handed() -> Handed:
    numbers = [os.open(os.devnull, os.O_RDONLY) for _ in range(6)]
    held = Belongings((Listener("127.0.0.1:8000", numbers[3]),), numbers[4], numbers[5])
    return Handed("1.2", numbers[0], numbers[1], held, {"zygote-1.sock": numbers[2]})


def test_the_next_program_finds_everything_and_its_children_nothing(handed: Handed) -> None:
    environment = {VARIABLE: str(handing.leave(handed)), REASON: "it ended", "HOME": "/"}
    for fd in handed.descriptors():
        os.set_inheritable(fd, True)
    inherited = handing.take(environment)
    assert inherited == handing.Inherited(handed, "it ended")
    assert environment == {"HOME": "/"}
    assert not any(os.get_inheritable(fd) for fd in handed.descriptors())


def test_a_process_that_was_just_started_was_handed_nothing() -> None:
    assert handing.take({"HOME": "/"}) is None


def test_what_a_later_version_adds_is_not_minded(handed: Handed) -> None:
    passed = os.memfd_create("handed")
    os.write(passed, b'{"version":"9","runtime_lock":3,"state_lock":4,"belongings":{"cell":5},"later":[1,2]}')
    inherited = handing.take({VARIABLE: str(passed)})
    assert inherited is not None
    assert inherited.handed == Handed("9", 3, 4, Belongings(cell=5))


def test_the_launcher_is_told_once_and_a_launcher_that_is_gone_is_not_minded(handed: Handed) -> None:
    for listening in (True, False):
        taken, ready = os.pipe()
        if not listening:
            os.close(taken)
        Handed("1", 0, 0, Belongings(), ready=ready).say_ready()
        if listening:
            assert os.read(taken, 10) == READY
            assert os.read(taken, 10) == b""
