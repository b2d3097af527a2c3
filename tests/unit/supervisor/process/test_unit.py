"""Which unit we run in, and how it would end us: asked with a deadline, and not known is not a failure."""

import os
import time
from pathlib import Path

import pytest

from changeover.supervisor.process import unit as units
from changeover.supervisor.process.unit import Ending, Unit, ending_of, own_unit, unit_of

SHOP = Unit("shop.service")


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl whose text the test writes."""
    program = tmp_path / "systemctl"
    monkeypatch.setattr(units, "SYSTEMCTL", (str(program),))
    return program


def says(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/shop.service\n", SHOP),
        ("0::/system.slice/system-changeover.slice/changeover@shop.service\n", Unit("changeover@shop.service")),
        ("12:pids:/\n1:name=systemd:/system.slice/shop.service\n0::/\n", SHOP),
        ("0::/user.slice/user-7.slice/user@7.service/app.slice/shop.service\n", Unit("shop.service", of_user=True)),
        ("9:pids:/user.slice/user@7.service\n0::/user.slice/user@7.service/shop.service\n", Unit("shop.service", True)),
        ("0::/system.slice/docker-1f.scope/system.slice/shop.service\n", SHOP),
        ("0::/user.slice/user-7.slice/session-3.scope\n", None),
        ("0::/user.slice/user-7.slice/user@7.service\n", None),
        ("0::/user.slice/user-7.slice/user@7.service/init.scope\n", None),
        ("0::/user.slice/user-7.slice/user@7.service/app.slice/app-terminal.slice/vte-spawn-1f.scope\n", None),
        ("9:pids:/user.slice/user@7.service\n1:name=systemd:/user.slice/user@7.service/vte-spawn-1f.scope\n", None),
        ("0::/system.slice/containers.service/run-1f.scope\n", None),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_the_unit_is_read_out_of_the_control_group(cgroup: str, unit: Unit | None) -> None:
    assert unit_of(cgroup) == unit


def test_without_systemd_there_is_no_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "BOOTED", tmp_path / "none")
    assert own_unit() is None
    monkeypatch.setattr(units, "BOOTED", tmp_path)
    monkeypatch.setattr(units, "CGROUP", tmp_path / "none")
    assert own_unit() is None


def test_systemctl_is_asked_for_the_unit_of_the_right_manager(systemctl: Path) -> None:
    says(systemctl, f'echo "$@" > {systemctl}.said; echo MainPID=7; echo KillMode=mixed')
    assert ending_of(SHOP) == Ending("mixed", 7)
    assert Path(f"{systemctl}.said").read_text() == "show --property=KillMode --property=MainPID shop.service\n"
    assert ending_of(Unit("shop.service", of_user=True)) == Ending("mixed", 7)
    assert Path(f"{systemctl}.said").read_text().startswith("--user show ")


@pytest.mark.parametrize("main", ["", "MainPID=", "MainPID=soon", "MainPID=0"])
def test_a_unit_without_a_main_process_is_nobodys_end(systemctl: Path, main: str) -> None:
    says(systemctl, f"echo {main}; echo KillMode=mixed")
    assert ending_of(SHOP) == Ending("mixed", 0)


@pytest.mark.parametrize("script", ["echo no bus >&2; exit 1", "printf '\\377'", "exec sleep 60"])
def test_no_answer_is_not_known_and_takes_no_time(
    systemctl: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    says(systemctl, script)
    monkeypatch.setattr(units, "ANSWER", 0.5)
    begin = time.monotonic()
    assert ending_of(SHOP) == Ending()
    assert time.monotonic() - begin < 5


def test_a_system_without_systemctl_is_not_asked(systemctl: Path) -> None:
    assert not os.path.exists(systemctl)
    assert ending_of(SHOP) == Ending()
