"""What a figure was measured on: without it, a figure means nothing."""

import datetime
import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec
import zmq


class Machine(msgspec.Struct, frozen=True):
    """Date, machine and command of one run.

    Attributes:
        date: ISO 8601, UTC, to the minute.
        command: As it was typed.
        processor: Model name.
        cores: That this process may use.
        memory: Bytes.
        kernel: Its release.
        python: Version and implementation.
        libraries: Versions of what the figures depend on.
        load: Load average of the last minute when the run began: other work on the machine shows here.
    """

    date: str
    command: str
    processor: str
    cores: int
    memory: int
    kernel: str
    python: str
    libraries: dict[str, str]
    load: float


def here(module: str) -> Machine:
    """Describe this machine, for a run of `python -m <module>`."""
    return Machine(
        datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        shlex.join(["python", "-m", module, *sys.argv[1:]]),
        _processor(),
        len(os.sched_getaffinity(0)),
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        platform.release(),
        f"{platform.python_implementation()} {platform.python_version()}",
        {"libzmq": zmq.zmq_version()} | {name: version(name) for name in ("pyzmq", "uvloop", "httptools", "msgspec")},
        os.getloadavg()[0],
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
