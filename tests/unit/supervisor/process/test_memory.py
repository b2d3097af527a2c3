"""Memory as the kernel tells it: of a process, of the machine, of control groups."""

import os
from pathlib import Path

import pytest

from changeover.supervisor.process.memory import available, proportional

MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    4000 kB\n"


class Kernel:
    """Files as it shows them."""

    def __init__(self, root: Path) -> None:
        self.proc, self.groups = root / "proc", root / "cgroup"
        self.write(self.proc / "meminfo", MEMINFO)

    def write(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def group(self, name: str, limit: str, current: int, inactive: int = 0) -> None:
        self.write(self.groups / name / "memory.max", f"{limit}\n")
        self.write(self.groups / name / "memory.current", f"{current}\n")
        self.write(self.groups / name / "memory.stat", f"anon 1\ninactive_file {inactive}\nactive_file 5\n")

    def member(self, of: str) -> None:
        self.write(self.proc / "self" / "cgroup", f"1:name=systemd:/other\n0::/{of}\n")

    def available(self) -> int:
        return available(self.proc, self.groups)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_the_machine_says_what_is_available(kernel: Kernel) -> None:
    assert kernel.available() == 4000 * 1024


def test_the_tightest_control_group_above_us_decides(kernel: Kernel) -> None:
    kernel.member("system.slice/shop.service")
    kernel.group("system.slice/shop.service", "max", 1_000_000)
    assert kernel.available() == 4000 * 1024
    kernel.group("system.slice", "3000000", 1_000_000)
    assert kernel.available() == 2_000_000


def test_files_that_nobody_uses_can_be_given_up(kernel: Kernel) -> None:
    kernel.member("")
    kernel.group("", "3000000", 2_500_000, inactive=400_000)
    assert kernel.available() == 900_000


def test_a_group_over_its_limit_leaves_nothing(kernel: Kernel) -> None:
    kernel.member("shop")
    kernel.group("shop", "1000", 2_000)
    assert kernel.available() == 0


def test_where_nobody_says_nobody_knows(tmp_path: Path) -> None:
    assert available(tmp_path, tmp_path) == -1


def test_a_process_has_its_share_of_what_it_shares(kernel: Kernel) -> None:
    kernel.write(
        kernel.proc / "7" / "smaps_rollup", "55-7f ---p 00 [rollup]\nRss:  900 kB\nPss:  300 kB\nPss_Anon: 1 kB\n"
    )
    assert proportional(7, kernel.proc) == 300 * 1024
    assert proportional(8, kernel.proc) == 0


def test_this_machine_and_this_process_are_understood() -> None:
    assert available() > 1 << 20
    assert proportional(os.getpid()) > 1 << 20
