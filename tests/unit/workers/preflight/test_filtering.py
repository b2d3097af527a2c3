"""The filter of system calls: what is forbidden fails with EPERM, the rest of the process goes on."""

import struct
import subprocess
import sys

import pytest

from changeover.workers.preflight.filtering import ARCHITECTURES, FORBIDDEN, FilterMissing, program

FILTERED = """
import ctypes, errno, os, sys
from changeover.workers.preflight.filtering import FORBIDDEN, ARCHITECTURES, install
from changeover.workers.runtime import kernel
from changeover.workers.runtime.privileges import give_up_new_privileges

def tried(number, *arguments):
    try:
        kernel.syscall("", number, *arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

column = list(ARCHITECTURES).index(os.uname().machine)
ptrace = FORBIDDEN["ptrace"][column]
print("before", tried(ptrace, 99999, 0, 0, 0))
give_up_new_privileges()
install()
for name, numbers in FORBIDDEN.items():
    if numbers[column] is not None:
        print(name, tried(numbers[column], -1, -1, -1, -1, -1, -1))
print("child", os.waitstatus_to_exitcode(os.system("true")))
print("x32", tried(0x40000000 + 39) if os.uname().machine == "x86_64" else "EPERM")
"""


def test_forbidden_calls_fail_and_others_go_on() -> None:
    done = subprocess.run([sys.executable, "-c", FILTERED], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    said = dict(line.split() for line in done.stdout.splitlines())
    assert said.pop("before") != "EPERM"
    assert said.pop("child") == "0"
    assert said.pop("x32") == "EPERM"
    assert len(said) > 40
    assert set(said.values()) == {"EPERM"}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_jump_of_the_filter_leads_to_its_last_step(machine: str) -> None:
    code = program(machine)
    steps = [struct.unpack("=HBBI", code[at : at + 8]) for at in range(0, len(code), 8)]
    jumps = [(at + 1 + taken, value) for at, (kind, taken, _, value) in enumerate(steps) if kind in (0x15, 0x35)]
    assert jumps[0] == (3, ARCHITECTURES[machine])
    assert {to for to, _ in jumps[1:]} == {len(steps) - 1}
    assert steps[-1] == steps[2] == (0x06, 0, 0, 0x00050001)
    assert steps[-2] == (0x06, 0, 0, 0x7FFF0000)
    column = list(ARCHITECTURES).index(machine)
    assert [value for _, value in jumps[2:]] == [
        each[column] for each in FORBIDDEN.values() if each[column] is not None
    ]


def test_a_machine_whose_numbers_nobody_wrote_down_has_no_filter() -> None:
    with pytest.raises(FilterMissing, match="riscv64"):
        program("riscv64")
