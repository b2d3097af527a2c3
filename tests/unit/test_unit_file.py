"""The unit that is shipped: what it promises stands in it, and systemd accepts it."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "examples" / "systemd" / "changeover@.service"


def service() -> "configparser.SectionProxy":
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser["Service"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("Type", "notify"),
        ("KillMode", "process"),
        ("RuntimeDirectoryPreserve", "restart"),
        ("NotifyAccess", "main"),
        ("NoNewPrivileges", "yes"),
    ],
)
def test_what_the_promises_rest_on_is_set(setting: str, value: str) -> None:
    assert service()[setting] == value


def test_a_reload_waits_for_its_outcome_and_the_store_has_room() -> None:
    assert service()["ExecReload"].split()[:2] == ["/srv/%i/.venv/bin/changeover", "reload"]
    assert int(service()["FileDescriptorStoreMax"]) > 0
    assert int(service()["WatchdogSec"]) > 0


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("this system has no systemd-analyze")
    copy = tmp_path / "changeover@shop.service"
    copy.write_text(UNIT.read_text().replace("/srv/%i/.venv/bin/changeover", f"{sys.executable} -m changeover"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in done.stderr.splitlines() if "changeover@" in line]
    assert (done.returncode, said) == (0, [])
