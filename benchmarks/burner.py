"""A neighbour that burns processor time when it is told to: what anything costs that uses as much of the machine.

`python -m benchmarks.burner` reads seconds of processor time, a line each, burns them, and says when it is done.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec


class Burn(msgspec.Struct, frozen=True):
    """One stretch in which a neighbour burnt; CLOCK_MONOTONIC in nanoseconds.

    Attributes:
        asked: When it began.
        ended: When it had burnt what it was told to.
    """

    asked: int
    ended: int


class Burner:
    """Burning processes."""

    def __init__(self, processes: Sequence["subprocess.Popen[bytes]"]) -> None:
        self._processes = processes

    def burn(self, seconds: float) -> Burn:
        """Have all of them together burn so much processor time, at the same time, and wait until that is done."""
        asked = time.monotonic_ns()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"%f\n" % (seconds / len(self._processes)))
            process.stdin.flush()
        for process in self._processes:
            assert process.stdout is not None
            process.stdout.readline()
        return Burn(asked, time.monotonic_ns())


@contextmanager
def burning(count: int = 1) -> Iterator[Burner]:
    """Start so many neighbours; they burn nothing until they are told to.

    Each leads a session of its own, as a worker does. Where the scheduler shares out the processor among sessions
    (autogroup, `sched(7)`), one in the session of the clients would take its time from them instead of the server.
    """
    processes = [_start() for _ in range(count)]
    try:
        yield Burner(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _start() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.burner"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def main() -> None:
    """Burn what each line asks for."""
    for line in sys.stdin:
        end = time.process_time() + float(line)
        while time.process_time() < end:
            sum(range(1000))
        print("done", flush=True)


if __name__ == "__main__":
    main()
