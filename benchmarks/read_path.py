"""What it costs to find the current generation and hold it, beside the same read under a readers-writer lock.

Usage: python -m benchmarks.read_path [--quick]

A read is what every request does first: learn which generation is committed, take a lease on its units, and at its end
let go. Four versions of it are timed in one thread, in turns, each as the median of many batches:

    changeover   reads the commit cell, a word of memory that all processes share, and takes a lease
    published    the same generation and lease, found under a published lock of readers and writers, writers first
                 (`readerwriterlock`); it says nothing to other processes
    by hand      the same under the least that such a lock can be made of: a Condition and a count; likewise
    flock        the same under the kernel's lock of readers and writers on a file, which all processes share

Then another process swaps in a loop, as fast as the reader prepares what comes next: it stores into the cell, or does
so under the exclusive lock on the file.

Promised is that changeover's read takes at most a fifth of the one under the published lock, and that a writer in a
loop leaves it as it was, within a tenth. What can be had by hand and from the kernel is told beside it.
"""

import argparse
import contextlib
import fcntl
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from readerwriterlock.rwlock import RWLockWrite

from changeover.workers.generation.cell import CellWriter, SharedCell
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import EMPTY
from changeover.workers.serving.lease import LeaseKind, UnitSet
from changeover.workers.serving.router import EMPTY_ROUTER

FASTER, UNAFFECTED = 5.0, 1.10
BATCH = 1000
COMMITTED, PREPARED, ORDER = 0, 1, 2
"""Words of the page: which epoch is committed, which the reader has prepared, and what the writer is to do."""
REST, SWAP, SWAP_LOCKED = 0, 1, 2
"""What the writer may be told."""
PAUSE = 0.0002
"""Seconds after which the writer looks whether it can swap again."""

HTTP = LeaseKind.HTTP
Read = Callable[[], None]


class Reading:
    """A worker's side: a switch, and the generation that comes next.

    Args:
        folder: For the cell and the file that is locked.

    Attributes:
        switch: As in a worker.
        units: What is leased.
        swaps: How many generations were prepared.
    """

    def __init__(self, folder: Path) -> None:
        self._page = CellWriter.make(folder / "cell")
        self._file = folder / "lock"
        self._lock = os.open(self._file, os.O_CREAT | os.O_RDWR)
        self._published = RWLockWrite()
        self._condition = threading.Condition(threading.Lock())
        self._readers = self._writing = 0
        self.switch = Switch(SharedCell(self._page.fd, COMMITTED), lambda old, new: None)
        self.units = UnitSet(())
        self.swaps = 0
        self.prepare()
        self._page.store(1)
        self.read()

    def prepare(self) -> None:
        """Have the next generation ready, and say so."""
        if self.switch.prepared is None:
            epoch = self.switch.current.epoch + 1
            self.switch.prepared = Generation(EMPTY, Registry(epoch=epoch), EMPTY_ROUTER)
            self._page.store(epoch, PREPARED)
            self.swaps += 1

    def read(self) -> None:
        """The read path."""
        generation = self.switch.admit()
        assert generation is not None
        self.units.lease(HTTP, generation.registry.epoch, "/", 0).release()

    def read_published(self) -> None:
        """The same, found under a published lock."""
        with self._published.gen_rlock():
            generation = self.switch.admit()
            assert generation is not None
            lease = self.units.lease(HTTP, generation.registry.epoch, "/", 0)
        lease.release()

    def read_flocked(self) -> None:
        """The same, found under a lock between processes."""
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        try:
            generation = self.switch.admit()
            assert generation is not None
            lease = self.units.lease(HTTP, generation.registry.epoch, "/", 0)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        lease.release()

    def read_locked(self) -> None:
        """The same, found under a lock made by hand."""
        self._acquire()
        try:
            generation = self.switch.admit()
            assert generation is not None
            lease = self.units.lease(HTTP, generation.registry.epoch, "/", 0)
        finally:
            self._release()
        lease.release()

    def _acquire(self) -> None:
        with self._condition:
            while self._writing:
                self._condition.wait()
            self._readers += 1

    def _release(self) -> None:
        with self._condition:
            self._readers -= 1
            if not self._readers:
                self._condition.notify_all()

    def order(self, order: int) -> None:
        """Tell the writer what to do from now on."""
        self._page.store(order, ORDER)

    @contextlib.contextmanager
    def writer(self) -> Iterator[None]:
        """Have a writer, which rests until it is told otherwise: forked once, as a fork costs its parent something."""
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            self._write(parent)
        try:
            yield
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _write(self, parent: int) -> NoReturn:
        page, file = self._page, os.open(self._file, os.O_RDWR)
        while os.getppid() == parent:
            order = page.read(ORDER)
            if order != REST and page.read(PREPARED) > page.read(COMMITTED):
                if order == SWAP_LOCKED:
                    fcntl.flock(file, fcntl.LOCK_EX)
                page.store(page.read(PREPARED), COMMITTED)
                if order == SWAP_LOCKED:
                    fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(PAUSE)
        os._exit(0)


def cost(reading: Reading, read: Read, seconds: float) -> list[float]:
    """Microseconds per read, of each batch; what comes next is prepared between two batches."""
    costs = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(BATCH):
            read()
        costs.append((time.perf_counter() - began) / BATCH * 1e6)
        reading.prepare()
    return costs


def main(arguments: list[str]) -> int:
    """Measure; the status is 1 when it is not as promised."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.read_path", description=__doc__)
    options.add_argument("--quick", action="store_true", help="a short run: shows that it works, proves nothing")
    rounds = 2 if options.parse_args(arguments).quick else 20
    with tempfile.TemporaryDirectory(prefix="cell-") as folder:
        reading = Reading(Path(folder))
        with reading.writer():
            return report(*measured(reading, rounds))


def measured(reading: Reading, rounds: int) -> tuple[dict[str, float], dict[str, float], int]:
    """Medians of each version alone, and beside a writer, in turns; and how often that swapped."""
    reads = {
        "changeover": reading.read,
        "published": reading.read_published,
        "by hand": reading.read_locked,
        "flock": reading.read_flocked,
    }
    alone: dict[str, list[float]] = {name: [] for name in reads}
    beside: dict[str, list[float]] = {"changeover": [], "flock": []}
    swaps = 0
    for _ in range(rounds):
        for name, read in reads.items():
            alone[name] += cost(reading, read, 0.1)
        for name in beside:
            before = reading.swaps
            reading.order(SWAP_LOCKED if name == "flock" else SWAP)
            beside[name] += cost(reading, reads[name], 0.1)
            reading.order(REST)
            swaps += reading.swaps - before
    medians = ({name: statistics.median(costs) for name, costs in each.items()} for each in (alone, beside))
    return (*medians, swaps)  # type: ignore[return-value]


def report(alone: dict[str, float], beside: dict[str, float], swaps: int) -> int:
    """Say what was found; 1 when it is not as promised."""
    own = alone["changeover"]
    for name, each in alone.items():
        with_writer = f"  beside a writer {beside[name]:5.2f} us" if name in beside else ""
        print(f"{name:<11} {each:5.2f} us  {each / own:4.1f} x{with_writer}")
    faster, affected = alone["published"] / own, beside["changeover"] / own
    print(f"{faster:.1f} times as fast as under the published lock (must be >= {FASTER:g})")
    print(f"{affected:.2f} times as long while a writer swapped {swaps} times (must be <= {UNAFFECTED:g})")
    return 0 if faster >= FASTER and affected <= UNAFFECTED else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
